//! The two files in which a store is kept, and what is in them.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::log::Key;
use crate::state_file::{StateError, StateFile, checksum};

/// The version of both files.
const VERSION: u32 = 1;

/// Something about what is kept that somebody should know.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// Another process has the files.
    #[error("another lbd keeps its store in {0}; end that one, or name another folder")]
    InUse(PathBuf),
    /// The whole cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// A change cannot be used, nor what came after it.
    #[error(
        "line {line} of {path} is damaged; it is set aside as {aside}, and the objects are as they were before that line"
    )]
    Changes {
        /// The file.
        path: PathBuf,
        /// The damaged line, from 1.
        line: usize,
        /// Where the file is now.
        aside: PathBuf,
    },
    /// The files cannot be read or written.
    #[error("cannot use {path}: {source}; what is written over the API now is lost at a restart")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An object cannot be taken back.
    #[error("{object} of the last run is left out: {why}")]
    Object {
        /// Resource, namespace and name.
        object: String,
        /// Why.
        why: String,
    },
}

/// One object of a whole: resource, namespace, name, and the object.
type Whole<O> = (String, String, String, O);
/// One change: version, resource, namespace, name, and the object as it is then; nothing if it is gone.
type Line<O> = (u64, String, String, String, Option<O>);

/// The files of one store.
#[derive(Debug)]
pub(super) struct Files {
    whole: StateFile,
    changes: PathBuf,
}

/// What the last process left.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// The version of its last change.
    pub(super) version: u64,
    pub(super) objects: BTreeMap<Key, Bytes>,
}

impl Files {
    pub(super) fn in_folder(folder: &Path) -> Self {
        let whole = StateFile::new(folder.join("store.state"), "store", VERSION);
        Self { whole, changes: folder.join("store.changes") }
    }

    /// Takes the files for this process.
    pub(super) fn open(&self) -> Result<File, KeepError> {
        let folder = self.changes.parent().unwrap_or(Path::new("."));
        let file = std::fs::create_dir_all(folder)
            .and_then(|()| OpenOptions::new().create(true).append(true).mode(0o600).open(&self.changes))
            .map_err(|source| self.io(source))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(KeepError::InUse(folder.to_owned())),
            Err(TryLockError::Error(source)) => Err(self.io(source)),
        }
    }

    /// What is there; what is damaged is set aside and told of.
    pub(super) fn read(&self, problems: &mut Vec<KeepError>) -> Left {
        let mut left = Left::default();
        match self.whole.read::<(u64, Vec<Whole<Box<RawValue>>>)>() {
            Ok(None) => {}
            Ok(Some((version, objects))) => {
                left.version = version;
                let objects = objects.into_iter();
                left.objects =
                    objects.map(|(resource, at, name, it)| (key(resource, at, name), bytes(it))).collect();
            }
            Err(error) => problems.push(error.into()),
        }
        match std::fs::read(&self.changes) {
            Ok(changes) => {
                if let Some(line) = left.follow(&changes) {
                    problems.push(self.set_aside(line));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => problems.push(self.io(source)),
        }
        left
    }

    /// Writes the whole at this version; how long it is.
    pub(super) fn write(&self, version: u64, objects: &BTreeMap<Key, Bytes>) -> Result<usize, KeepError> {
        let objects: Vec<Whole<&RawValue>> = objects
            .iter()
            .map(|(key, object)| {
                let object = serde_json::from_slice(object).expect("the store wrote it");
                (key.resource.to_string(), key.namespace.clone(), key.name.clone(), object)
            })
            .collect();
        let bytes = self.whole.to_bytes(&(version, objects))?;
        let told = |error| match error {
            StateError::Write { path, source } => KeepError::Io { path, source },
            error => error.into(),
        };
        self.whole.write(&bytes).map_err(told)?;
        Ok(bytes.len())
    }

    /// The damaged changes are copied: the file itself is locked by its name.
    fn set_aside(&self, line: usize) -> KeepError {
        let mut aside = self.changes.clone().into_os_string();
        aside.push(".unreadable");
        let (path, aside) = (self.changes.clone(), PathBuf::from(aside));
        match std::fs::copy(&path, &aside) {
            Ok(_) => KeepError::Changes { path, line, aside },
            Err(source) => KeepError::Io { path: aside, source },
        }
    }

    pub(super) fn io(&self, source: io::Error) -> KeepError {
        KeepError::Io { path: self.changes.clone(), source }
    }
}

impl Left {
    /// Takes in changes, up to one that is damaged: its line, from 1. The last one may be unfinished: the process ended
    /// while it was written, and nobody was told that it is kept.
    fn follow(&mut self, changes: &[u8]) -> Option<usize> {
        let mut lines = changes.split_inclusive(|byte| *byte == b'\n').enumerate();
        lines.find_map(|(number, line)| {
            let line = line.strip_suffix(b"\n")?;
            let Some((version, resource, namespace, name, object)) = understand(line) else {
                return Some(number + 1);
            };
            // A whole that was written in the last moment has it already.
            if version > self.version {
                self.version = version;
                let key = key(resource, namespace, name);
                match object {
                    Some(object) => drop(self.objects.insert(key, bytes(object))),
                    None => drop(self.objects.remove(&key)),
                }
            }
            None
        })
    }
}

fn understand(line: &[u8]) -> Option<Line<Box<RawValue>>> {
    let (sum, body) = line.split_at_checked(8)?;
    let body = body.strip_prefix(b" ")?;
    if checksum(body).as_bytes() != sum {
        return None;
    }
    serde_json::from_slice(body).ok()
}

fn key(resource: String, namespace: String, name: String) -> Key {
    Key { resource: Arc::from(resource), namespace, name }
}

fn bytes(object: Box<RawValue>) -> Bytes {
    Bytes::from(String::from(Box::<str>::from(object)))
}

/// A change as it stands in the file.
pub(super) fn line(version: u64, key: &Key, object: Option<&Bytes>) -> Vec<u8> {
    let object: Option<&RawValue> =
        object.map(|object| serde_json::from_slice(object).expect("the store wrote it"));
    let (resource, namespace, name) = (key.resource.to_string(), key.namespace.clone(), key.name.clone());
    let body: Line<&RawValue> = (version, resource, namespace, name, object);
    let body = serde_json::to_vec(&body).expect("texts and JSON are JSON");
    let mut line = format!("{} ", checksum(&body)).into_bytes();
    line.extend(body);
    line.push(b'\n');
    line
}
