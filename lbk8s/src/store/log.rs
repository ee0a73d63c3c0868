//! The objects, and the history of their changes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use super::Kind;
use super::keep::{Keeper, Kept};

/// Which object: group and plural, namespace (empty for cluster-scoped kinds), name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) resource: Arc<str>,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Kind {
    /// The name of the resource in the log.
    pub(super) fn resource(&self) -> Arc<str> {
        Arc::from(format!("{}/{}", self.store_group(), self.plural))
    }

    pub(super) fn key(&self, namespace: Option<&str>, name: &str) -> Key {
        Key {
            resource: self.resource(),
            namespace: namespace.unwrap_or_default().to_owned(),
            name: name.to_owned(),
        }
    }
}

impl Key {
    pub(super) fn is_service(&self) -> bool {
        &*self.resource == "/services"
    }

    pub(super) fn is_namespace(&self) -> bool {
        &*self.resource == "/namespaces"
    }
}

/// An object as it was at one resource version, in the bytes that every reader gets.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) version: u64,
    pub(super) bytes: Bytes,
}

impl Stored {
    pub(super) fn value(&self) -> Value {
        serde_json::from_slice(&self.bytes).expect("the store wrote it")
    }
}

/// A change of one object. Both forms are kept: whether a watch with a selector hears of it, and as what,
/// depends on both.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) key: Key,
    pub(super) before: Option<Stored>,
    /// The new form; for a deletion the last form, under the version of the deletion.
    pub(super) after: Stored,
    pub(super) deleted: bool,
}

/// Changes that are kept for watches that resume. The real server keeps some minutes of them.
const HISTORY: usize = 20_000;

#[derive(Debug)]
pub(super) struct Log {
    objects: BTreeMap<Key, Stored>,
    history: VecDeque<Arc<Change>>,
    version: u64,
    /// Changes up to this version are forgotten.
    compacted: u64,
    changed: watch::Sender<u64>,
    /// Hears of every change, if the store is kept.
    keeper: Option<Keeper>,
}

impl Default for Log {
    /// An empty log. Its versions begin at the milliseconds since 1970: whoever remembers a version of an earlier
    /// process is told that it is too old, unless that one wrote more than a thousand times a second all its life.
    fn default() -> Self {
        let version = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
        let (changed, _) = watch::channel(version);
        let (objects, history) = (BTreeMap::new(), VecDeque::new());
        Self { objects, history, version, compacted: version, changed, keeper: None }
    }
}

impl Log {
    /// Its versions come after `version`, too.
    pub(super) fn begin_after(&mut self, version: u64) {
        self.version = self.version.max(version);
        self.compacted = self.version;
    }

    /// An object as it was in another process; nobody is told.
    pub(super) fn restore(&mut self, key: Key, stored: Stored) {
        self.objects.insert(key, stored);
    }

    /// From now on every change is told to `keeper`.
    pub(super) fn keep(&mut self, keeper: Keeper) {
        self.keeper = Some(keeper);
    }

    /// How far the disk is, if the store is kept.
    pub(super) fn kept(&self) -> Option<watch::Receiver<Kept>> {
        self.keeper.as_ref().map(Keeper::kept)
    }

    /// All objects.
    pub(super) fn objects(&self) -> impl Iterator<Item = (&Key, &Stored)> {
        self.objects.iter()
    }

    /// A log of its own with the same content; nobody follows it, and it is not kept.
    pub(super) fn copy(&self) -> Self {
        let (changed, _) = watch::channel(self.version);
        let (objects, history) = (self.objects.clone(), self.history.clone());
        let (version, compacted) = (self.version, self.compacted);
        Self { objects, history, version, compacted, changed, keeper: None }
    }

    /// The version of the latest change.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The oldest version from which changes can be told.
    pub(super) fn compacted(&self) -> u64 {
        self.compacted
    }

    /// Tells of every change.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Stored> {
        self.objects.get(key)
    }

    /// The objects of a resource, in one namespace or in all, behind `after`.
    pub(super) fn scan<'a>(
        &'a self,
        resource: &Arc<str>,
        namespace: Option<&'a str>,
        after: Option<&Key>,
    ) -> impl Iterator<Item = (&'a Key, &'a Stored)> {
        let start = Key {
            resource: resource.clone(),
            namespace: namespace.unwrap_or_default().to_owned(),
            name: String::new(),
        };
        let resource = resource.clone();
        let bound =
            after.map_or(std::ops::Bound::Included(start), |key| std::ops::Bound::Excluded(key.clone()));
        self.objects.range((bound, std::ops::Bound::Unbounded)).take_while(move |(key, _)| {
            key.resource == resource && namespace.is_none_or(|namespace| key.namespace == namespace)
        })
    }

    /// The objects of a resource as `scan` gave them at `version`; `None` if some changes since are forgotten.
    pub(super) fn at<'a>(
        &'a self,
        version: u64,
        resource: &Arc<str>,
        namespace: Option<&'a str>,
        after: Option<&Key>,
    ) -> Option<BTreeMap<&'a Key, &'a Stored>> {
        let mut objects: BTreeMap<_, _> = self.scan(resource, namespace, after).collect();
        // From the latest change back, so that what was before the first one is what stays.
        for change in self.since(version)?.rev() {
            let key = &change.key;
            let scanned = key.resource == *resource
                && namespace.is_none_or(|namespace| key.namespace == namespace)
                && after.is_none_or(|after| key > after);
            match &change.before {
                _ if !scanned => {}
                Some(before) => drop(objects.insert(key, before)),
                None => drop(objects.remove(key)),
            }
        }
        Some(objects)
    }

    /// The keys of all that is in a namespace.
    pub(super) fn in_namespace(&self, namespace: &str) -> Vec<Key> {
        self.objects.keys().filter(|key| key.namespace == namespace).cloned().collect()
    }

    /// Writes an object under a version of its own, which it puts into the metadata.
    pub(super) fn put(&mut self, key: Key, mut object: Value) -> Stored {
        let after = self.stamp(&mut object);
        let before = self.objects.insert(key.clone(), after.clone());
        self.record(Change { version: after.version, key, before, after: after.clone(), deleted: false });
        after
    }

    /// Removes an object; its last form, under the version of the removal.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Stored> {
        let before = self.objects.remove(key)?;
        let after = self.stamp(&mut before.value());
        let change = Change {
            version: after.version,
            key: key.clone(),
            before: Some(before),
            after: after.clone(),
            deleted: true,
        };
        self.record(change);
        Some(after)
    }

    /// The changes after `version`; `None` if some of them are forgotten.
    pub(super) fn since(&self, version: u64) -> Option<impl DoubleEndedIterator<Item = &Arc<Change>>> {
        if version < self.compacted {
            return None;
        }
        let start = self.history.partition_point(|change| change.version <= version);
        Some(self.history.range(start..))
    }

    pub(super) fn compact(&mut self) {
        self.history.clear();
        self.compacted = self.version;
    }

    fn stamp(&mut self, object: &mut Value) -> Stored {
        self.version += 1;
        object["metadata"]["resourceVersion"] = Value::String(self.version.to_string());
        Stored { version: self.version, bytes: Bytes::from(object.to_string()) }
    }

    fn record(&mut self, change: Change) {
        if let Some(keeper) = &self.keeper {
            keeper.tell(&change);
        }
        self.history.push_back(Arc::new(change));
        if self.history.len() > HISTORY
            && let Some(forgotten) = self.history.pop_front()
        {
            self.compacted = forgotten.version;
        }
        self.changed.send_replace(self.version);
    }
}
