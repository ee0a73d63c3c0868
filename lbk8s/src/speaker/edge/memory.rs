//! What the speaker knows, on disk: so that the next process can go on without the API server.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use lbcore::ServiceKey;
use tokio::time::{Instant, sleep_until};

use super::watches::Heard;
use crate::objects::config::ConfigChange;
use crate::objects::leftovers::{Leftover, Leftovers, SELECTORS};
use crate::speaker::Change;
use crate::speaker::last_known::{Configuration, LastKnown};
use crate::state_file::{StateError, StateFile};

/// The version of what is written. It changes with the form of what is written.
const VERSION: u32 = 1;
/// Changes that come together are written together.
const TOGETHER: Duration = Duration::from_millis(50);
/// Writing takes at most one part in so many of the time: a large world is written less often.
const SHARE: u32 = 50;
/// After a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// The file, and what is to become of it.
pub(super) struct Memory {
    file: Option<StateFile>,
    pub(super) configuration: Configuration,
    /// Objects that are known from the file alone, by watch: what the API server does not tell of is gone.
    unconfirmed: BTreeMap<&'static str, BTreeSet<(String, String)>>,
    recalled: bool,
    changed: bool,
    due: Instant,
    writing: FuturesUnordered<BoxFuture<'static, (Result<(), StateError>, Duration)>>,
    trouble: Option<String>,
}

impl Memory {
    /// Reads the file, if there is to be one; what is in it.
    pub(super) fn open(folder: Option<&Path>) -> (Self, Option<LastKnown>) {
        let file = folder.map(|folder| StateFile::new(folder.join("speaker.state"), "speaker", VERSION));
        let last = file.as_ref().and_then(|file| match file.read::<LastKnown>() {
            Ok(last) => last,
            Err(error) => {
                tracing::warn!("{error}");
                None
            }
        });
        let memory = Self {
            file,
            configuration: last.as_ref().map(|last| last.configuration.clone()).unwrap_or_default(),
            unconfirmed: last.as_ref().map(names).unwrap_or_default(),
            recalled: last.is_some(),
            changed: false,
            due: Instant::now(),
            writing: FuturesUnordered::new(),
            trouble: None,
        };
        (memory, last)
    }

    /// Whether there is anything from a process before this one.
    pub(super) fn is_recalled(&self) -> bool {
        self.recalled
    }

    /// The API server tells of something: it is there, and is to be remembered.
    pub(super) fn note(&mut self, heard: &Heard) {
        if let Heard::Change(change) = heard
            && let Change::Config(change) = &**change
        {
            self.configuration.note(change);
        }
        if let Some((watch, name)) = identity(heard)
            && let Some(names) = self.unconfirmed.get_mut(watch)
        {
            names.remove(&name);
        }
        self.touch();
    }

    /// A watch has told of all there is: what was only remembered is gone.
    pub(super) fn vanished(&mut self, watch: &'static str) -> Vec<Heard> {
        let names = self.unconfirmed.remove(watch).unwrap_or_default();
        names.into_iter().filter_map(|(namespace, name)| gone(watch, namespace, name)).collect()
    }

    /// Something has changed.
    pub(super) fn touch(&mut self) {
        if !std::mem::replace(&mut self.changed, true) {
            self.due = self.due.max(Instant::now() + TOGETHER);
        }
    }

    /// Waits until it is time to write.
    pub(super) async fn work(&mut self) {
        loop {
            if self.file.is_none() || (!self.changed && self.writing.is_empty()) {
                return std::future::pending().await;
            }
            let due = self.due;
            tokio::select! {
                Some((written, took)) = self.writing.next() => self.written(written, took),
                () = sleep_until(due), if self.changed && self.writing.is_empty() => return,
            }
        }
    }

    fn written(&mut self, written: Result<(), StateError>, took: Duration) {
        self.due = Instant::now() + (took * SHARE).max(TOGETHER);
        match written {
            Ok(()) => self.trouble = None,
            Err(error) => {
                let error = error.to_string();
                if self.trouble.as_ref() != Some(&error) {
                    tracing::warn!("{error}");
                }
                self.trouble = Some(error);
                self.changed = true;
                self.due = Instant::now() + AGAIN;
            }
        }
    }

    /// There is nothing to write yet.
    pub(super) fn later(&mut self) {
        self.due = Instant::now() + TOGETHER;
    }

    /// Begins to write.
    pub(super) fn begin(&mut self, known: &LastKnown) {
        let Some(file) = self.file.clone() else { return };
        self.changed = false;
        let began = std::time::Instant::now();
        let bytes = file.to_bytes(known);
        let write = tokio::task::spawn_blocking(move || {
            let written = bytes.and_then(|bytes| file.write(&bytes));
            (written, began.elapsed())
        });
        // One that panics has written nothing.
        let ended = write.map(|ended| ended.unwrap_or((Ok(()), AGAIN)));
        self.writing.push(ended.boxed());
    }

    /// Writes for the last time.
    pub(super) async fn finish(&mut self, known: &LastKnown) {
        while self.writing.next().await.is_some() {}
        self.begin(known);
        if let Some((Err(error), _)) = self.writing.next().await {
            tracing::warn!("{error}");
        }
    }
}

/// Namespaces and names of all that is remembered, by watch.
fn names(last: &LastKnown) -> BTreeMap<&'static str, BTreeSet<(String, String)>> {
    let plain = |name: &String| (String::new(), name.clone());
    let of = |key: &ServiceKey| (key.namespace().to_owned(), key.name().to_owned());
    let mut names: BTreeMap<_, BTreeSet<_>> = BTreeMap::from([
        ("IPAddressPool", last.configuration.pools.keys().map(plain).collect()),
        ("L2Advertisement", last.configuration.advertisements.keys().map(plain).collect()),
        ("ConfigMap", last.configuration.config_map.iter().map(|_| plain(&String::new())).collect()),
        ("Node", last.nodes.iter().map(|node| plain(&node.name)).collect()),
        ("NodeFacts", last.interfaces.keys().map(plain).collect()),
        ("Service", last.services.iter().map(|service| of(&service.key)).collect()),
        ("EndpointSlice", last.slices.iter().map(|slice| of(&slice.key)).collect()),
    ]);
    // Either watch may tell of a pod; it is gone when neither does.
    names.insert(SELECTORS[1].0, pods(&last.leftovers));
    names
}

fn pods(leftovers: &Leftovers) -> BTreeSet<(String, String)> {
    leftovers.pods().map(|pod| (pod.namespace.to_string(), pod.name.to_string())).collect()
}

/// Which watch tells of something that is there, and under which name.
fn identity(heard: &Heard) -> Option<(&'static str, (String, String))> {
    let plain = |name: &str| (String::new(), name.to_owned());
    let of = |key: &ServiceKey| (key.namespace().to_owned(), key.name().to_owned());
    let name = |name: &Option<String>| plain(name.as_deref().unwrap_or_default());
    Some(match heard {
        Heard::Node(node) => ("Node", plain(&node.0.name)),
        Heard::Facts(node, Some(_)) => ("NodeFacts", plain(node)),
        Heard::Change(change) => match &**change {
            Change::Config(change) => match &**change {
                ConfigChange::Pool(pool) => ("IPAddressPool", name(&pool.metadata.name)),
                ConfigChange::Advertisement(it) => ("L2Advertisement", name(&it.metadata.name)),
                ConfigChange::ConfigMap(_) => ("ConfigMap", plain("")),
                _ => return None,
            },
            Change::Service(service) => ("Service", of(&service.key)),
            Change::Slice(slice) => ("EndpointSlice", of(&slice.key)),
            Change::Leftover(Leftover::Controller(pod) | Leftover::Speaker(pod), true) => {
                (SELECTORS[1].0, (pod.namespace.to_string(), pod.name.to_string()))
            }
            _ => return None,
        },
        _ => return None,
    })
}

fn gone(watch: &str, namespace: String, name: String) -> Option<Heard> {
    let change = match watch {
        "Node" => return Some(Heard::NodeGone(name)),
        "NodeFacts" => return Some(Heard::Facts(name, None)),
        "IPAddressPool" => Change::Config(Box::new(ConfigChange::PoolGone(name))),
        "L2Advertisement" => Change::Config(Box::new(ConfigChange::AdvertisementGone(name))),
        "ConfigMap" => Change::Config(Box::new(ConfigChange::ConfigMapGone)),
        "Service" => Change::ServiceGone(ServiceKey::new(namespace, name)),
        "EndpointSlice" => Change::SliceGone(ServiceKey::new(namespace, name)),
        _ if watch == SELECTORS[1].0 => Change::PodGone(namespace, name),
        _ => return None,
    };
    Some(Heard::Change(Box::new(change)))
}
