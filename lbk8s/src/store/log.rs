//! The objects, and the history of their changes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

/// Which object: group and plural, namespace (empty for cluster-scoped kinds), name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) resource: Arc<str>,
    pub(super) namespace: String,
    pub(super) name: String,
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
}

impl Default for Log {
    fn default() -> Self {
        let (changed, _) = watch::channel(0);
        Self { objects: BTreeMap::new(), history: VecDeque::new(), version: 0, compacted: 0, changed }
    }
}

impl Log {
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
    pub(super) fn since(&self, version: u64) -> Option<impl Iterator<Item = &Arc<Change>>> {
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
        self.history.push_back(Arc::new(change));
        if self.history.len() > HISTORY
            && let Some(forgotten) = self.history.pop_front()
        {
            self.compacted = forgotten.version;
        }
        self.changed.send_replace(self.version);
    }
}
