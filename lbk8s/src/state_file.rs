//! What a process knows, in a file: so that the next one can go on when nobody can be asked.
//!
//! The file is written whole beside the old one and then takes its place, so that there is always a whole one. Its first
//! line says what it is, in which version, and the checksum of the rest, which is JSON. One that is not as it should be is
//! set aside under another name, never overwritten and never believed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A file with a state in it.
#[derive(Debug, Clone)]
pub struct StateFile {
    path: PathBuf,
    /// A word for what is in it.
    kind: &'static str,
    /// The version of what is in it: one of another version is not read.
    version: u32,
}

/// Why a state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It could not be read.
    #[error("cannot read {path}: {source}; going on without it")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It could not be written.
    #[error("cannot write {path}: {source}; after a restart without the API server nothing is known")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not as it was written, or of another version.
    #[error("{path} {what}; it is set aside as {aside}, and nothing of it is used")]
    SetAside {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// Where it is now.
        aside: PathBuf,
    },
}

impl StateFile {
    /// The file at `path`, which holds states of this kind and version.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, kind: &'static str, version: u32) -> Self {
        Self { path: path.into(), kind, version }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was written last; nothing if there is no file.
    ///
    /// # Errors
    /// [`StateError::Read`], or [`StateError::SetAside`] for a file that is damaged or of another version.
    pub fn read<T: DeserializeOwned>(&self) -> Result<Option<T>, StateError> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StateError::Read { path: self.path.clone(), source }),
        };
        match self.understand(&bytes) {
            Ok(state) => Ok(Some(state)),
            Err(what) => Err(self.set_aside(what)),
        }
    }

    fn understand<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, String> {
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or("has no first line")?;
        let (first, body) = (&bytes[..end], &bytes[end + 1..]);
        let first = std::str::from_utf8(first).map_err(|_| "has no first line")?;
        let words: Vec<&str> = first.split(' ').collect();
        let ["lbd", kind, version, sum] = words[..] else {
            return Err("does not begin as a state of lbd does".to_owned());
        };
        if kind != self.kind {
            return Err(format!("holds a state of another kind: {kind:?}, and not {:?}", self.kind));
        }
        if version != self.version.to_string() {
            return Err(format!("is of version {version}, and this lbd reads version {}", self.version));
        }
        if sum != checksum(body) {
            return Err("is damaged: its checksum is another one".to_owned());
        }
        serde_json::from_slice(body).map_err(|error| format!("cannot be understood: {error}"))
    }

    fn set_aside(&self, what: String) -> StateError {
        let mut aside = self.path.clone().into_os_string();
        aside.push(".unreadable");
        let (path, aside) = (self.path.clone(), PathBuf::from(aside));
        match fs::rename(&path, &aside) {
            Ok(()) => StateError::SetAside { path, what, aside },
            Err(source) => StateError::Read { path, source },
        }
    }

    /// The state as bytes of a file.
    ///
    /// # Errors
    /// [`StateError::Write`]: it cannot be put into words.
    pub fn to_bytes(&self, state: &impl Serialize) -> Result<Vec<u8>, StateError> {
        let wrong = |error: serde_json::Error| self.not_written(io::Error::other(error));
        let body = serde_json::to_vec(state).map_err(wrong)?;
        let mut bytes = format!("lbd {} {} {}\n", self.kind, self.version, checksum(&body)).into_bytes();
        bytes.extend(body);
        Ok(bytes)
    }

    /// Writes what [`StateFile::to_bytes`] made. It is on the disk when this ends.
    ///
    /// # Errors
    /// [`StateError::Write`]: what was there before is there still.
    pub fn write(&self, bytes: &[u8]) -> Result<(), StateError> {
        self.replace(bytes).map_err(|source| self.not_written(source))
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        // What it holds may be a secret.
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        // The new name too is to outlast a power cut.
        File::open(folder)?.sync_all()
    }

    fn not_written(&self, source: io::Error) -> StateError {
        StateError::Write { path: self.path.clone(), source }
    }
}

/// The checksum of what is written, as text of eight digits.
pub(crate) fn checksum(body: &[u8]) -> String {
    format!("{:08x}", crc32fast::hash(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own for each test, gone afterwards.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("lbd-state-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self) -> StateFile {
            StateFile::new(self.0.join("deeper/state"), "test", 3)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn write(file: &StateFile, state: &[u32]) {
        file.write(&file.to_bytes(&state).unwrap()).unwrap();
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = Folder::new("back");
        let file = folder.file();
        assert_eq!(file.read::<Vec<u32>>().unwrap(), None);
        for state in [vec![1, 2], vec![], vec![7; 100_000]] {
            write(&file, &state);
            assert_eq!(file.read::<Vec<u32>>().unwrap(), Some(state));
        }
        let names: Vec<_> = fs::read_dir(file.path().parent().unwrap()).unwrap().collect();
        assert_eq!(names.len(), 1, "nothing is left beside it: {names:?}");
    }

    #[test]
    fn what_is_damaged_is_set_aside_and_said() {
        type Damage = fn(Vec<u8>) -> Vec<u8>;
        let folder = Folder::new("damaged");
        let file = folder.file();
        let whole = |file: &StateFile| file.to_bytes(&vec![1, 2, 3]).unwrap();
        let damages: [(&str, Damage); 6] = [
            ("checksum", |mut bytes| {
                bytes.pop();
                bytes
            }),
            ("checksum", |mut bytes| {
                *bytes.last_mut().unwrap() ^= 1;
                bytes
            }),
            ("first line", |_| Vec::new()),
            ("does not begin", |bytes| [b"x".to_vec(), bytes].concat()),
            ("another kind", |bytes| String::from_utf8(bytes).unwrap().replace("test", "rest").into_bytes()),
            ("version 4", |bytes| String::from_utf8(bytes).unwrap().replace(" 3 ", " 4 ").into_bytes()),
        ];
        for (says, damage) in damages {
            write(&file, &[1]);
            fs::write(file.path(), damage(whole(&file))).unwrap();
            let error = file.read::<Vec<u32>>().unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("state.unreadable"), "{error}");
            assert!(!file.path().exists() && file.read::<Vec<u32>>().unwrap().is_none());
        }
        write(&file, &[1]);
        let error = file.read::<Vec<String>>().unwrap_err().to_string();
        assert!(error.contains("cannot be understood"), "{error}");
    }

    #[test]
    fn what_cannot_be_written_leaves_what_was_there() {
        let folder = Folder::new("unwritten");
        fs::write(folder.0.join("taken"), "").unwrap();
        let file = StateFile::new(folder.0.join("taken/state"), "test", 3);
        let error = file.write(b"x").unwrap_err().to_string();
        assert!(error.contains("taken/state") && error.contains("cannot write"), "{error}");
    }
}
