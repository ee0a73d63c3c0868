//! The edge of the controller: watches, writes, and tries again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::stream::{FuturesUnordered, SelectAll};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::{Namespace, Node, Service};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use lbcore::{LostAddresses, ServiceKey};

use super::{Change, Controller, MemoryWrite, Notice, Write};
use crate::events::{Event, Recorder, Severity};
use crate::objects::metallb::IPAddressPool;
use crate::objects::namespace::NamespaceView;
use crate::objects::node;
use crate::objects::service::{Class, ServiceView};
use crate::watching::{Progress, Told, Watch, config, configuration, explain_client, follow, named};

/// How to run the controller.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The namespace of the configuration objects.
    pub namespace: String,
    /// The class of Services that are ours.
    pub class: Class,
    /// The name of this instance, for events.
    pub identity: String,
    /// What becomes of held addresses that their pool no longer has.
    pub lost_addresses: LostAddresses,
}

impl Default for Settings {
    fn default() -> Self {
        let (namespace, identity) = (crate::CONFIG_NAMESPACE.to_owned(), "controller".to_owned());
        Self { namespace, class: None, identity, lost_addresses: LostAddresses::Keep }
    }
}

/// Status writes under way at once.
const WRITES_AT_ONCE: usize = 16;
/// A write that takes longer counts as failed.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);
/// The pause after a Service's status could not be written; it doubles with each further failure in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Runs the controller until the future is dropped. Failures of the API server are waited out; writes under
/// way when it is dropped may or may not have been made, and are looked at again by the next run.
///
/// `notice` is told what people should know; [`log`] writes it to the log.
pub async fn run(client: Client, settings: Settings, mut notice: impl FnMut(&Notice)) {
    let mut watches = watches(&client, &settings);
    let mut progress = Progress::new(WATCHES);
    let mut controller = Controller::new(settings.lost_addresses);
    let recorder = Recorder::new(client.clone(), "metallb-controller", settings.identity.clone());
    let mut writes = FuturesUnordered::new();
    let mut writing: BTreeSet<ServiceKey> = BTreeSet::new();
    let mut troubles: BTreeMap<ServiceKey, Trouble> = BTreeMap::new();
    // Services that wait before they are written again; they hold no place among the writes meanwhile.
    let mut pauses = FuturesUnordered::new();
    let mut events = FuturesUnordered::new();
    // One annotation of a pool is written at a time: what changes meanwhile is written together.
    let mut memory = FuturesUnordered::new();
    loop {
        controller.advance(Timestamp::now().as_microsecond());
        tokio::select! {
            Some(told) = watches.next() => match told {
                Told::Change(change) => {
                    // It may have been a long time until this was told.
                    controller.advance(Timestamp::now().as_microsecond());
                    controller.apply(change);
                }
                Told::Synced(watch) => if progress.synced(watch) {
                    controller.apply(Change::Synced);
                },
                Told::Absent(watch) => if progress.absent(watch) {
                    controller.apply(Change::Synced);
                },
                Told::Failed(watch, error) => progress.failed(watch, error),
            },
            Some(key) = pauses.next() => {
                writing.remove(&key);
                controller.retry(&key);
            }
            Some((key, written)) = writes.next() => {
                match written {
                    Written::Done(service, event) => {
                        troubles.remove(&key);
                        writing.remove(&key);
                        let view = ServiceView::read(&service, &settings.class);
                        log_written(&view);
                        controller.apply(Change::Service(Box::new(view)));
                        events.extend(event.map(|event| send(recorder.clone(), event)));
                    }
                    Written::Changed(service) => {
                        let trouble = troubles.entry(key.clone()).or_default();
                        pauses.push(pause(key, trouble.next_pause()));
                        let view = ServiceView::read(&service, &settings.class);
                        controller.apply(Change::Service(Box::new(view)));
                    }
                    // The watch tells that it is gone.
                    Written::Gone => {
                        troubles.remove(&key);
                        writing.remove(&key);
                    }
                    Written::Failed(error) => {
                        let trouble = troubles.entry(key.clone()).or_default();
                        pauses.push(pause(key.clone(), trouble.next_pause()));
                        if trouble.last != error {
                            tracing::warn!(service = %key, error, "a status cannot be written; trying again");
                            trouble.last = error;
                        }
                    }
                }
            },
            Some(()) = events.next() => {}
            Some(outcome) = memory.next() => {
                let (pool, written): (String, bool) = outcome;
                if !written {
                    controller.retry_memory(&pool);
                }
            }
        }
        for news in controller.notices() {
            notice(&news);
            events.extend(event(news).map(|event| send(recorder.clone(), event)));
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
        if memory.is_empty()
            && let Some(write) = controller.next_memory()
        {
            memory.push(put_memory(client.clone(), settings.namespace.clone(), write));
        }
        // Their first write is under way, and its outcome comes by here.
        for key in later {
            controller.retry(&key);
        }
    }
}

const WATCHES: [&str; 6] = ["IPAddressPool", "L2Advertisement", "ConfigMap", "Namespace", "Node", "Service"];

fn watches(client: &Client, settings: &Settings) -> SelectAll<Watch<Change>> {
    let class = settings.class.clone();
    let own = [
        named(
            "Namespace",
            follow(Api::<Namespace>::all(client.clone()), config(), |it| {
                (it.name_any(), NamespaceView::read(it))
            }),
            |(name, view)| Change::Namespace(name, Some(view)),
            |_, name, _| Change::Namespace(name, None),
        ),
        named(
            "Node",
            follow(Api::<Node>::all(client.clone()), config(), |it| (it.name_any(), node::addresses(it))),
            |(name, addresses)| Change::Node(name, Some(addresses)),
            |_, name, _| Change::Node(name, None),
        ),
        named(
            "Service",
            follow(Api::<Service>::all(client.clone()), config(), move |it| ServiceView::read(it, &class)),
            |view| Change::Service(Box::new(view)),
            |namespace, name, uid| Change::ServiceGone(ServiceKey::new(namespace, name), uid),
        ),
    ];
    let configuration = configuration(client, &settings.namespace, Change::Config);
    futures::stream::select_all(configuration.into_iter().chain(own))
}

/// What became of a write.
enum Written {
    Done(Box<Service>, Option<Event>),
    /// It was not made: the Service is not what it was. This is what it is now.
    Changed(Box<Service>),
    Gone,
    Failed(String),
}

/// How often a Service's status could not be written in a row, and why the last time.
#[derive(Debug, Default)]
struct Trouble {
    times: u32,
    last: String,
}

impl Trouble {
    /// One failure more; the pause before the next attempt. It is short after one conflict, which is everyday
    /// life, and then grows.
    fn next_pause(&mut self) -> Duration {
        let pause = (FIRST_PAUSE * 2_u32.saturating_pow(self.times)).min(LONGEST_PAUSE);
        self.times += 1;
        pause
    }
}

async fn pause(key: ServiceKey, time: Duration) -> ServiceKey {
    tokio::time::sleep(time).await;
    key
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
            // It may have been made, and only the answer was lost.
            Err(error) => match api.get_opt(write.key.name()).await {
                Ok(Some(service)) if write.is_shown_by(&service) => {
                    Written::Done(Box::new(service), write.event.clone())
                }
                _ => Written::Failed(explain_client(&error)),
            },
        }
    };
    let late = format!("no answer within {WRITE_DEADLINE:?}");
    let written = tokio::time::timeout(WRITE_DEADLINE, attempt).await.unwrap_or(Written::Failed(late));
    (write.key, written)
}

/// The pause after a pool's annotation could not be written.
const MEMORY_PAUSE: Duration = Duration::from_secs(2);

/// Writes what is remembered of a pool's addresses; false if that is to be tried again.
async fn put_memory(client: Client, namespace: String, write: MemoryWrite) -> (String, bool) {
    let api: Api<IPAddressPool> = Api::namespaced(client, &namespace);
    let patch = Patch::Merge(write.patch());
    let parameters = PatchParams::default();
    let attempt = api.patch(&write.pool, &parameters, &patch);
    let error = match tokio::time::timeout(WRITE_DEADLINE, attempt).await {
        Ok(Ok(_)) => return (write.pool, true),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => return (write.pool, true),
        Ok(Err(error)) => explain_client(&error),
        Err(_) => format!("no answer within {WRITE_DEADLINE:?}"),
    };
    tracing::warn!(pool = write.pool, error, "what is remembered of freed addresses cannot be written");
    tokio::time::sleep(MEMORY_PAUSE).await;
    (write.pool, false)
}

fn send(recorder: Recorder, event: Event) -> impl Future<Output = ()> {
    async move { recorder.send(event).await }.boxed()
}

fn log_written(view: &ServiceView) {
    let addresses: Vec<String> = view.addresses().iter().map(ToString::to_string).collect();
    let condition = view.condition(super::CONDITION);
    let why = condition.map_or("", |condition| condition.message.as_str());
    if addresses.is_empty() {
        tracing::info!(service = %view.key, why, "pending");
    } else {
        tracing::info!(service = %view.key, addresses = addresses.join(","), why, "assigned");
    }
}

/// Writes a notice to the log.
pub fn log(notice: &Notice) {
    match notice {
        Notice::Pools { source, pools } if pools.is_empty() => tracing::info!(source, "no pool is in force"),
        Notice::Pools { source, pools } => {
            for (pool, ranges, addresses) in pools {
                let (ranges, total) = (ranges.join(", "), addresses.to_string());
                tracing::info!(pool, addresses = ranges, total, source, "pool loaded");
            }
        }
        Notice::Problem(problem) => {
            tracing::warn!(object = %problem.object, path = problem.path, "{}", problem.message);
        }
    }
}

/// The event that goes with a notice.
fn event(notice: Notice) -> Option<Event> {
    let Notice::Problem(problem) = notice else { return None };
    let note = format!("{}: {}", problem.path, problem.message);
    Some(Event { about: problem.object, severity: Severity::Warning, reason: "ConfigurationError", note })
}
