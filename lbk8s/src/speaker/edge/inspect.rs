//! Questions about a running speaker, and its answers: what a command line and a page render.

use std::net::IpAddr;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::jiff::Timestamp;
use lbnet::membership::Counters;
use lbnet::membership::carrier::Snapshot;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::Running;
use super::wire_view::WireView;
use crate::Problem;
use crate::durations::Durations;
use crate::speaker::view::{AddressExplained, AddressView, MoveView};

/// Questions that wait: whoever asks faster than they are answered waits.
const WAITING: usize = 16;

/// Asks a speaker that runs with it.
#[derive(Debug, Clone)]
pub struct Inspector(mpsc::Sender<Question>);

/// What [`Inspector`] asks; [`super::run`] takes it.
#[derive(Debug)]
pub struct Questions(mpsc::Receiver<Question>);

/// The two ends.
#[must_use]
pub fn inspector() -> (Inspector, Questions) {
    let (ask, asked) = mpsc::channel(WAITING);
    (Inspector(ask), Questions(asked))
}

impl Questions {
    pub(super) async fn next(questions: &mut Option<Self>) -> Question {
        match questions {
            Some(Self(asked)) => match asked.recv().await {
                Some(question) => question,
                // Nobody will ask any more.
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }
}

#[derive(Debug)]
pub(super) enum Question {
    Status(oneshot::Sender<SpeakerStatus>),
    Addresses(oneshot::Sender<Vec<AddressView>>),
    Address(IpAddr, oneshot::Sender<Option<AddressExplained>>),
    Moves(oneshot::Sender<Vec<MoveView>>),
}

impl Inspector {
    async fn ask<A>(&self, question: impl FnOnce(oneshot::Sender<A>) -> Question) -> Option<A> {
        let (answer, answered) = oneshot::channel();
        self.0.send(question(answer)).await.ok()?;
        answered.await.ok()
    }

    /// How the speaker is; nothing if it has ended.
    pub async fn status(&self) -> Option<SpeakerStatus> {
        self.ask(Question::Status).await
    }

    /// All addresses of Services, and who answers for each; nothing if the speaker has ended.
    pub async fn addresses(&self) -> Option<Vec<AddressView>> {
        self.ask(Question::Addresses).await
    }

    /// The moves that the speaker has heard of lately, the last one first; nothing if it has ended.
    pub async fn moves(&self) -> Option<Vec<MoveView>> {
        self.ask(Question::Moves).await
    }

    /// All that is known of an address: nothing inside if no Service has it, and nothing at all if the speaker has ended.
    pub async fn address(&self, address: IpAddr) -> Option<Option<AddressExplained>> {
        self.ask(|answer| Question::Address(address, answer)).await
    }
}

/// Where what a speaker knows came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum World {
    /// It does not know enough yet.
    None,
    /// From what the process before this one knew: the API server has not told everything yet.
    Disk,
    /// From the API server.
    Server,
}

/// How a speaker is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpeakerStatus {
    /// Its node.
    pub node: String,
    /// When it started.
    pub started: Timestamp,
    /// Whether it answers for whatever it owns: it knows the world, and others were heard or waited for.
    pub ready: bool,
    /// What it waits for, in words.
    pub waiting_for: Vec<String>,
    /// Where what it knows came from.
    pub world: World,
    /// It is about to end.
    pub leaving: bool,
    /// MetalLB's speakers run, so that this one answers for nothing.
    pub held_back: bool,
    /// Its interfaces that can answer.
    pub interfaces: Vec<InterfaceView>,
    /// The speakers of other nodes.
    pub members: Vec<MemberView>,
    /// How many addresses of Services there are, and for how many of them this node answers.
    pub addresses: usize,
    /// For how many of them this node answers.
    pub owned: usize,
    /// For how many of them nobody does, because no node can.
    pub unanswered: usize,
    /// What is wrong with the configuration, as far as this speaker reads it.
    pub problems: Vec<Problem>,
    /// What was counted.
    pub counted: Counted,
    /// What it has answered and announced.
    pub wire: WireView,
}

/// An interface that can answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InterfaceView {
    /// Its name.
    pub name: String,
    /// Its hardware address.
    pub mac: String,
    /// The subnets that it carries.
    pub subnets: Vec<String>,
    /// Whether this node is heard there by others, as far as is known.
    pub heard: bool,
}

/// The speaker of another node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberView {
    /// Its node.
    pub node: String,
    /// Whether it is heard.
    pub alive: bool,
    /// Where it was heard from last.
    pub at: Option<String>,
    /// Seconds since then.
    pub silent_seconds: Option<f64>,
    /// Whether this node is to notice when it falls silent.
    pub watched: bool,
    /// How many addresses it answers for.
    pub owned: usize,
}

/// What was counted since the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counted {
    /// How often an address lost its owner, as this speaker saw it.
    pub moves: u64,
    /// How often this node and one that it could not hear answered for the same address.
    pub overlaps: u64,
    /// For how long those could not hear each other, in all, in seconds.
    pub overlap_seconds: f64,
    /// How long addresses of dead nodes were unanswered: from the last heartbeat that was heard to the answer of this node.
    pub failovers: Durations,
    /// Datagrams sent to other speakers.
    pub datagrams_sent: u64,
    /// Bytes in them.
    pub bytes_sent: u64,
    /// Heartbeats among them.
    pub heartbeats_sent: u64,
    /// Datagrams of other speakers that were heard.
    pub datagrams_heard: u64,
    /// Those that were too old, or came twice.
    pub datagrams_stale: u64,
    /// Silences that were noticed, and those of them that others explained.
    pub suspicions: u64,
    /// Those of them that others explained.
    pub explained: u64,
    /// Deaths that this speaker declared.
    pub deaths: u64,
}

/// How often two nodes answered for one address.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Overlaps {
    pub(super) count: u64,
    pub(super) time: Duration,
}

impl Running {
    pub(super) fn answer(&mut self, question: Question) {
        // Whoever asked may have gone: then nobody is told.
        match question {
            Question::Status(answer) => {
                let mut status = self.status();
                let (snapshot, wire) = (self.together.snapshot(), self.layer2.snapshot());
                let (start, began) = (self.start, self.began);
                let reply = async move {
                    status.wire = WireView::of(wire.await, start, began);
                    if let Some(snapshot) = snapshot {
                        fill_in(&mut status, snapshot.await);
                    }
                    let _ = answer.send(status);
                };
                self.replies.push(reply.boxed());
            }
            Question::Addresses(answer) => {
                let views = self.speaker.addresses().filter_map(|it| self.speaker.view(it, self.began));
                let views = views.map(|view| AddressView { interfaces: self.placed(view.address), ..view });
                let _ = answer.send(views.collect());
            }
            Question::Address(address, answer) => {
                let explained = self.speaker.explain(address, self.began).map(|explained| {
                    let view = AddressView { interfaces: self.placed(address), ..explained.view };
                    AddressExplained { view, ..explained }
                });
                let _ = answer.send(explained);
            }
            Question::Moves(answer) => drop(answer.send(self.speaker.moved(self.began))),
        }
    }

    fn placed(&self, address: IpAddr) -> Vec<String> {
        self.on_wire.placed(address).unwrap_or_default().to_vec()
    }

    /// What is waited for before this speaker answers.
    fn waiting_for(&self) -> Vec<String> {
        let mut waiting = Vec::new();
        if !self.is_known() {
            waiting.extend(self.progress.unsynced().map(|watch| format!("the API server's list of {watch}")));
        }
        if self.together.is_there() && !self.together.joined {
            waiting.push("the speakers of other nodes".to_owned());
        }
        if self.facts.current().is_none() {
            waiting.push("the interfaces of this node".to_owned());
        }
        if waiting.is_empty() && !self.begun {
            waiting.push("this node's facts to be written".to_owned());
        }
        if !self.speaker.is_node() && self.begun {
            waiting.push(format!("a Node object named {}", self.settings.node));
        }
        waiting
    }

    fn status(&self) -> SpeakerStatus {
        let world = match (self.begun, self.from_disk) {
            (false, _) => World::None,
            (true, true) => World::Disk,
            (true, false) => World::Server,
        };
        let facts = self.facts.current();
        let interfaces = facts.iter().flat_map(|facts| &facts.interfaces).map(|it| InterfaceView {
            name: it.name.clone(),
            mac: it.mac.clone(),
            subnets: it.subnets.clone(),
            heard: !it.unheard,
        });
        let load = self.speaker.load();
        let member = |(node, alive): (&str, bool)| MemberView {
            node: node.to_owned(),
            alive,
            at: None,
            silent_seconds: None,
            watched: false,
            owned: load.and_then(|load| load.get(node)).copied().unwrap_or_default(),
        };
        let others = self.speaker.nodes().filter(|node| *node != self.settings.node);
        SpeakerStatus {
            node: self.settings.node.clone(),
            started: self.began,
            ready: self.begun && (!self.together.is_there() || self.together.may_answer()),
            waiting_for: self.waiting_for(),
            world,
            leaving: self.leaving.is_some(),
            held_back: self.speaker.is_held_back(),
            interfaces: interfaces.collect(),
            members: others.map(|node| member((node, self.speaker.hears(node)))).collect(),
            addresses: self.speaker.addresses().count(),
            owned: self.speaker.owned().count(),
            unanswered: self.speaker.unanswered(),
            problems: self.speaker.problems().into_iter().chain(self.exclude_problem.clone()).collect(),
            wire: WireView::default(),
            counted: Counted {
                moves: self.speaker.moves(),
                overlaps: self.overlaps.count,
                overlap_seconds: self.overlaps.time.as_secs_f64(),
                failovers: self.failovers.durations().clone(),
                ..Counted::of(&Counters::default())
            },
        }
    }
}

impl Counted {
    fn of(counters: &Counters) -> Self {
        Self {
            moves: 0,
            overlaps: 0,
            overlap_seconds: 0.0,
            failovers: Durations::default(),
            datagrams_sent: counters.sent,
            bytes_sent: counters.sent_bytes,
            heartbeats_sent: counters.beats,
            datagrams_heard: counters.heard,
            datagrams_stale: counters.stale,
            suspicions: counters.suspicions,
            explained: counters.explained,
            deaths: counters.deaths,
        }
    }
}

/// Adds what only the thread of members knows.
fn fill_in(status: &mut SpeakerStatus, snapshot: Snapshot) {
    let counted = status.counted.clone();
    status.counted = Counted {
        moves: counted.moves,
        overlaps: counted.overlaps,
        overlap_seconds: counted.overlap_seconds,
        failovers: counted.failovers,
        ..Counted::of(&snapshot.counters)
    };
    for member in snapshot.members {
        let view = MemberView {
            alive: member.alive,
            at: member.at.map(|at| at.to_string()),
            silent_seconds: member.silent.map(|silent| silent.as_secs_f64()),
            watched: member.watched,
            owned: 0,
            node: member.name,
        };
        match status.members.iter_mut().find(|known| known.node == view.node) {
            Some(known) => *known = MemberView { owned: known.owned, ..view },
            None => status.members.push(view),
        }
    }
    status.members.sort_by(|a, b| a.node.cmp(&b.node));
}
