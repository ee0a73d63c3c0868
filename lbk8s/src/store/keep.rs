//! What people have written into the store, on disk: so that the next process begins with it.
//!
//! Two files: `store.state` is the whole at one version ([`StateFile`]), and `store.changes` what has changed since, a line
//! for each change with a checksum of its own. A change costs as much as the object is long; when the changes have become
//! longer than the whole, a new whole takes their place. A change is on disk before whoever sent it over TCP is answered.
//!
//! Not kept is what lbd says anew whenever it starts: Events, Leases, its own objects, and the statuses of Services and of
//! custom kinds. (What Services hold is kept by who gives it to them.)

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::log::{Change, Key, Stored};
use super::restore::without_status;
use crate::state_file::{StateError, StateFile, checksum};

/// The version of both files.
const VERSION: u32 = 1;
/// Changes that are shorter than this never make a new whole.
const SHORT: usize = 1 << 20;
/// The resources that are not kept.
const NOT_KEPT: [&str; 5] = [
    "/events",
    "coordination.k8s.io/leases",
    "lbd.io/nodefacts",
    "metallb.io/servicel2statuses",
    "metallb.io/configurationstates",
];

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

/// A version, and what it changed of what is kept.
type Told = (u64, Option<(Key, Option<Bytes>)>);

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
            .and_then(|()| OpenOptions::new().create(true).append(true).open(&self.changes))
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

    fn io(&self, source: io::Error) -> KeepError {
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

/// How far the disk is.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    /// Changes up to this version have been written, or could not be.
    pub(super) version: u64,
    /// Why the last of them could not be.
    pub(super) failed: Option<Arc<str>>,
}

/// Tells the thread that writes of every change.
#[derive(Debug)]
pub(super) struct Keeper {
    changes: Sender<Told>,
    kept: watch::Receiver<Kept>,
}

impl Keeper {
    /// Starts with a new whole, and keeps what is told from now on.
    pub(super) fn start(files: Files, file: Option<File>, left: Left, problems: &mut Vec<KeepError>) -> Self {
        let version = left.version;
        let mut writing =
            Writing { files, file, objects: left.objects, short: SHORT, length: 0, behind: true };
        let failed = writing.write(&[], version).err();
        let (changes, told) = channel();
        let kept = Kept { version, failed: failed.as_ref().map(|error| error.to_string().into()) };
        problems.extend(failed);
        let (says, kept) = watch::channel(kept);
        std::thread::spawn(move || writing.run(&told, &says));
        Self { changes, kept }
    }

    /// Hears of a change.
    pub(super) fn tell(&self, change: &Change) {
        let kept = is_kept(change)
            .then(|| (change.key.clone(), (!change.deleted).then(|| change.after.bytes.clone())));
        // Without the thread nothing is kept, and who waits for that is told.
        let _ = self.changes.send((change.version, kept));
    }

    /// How far the disk is, now and later.
    pub(super) fn kept(&self) -> watch::Receiver<Kept> {
        self.kept.clone()
    }
}

/// Whether somebody would miss it: a change of a status alone is said anew.
fn is_kept(change: &Change) -> bool {
    let form = |stored: &Stored| {
        let mut object = stored.value();
        without_status(&change.key, &mut object);
        object["metadata"]["resourceVersion"].take();
        object
    };
    let said_anew = || match &change.before {
        Some(before) if !change.deleted && change.key.status_is_said_anew() => {
            form(before) == form(&change.after)
        }
        _ => false,
    };
    change.key.is_kept() && !said_anew()
}

impl Key {
    /// Whether the next process is to know it.
    pub(super) fn is_kept(&self) -> bool {
        !NOT_KEPT.contains(&&*self.resource)
    }
}

/// The thread that writes.
#[derive(Debug)]
struct Writing {
    files: Files,
    /// The changes, once they could be opened.
    file: Option<File>,
    objects: BTreeMap<Key, Bytes>,
    /// Changes that are not longer than this stay.
    short: usize,
    /// How long they are.
    length: usize,
    /// Something was not written: only a whole will do.
    behind: bool,
}

impl Writing {
    fn run(mut self, told: &Receiver<Told>, says: &watch::Sender<Kept>) {
        while let Ok(first) = told.recv() {
            let (mut lines, mut version) = (Vec::new(), 0);
            // Those that came while the disk was busy are written together.
            for (next, change) in [first].into_iter().chain(told.try_iter()) {
                version = next;
                if let Some((key, object)) = change {
                    lines.extend(line(version, &key, object.as_ref()));
                    match object {
                        Some(object) => drop(self.objects.insert(key, object)),
                        None => drop(self.objects.remove(&key)),
                    }
                }
            }
            let failed = self.write(&lines, version).err().map(|error| error.to_string());
            if let Some(error) = &failed {
                tracing::warn!("{error}");
            }
            says.send_replace(Kept { version, failed: failed.map(Arc::from) });
        }
    }

    fn write(&mut self, lines: &[u8], version: u64) -> Result<(), KeepError> {
        if self.behind || self.length + lines.len() > self.short {
            self.behind = true;
            self.write_whole(version)?;
            self.behind = false;
        } else if !lines.is_empty() {
            self.behind = true;
            self.append(lines)?;
            self.behind = false;
        }
        Ok(())
    }

    fn append(&mut self, lines: &[u8]) -> Result<(), KeepError> {
        let file = self.file.as_mut().expect("a whole was written before");
        file.write_all(lines).and_then(|()| file.sync_data()).map_err(|source| self.files.io(source))?;
        self.length += lines.len();
        Ok(())
    }

    fn write_whole(&mut self, version: u64) -> Result<(), KeepError> {
        let objects: Vec<Whole<&RawValue>> = self
            .objects
            .iter()
            .map(|(key, object)| {
                let object = serde_json::from_slice(object).expect("the store wrote it");
                (key.resource.to_string(), key.namespace.clone(), key.name.clone(), object)
            })
            .collect();
        let bytes = self.files.whole.to_bytes(&(version, objects))?;
        let told = |error| match error {
            StateError::Write { path, source } => KeepError::Io { path, source },
            error => error.into(),
        };
        let file = match self.file.take() {
            Some(file) => file,
            None => self.files.open()?,
        };
        let written = self.files.whole.write(&bytes).map_err(told);
        let emptied = written.and_then(|()| {
            // What is in it is in the whole now.
            file.set_len(0).and_then(|()| file.sync_data()).map_err(|source| self.files.io(source))
        });
        self.file = Some(file);
        (self.length, self.short) = (0, bytes.len().max(SHORT));
        emptied
    }
}

fn line(version: u64, key: &Key, object: Option<&Bytes>) -> Vec<u8> {
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
