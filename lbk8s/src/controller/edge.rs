//! The edge of the controller: watches, writes, and tries again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::stream::{FuturesUnordered, SelectAll};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use lbcore::{Labels, ServiceKey};

use super::{Change, Controller, Notice, Write};
use crate::events::{Event, Recorder, Severity};
use crate::objects::config::ConfigChange;
use crate::objects::config_map;
use crate::objects::metallb::{IPAddressPool, L2Advertisement};
use crate::objects::service::{Class, ServiceView};
use crate::watching::{Watched, config, explain, explain_client, follow};

/// How to run the controller.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The namespace of the configuration objects.
    pub namespace: String,
    /// The class of Services that are ours.
    pub class: Class,
    /// The name of this instance, for events.
    pub identity: String,
}

impl Default for Settings {
    fn default() -> Self {
        let (namespace, identity) = (crate::CONFIG_NAMESPACE.to_owned(), "controller".to_owned());
        Self { namespace, class: None, identity }
    }
}

/// Status writes under way at once.
const WRITES_AT_ONCE: usize = 16;
/// A write that takes longer counts as failed.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);
/// The pause before a failed write is tried again.
const WRITE_RETRY: Duration = Duration::from_millis(200);

type Stream = futures::stream::BoxStream<'static, Told>;

/// What one of the watches tells.
enum Told {
    Change(Change),
    /// The watch with this name has told of all there is.
    Synced(&'static str),
    Failed(&'static str, String),
}

/// Runs the controller until the future is dropped. Failures of the API server are waited out; writes under
/// way when it is dropped may or may not have been made, and are looked at again by the next run.
pub async fn run(client: Client, settings: Settings) {
    let mut watches = watches(&client, &settings);
    let mut unsynced: BTreeSet<&'static str> = WATCHES.into();
    let mut controller = Controller::default();
    let recorder = Recorder::new(client.clone(), "metallb-controller", settings.identity.clone());
    let mut writes = FuturesUnordered::new();
    let mut writing: BTreeSet<ServiceKey> = BTreeSet::new();
    let mut events = FuturesUnordered::new();
    let mut failing: BTreeMap<&'static str, String> = BTreeMap::new();
    loop {
        tokio::select! {
            Some(told) = watches.next() => match told {
                Told::Change(change) => controller.apply(change),
                Told::Synced(watch) => {
                    if failing.remove(watch).is_some() {
                        tracing::info!(watch, "watching again");
                    }
                    if unsynced.remove(watch) && unsynced.is_empty() {
                        controller.apply(Change::Synced);
                    }
                }
                Told::Failed(watch, error) => {
                    if failing.insert(watch, error.clone()).as_ref() != Some(&error) {
                        tracing::warn!(watch, error, "cannot watch; trying again");
                    }
                }
            },
            Some((key, written)) = writes.next() => {
                writing.remove(&key);
                match written {
                    Written::Done(service, event) => {
                        let view = ServiceView::read(&service, &settings.class);
                        log_written(&view);
                        controller.apply(Change::Service(Box::new(view)));
                        events.extend(event.map(|event| send(recorder.clone(), event)));
                    }
                    Written::Changed(service) => {
                        let view = ServiceView::read(&service, &settings.class);
                        controller.apply(Change::Service(Box::new(view)));
                    }
                    // The watch tells that it is gone.
                    Written::Gone => {}
                    Written::Failed(error) => {
                        tracing::warn!(service = %key, error, "a status could not be written; trying again");
                        controller.retry(&key);
                    }
                }
            },
            Some(()) = events.next() => {}
        }
        for notice in controller.notices() {
            events.extend(tell(notice).map(|event| send(recorder.clone(), event)));
        }
        let mut later = Vec::new();
        while writes.len() < WRITES_AT_ONCE
            && let Some(write) = controller.next_write()
        {
            // A second write of a Service waits for the first one's outcome.
            if writing.insert(write.key.clone()) {
                writes.push(put(client.clone(), write));
            } else {
                later.push(write.key);
            }
        }
        // Their first write is under way, and its outcome comes by here.
        for key in later {
            controller.retry(&key);
        }
    }
}

const WATCHES: [&str; 5] = ["IPAddressPool", "L2Advertisement", "ConfigMap", "Namespace", "Service"];

fn watches(client: &Client, settings: &Settings) -> SelectAll<Stream> {
    let namespace = settings.namespace.as_str();
    let pools: Api<IPAddressPool> = Api::namespaced(client.clone(), namespace);
    let advertisements: Api<L2Advertisement> = Api::namespaced(client.clone(), namespace);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let only_ours = config().fields(&format!("metadata.name={}", config_map::NAME));
    let class = settings.class.clone();
    futures::stream::select_all([
        named(
            WATCHES[0],
            follow(pools, config(), |pool| ConfigChange::Pool(pool.clone())),
            configured,
            |_, name| configured(ConfigChange::PoolGone(name)),
        ),
        named(
            WATCHES[1],
            follow(advertisements, config(), |it| ConfigChange::Advertisement(it.clone())),
            configured,
            |_, name| configured(ConfigChange::AdvertisementGone(name)),
        ),
        named(
            WATCHES[2],
            follow(maps, only_ours, |map| ConfigChange::ConfigMap(map.clone())),
            configured,
            |_, _| configured(ConfigChange::ConfigMapGone),
        ),
        named(
            WATCHES[3],
            follow(Api::<Namespace>::all(client.clone()), config(), |it| {
                (it.name_any(), it.labels().clone())
            }),
            |(name, labels): (String, Labels)| Change::Namespace(name, Some(labels)),
            |_, name| Change::Namespace(name, None),
        ),
        named(
            WATCHES[4],
            follow(Api::<Service>::all(client.clone()), config(), move |it| ServiceView::read(it, &class)),
            |view| Change::Service(Box::new(view)),
            |namespace, name| Change::ServiceGone(ServiceKey::new(namespace, name)),
        ),
    ])
}

fn configured(change: ConfigChange) -> Change {
    Change::Config(Box::new(change))
}

/// A watch under a name, its objects as changes.
fn named<V: Send + 'static>(
    name: &'static str,
    watch: futures::stream::BoxStream<'static, Watched<V>>,
    set: impl Fn(V) -> Change + Send + 'static,
    gone: impl Fn(String, String) -> Change + Send + 'static,
) -> Stream {
    let told = move |watched| match watched {
        Watched::Set(view) => Told::Change(set(view)),
        Watched::Gone { namespace, name } => Told::Change(gone(namespace, name)),
        Watched::Synced => Told::Synced(name),
        Watched::Failed(error) => Told::Failed(name, explain(&error)),
    };
    watch.map(told).boxed()
}

/// What became of a write.
enum Written {
    Done(Box<Service>, Option<Event>),
    /// It was not made: the Service is not what it was. This is what it is now.
    Changed(Box<Service>),
    Gone,
    Failed(String),
}

async fn put(client: Client, write: Write) -> (ServiceKey, Written) {
    let api: Api<Service> = Api::namespaced(client, write.key.namespace());
    let attempt = async {
        let patch = Patch::Merge(write.patch(Timestamp::now()));
        match api.patch_status(write.key.name(), &PatchParams::default(), &patch).await {
            Ok(service) => Written::Done(Box::new(service), write.event.clone()),
            Err(kube::Error::Api(status)) if status.code == 404 => Written::Gone,
            Err(kube::Error::Api(status)) if status.code == 409 => {
                match api.get_opt(write.key.name()).await {
                    Ok(Some(service)) => Written::Changed(Box::new(service)),
                    Ok(None) => Written::Gone,
                    Err(error) => Written::Failed(explain_client(&error)),
                }
            }
            Err(error) => Written::Failed(explain_client(&error)),
        }
    };
    let late = format!("no answer within {WRITE_DEADLINE:?}");
    let written = tokio::time::timeout(WRITE_DEADLINE, attempt).await.unwrap_or(Written::Failed(late));
    if matches!(written, Written::Failed(_)) {
        tokio::time::sleep(WRITE_RETRY).await;
    }
    (write.key, written)
}

fn send(recorder: Recorder, event: Event) -> impl Future<Output = ()> {
    async move { recorder.send(event).await }.boxed()
}

fn log_written(view: &ServiceView) {
    let addresses: Vec<String> = view.addresses().iter().map(ToString::to_string).collect();
    let condition = view.conditions.iter().find(|condition| condition.type_ == super::CONDITION);
    let why = condition.map_or("", |condition| condition.message.as_str());
    if addresses.is_empty() {
        tracing::info!(service = %view.key, why, "pending");
    } else {
        tracing::info!(service = %view.key, addresses = addresses.join(","), why, "assigned");
    }
}

/// Logs a notice; the event that goes with it.
fn tell(notice: Notice) -> Option<Event> {
    match notice {
        Notice::Pools { source, pools } => {
            if pools.is_empty() {
                tracing::info!(source, "no pool is in force");
            }
            for (pool, ranges, addresses) in pools {
                tracing::info!(
                    pool,
                    addresses = ranges.join(", "),
                    total = addresses.to_string(),
                    source,
                    "pool loaded"
                );
            }
            None
        }
        Notice::Problem(problem) => {
            tracing::warn!(object = %problem.object, path = problem.path, "{}", problem.message);
            Some(Event {
                about: problem.object.clone(),
                severity: Severity::Warning,
                reason: "ConfigurationError",
                note: format!("{}: {}", problem.path, problem.message),
            })
        }
    }
}
