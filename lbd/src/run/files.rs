//! The manifest files, looked at again and again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lbk8s::Store;
use lbk8s::manifest::apply::Applier;
use lbk8s::manifest::{files, load};
use lbk8s::state_file::StateFile;

use super::show::{Show, note, warn};

/// What tells that a file has changed: its length and when it was written.
type Stamp = BTreeMap<PathBuf, Option<(u64, SystemTime)>>;

/// The version of what is written to disk.
const VERSION: u32 = 1;

/// The files and what was applied of them.
#[derive(Debug)]
pub(super) struct Files {
    paths: Vec<PathBuf>,
    stamp: Option<Stamp>,
    applier: Applier,
    /// What was applied of them, for the next process: the store that it finds has these objects.
    state: Option<StateFile>,
}

impl Files {
    pub(super) fn new(paths: Vec<PathBuf>, state: Option<&Path>) -> Self {
        let state = state.map(|folder| StateFile::new(folder.join("manifests.state"), "manifests", VERSION));
        let known = state.as_ref().and_then(|state| {
            state.read().unwrap_or_else(|error| {
                warn(&error.to_string());
                None
            })
        });
        let applier = known.map_or_else(Applier::default, Applier::resume);
        Self { paths, stamp: None, applier, state }
    }

    /// Applies the files if they have changed. While a part of them cannot be read, nothing is taken away: it may
    /// be a file that an editor has half written.
    pub(super) fn look(&mut self, store: &Store, show: &Show) {
        let stamp = self.stamp();
        if self.stamp.as_ref() == Some(&stamp) {
            return;
        }
        let first = self.stamp.replace(stamp).is_none();
        let manifests = load(&self.paths);
        for error in &manifests.errors {
            warn(&error.to_string());
        }
        if !manifests.errors.is_empty() && !first {
            warn("until this is mended, what was applied of it stays in force");
        }
        let applied = self.applier.apply(store, &manifests);
        for (place, fault) in &applied.faults {
            warn(&format!("{place}: {fault}"));
        }
        for (object, done) in &applied.done {
            note(&format!("{object} {done}"));
        }
        show.places(manifests.objects);
        if let Some(state) = &self.state
            && let Err(error) = state.to_bytes(&self.applier.known()).and_then(|bytes| state.write(&bytes))
        {
            warn(&error.to_string());
        }
    }

    fn stamp(&self) -> Stamp {
        let all = self.paths.iter().flat_map(|path| files(path).unwrap_or_else(|_| vec![path.clone()]));
        let stamp = |file: PathBuf| {
            let metadata = file.metadata().ok().and_then(|it| Some((it.len(), it.modified().ok()?)));
            (file, metadata)
        };
        all.map(stamp).collect()
    }
}
