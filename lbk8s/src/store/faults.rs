//! Faults on demand, and a count of the writes: for tests of those who use the store.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// What a request does, in the API's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Read one object.
    Get,
    /// Read many.
    List,
    /// Follow changes.
    Watch,
    /// Make one.
    Create,
    /// Replace one.
    Update,
    /// Change one.
    Patch,
    /// Remove one.
    Delete,
}

/// What to do to a request instead of serving it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Refuse it with this HTTP status code.
    Refuse(u16),
    /// Serve it after this time.
    Delay(Duration),
    /// Serve it, but lose the answer, as a proxy does that has waited too long: the client gets 504, whether it
    /// read or wrote, and does not learn that a write succeeded. For a watch: end it after the first bytes.
    LoseAnswer,
    /// For a watch: end it after so many bytes, wherever that is. Nothing to other requests.
    CutAfter(usize),
}

/// The faults that wait for a request, and what was written.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: Vec<Waiting>,
    writes: BTreeMap<(Verb, String), u64>,
}

#[derive(Debug)]
struct Waiting {
    verb: Verb,
    resource: String,
    fault: Fault,
    times: u32,
}

impl Faults {
    /// Does `fault` to the next `times` requests of this verb on `resource`: a plural, with `/status` behind it
    /// for the subresource.
    pub fn inject(&self, verb: Verb, resource: &str, fault: Fault, times: u32) {
        self.inner().waiting.push(Waiting { verb, resource: resource.to_owned(), fault, times });
    }

    /// How often a write of `resource` with this verb was served. Counted are those that changed nothing and those
    /// whose answer was lost, for they cost a request all the same; refused ones and dry runs are not.
    #[must_use]
    pub fn writes(&self, verb: Verb, resource: &str) -> u64 {
        self.inner().writes.get(&(verb, resource.to_owned())).copied().unwrap_or(0)
    }

    /// The fault that waits for such a request, if one does.
    pub(super) fn take(&self, verb: Verb, resource: &str) -> Option<Fault> {
        let mut inner = self.inner();
        let matches = |waiting: &Waiting| waiting.verb == verb && waiting.resource == resource;
        let position = inner.waiting.iter().position(matches)?;
        let waiting = &mut inner.waiting[position];
        let fault = waiting.fault;
        waiting.times = waiting.times.saturating_sub(1);
        if waiting.times == 0 {
            inner.waiting.remove(position);
        }
        Some(fault)
    }

    pub(super) fn count(&self, verb: Verb, resource: &str) {
        *self.inner().writes.entry((verb, resource.to_owned())).or_default() += 1;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
