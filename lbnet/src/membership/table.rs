//! What members tell of themselves: each has a table of its own, and the others keep a copy.
//!
//! A table is not gossiped: whoever gossips forgets after a few times, and what is lost then is lost for good. Its owner
//! knows of each member which version that one has, and sends what is missing until it is there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::message::{Body, Change, Stamp};

/// What a member tells: opaque bytes by key.
pub type Records = BTreeMap<String, Vec<u8>>;

/// How many bytes of a table one datagram carries: with what is around them it fits into the smallest MTU of IPv6.
pub const PART: usize = 1024;
/// How many changes are remembered, to send only these to who is not far behind.
const REMEMBERED: usize = 256;
/// How many parts of a whole table go out at once.
pub const PARTS_AT_ONCE: usize = 32;

/// The hash of records: FNV-1a, the same on every node.
#[must_use]
pub fn hash(records: &Records) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut take = |bytes: &[u8]| {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes();
        for byte in length.iter().chain(bytes) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    for (key, value) in records {
        take(key.as_bytes());
        take(value);
    }
    hash
}

/// The table of this node.
#[derive(Debug, Clone)]
pub struct Own {
    stamp: Stamp,
    records: Records,
    /// The latest changes, each with the version that it led to.
    log: VecDeque<(u64, Change)>,
    /// All records as bytes, of this version, if anybody needs them.
    whole: Option<Arc<[u8]>>,
}

impl Default for Own {
    /// Empty, and that is a version too: whoever has it knows that there is nothing.
    fn default() -> Self {
        let records = Records::new();
        Self { stamp: Stamp { version: 1, hash: hash(&records) }, records, log: VecDeque::new(), whole: None }
    }
}

impl Own {
    /// Version and hash.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The records.
    #[must_use]
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Takes changes in; false if they change nothing.
    pub fn change(&mut self, changes: impl IntoIterator<Item = Change>) -> bool {
        let version = self.stamp.version + 1;
        let mut is_other = false;
        for (key, value) in changes {
            if self.records.get(&key) == value.as_ref() {
                continue;
            }
            match &value {
                Some(value) => self.records.insert(key.clone(), value.clone()),
                None => self.records.remove(&key),
            };
            self.log.push_back((version, (key, value)));
            is_other = true;
        }
        if is_other {
            while self.log.len() > REMEMBERED {
                self.log.pop_front();
            }
            self.stamp = Stamp { version, hash: hash(&self.records) };
            self.whole = None;
        }
        is_other
    }

    /// What to send to one who has version `have`, from this part on if it is the whole table.
    pub fn missing(&mut self, have: u64, from_part: usize) -> Vec<Missing> {
        if let Some(changes) = self.changes_since(have) {
            return vec![Missing::Changes { since: have, version: self.stamp.version, changes }];
        }
        let records = &self.records;
        let whole =
            self.whole.get_or_insert_with(|| postcard::to_allocvec(records).unwrap_or_default().into());
        let of = whole.len().div_ceil(PART).max(1);
        let parts = (0..of).map(|step| (from_part + step) % of).take(PARTS_AT_ONCE);
        let part = |index: usize| Missing::Part {
            version: self.stamp.version,
            index: u16::try_from(index).unwrap_or(u16::MAX),
            of: u16::try_from(of).unwrap_or(u16::MAX),
            whole: Arc::clone(whole),
        };
        parts.map(part).collect()
    }

    /// The changes since a version, if they are all remembered and fit into one datagram.
    fn changes_since(&self, have: u64) -> Option<Vec<Change>> {
        let first = self.log.front().map(|(version, _)| *version)?;
        // Those of the first version may be remembered in part only.
        if have < first || have > self.stamp.version {
            return None;
        }
        let since = self.log.iter().filter(|(version, _)| *version > have);
        // Of several changes of a key the last one counts.
        let last: BTreeMap<&String, &Option<Vec<u8>>> = since.map(|(_, (key, value))| (key, value)).collect();
        let size: usize =
            last.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len) + 8).sum();
        (size <= PART).then(|| last.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

/// Something that another member has to be sent.
#[derive(Debug, Clone)]
pub enum Missing {
    /// A difference.
    Changes {
        /// To this version.
        since: u64,
        /// That leads to this one.
        version: u64,
        /// One a key.
        changes: Vec<Change>,
    },
    /// A part of the whole.
    Part {
        /// Of this version.
        version: u64,
        /// Which one.
        index: u16,
        /// Of how many.
        of: u16,
        /// The bytes of all of them.
        whole: Arc<[u8]>,
    },
}

impl Missing {
    /// As a message.
    #[must_use]
    pub fn body(&self) -> Body<'_> {
        match self {
            Self::Changes { since, version, changes } => {
                Body::Changes { since: *since, version: *version, changes: changes.clone() }
            }
            Self::Part { version, index, of, whole } => {
                let start = usize::from(*index) * PART;
                let bytes = whole.get(start..whole.len().min(start + PART)).unwrap_or_default();
                Body::Part { version: *version, index: *index, of: *of, bytes }
            }
        }
    }
}

/// The table of another member, as far as it has come.
#[derive(Debug, Clone, Default)]
pub struct Copy {
    /// The version of these records; 0 if they are from a process before this one, or not known yet.
    version: u64,
    records: Records,
    /// The hash of the records: computed when they change, not for each heartbeat that it is compared with.
    hash: u64,
    /// The version that is on its way, and those parts of it that are here.
    coming: u64,
    parts: BTreeMap<u16, Vec<u8>>,
}

impl Copy {
    /// The version that is here; 0 if none.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The records; those of the process before, until this one has told its own.
    #[must_use]
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// The member has a new process: what is here is from the one before.
    pub fn restart(&mut self) {
        (self.version, self.coming) = (0, 0);
        self.parts.clear();
    }

    /// Takes a difference in; true if it was one to what is here.
    pub fn take_changes(&mut self, since: u64, version: u64, changes: Vec<Change>) -> bool {
        // It may also begin before what is here: each change says what is there after it.
        if self.version == 0 || since > self.version || version <= self.version {
            return false;
        }
        for (key, value) in changes {
            match value {
                Some(value) => self.records.insert(key, value),
                None => self.records.remove(&key),
            };
        }
        self.version = version;
        self.hash = hash(&self.records);
        true
    }

    /// Takes a part in; true if the whole is here now.
    pub fn take_part(&mut self, version: u64, index: u16, of: u16, bytes: &[u8]) -> bool {
        if version <= self.version || version < self.coming || index >= of {
            return false;
        }
        if version > self.coming {
            self.coming = version;
            self.parts.clear();
        }
        self.parts.insert(index, bytes.to_vec());
        if self.parts.len() < usize::from(of) {
            return false;
        }
        let whole: Vec<u8> = std::mem::take(&mut self.parts).into_values().flatten().collect();
        let Ok(records) = postcard::from_bytes(&whole) else {
            // It is asked for again.
            self.coming = 0;
            return false;
        };
        (self.version, self.hash, self.records) = (version, hash(&records), records);
        true
    }

    /// Whether this is what its owner says of it. If not, it counts as not known.
    pub fn check(&mut self, stamp: Stamp) -> bool {
        if self.version == stamp.version && self.hash != stamp.hash {
            self.restart();
        }
        self.version == stamp.version
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn deliver(missing: &Missing, copy: &mut Copy) {
        match missing.body() {
            Body::Changes { since, version, changes } => drop(copy.take_changes(since, version, changes)),
            Body::Part { version, index, of, bytes } => drop(copy.take_part(version, index, of, bytes)),
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn whatever_is_lost_the_copy_comes_to_be_the_table(
            steps in prop::collection::vec(
                (prop::collection::vec((0_u8..40, prop::option::of(0_usize..600)), 0..20), any::<u64>()), 1..30
            )
        ) {
            let (mut own, mut copy) = (Own::default(), Copy::default());
            for (changes, losses) in steps {
                own.change(changes.into_iter().map(|(key, size)| (format!("key-{key}"), size.map(|it| vec![key; it]))));
                for (number, missing) in own.missing(copy.version(), 0).iter().enumerate() {
                    if losses >> (number % 64) & 1 == 0 {
                        deliver(missing, &mut copy);
                    }
                }
                prop_assert!(copy.version() <= own.stamp().version);
            }
            for turn in 0..40 {
                for missing in own.missing(copy.version(), turn * PARTS_AT_ONCE) {
                    if copy.version() != own.stamp().version {
                        deliver(&missing, &mut copy);
                    }
                }
            }
            prop_assert!(copy.check(own.stamp()));
            prop_assert_eq!(copy.records(), own.records());
        }
    }

    #[test]
    fn who_is_not_far_behind_gets_the_difference_alone() {
        let (mut own, mut copy) = (Own::default(), Copy::default());
        own.change((0..100).map(|number| (format!("claim/{number}"), Some(vec![0; 40]))));
        for missing in own.missing(0, 0) {
            deliver(&missing, &mut copy);
        }
        assert!(copy.check(own.stamp()));
        assert!(!own.change([("claim/1".to_owned(), Some(vec![0; 40]))]), "it says that already");
        own.change([("claim/1".to_owned(), None), ("facts".to_owned(), Some(vec![1]))]);
        own.change([("facts".to_owned(), Some(vec![2]))]);
        let missing = own.missing(copy.version(), 0);
        assert!(
            matches!(&missing[..], [Missing::Changes { changes, .. }] if changes.len() == 2),
            "{missing:?}"
        );
        deliver(&missing[0], &mut copy);
        assert!(copy.check(own.stamp()));
        assert_eq!(copy.records()["facts"], [2]);
    }

    #[test]
    fn a_copy_that_is_not_what_its_owner_has_is_asked_for_again() {
        let (mut own, mut copy) = (Own::default(), Copy::default());
        own.change([("a".to_owned(), Some(vec![1]))]);
        assert!(copy.take_part(own.stamp().version, 0, 1, &postcard::to_allocvec(&Records::new()).unwrap()));
        assert!(!copy.check(own.stamp()));
        assert_eq!(copy.version(), 0);
        // A version of no bytes that can be read is none.
        assert!(!copy.take_part(9, 0, 1, &[9, 9, 9]));
        assert_eq!(copy.version(), 0);
    }
}
