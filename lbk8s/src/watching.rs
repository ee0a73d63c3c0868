//! Watches as a stream of changes, which also tells what vanished while nobody watched.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;

use crate::ObjectRef;
use crate::objects::config::ConfigChange;
use crate::objects::config_map;
use crate::objects::leftovers::{self, Leftover};
use crate::objects::metallb::{IPAddressPool, L2Advertisement};

/// What a watch tells.
#[derive(Debug)]
pub enum Watched<V> {
    /// An object is there in this form.
    Set(V),
    /// An object is gone.
    Gone {
        /// Its namespace; empty for cluster-scoped kinds.
        namespace: String,
        /// Its name.
        name: String,
        /// Its identity: one with the same name may have come since.
        uid: String,
    },
    /// All that is there has been told, for the first time or again.
    Synced,
    /// The server does not know the kind, as before its CRD is installed: there are none.
    Absent,
    /// The watch broke; it goes on by itself.
    Failed(watcher::Error),
}

/// The pause after a failure: it grows with each one in a row, and is a little different for everybody, so that a
/// thousand nodes do not come back to an API server at the same moment.
struct Pause {
    first: Duration,
    last: Duration,
    failures: u32,
    failed: Option<Instant>,
    /// Drawn once for each watch.
    odds: RandomState,
}

impl Pause {
    fn new(first: Duration, last: Duration) -> Self {
        Self { first, last, failures: 0, failed: None, odds: RandomState::new() }
    }
}

impl Iterator for Pause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = Instant::now();
        if self.failed.replace(now).is_some_and(|before| now - before > QUIET) {
            self.failures = 0;
        }
        let pause = (self.first * 2_u32.saturating_pow(self.failures)).min(self.last);
        self.failures += 1;
        let share = u32::try_from(self.odds.hash_one(self.failures) % 1000).unwrap_or_default();
        Some(pause / 2 + pause / 2 * share / 1000)
    }
}

impl kube::runtime::utils::Backoff for Pause {
    /// The runtime asks for this at every list that begins, also at one that fails then: so the pause would not grow.
    fn reset(&mut self) {}
}

/// The pauses between attempts while the API server cannot be reached.
const RETRY: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(5)];

/// The same for what need not be there.
const SLOWLY: [Duration; 2] = [Duration::from_secs(30); 2];

/// After so long without a failure the pauses begin anew.
const QUIET: Duration = Duration::from_mins(1);

/// How long a watch may be silent before it is opened anew: a dead connection is noticed within this time.
const WATCH_TIMEOUT_SECONDS: u32 = 50;

/// How many objects one page of a list has: they are in memory at once, whole.
const PAGE: u32 = 250;

/// The settings that all watches have.
#[must_use]
pub fn config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_TIMEOUT_SECONDS).page_size(PAGE)
}

/// Follows the objects of `api`, each reduced by `view` as it arrives, so that nothing larger is kept.
pub fn follow<K, V>(
    api: Api<K>,
    config: watcher::Config,
    view: impl Fn(&K) -> V + Send + 'static,
) -> BoxStream<'static, Watched<V>>
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    V: Send + 'static,
{
    follow_at(api, config, RETRY, view)
}

/// The same for what need not be there at all, and is not waited for.
pub fn follow_slowly<K, V>(
    api: Api<K>,
    config: watcher::Config,
    view: impl Fn(&K) -> V + Send + 'static,
) -> BoxStream<'static, Watched<V>>
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    V: Send + 'static,
{
    follow_at(api, config, SLOWLY, view)
}

fn follow_at<K, V>(
    api: Api<K>,
    config: watcher::Config,
    [first, last]: [Duration; 2],
    view: impl Fn(&K) -> V + Send + 'static,
) -> BoxStream<'static, Watched<V>>
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    V: Send + 'static,
{
    let mut known = Known { may_be_absent: is_defined(api.resource_url()), ..Known::default() };
    let events = watch(api, config).backoff(Pause::new(first, last));
    events.flat_map(move |event| told(event, &mut known, &view)).boxed()
}

/// The objects that have been told of, so that those which vanish unseen can be told to be gone.
#[derive(Default)]
struct Known {
    /// By namespace and name, with a slash in between.
    told: BTreeMap<Box<str>, Seen>,
    /// The number of the list that was begun last.
    list: u32,
    /// The kind need not be known to the server.
    may_be_absent: bool,
}

/// What is known of an object.
struct Seen {
    uid: Box<str>,
    /// The number of the list that was the last one when it was told of.
    list: u32,
}

fn name<K: ResourceExt>(object: &K) -> Box<str> {
    let namespace = object.meta().namespace.as_deref().unwrap_or_default();
    format!("{namespace}/{}", object.name_any()).into()
}

fn gone<V>(name: &str, uid: &str) -> Watched<V> {
    let (namespace, name) = name.split_once('/').unwrap_or_default();
    Watched::Gone { namespace: namespace.to_owned(), name: name.to_owned(), uid: uid.to_owned() }
}

fn told<K: ResourceExt, V: Send + 'static>(
    event: Result<Event<K>, watcher::Error>,
    known: &mut Known,
    view: &dyn Fn(&K) -> V,
) -> stream::Iter<std::vec::IntoIter<Watched<V>>> {
    let uid = |object: &K| object.meta().uid.as_deref().unwrap_or_default().into();
    let watched = match event {
        Ok(Event::Init) => {
            known.list = known.list.wrapping_add(1);
            Vec::new()
        }
        Ok(Event::InitApply(object) | Event::Apply(object)) => {
            known.told.insert(name(&object), Seen { uid: uid(&object), list: known.list });
            vec![Watched::Set(view(&object))]
        }
        Ok(Event::InitDone) => {
            let mut watched = Vec::new();
            known.told.retain(|name, seen| {
                let listed = seen.list == known.list;
                if !listed {
                    watched.push(gone(name, &seen.uid));
                }
                listed
            });
            watched.push(Watched::Synced);
            watched
        }
        Ok(Event::Delete(object)) => {
            let name = name(&object);
            known.told.remove(&name);
            let uid: Box<str> = uid(&object);
            vec![gone(&name, &uid)]
        }
        Err(error) if known.may_be_absent && is_absent(&error) => {
            let vanished = std::mem::take(&mut known.told);
            let vanished = vanished.into_iter().map(|(name, seen)| gone(&name, &seen.uid));
            vanished.chain([Watched::Absent]).collect()
        }
        Err(error) => vec![Watched::Failed(error)],
    };
    stream::iter(watched)
}

/// What one of several named watches tells, as changes `C` of one role.
#[derive(Debug)]
pub enum Told<C> {
    /// A change.
    Change(C),
    /// The watch with this name has told of all there is.
    Synced(&'static str),
    /// The server does not know the kind of the watch with this name.
    Absent(&'static str),
    /// The watch with this name broke, for this reason; it goes on by itself.
    Failed(&'static str, String),
}

/// A watch of one role, among others.
pub type Watch<C> = BoxStream<'static, Told<C>>;

/// Puts a watch under a name, its objects as changes: `set` of a form, `gone` of namespace, name and identity.
pub fn named<V, C>(
    name: &'static str,
    watch: BoxStream<'static, Watched<V>>,
    set: impl Fn(V) -> C + Send + 'static,
    gone: impl Fn(String, String, String) -> C + Send + 'static,
) -> Watch<C>
where
    V: Send + 'static,
    C: Send + 'static,
{
    let told = move |watched| match watched {
        Watched::Set(view) => Told::Change(set(view)),
        Watched::Gone { namespace, name, uid } => Told::Change(gone(namespace, name, uid)),
        Watched::Synced => Told::Synced(name),
        Watched::Absent => Told::Absent(name),
        Watched::Failed(error) => Told::Failed(name, explain(&error)),
    };
    watch.map(told).boxed()
}

/// A watch of something that need not be there: it is not waited for, and its troubles are nobody's.
pub fn optional<V, C>(
    watch: BoxStream<'static, Watched<V>>,
    set: impl Fn(V) -> C + Send + 'static,
    gone: impl Fn(String, String) -> C + Send + 'static,
) -> Watch<C>
where
    V: Send + 'static,
    C: Send + 'static,
{
    let told = move |watched| match watched {
        Watched::Set(view) => Some(Told::Change(set(view))),
        Watched::Gone { namespace, name, .. } => Some(Told::Change(gone(namespace, name))),
        Watched::Synced | Watched::Absent => None,
        Watched::Failed(error) => {
            tracing::debug!(error = explain(&error), "cannot watch what need not be there; trying again");
            None
        }
    };
    watch.filter_map(move |watched| std::future::ready(told(watched))).boxed()
}

/// The watches of the configuration, which both roles have.
#[must_use]
pub fn configuration<C: Send + 'static>(
    client: &Client,
    namespace: &str,
    change: impl Fn(Box<ConfigChange>) -> C + Copy + Send + 'static,
) -> [Watch<C>; 3] {
    let change = move |it| change(Box::new(it));
    let pools: Api<IPAddressPool> = Api::namespaced(client.clone(), namespace);
    let advertisements: Api<L2Advertisement> = Api::namespaced(client.clone(), namespace);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let only_ours = config().fields(&format!("metadata.name={}", config_map::NAME));
    [
        named(
            "IPAddressPool",
            follow(pools, config(), |it| ConfigChange::Pool(it.clone())),
            change,
            move |_, name, _| change(ConfigChange::PoolGone(name)),
        ),
        named(
            "L2Advertisement",
            follow(advertisements, config(), |it| ConfigChange::Advertisement(it.clone())),
            change,
            move |_, name, _| change(ConfigChange::AdvertisementGone(name)),
        ),
        named(
            "ConfigMap",
            follow(maps, only_ours, |it| ConfigChange::ConfigMap(it.clone())),
            change,
            move |_, _, _| change(ConfigChange::ConfigMapGone),
        ),
    ]
}

/// The watches of MetalLB's own pods, which both roles have: `set` says whether one of them runs, `gone` names a pod
/// that is there no more.
pub fn leftovers<C: Send + 'static>(
    client: &Client,
    namespace: &str,
    set: impl Fn(Leftover, bool) -> C + Copy + Send + 'static,
    gone: impl Fn(String, String) -> C + Copy + Send + 'static,
) -> [Watch<C>; 2] {
    leftovers::SELECTORS.map(|(name, selector)| {
        let api = Api::<Pod>::namespaced(client.clone(), namespace);
        named(
            name,
            follow(api, config().labels(selector), |pod| (ObjectRef::of(pod), Leftover::of_pod(pod))),
            move |(pod, leftover)| match leftover {
                Some((leftover, runs)) => set(leftover, runs),
                None => gone(pod.namespace.to_string(), pod.name.to_string()),
            },
            move |namespace, name, _| gone(namespace, name),
        )
    })
}

/// Which watches have told of everything, and which are broken: each change of that is logged once.
#[derive(Debug)]
pub struct Progress {
    unsynced: BTreeSet<&'static str>,
    /// Why each broke last, and when that was told.
    failing: BTreeMap<&'static str, (String, Instant)>,
}

impl Progress {
    /// Waits for these watches.
    #[must_use]
    pub fn new(watches: impl IntoIterator<Item = &'static str>) -> Self {
        Self { unsynced: watches.into_iter().collect(), failing: BTreeMap::new() }
    }

    /// A watch has told of everything. True if now all have, for the first time.
    pub fn synced(&mut self, watch: &'static str) -> bool {
        if self.failing.remove(watch).is_some() {
            tracing::info!(watch, "watching again");
        }
        self.unsynced.remove(watch) && self.unsynced.is_empty()
    }

    /// Whether all watches have told of everything.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.unsynced.is_empty()
    }

    /// Whether a watch is broken.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        !self.failing.is_empty()
    }

    /// The watches that have not told of everything yet.
    pub fn unsynced(&self) -> impl Iterator<Item = &'static str> {
        self.unsynced.iter().copied()
    }

    /// The server does not know a kind. True if now all watches have told of everything, for the first time.
    pub fn absent(&mut self, watch: &'static str) -> bool {
        let error = "the server does not know the kind; is its CRD installed? Taken as none";
        if self.is_news(watch, error) {
            tracing::warn!(watch, "{error}");
        }
        self.unsynced.remove(watch) && self.unsynced.is_empty()
    }

    /// A watch broke.
    pub fn failed(&mut self, watch: &'static str, error: &str) {
        if self.is_news(watch, error) {
            tracing::warn!(watch, error, "cannot watch; trying again");
        }
    }

    /// Whether a failure is worth a word: it is another one than before, or the one before was long ago. (A watch that
    /// goes on where it broke does not say so.)
    fn is_news(&mut self, watch: &'static str, error: &str) -> bool {
        let now = Instant::now();
        let known = self.failing.get(watch);
        let is_news = known.is_none_or(|(before, told)| before != error || now - *told > QUIET);
        if is_news {
            self.failing.insert(watch, (error.to_owned(), now));
        }
        is_news
    }
}

/// Whether a kind is there only where somebody has defined it. Of Kubernetes' own kinds all are known: whoever says
/// otherwise is not the API server.
fn is_defined(url: &str) -> bool {
    let group = url.strip_prefix("/apis/").and_then(|rest| rest.split('/').next());
    group.is_some_and(|group| group.contains('.') && !group.ends_with(".k8s.io"))
}

/// Whether the server does not know the kind at all, as before its CRD is installed: then there are none.
fn is_absent(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404)
}

/// A short sentence about a failed watch, without the library's layers.
#[must_use]
pub fn explain(error: &watcher::Error) -> String {
    let inner = match error {
        watcher::Error::InitialListFailed(inner)
        | watcher::Error::WatchStartFailed(inner)
        | watcher::Error::WatchFailed(inner) => inner,
        watcher::Error::WatchError(status) => return status.message.clone(),
        watcher::Error::NoResourceVersion => return error.to_string(),
    };
    explain_client(inner)
}

/// A short sentence about a failed request, without the library's layers.
#[must_use]
pub fn explain_client(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => {
            let mut text = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(inner) = source {
                text = inner.to_string();
                source = inner.source();
            }
            text
        }
    }
}
