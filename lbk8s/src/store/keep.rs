//! What people have written into the store, on disk: so that the next process begins with it.
//!
//! Two files: `store.state` is the whole at one version ([`StateFile`](crate::state_file::StateFile)), and `store.changes` what has changed since, a line
//! for each change with a checksum of its own. A change costs as much as the object is long; when the changes have become
//! longer than the whole, a new whole takes their place. A change is on disk before whoever sent it over TCP is answered.
//!
//! Not kept is what lbd says anew whenever it starts: Events, Leases, its own objects, and the statuses of Services and of
//! custom kinds. (What Services hold is kept by who gives it to them.)

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;
use tokio::sync::watch;

use super::kept_files::{Files, KeepError, Left, line};
use super::log::{Change, Key, Stored};
use super::restore::without_status;

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

/// A version, and what it changed of what is kept.
type Told = (u64, Option<(Key, Option<Bytes>)>);

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
        let file = match self.file.take() {
            Some(file) => file,
            None => self.files.open()?,
        };
        let written = self.files.write(version, &self.objects).and_then(|length| {
            // What is in it is in the whole now.
            file.set_len(0).and_then(|()| file.sync_data()).map_err(|source| self.files.io(source))?;
            Ok(length)
        });
        self.file = Some(file);
        self.length = 0;
        self.short = written?.max(SHORT);
        Ok(())
    }
}
