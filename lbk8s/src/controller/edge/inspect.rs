//! Questions about a running controller, and its answers: what a command line and a page render.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use lbcore::LostAddresses;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::Running;
use crate::Problem;
use crate::controller::Notice;
use crate::controller::view::{PoolView, ServicesView, Standing, State};
use crate::durations::Durations;

/// Questions that wait: whoever asks faster than they are answered waits.
const WAITING: usize = 16;
/// Services without an address that [`ControllerStatus::pending`] names.
const NAMED: usize = 100;
/// The upper ends of the classes in which durations are counted.
const UP_TO: [Duration; 9] = [
    Duration::from_micros(100),
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(10),
];

/// Asks the controller that runs with it, whenever one does: it runs only while it holds the Lease.
#[derive(Debug, Clone, Default)]
pub struct Inspector(Arc<Mutex<Option<mpsc::Sender<Question>>>>);

#[derive(Debug)]
pub(super) enum Question {
    Status(oneshot::Sender<ControllerStatus>),
    Services(oneshot::Sender<Vec<Standing>>),
}

impl Inspector {
    /// What a controller that begins to run is asked from now on.
    pub(super) fn open(&self) -> mpsc::Receiver<Question> {
        let (ask, asked) = mpsc::channel(WAITING);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ask);
        asked
    }

    async fn ask<A>(&self, question: impl FnOnce(oneshot::Sender<A>) -> Question) -> Option<A> {
        let ask = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let (answer, answered) = oneshot::channel();
        ask.send(question(answer)).await.ok()?;
        answered.await.ok()
    }

    /// How the controller is. One that does not run knows nothing: another process holds the Lease, or none can.
    pub async fn status(&self) -> ControllerStatus {
        self.ask(Question::Status).await.unwrap_or_default()
    }

    /// All Services that ask for an address, by name; none if the controller does not run.
    pub async fn services(&self) -> Vec<Standing> {
        self.ask(Question::Services).await.unwrap_or_default()
    }
}

/// How a controller is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControllerStatus {
    /// Whether it is the one that gives addresses. If not, nothing else is known.
    pub leader: bool,
    /// Since when it is.
    pub since: Option<Timestamp>,
    /// Whether the API server has told of everything, so that addresses are given.
    pub ready: bool,
    /// What it waits for, in words.
    pub waiting_for: Vec<String>,
    /// MetalLB's controller runs, so that this one writes nothing.
    pub held_back: bool,
    /// Where the pools in force were read: `IPAddressPool` or `ConfigMap`.
    pub source: Cow<'static, str>,
    /// The pools in force.
    pub pools: Vec<PoolView>,
    /// How many Services there are in each state.
    pub services: ServicesView,
    /// The Services without an address, and why: no more than a hundred of them.
    pub pending: Vec<Standing>,
    /// What is wrong with the configuration.
    pub problems: Vec<Problem>,
    /// What was counted since it is the one that gives addresses.
    pub counted: Counted,
    /// By which rules it gives them; nothing from one that does not say so.
    #[serde(default)]
    pub rules: Option<RulesView>,
}

/// By which rules a controller gives addresses, as it was started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RulesView {
    /// The `spec.loadBalancerClass` of the Services that it serves; nothing: those without one.
    pub class: Option<String>,
    /// Whether addresses that Services hold and no pool has any more are taken away.
    pub takes_lost_away: bool,
}

/// What was counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counted {
    /// Statuses of Services that were written.
    pub writes: u64,
    /// Those that were not, because the Service had changed meanwhile.
    pub conflicts: u64,
    /// Those that failed.
    pub failures: u64,
    /// Statuses that somebody else keeps changing.
    pub rivals: u64,
    /// Addresses that two controllers gave, or that turned out to be another station's.
    pub moved: u64,
    /// How long it took to take in a change, and how many there were.
    pub reconciles: Durations,
    /// How long it took to write a status.
    pub written: Durations,
}

impl Default for Counted {
    fn default() -> Self {
        let none = Durations::up_to(&UP_TO);
        let (writes, conflicts, failures, rivals, moved) = (0, 0, 0, 0, 0);
        Self { writes, conflicts, failures, rivals, moved, reconciles: none.clone(), written: none }
    }
}

impl Counted {
    pub(super) fn note(&mut self, notice: &Notice) {
        match notice {
            Notice::Rival { .. } => self.rivals += 1,
            Notice::Moved { .. } | Notice::Double { .. } => self.moved += 1,
            _ => {}
        }
    }
}

impl Running {
    pub(super) fn answer(&self, question: Question) {
        // Whoever asked may have gone: then nobody is told.
        match question {
            Question::Status(answer) => drop(answer.send(self.status())),
            Question::Services(answer) => drop(answer.send(self.controller.standings().collect())),
        }
    }

    fn status(&self) -> ControllerStatus {
        let mut services = ServicesView::default();
        let mut pending = Vec::new();
        // Before everything is known nobody waits in vain.
        if self.progress.is_done() {
            let standings: Vec<Standing> = self.controller.standings().collect();
            services = ServicesView::of(&standings);
            pending = standings.into_iter().filter(|it| it.state != State::Served).take(NAMED).collect();
        }
        ControllerStatus {
            leader: true,
            since: Some(self.began),
            ready: self.progress.is_done(),
            waiting_for: self
                .progress
                .unsynced()
                .map(|watch| format!("the API server's list of {watch}"))
                .collect(),
            held_back: self.controller.is_held_back(),
            source: self.controller.source().into(),
            pools: self.controller.pools(),
            services,
            pending,
            problems: self.controller.problems().cloned().collect(),
            counted: self.counted.clone(),
            rules: Some(RulesView {
                class: self.settings.class.clone(),
                takes_lost_away: self.settings.lost_addresses == LostAddresses::TakeAway,
            }),
        }
    }
}
