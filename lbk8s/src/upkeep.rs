//! Objects that are to say something: written when they do not, and only then.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

/// Writes under way at once.
const AT_ONCE: usize = 8;
/// A write that takes longer counts as failed.
const DEADLINE: Duration = Duration::from_secs(10);
/// The pause after a write that failed; it doubles with each further failure in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A write: what is to be there under a key; it ends with what is there then.
pub type Put<K, V> = Box<dyn Fn(K, V) -> BoxFuture<'static, Result<V, String>> + Send>;

/// A write that ended: what was to be there under which key, and what is.
type Ended<K, V> = (K, V, Result<V, String>);

/// What objects say and what they are to say, by key. At most one write of each is under way; of several wishes that
/// come meanwhile the last one counts.
pub struct Upkeep<K, V> {
    what: &'static str,
    put: Put<K, V>,
    is_nothing: fn(&V) -> bool,
    entries: BTreeMap<K, Entry<V>>,
    due: BTreeSet<K>,
    writes: FuturesUnordered<BoxFuture<'static, Ended<K, V>>>,
    pauses: FuturesUnordered<BoxFuture<'static, K>>,
}

#[derive(Debug)]
struct Entry<V> {
    wanted: Option<V>,
    shown: Shown<V>,
    busy: bool,
    /// What a watch told during a write: it may be older than what the write finds, or newer.
    meanwhile: Option<Box<V>>,
    trouble: Option<Box<Trouble<V>>>,
}

/// What an object says. Nearly always that is what is wanted, which is kept once.
#[derive(Debug)]
enum Shown<V> {
    Unknown,
    AsWanted,
    Other(Box<V>),
}

/// What is out of the ordinary with an object.
#[derive(Debug)]
struct Trouble<V> {
    /// What was written last, and what else became of it: a server that does not know a field drops it.
    dropped: Option<(V, V)>,
    /// Writes that failed in a row, and why the last time.
    failures: u32,
    told: String,
}

impl<V> Default for Entry<V> {
    fn default() -> Self {
        Self { wanted: None, shown: Shown::Unknown, busy: false, meanwhile: None, trouble: None }
    }
}

impl<V: PartialEq> Entry<V> {
    fn is_due(&self) -> bool {
        let Some(wanted) = &self.wanted else { return false };
        let dropped = self.trouble.as_ref().and_then(|trouble| trouble.dropped.as_ref());
        let is_dropped = |(wrote, got): &(V, V)| wrote == wanted && Some(got) == self.shown();
        !self.busy && !matches!(self.shown, Shown::AsWanted) && !dropped.is_some_and(is_dropped)
    }

    fn shown(&self) -> Option<&V> {
        match &self.shown {
            Shown::Unknown => None,
            Shown::AsWanted => self.wanted.as_ref(),
            Shown::Other(value) => Some(value),
        }
    }

    fn set_shown(&mut self, value: V) {
        let as_wanted = self.wanted.as_ref() == Some(&value);
        self.shown = if as_wanted { Shown::AsWanted } else { Shown::Other(Box::new(value)) };
    }

    fn set_wanted(&mut self, value: V) {
        let before = self.wanted.replace(value);
        match std::mem::replace(&mut self.shown, Shown::Unknown) {
            Shown::Unknown => {}
            Shown::Other(shown) => self.set_shown(*shown),
            Shown::AsWanted => before.into_iter().for_each(|shown| self.set_shown(shown)),
        }
    }
}

impl<K, V> Upkeep<K, V>
where
    K: Ord + Clone + Debug + Send + 'static,
    V: PartialEq + Clone + Send + 'static,
{
    /// Nothing is to be written yet. `what` names the objects in the log.
    pub fn new<F>(what: &'static str, put: impl Fn(K, V) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<V, String>> + Send + 'static,
    {
        Self {
            what,
            put: Box::new(move |key, value| Box::pin(put(key, value))),
            is_nothing: |_| false,
            entries: BTreeMap::new(),
            due: BTreeSet::new(),
            writes: FuturesUnordered::new(),
            pauses: FuturesUnordered::new(),
        }
    }

    /// A value that means that there is no object: nothing is kept of one that is gone and is to be gone.
    #[must_use]
    pub fn without(self, is_nothing: fn(&V) -> bool) -> Self {
        Self { is_nothing, ..self }
    }

    /// An object is to say this.
    pub fn want(&mut self, key: K, value: V) {
        self.entries.entry(key.clone()).or_default().set_wanted(value);
        self.look_at(key);
    }

    /// An object is gone, or what it says is nobody's wish any more.
    pub fn remove(&mut self, key: &K) {
        self.entries.remove(key);
        self.due.remove(key);
    }

    /// An object says this, as a watch tells.
    pub fn seen(&mut self, key: K, value: V) {
        let entry = self.entries.entry(key.clone()).or_default();
        if entry.busy {
            entry.meanwhile = Some(Box::new(value));
        } else {
            entry.set_shown(value);
            self.look_at(key);
        }
    }

    /// What is wished for under a key.
    pub fn wanted(&self, key: &K) -> Option<&V> {
        self.entries.get(key)?.wanted.as_ref()
    }

    /// Whether an object says what it is to say.
    pub fn is_shown(&self, key: &K) -> bool {
        self.entries.get(key).is_some_and(|it| it.wanted.is_some() && !it.busy && !it.is_due())
    }

    /// What objects say or are to say.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.entries.keys()
    }

    fn look_at(&mut self, key: K) {
        let is_nothing = |value: Option<&V>| value.is_none_or(self.is_nothing);
        if self
            .entries
            .get(&key)
            .is_some_and(|it| !it.busy && is_nothing(it.wanted.as_ref()) && is_nothing(it.shown()))
        {
            self.entries.remove(&key);
        }
        if self.entries.get(&key).is_some_and(Entry::is_due) {
            self.due.insert(key);
        } else {
            self.due.remove(&key);
        }
    }

    /// Begins and ends writes for as long as it is polled; may be dropped and called again at any time.
    pub async fn work(&mut self) {
        loop {
            self.step().await;
        }
    }

    /// The same until one write has ended.
    pub async fn step(&mut self) {
        self.begin();
        tokio::select! {
            Some((key, wrote, outcome)) = self.writes.next() => self.end(key, wrote, outcome),
            Some(key) = self.pauses.next() => {
                if let Some(entry) = self.entries.get_mut(&key) {
                    entry.busy = false;
                }
                self.look_at(key);
            }
            else => std::future::pending().await,
        }
    }

    fn begin(&mut self) {
        while self.writes.len() < AT_ONCE
            && let Some(key) = self.due.pop_first()
        {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            let Some(value) = entry.wanted.clone() else { continue };
            entry.busy = true;
            let put = (self.put)(key.clone(), value.clone());
            self.writes.push(Box::pin(async move {
                let late = || Err(format!("no answer within {DEADLINE:?}"));
                let outcome = tokio::time::timeout(DEADLINE, put).await.unwrap_or_else(|_| late());
                (key, value, outcome)
            }));
        }
    }

    fn end(&mut self, key: K, wrote: V, outcome: Result<V, String>) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        match outcome {
            Ok(got) => {
                entry.trouble = (wrote != got).then(|| {
                    let dropped = Some((wrote, got.clone()));
                    Box::new(Trouble { dropped, failures: 0, told: String::new() })
                });
                // If that was older than this, it costs one more write.
                let newest = entry.meanwhile.take().map_or(got, |seen| *seen);
                entry.set_shown(newest);
                entry.busy = false;
                self.look_at(key);
            }
            Err(error) => {
                // What is there now is not known.
                entry.shown = Shown::Unknown;
                let none = || Box::new(Trouble { dropped: None, failures: 0, told: String::new() });
                let trouble = entry.trouble.get_or_insert_with(none);
                if trouble.told != error {
                    tracing::warn!(what = self.what, object = ?key, error, "cannot be written; trying again");
                    trouble.told = error;
                }
                let pause = (FIRST_PAUSE * 2_u32.saturating_pow(trouble.failures)).min(LONGEST_PAUSE);
                trouble.failures += 1;
                self.pauses.push(Box::pin(async move {
                    tokio::time::sleep(pause).await;
                    key
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    type Written = Arc<Mutex<Vec<(u8, String)>>>;

    fn upkeep(
        answer: impl Fn(String) -> Result<String, String> + Send + Clone + 'static,
    ) -> (Upkeep<u8, String>, Written) {
        let written = Written::default();
        let log = written.clone();
        let upkeep = Upkeep::new("test", move |key, value: String| {
            log.lock().unwrap().push((key, value.clone()));
            let answer = answer.clone();
            async move { answer(value) }
        });
        (upkeep, written)
    }

    async fn settle(upkeep: &mut Upkeep<u8, String>) {
        // The clock is stopped: it runs on to each pause at once, and to this end when there is none left.
        let _ = tokio::time::timeout(Duration::from_mins(5), upkeep.work()).await;
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_not_there_is_written_and_a_foreign_edit_is_undone() {
        let (mut upkeep, written) = upkeep(Ok);
        upkeep.seen(1, "a".to_owned());
        upkeep.want(1, "a".to_owned());
        settle(&mut upkeep).await;
        assert!(written.lock().unwrap().is_empty());
        upkeep.want(1, "b".to_owned());
        settle(&mut upkeep).await;
        upkeep.seen(1, "b".to_owned());
        settle(&mut upkeep).await;
        upkeep.seen(1, "somebody's".to_owned());
        settle(&mut upkeep).await;
        let b = || (1, "b".to_owned());
        assert_eq!(*written.lock().unwrap(), [b(), b()]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_foreign_edit_during_a_write_is_undone_after_it() {
        let (mut upkeep, written) = upkeep(Ok);
        upkeep.want(1, "a".to_owned());
        upkeep.begin();
        upkeep.seen(1, "somebody's".to_owned());
        settle(&mut upkeep).await;
        assert_eq!(*written.lock().unwrap(), [(1, "a".to_owned()), (1, "a".to_owned())]);
        assert!(upkeep.is_shown(&1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_server_drops_is_not_written_again() {
        let (mut upkeep, written) = upkeep(|value| Ok(value.replace("dropped", "")));
        upkeep.want(1, "kept dropped".to_owned());
        settle(&mut upkeep).await;
        upkeep.seen(1, "kept ".to_owned());
        settle(&mut upkeep).await;
        assert_eq!(written.lock().unwrap().len(), 1);
        upkeep.seen(1, "other".to_owned());
        settle(&mut upkeep).await;
        assert_eq!(written.lock().unwrap().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_write_is_made_again_with_the_latest_wish() {
        let failures = Arc::new(Mutex::new(3));
        let left = failures.clone();
        let (mut upkeep, written) = upkeep(move |value| {
            let mut left = left.lock().unwrap();
            if *left == 0 {
                return Ok(value);
            }
            *left -= 1;
            Err("no".to_owned())
        });
        upkeep.want(1, "a".to_owned());
        tokio::time::timeout(Duration::from_millis(1), upkeep.work()).await.unwrap_err();
        upkeep.want(1, "b".to_owned());
        settle(&mut upkeep).await;
        let b = || (1, "b".to_owned());
        assert_eq!(*written.lock().unwrap(), [(1, "a".to_owned()), b(), b(), b()]);
    }
}
