//! What the speaker knows, on disk: so that the next process can go on without the API server.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use k8s_openapi::jiff::Timestamp;
use lbcore::ServiceKey;
use tokio::time::{Instant, sleep_until};

use super::watches::Heard;
use crate::objects::config::ConfigChange;
use crate::objects::exclude;
use crate::objects::leftovers::{Leftover, Leftovers, SELECTORS};
use crate::speaker::Change;
use crate::speaker::last_known::{Configuration, LastKnown};
use crate::speaker::team::Record;
use crate::state_file::{StateError, StateFile};

/// The version of what is written. It changes with the form of what is written.
const VERSION: u32 = 1;
/// Changes that come together are written together.
const TOGETHER: Duration = Duration::from_millis(50);
/// Writing takes at most one part in so many of the time: a large world is written less often.
const SHARE: u32 = 50;
/// After a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// What was claimed longer ago than this is not claimed any more: much may have happened since.
const FRESH: Duration = Duration::from_mins(5);
/// So often it is written although nothing has changed, so that it is known to be fresh.
const REFRESH: Duration = Duration::from_mins(2);
/// What changes in the world is written within this time, what changes in claims at once.
const WORLD: Duration = Duration::from_secs(1);

/// What the process before this one knew, and where this one writes it down.
#[derive(Debug, Clone)]
pub struct State {
    file: StateFile,
    last: Option<LastKnown>,
}

impl State {
    /// Reads what is in a folder; what cannot be read is set aside, and said.
    #[must_use]
    pub fn open(folder: &Path) -> Self {
        let file = StateFile::new(folder.join("speaker.state"), "speaker", VERSION);
        let mut last = file.read::<LastKnown>().unwrap_or_else(|error| {
            tracing::warn!("{error}");
            None
        });
        let now = Timestamp::now().as_millisecond();
        if let Some(last) = &mut last
            && now.abs_diff(last.written) > u64::try_from(FRESH.as_millis()).unwrap_or(u64::MAX)
        {
            last.claims.clear();
        }
        Self { file, last }
    }

    /// The records that the other speakers are to hear from the first moment on.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.last.as_ref().map(LastKnown::records).unwrap_or_default()
    }
}

/// The file, and what is to become of it.
pub(super) struct Memory {
    file: Option<StateFile>,
    pub(super) configuration: Configuration,
    /// Objects that are known from the file alone, by watch: what the API server does not tell of is gone.
    unconfirmed: BTreeMap<&'static str, BTreeSet<(String, String)>>,
    recalled: bool,
    changed: bool,
    /// When it is written next, and when it may be at the earliest.
    due: Instant,
    earliest: Instant,
    writing: FuturesUnordered<BoxFuture<'static, (Result<(), StateError>, Duration)>>,
    trouble: Option<String>,
}

impl Memory {
    /// The file, if there is to be one; what was in it. Where members are nodes no API server tells of other nodes.
    pub(super) fn open(state: Option<State>, members_are_nodes: bool) -> (Self, Option<LastKnown>) {
        let (file, last) = state.map(|state| (state.file, state.last)).unzip();
        let last = last.flatten();
        let mut unconfirmed = last.as_ref().map(names).unwrap_or_default();
        if members_are_nodes {
            unconfirmed.remove("NodeFacts");
        }
        let memory = Self {
            file,
            configuration: last.as_ref().map(|last| last.configuration.clone()).unwrap_or_default(),
            unconfirmed,
            recalled: last.is_some(),
            changed: false,
            due: Instant::now() + REFRESH,
            earliest: Instant::now(),
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
        let is_remembered = match heard {
            Heard::Status(..) | Heard::State(_) => false,
            Heard::Exclude(map) => {
                self.configuration.exclude.clone_from(&map.as_ref().map(|it| it.1.clone()));
                true
            }
            _ => true,
        };
        if is_remembered {
            self.world_changed();
        }
    }

    /// Something of the world has changed.
    pub(super) fn world_changed(&mut self) {
        if !std::mem::replace(&mut self.changed, true) {
            self.due = self.due.min(Instant::now() + WORLD).max(self.earliest);
        }
    }

    /// A watch has told of all there is: what was only remembered is gone.
    pub(super) fn vanished(&mut self, watch: &'static str) -> Vec<Heard> {
        let names = self.unconfirmed.remove(watch).unwrap_or_default();
        names.into_iter().filter_map(|(namespace, name)| gone(watch, namespace, name)).collect()
    }

    /// What this node claims has changed.
    pub(super) fn touch(&mut self) {
        self.changed = true;
        self.due = self.due.min(Instant::now() + TOGETHER).max(self.earliest);
    }

    /// Waits until it is time to write.
    pub(super) async fn work(&mut self) {
        loop {
            if self.file.is_none() {
                return std::future::pending().await;
            }
            let due = self.due;
            tokio::select! {
                Some((written, took)) = self.writing.next() => self.written(written, took),
                () = sleep_until(due), if self.writing.is_empty() => return,
            }
        }
    }

    fn written(&mut self, written: Result<(), StateError>, took: Duration) {
        self.earliest = Instant::now() + (took * SHARE).max(TOGETHER);
        self.due = if self.changed { self.earliest } else { Instant::now() + REFRESH };
        match written {
            Ok(()) => self.trouble = None,
            Err(error) => {
                let error = error.to_string();
                if self.trouble.as_ref() != Some(&error) {
                    tracing::warn!("{error}");
                }
                self.trouble = Some(error);
                self.changed = true;
                self.earliest = Instant::now() + AGAIN;
                self.due = self.earliest;
            }
        }
    }

    /// There is nothing to write yet.
    pub(super) fn later(&mut self) {
        self.due = Instant::now() + WORLD;
    }

    /// Begins to write.
    pub(super) fn begin(&mut self, mut known: LastKnown) {
        let Some(file) = self.file.clone() else { return };
        self.changed = false;
        known.written = Timestamp::now().as_millisecond();
        let began = std::time::Instant::now();
        let write = tokio::task::spawn_blocking(move || {
            let written = file.to_bytes(&known).and_then(|bytes| file.write(&bytes));
            (written, began.elapsed())
        });
        // One that panics has written nothing.
        let ended = write.map(|ended| ended.unwrap_or((Ok(()), AGAIN)));
        self.writing.push(ended.boxed());
    }

    /// Writes for the last time.
    pub(super) async fn finish(&mut self, known: LastKnown) {
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
        (exclude::NAME, last.configuration.exclude.iter().map(|_| plain(&String::new())).collect()),
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
        Heard::Exclude(Some(_)) => (exclude::NAME, plain("")),
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
        exclude::NAME => return Some(Heard::Exclude(None)),
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
