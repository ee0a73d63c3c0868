//! Keys in files: one that seals, and others beside it that only open, so that keys can change without a gap.
//!
//! Beside the file `key` there may be `key.next` and `key.previous`, or any `key.` and a word. To change the key: put the
//! new one beside the old one on all nodes (`key.next`), then exchange the two, then take the old one away.

use std::io;
use std::path::{Path, PathBuf};

use crate::membership::keys::{BadKey, Key};

/// Why there are no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("the membership key {} cannot be read: {why}", .path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// What is in it is no key.
    #[error("the membership key {}: {why}", .path.display())]
    Bad {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: BadKey,
    },
}

/// Reads the key in `path`, and those beside it.
///
/// # Errors
/// That key cannot be read, or is none. Files beside it that are no keys are passed over.
pub fn read(path: &Path) -> Result<Vec<Key>, KeyFileError> {
    let bad = |path: &Path, why| KeyFileError::Bad { path: path.to_owned(), why };
    let unreadable =
        |error: &io::Error| KeyFileError::Unreadable { path: path.to_owned(), why: error.to_string() };
    let first = std::fs::read(path).map_err(|error| unreadable(&error))?;
    let mut keys = vec![Key::new(&first).map_err(|why| bad(path, why))?];
    for other in beside(path) {
        let key = std::fs::read(&other).ok().and_then(|bytes| Key::new(&bytes).ok());
        keys.extend(key.filter(|key| !keys.contains(key)));
    }
    Ok(keys)
}

/// The files whose names begin with that of `path` and a dot, in order.
fn beside(path: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let is_beside = |entry: &std::fs::DirEntry| {
        let of = entry.file_name();
        of.to_str().and_then(|of| of.strip_prefix(name)).is_some_and(|rest| rest.starts_with('.'))
    };
    let mut found: Vec<PathBuf> = entries.filter(is_beside).map(|entry| entry.path()).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_seals_and_those_beside_it_open() {
        let folder = std::env::temp_dir().join(format!("lbnet-keys-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        let path = folder.join("key");
        assert!(matches!(read(&path), Err(KeyFileError::Unreadable { .. })));
        write("key", "short");
        assert!(read(&path).unwrap_err().to_string().contains("at least 16"));
        write("key", "0123456789abcdef\n");
        write("key.next", "fedcba9876543210");
        write("key.same", "0123456789abcdef");
        write("key.empty", "");
        write("keyring", "another-file-of-somebody");
        let key = |text: &str| Key::new(text.as_bytes()).unwrap();
        assert_eq!(read(&path), Ok(vec![key("0123456789abcdef"), key("fedcba9876543210")]));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
