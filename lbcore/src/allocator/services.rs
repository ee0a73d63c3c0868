//! The services that are known, each under a small number.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

use super::held::Holdings;
use crate::{Refusal, Request, ServiceKey};

/// The number of a service while it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ServiceId(u32);

/// What is known of a service.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) request: Arc<Request>,
    pub(super) held: Holdings,
    pub(super) unmet: Option<Arc<Refusal>>,
    /// The pool that was asked for when the request was fulfilled last.
    pub(super) fulfilled_for: Option<Arc<str>>,
}

impl Entry {
    pub(super) fn new(request: Arc<Request>) -> Self {
        Self { request, held: Holdings::None, unmet: None, fulfilled_for: None }
    }
}

/// Entries by number, and numbers by key. The index holds hashes and numbers only: the keys are in the requests,
/// which the caller shares with us. Nothing here is walked in the order of the hash.
#[derive(Debug, Clone, Default)]
pub(super) struct Services {
    ids: HashTable<(Hash, ServiceId)>,
    entries: Vec<Option<Entry>>,
    vacant: Vec<ServiceId>,
    hasher: RandomState,
}

/// The hash of a key, kept beside the number so that a table that grows need not look at the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash(u32);

impl Hash {
    /// The hash as wide as the table wants it.
    fn spread(self) -> u64 {
        u64::from(self.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl Services {
    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    pub(super) fn hash(&self, key: &ServiceKey) -> Hash {
        Hash(self.hasher.hash_one(key) as u32)
    }

    pub(super) fn id(&self, key: &ServiceKey) -> Option<ServiceId> {
        self.find(self.hash(key), key)
    }

    /// The number of a key whose hash is known.
    pub(super) fn find(&self, hash: Hash, key: &ServiceKey) -> Option<ServiceId> {
        let same = |(known, id): &(Hash, ServiceId)| *known == hash && self.key(*id) == key;
        self.ids.find(hash.spread(), same).map(|(_, id)| *id)
    }

    /// The entry of a number that was given and not taken back.
    pub(super) fn get(&self, id: ServiceId) -> &Entry {
        self.entries[id.0 as usize].as_ref().expect("the service is known")
    }

    pub(super) fn get_mut(&mut self, id: ServiceId) -> &mut Entry {
        self.entries[id.0 as usize].as_mut().expect("the service is known")
    }

    pub(super) fn key(&self, id: ServiceId) -> &ServiceKey {
        &self.get(id).request.key
    }

    /// Adds a service that is not known yet; `hash` is that of its key.
    pub(super) fn insert(&mut self, hash: Hash, entry: Entry) -> ServiceId {
        let id = if let Some(id) = self.vacant.pop() {
            self.entries[id.0 as usize] = Some(entry);
            id
        } else {
            let id =
                ServiceId(u32::try_from(self.entries.len()).expect("fewer services than addresses of IPv4"));
            self.entries.push(Some(entry));
            id
        };
        self.ids.insert_unique(hash.spread(), (hash, id), |(hash, _)| hash.spread());
        id
    }

    pub(super) fn remove(&mut self, id: ServiceId) {
        let hash = self.hash(self.key(id));
        if let Ok(entry) = self.ids.find_entry(hash.spread(), |(_, known)| *known == id) {
            entry.remove();
        }
        self.entries[id.0 as usize] = None;
        self.vacant.push(id);
    }

    /// Makes room for `additional` services at once.
    pub(super) fn reserve(&mut self, additional: usize) {
        self.entries.reserve(additional);
        self.ids.reserve(additional, |(hash, _)| hash.spread());
    }

    /// The services of a namespace, in no order.
    pub(super) fn in_namespace<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().flatten().filter(move |entry| entry.request.key.namespace() == name)
    }
}
