//! The edge of the controller: watches, writes, and tries again.

mod inspect;
mod kept;
mod watches;
mod writes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client};
use lbcore::{LostAddresses, ServiceKey};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::inspect::Question;
pub use self::inspect::{ControllerStatus, Counted, Inspector, RulesView};
use self::kept::Kept;
use self::watches::{Heard, WATCHES, watches};
use self::writes::{Trouble, Written, look_again, pause, put, put_memory};
use super::notice::{Notice, event};
use super::{Change, Controller};
use crate::events::{Event, Recorder};
use crate::objects::config::FollowConfigMap;
use crate::objects::leftovers::{Leftover, WEBHOOK};
use crate::objects::service::{Class, ServiceView, Wish};
use crate::watching::{Progress, Told};

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
    /// Whether the v0.12 ConfigMap counts where there are pools of today.
    pub follow_config_map: FollowConfigMap,
    /// Whether addresses are given while MetalLB's controller runs.
    pub beside_metallb: bool,
    /// Where questions come from, if anybody asks.
    pub inspector: Inspector,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            namespace: crate::CONFIG_NAMESPACE.to_owned(),
            class: None,
            identity: "controller".to_owned(),
            lost_addresses: LostAddresses::Keep,
            follow_config_map: FollowConfigMap::default(),
            beside_metallb: false,
            inspector: Inspector::default(),
        }
    }
}

/// Status writes under way at once.
const WRITES_AT_ONCE: usize = 16;
/// Events on their way at once, while statuses are written and while none is: nobody waits for them.
const EVENTS_AT_ONCE: [usize; 2] = [1, 8];
/// Services that are looked at once more at once.
const LOOKS_AT_ONCE: usize = 4;
/// It is looked at the clock at least so often.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);
/// How often it is looked whether MetalLB's webhook is still there.
const WEBHOOK_EVERY: Duration = Duration::from_secs(20);

/// Runs the controller until the future is dropped. Failures of the API server are waited out; writes under
/// way when it is dropped may or may not have been made, and are looked at again by the next run.
///
/// Only one controller of a cluster may run at a time: see [`super::lease`]. If two do all the same, addresses that
/// both gave are seen, and the older Service keeps them.
///
/// `notice` is told what people should know; [`super::log`] writes it to the log.
pub async fn run(client: Client, settings: Settings, mut notice: impl FnMut(&Notice)) {
    let mut notices = notices(client, settings);
    while let Some(told) = notices.next().await {
        notice(&told);
    }
}

/// The notices of a controller that runs while the stream is polled. The stream is boxed: each crate that polls an unboxed one
/// compiles it again.
fn notices(client: Client, settings: Settings) -> BoxStream<'static, Notice> {
    let running = (Running::new(client, settings), VecDeque::new());
    let next = async |(mut running, mut notices): (Running, VecDeque<Notice>)| {
        loop {
            if let Some(notice) = notices.pop_front() {
                return Some((notice, (running, notices)));
            }
            running.step().await;
            running.tell(&mut notices);
            running.begin_writes();
            running.begin_events();
        }
    };
    futures::stream::unfold(running, next).boxed()
}

struct Running {
    client: Client,
    settings: Settings,
    controller: Controller,
    watches: futures::stream::SelectAll<crate::watching::Watch<Heard>>,
    progress: Progress,
    kept: Kept,
    recorder: Recorder,
    writes: FuturesUnordered<BoxFuture<'static, (ServiceKey, Written, Duration)>>,
    writing: BTreeSet<ServiceKey>,
    /// Those of them that are to be looked at again when their write or their pause ends.
    again: BTreeSet<ServiceKey>,
    troubles: BTreeMap<ServiceKey, Trouble>,
    /// Services that wait before they are written again; they hold no place among the writes meanwhile.
    pauses: FuturesUnordered<BoxFuture<'static, ServiceKey>>,
    untold: VecDeque<Event>,
    events: FuturesUnordered<BoxFuture<'static, ()>>,
    /// One annotation of a pool is written at a time: what changes meanwhile is written together.
    memory: FuturesUnordered<BoxFuture<'static, (String, bool)>>,
    /// Services that their watch shows no more, and that may be there all the same.
    unlooked: VecDeque<(ServiceKey, String)>,
    looks: FuturesUnordered<BoxFuture<'static, Option<Box<Service>>>>,
    /// Whether MetalLB's webhook is there, if that can be found out.
    webhook: FuturesUnordered<BoxFuture<'static, Option<bool>>>,
    questions: mpsc::Receiver<Question>,
    began: Timestamp,
    counted: Counted,
}

impl Running {
    fn new(client: Client, settings: Settings) -> Self {
        let mut controller = Controller::new(settings.lost_addresses, settings.follow_config_map);
        controller.set_beside_metallb(settings.beside_metallb);
        Self {
            controller,
            watches: watches(&client, &settings),
            progress: Progress::new(WATCHES),
            kept: Kept::new(&client, &settings.namespace),
            recorder: Recorder::new(client.clone(), "metallb-controller", settings.identity.clone()),
            webhook: [webhook_is_left(client.clone(), Duration::ZERO).boxed()].into_iter().collect(),
            questions: settings.inspector.open(),
            began: Timestamp::now(),
            counted: Counted::default(),
            client,
            settings,
            writes: FuturesUnordered::new(),
            writing: BTreeSet::new(),
            again: BTreeSet::new(),
            troubles: BTreeMap::new(),
            pauses: FuturesUnordered::new(),
            untold: VecDeque::new(),
            events: FuturesUnordered::new(),
            memory: FuturesUnordered::new(),
            unlooked: VecDeque::new(),
            looks: FuturesUnordered::new(),
        }
    }

    /// Waits for something to happen, and takes it in.
    async fn step(&mut self) {
        self.controller.advance(Timestamp::now().as_microsecond());
        let deadline = self.controller.deadline();
        tokio::select! {
            Some(told) = self.watches.next() => {
                let began = Instant::now();
                self.hear(told);
                self.counted.reconciles.add(began.elapsed());
            }
            Some(key) = self.pauses.next() => {
                self.is_free(&key);
                self.controller.retry(&key);
            }
            Some((key, written, took)) = self.writes.next() => {
                self.counted.written.add(took);
                self.on_written(key, written);
            }
            Some(()) = self.events.next() => {}
            Some((pool, written)) = self.memory.next() => {
                if !written {
                    self.controller.retry_memory(&pool);
                }
            }
            Some(found) = self.looks.next() => {
                if let Some(service) = found {
                    self.apply(Change::Service(Box::new(ServiceView::read(&service, &self.settings.class))));
                }
            }
            () = self.kept.work() => self.kept.refresh(&self.controller),
            Some(left) = self.webhook.next() => {
                self.webhook.push(webhook_is_left(self.client.clone(), WEBHOOK_EVERY).boxed());
                if let Some(left) = left {
                    self.apply(Change::Leftover(Leftover::webhook(), left));
                }
            }
            Some(question) = self.questions.recv() => self.answer(question),
            () = until(deadline) => {}
        }
    }

    fn hear(&mut self, told: Told<Heard>) {
        // It may have been a long time until this was told.
        self.controller.advance(Timestamp::now().as_microsecond());
        match told {
            Told::Change(Heard::Change(change)) => {
                match &change {
                    Change::Config(change) => self.kept.see(change),
                    Change::ServiceGone(key, uid) => {
                        self.troubles.remove(key);
                        if self.controller.has_traces(key) {
                            self.unlooked.push_back((key.clone(), uid.clone()));
                        }
                    }
                    _ => {}
                }
                self.apply(change);
            }
            Told::Change(Heard::State(says)) => self.kept.see_state(says),
            Told::Synced(watch) => {
                if self.progress.synced(watch) {
                    self.apply(Change::Synced);
                }
            }
            Told::Absent(watch) => {
                if self.progress.absent(watch) {
                    self.apply(Change::Synced);
                }
            }
            Told::Failed(watch, error) => self.progress.failed(watch, &error),
        }
    }

    fn apply(&mut self, change: Change) {
        self.controller.apply(change);
        if self.progress.is_done() {
            self.kept.touch();
        }
    }

    fn on_written(&mut self, key: ServiceKey, written: Written) {
        match written {
            Written::Done(service, events) => {
                self.counted.writes += 1;
                self.troubles.remove(&key);
                self.is_free(&key);
                let view = ServiceView::read(&service, &self.settings.class);
                log_written(&view);
                self.answered(view);
                self.untold.extend(events);
            }
            Written::Changed(service) => {
                self.counted.conflicts += 1;
                let trouble = self.troubles.entry(key.clone()).or_default();
                self.pauses.push(pause(key, trouble.next_pause()).boxed());
                let view = ServiceView::read(&service, &self.settings.class);
                self.answered(view);
            }
            // The watch tells that it is gone.
            Written::Gone => {
                self.troubles.remove(&key);
                self.is_free(&key);
            }
            Written::Failed(error) => {
                self.counted.failures += 1;
                let trouble = self.troubles.entry(key.clone()).or_default();
                self.pauses.push(pause(key.clone(), trouble.next_pause()).boxed());
                if trouble.last != error {
                    tracing::warn!(service = %key, error, "a status cannot be written; trying again");
                    trouble.last = error;
                }
            }
        }
    }

    /// A Service may be written again.
    fn is_free(&mut self, key: &ServiceKey) {
        self.writing.remove(key);
        if self.again.remove(key) {
            self.controller.retry(key);
        }
    }

    /// What a write found there. It may have been deleted since, which the watch has told.
    fn answered(&mut self, view: ServiceView) {
        if self.controller.knows(&view.key, &view.object.uid) {
            self.apply(Change::Service(Box::new(view)));
        }
    }

    fn tell(&mut self, notices: &mut VecDeque<Notice>) {
        for news in self.controller.notices() {
            self.counted.note(&news);
            // What an object says of itself already was told before this process began.
            let is_old = matches!(&news, Notice::Problem(problem) if self.kept.shows(problem));
            self.untold.extend(event(&news).filter(|_| !is_old));
            notices.push_back(news);
        }
    }

    fn begin_writes(&mut self) {
        while self.writes.len() < WRITES_AT_ONCE
            && let Some(write) = self.controller.next_write()
        {
            // A second write of a Service waits for the first one's outcome.
            if self.writing.insert(write.key.clone()) {
                self.writes.push(timed(put(self.client.clone(), write)).boxed());
            } else {
                self.again.insert(write.key);
            }
        }
        if self.memory.is_empty()
            && let Some(write) = self.controller.next_memory()
        {
            let namespace = self.settings.namespace.clone();
            self.memory.push(put_memory(self.client.clone(), namespace, write).boxed());
        }
        while self.looks.len() < LOOKS_AT_ONCE
            && let Some((key, uid)) = self.unlooked.pop_front()
        {
            self.looks.push(look_again(self.client.clone(), key, uid).boxed());
        }
    }

    fn begin_events(&mut self) {
        let at_once = EVENTS_AT_ONCE[usize::from(self.writes.is_empty())];
        while self.events.len() < at_once
            && let Some(event) = self.untold.pop_front()
        {
            let recorder = self.recorder.clone();
            self.events.push(async move { recorder.send(event).await }.boxed());
        }
    }
}

/// A write, and how long it took.
async fn timed(write: impl Future<Output = (ServiceKey, Written)>) -> (ServiceKey, Written, Duration) {
    let began = Instant::now();
    let (key, written) = write.await;
    (key, written, began.elapsed())
}

/// Waits until a moment, in microseconds since the Unix epoch.
async fn until(deadline: Option<i64>) {
    let Some(deadline) = deadline else { return std::future::pending().await };
    let left = deadline - Timestamp::now().as_microsecond();
    let left = Duration::from_micros(u64::try_from(left).unwrap_or(0));
    // The clock may be set back meanwhile.
    tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
}

/// Whether MetalLB's webhook is there; nothing, if that cannot be found out.
async fn webhook_is_left(client: Client, after: Duration) -> Option<bool> {
    tokio::time::sleep(after).await;
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client);
    let found = tokio::time::timeout(Duration::from_secs(2), api.get_opt(WEBHOOK)).await;
    Some(found.ok()?.ok()?.is_some())
}

fn log_written(view: &ServiceView) {
    if view.wish == Wish::Nothing {
        return tracing::info!(service = %view.key, "asks for nothing any more");
    }
    let addresses: Vec<String> = view.addresses().iter().map(ToString::to_string).collect();
    let condition = view.condition(super::CONDITION);
    let why = condition.map_or("", |condition| condition.message.as_str());
    if addresses.is_empty() {
        tracing::info!(service = %view.key, why, "pending");
    } else {
        tracing::info!(service = %view.key, addresses = addresses.join(","), why, "assigned");
    }
}
