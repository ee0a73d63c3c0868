//! The edge of the speaker: watches, and carries the effects to the LAN and to the API server.

mod beginning;
mod effects;
mod facts;
mod failovers;
mod inspect;
mod lans;
mod members;
mod memory;
mod statuses;
mod together;
mod watches;
mod wire_view;
mod wiring;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, SelectAll};
use futures::{FutureExt, StreamExt};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use lbcore::ServiceKey;
use lbnet::membership::carrier::Carrier;
use lbnet::{Event as WireEvent, Layer2, MacAddr, Selection};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::effects::carry_out;
use self::facts::Facts;
use self::failovers::Failovers;
use self::inspect::Overlaps;
pub use self::inspect::{
    Counted, Inspector, InterfaceView, MemberView, Questions, SpeakerStatus, World, inspector,
};
use self::lans::Lans;
use self::memory::Memory;
pub use self::memory::State;
use self::statuses::Says as Status;
use self::together::Together;
use self::watches::{Heard, WATCHES, watches};
pub use self::wire_view::{ConflictView, FramesView, WireView};
pub use self::wiring::{Beside, Members, Settings, Wiring, Word};
use super::on_wire::OnWire;
use super::team::REBALANCE;
use super::{Change, Effect, Speaker};
use crate::Problem;
use crate::configuration_state::{self, Component, Says};
use crate::events::{Event, Recorder};
use crate::objects::exclude;
use crate::objects::leftovers::SELECTORS;
use crate::upkeep::Upkeep;
use crate::watching::{Progress, Told, Watch};

/// Events on their way at once: nobody waits for them.
const EVENTS_AT_ONCE: usize = 4;

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// How long a speaker that ends waits until others have taken what it has.
const HANDING_OVER: Duration = Duration::from_secs(5);
/// How long it waits until they know that it has ceased to answer.
const LAST_WORD: Duration = Duration::from_millis(300);

/// Runs the speaker until `stop` ends and others have taken over what it answers for, or until the future is dropped. It
/// ends by itself only if the thread that answers has ended; false then.
pub async fn run(client: Client, settings: Settings, wiring: Wiring, stop: impl Future<Output = ()>) -> bool {
    let (end, ended) = oneshot::channel();
    let mut speaking = boxed(client, settings, wiring, ended);
    tokio::select! {
        done = &mut speaking => return done,
        () = stop => {}
    }
    // The receiver is gone only if the speaker has ended.
    let _ = end.send(());
    speaking.await
}

/// Boxes the future of the speaker: each crate that awaits an unboxed one compiles it again.
fn boxed(
    client: Client,
    settings: Settings,
    wiring: Wiring,
    stop: oneshot::Receiver<()>,
) -> BoxFuture<'static, bool> {
    speak(client, settings, wiring, stop).boxed()
}

async fn speak(client: Client, settings: Settings, wiring: Wiring, mut stop: oneshot::Receiver<()>) -> bool {
    let Wiring { layer2, mut wire, members, mut questions, beside } = wiring;
    let (carrier, mut news) = members.unzip();
    let (listener, mut says) = beside.map(|beside| (beside.news, beside.says)).unzip();
    let mut running = Running::new(&client, settings, layer2, carrier);
    if says.is_some() && running.settings.rules.members_are_nodes {
        running.adopted = None;
    }
    loop {
        let due = running.due();
        tokio::select! {
            Some(told) = running.watches.next() => running.hear(told),
            told = next(&mut news) => {
                // Without the others' voices nothing may be answered: a new process is better.
                let Some(told) = told else { return false };
                // Whoever listens may have gone.
                let _ = listener.as_ref().map(|listener| listener.send(told.clone()));
                running.on_news(told);
            }
            event = wire.recv() => {
                // Without the thread that answers there is nothing left to do.
                let Some(event) = event else { return false };
                running.on_wire_event(event);
            }
            told = running.on_wire.confirmed(&running.speaker) => running.untold.extend(told),
            () = running.facts.work() => {}
            () = until(due) => {}
            () = running.statuses.work() => {}
            () = running.state.work() => {}
            Some(()) = running.events.next() => {}
            Some(()) = running.together.obeyed.next() => running.together.tell(),
            () = running.memory.work() => running.write_down(),
            Some(word) = next(&mut says) => running.on_word(word),
            question = Questions::next(&mut questions) => running.answer(question),
            Some(()) = running.replies.next() => {}
            Ok(()) = &mut stop, if running.leaving.is_none() => running.leave(),
        }
        running.take_note_of_time();
        running.begin_if_ready();
        running.begin_events();
        running.share();
        if running.may_end() {
            running.together.say_goodbye().await;
            if running.begun {
                let known = running.known();
                running.memory.finish(known).await;
            }
            return true;
        }
    }
}

async fn next<T>(news: &mut Option<mpsc::UnboundedReceiver<T>>) -> Option<T> {
    match news {
        Some(news) => news.recv().await,
        None => std::future::pending().await,
    }
}

struct Running {
    settings: Settings,
    layer2: Layer2,
    speaker: Speaker,
    watches: SelectAll<Watch<Heard>>,
    progress: Progress,
    recorder: Recorder,
    on_wire: OnWire,
    facts: Facts,
    statuses: Upkeep<String, Status>,
    state: Upkeep<(), Says>,
    begun: bool,
    /// Until when it is waited that other nodes can know of this one.
    patience: Option<Instant>,
    /// The Services that this node answered for before it started: nobody has to be told again.
    before: BTreeSet<String>,
    /// The hardware addresses of other nodes.
    members: BTreeMap<String, BTreeSet<MacAddr>>,
    /// Where the other nodes are on the LANs of this one.
    lans: Lans,
    /// What is wrong with `metallb-excludel2`.
    exclude_problem: Option<Problem>,
    untold: VecDeque<Event>,
    events: FuturesUnordered<BoxFuture<'static, ()>>,
    together: Together,
    /// Where the speakers of other nodes may be.
    places: BTreeMap<String, BTreeSet<IpAddr>>,
    start: Instant,
    /// The same moment on the calendar.
    began: Timestamp,
    /// Since when this speaker is about to end.
    leaving: Option<Instant>,
    memory: Memory,
    /// This speaker began with what the process before it knew, and the API server has not told everything yet.
    from_disk: bool,
    failovers: Failovers,
    overlaps: Overlaps,
    /// Addresses that Services are to have before this speaker begins; none before that is known. Nothing is waited for if
    /// nobody would say so.
    adopted: Option<BTreeSet<IpAddr>>,
    /// The words by which others were asked for an even spread last, where no API server tells that.
    words: BTreeMap<String, Option<Vec<u8>>>,
    /// Answers that wait for the thread of members.
    replies: FuturesUnordered<BoxFuture<'static, ()>>,
    /// The last word by which somebody asked for an even spread; empty if nobody has, and none before that is known.
    rebalanced: Option<String>,
}

impl Running {
    fn new(client: &Client, mut settings: Settings, layer2: Layer2, carrier: Option<Carrier>) -> Self {
        let component = Component::Speaker(settings.node.clone());
        let (memory, last) = Memory::open(settings.state.take(), settings.rules.members_are_nodes);
        let mut running = Self {
            watches: watches(client, &settings),
            progress: Progress::new(WATCHES),
            speaker: Speaker::new(&settings.node, settings.rules),
            recorder: Recorder::new(client.clone(), "metallb-speaker", &settings.node),
            on_wire: OnWire::new(&settings.node),
            facts: Facts::new(client, &settings.namespace, &settings.node),
            statuses: statuses::keep(client, &settings.namespace, &settings.node),
            state: configuration_state::keep(client, &settings.namespace, &component),
            begun: false,
            patience: None,
            before: BTreeSet::new(),
            members: BTreeMap::new(),
            lans: Lans::default(),
            exclude_problem: None,
            untold: VecDeque::new(),
            events: FuturesUnordered::new(),
            together: Together::new(carrier),
            places: BTreeMap::new(),
            start: Instant::now(),
            began: Timestamp::now(),
            leaving: None,
            memory,
            from_disk: false,
            failovers: Failovers::default(),
            overlaps: Overlaps::default(),
            adopted: Some(BTreeSet::new()),
            words: BTreeMap::new(),
            replies: FuturesUnordered::new(),
            rebalanced: None,
            layer2,
            settings,
        };
        running.speaker.count_from(u64::try_from(running.began.as_microsecond()).unwrap_or_default());
        if let Some(last) = last {
            running.places.clone_from(&last.places);
            if let Some(map) = &last.configuration.exclude {
                running.on_exclude(Some(exclude::read(map)));
            }
            for (node, macs) in &last.macs {
                running.set_macs(node, Some(macs.iter().filter_map(|mac| mac.parse().ok()).collect()));
            }
            running.speaker.recall(last);
            // While the API server is waited for, the others can be, too.
            running.together.set_peers(&running.places);
            running.together.expect(running.places.keys());
        }
        running
    }

    /// When something is to be done although nothing happens.
    fn due(&self) -> Option<Instant> {
        // What is due while this process may not answer is looked at when it may.
        let may = !self.begun || !self.together.is_there() || self.together.may_answer();
        let own = self.speaker.deadline().filter(|_| may).map(|after| self.start + after);
        let leaving = self.leaving.map(|since| since + HANDING_OVER);
        let patience = self.patience.filter(|_| !self.together.is_there() || self.together.joined);
        patience.into_iter().chain(own).chain(leaving).chain(self.due_from_disk()).min()
    }

    fn hear(&mut self, told: Told<Heard>) {
        if let Told::Change(heard) = &told {
            self.memory.note(heard);
        }
        match told {
            Told::Change(Heard::Change(change)) => {
                let about_configuration =
                    matches!(*change, Change::Config(_) | Change::Leftover(..) | Change::PodGone(..));
                self.apply(*change);
                if about_configuration {
                    self.say_state();
                }
            }
            Told::Change(Heard::Node(node)) => {
                let (node, addresses, rebalance) = *node;
                self.on_rebalance(&node.name, rebalance.unwrap_or_default());
                self.on_node(&node.name, Some(&addresses));
                self.apply(Change::Node(node));
            }
            Told::Change(Heard::NodeGone(name)) => {
                self.on_node(&name, None);
                self.apply(Change::NodeGone(name));
            }
            Told::Change(Heard::Facts(name, facts)) => self.on_facts(name, facts),
            Told::Change(Heard::Status(name, status)) => {
                if (!self.begun || self.from_disk) && status.is_some() {
                    self.before.insert(name.clone());
                }
                self.statuses.seen(name, status);
            }
            Told::Change(Heard::State(says)) => self.state.seen((), says),
            Told::Change(Heard::Exclude(read)) => self.on_exclude(read.map(|read| read.0)),
            Told::Synced(watch) => {
                self.progress.synced(watch);
                self.forget_vanished(watch);
            }
            Told::Absent(watch) => {
                self.progress.absent(watch);
                self.forget_vanished(watch);
            }
            Told::Failed(watch, error) => self.progress.failed(watch, &error),
        }
    }

    /// What only the process before this one knew is gone.
    fn forget_vanished(&mut self, watch: &'static str) {
        // Of a pod either of two watches may tell.
        let is_of_pods = SELECTORS.iter().any(|(name, _)| *name == watch);
        let waits = |name: &str| self.progress.unsynced().any(|it| it == name);
        let watch = match is_of_pods {
            true if SELECTORS.iter().any(|(name, _)| waits(name)) => return,
            true => SELECTORS[1].0,
            false => watch,
        };
        for heard in self.memory.vanished(watch) {
            self.hear(Told::Change(heard));
        }
    }

    fn on_word(&mut self, word: Word) {
        match word {
            Word::Records(records) if self.together.is_there() => self.together.changes.extend(records),
            Word::Records(_) => {}
            Word::Failing(services) => self.apply(Change::Failing(services)),
            Word::Adopted(addresses) => self.adopted = Some(addresses),
        }
    }

    /// Somebody asks for an even spread, by a word that is not the one of before.
    fn on_rebalance(&mut self, node: &str, word: String) {
        if node != self.settings.node {
            return;
        }
        let is_news = self.rebalanced.as_ref().is_some_and(|before| *before != word) && !word.is_empty();
        if self.settings.rules.members_are_nodes && is_news {
            self.together.changes.push((REBALANCE.to_owned(), Some(word.clone().into_bytes())));
        }
        self.rebalanced = Some(word);
        if self.begun && is_news {
            tracing::info!("addresses are spread evenly again, as somebody asks for");
            self.apply(Change::Rebalance);
        }
    }

    fn apply(&mut self, change: Change) {
        self.speaker.set_clock(self.start.elapsed());
        let mut overlapped = BTreeSet::new();
        for effect in self.speaker.apply(change) {
            if let Effect::Withdraw { address, .. } = &effect {
                self.on_wire.withdrawn(*address);
                self.failovers.withdrawn(*address);
            }
            match &effect {
                Effect::Owner { address, why: Some(why), .. } => self.failovers.took(*address, why),
                // A shared address is told of to each of its Services, and counts once.
                Effect::Overlap { address, apart, .. } if overlapped.insert(*address) => {
                    self.overlaps.count += 1;
                    self.overlaps.time += *apart;
                }
                _ => {}
            }
            let known = matches!(&effect, Effect::Owner { service, .. } if self.was_ours(service));
            let told = carry_out(effect, &self.layer2, &self.settings.node);
            self.untold.extend(told.filter(|_| !known));
        }
        self.facts.set_taken(self.on_wire.taken());
        for service in self.speaker.changed() {
            self.say_status(&service);
        }
    }

    /// Whether this node answered for a Service before this process began.
    fn was_ours(&self, service: &crate::ObjectRef) -> bool {
        let key = service.key();
        [false, true].iter().any(|second| self.before.contains(&statuses::name(&key, *second)))
    }

    fn say_status(&mut self, service: &ServiceKey) {
        let owned: Vec<IpAddr> = self.speaker.owned_of(service).collect();
        // If no node can answer for both families, each of two answers for one.
        let second = self.speaker.owns_second_family_alone(service);
        let status = (!owned.is_empty()).then(|| {
            let placed = owned.iter().filter_map(|address| self.on_wire.placed(*address)).flatten();
            let interfaces: BTreeSet<String> = placed.cloned().collect();
            let interfaces: Vec<String> = interfaces.into_iter().collect();
            statuses::status(&self.settings.node, service, &interfaces)
        });
        // An address is placed a moment after it is owned: then it is worth saying.
        let is_placed = status.as_ref().is_none_or(|status| !status.interfaces.is_empty());
        for (name, is_it) in
            [(statuses::name(service, false), !second), (statuses::name(service, true), second)]
        {
            let says = status.clone().filter(|_| is_it);
            if says.is_none() && self.statuses.wanted(&name).is_none_or(Option::is_none) {
                continue;
            }
            if says.is_none() || is_placed {
                self.statuses.want(name, says);
            }
        }
    }

    fn on_wire_event(&mut self, event: WireEvent) {
        match &event {
            WireEvent::Interfaces(interfaces) => {
                self.facts.set_interfaces(interfaces.clone());
                self.lans.set_own(interfaces.clone());
                self.know_lans();
                self.know_own_facts();
            }
            WireEvent::Placed { address, interfaces, .. } => {
                let address = *address;
                if !interfaces.is_empty() {
                    self.failovers.placed(address);
                }
                let told = self.on_wire.tell(event, &self.speaker);
                self.untold.extend(told);
                self.facts.set_taken(self.on_wire.taken());
                let services: Vec<ServiceKey> = self.speaker.keys_of(address).cloned().collect();
                for service in &services {
                    self.say_status(service);
                }
                return;
            }
            _ => {}
        }
        let told = self.on_wire.tell(event, &self.speaker);
        self.untold.extend(told);
        self.facts.set_taken(self.on_wire.taken());
    }

    fn on_facts(&mut self, name: String, facts: Option<Box<crate::objects::facts::NodeFacts>>) {
        let interfaces = facts.as_ref().map(|facts| facts.spec.interfaces());
        let taken = facts.iter().flat_map(|facts| &facts.spec.taken);
        let taken: BTreeSet<IpAddr> = taken.filter_map(|taken| taken.address.parse().ok()).collect();
        // Of this node itself counts what the process before this one found: what it finds is known on the wire.
        if name != self.settings.node || (!self.begun && !taken.is_empty()) {
            self.apply(Change::Taken(name.clone(), taken));
        }
        if name == self.settings.node {
            self.facts.seen(facts.map(|facts| facts.spec));
        } else {
            // What its speaker says itself is newer.
            if !self.speaker.tells_itself(&name) {
                self.set_macs(&name, facts.as_ref().map(|facts| facts.spec.macs().collect()));
                self.lans.set_other(&name, facts.as_ref().map(|facts| &facts.spec));
                self.know_lans();
            }
        }
        self.apply(Change::Facts(name, interfaces));
    }

    fn on_exclude(&mut self, read: Option<Result<Vec<lbnet::Pattern>, Problem>>) {
        let left_out = match read {
            None => self.settings.interfaces.left_out.clone(),
            Some(Ok(patterns)) => patterns,
            Some(Err(problem)) => {
                tracing::warn!(object = %problem.object, path = problem.path, "{}", problem.message);
                self.exclude_problem = Some(problem);
                return self.say_state();
            }
        };
        self.exclude_problem = None;
        self.layer2.set_interfaces(Selection { left_out, ..self.settings.interfaces.clone() });
        self.say_state();
    }

    fn say_state(&mut self) {
        if self.begun {
            let problems = self.speaker.problems();
            self.state.want((), configuration_state::says(problems.iter().chain(&self.exclude_problem)));
        }
    }

    fn begin_events(&mut self) {
        while self.events.len() < EVENTS_AT_ONCE
            && let Some(event) = self.untold.pop_front()
        {
            let recorder = self.recorder.clone();
            self.events.push(async move { recorder.send(event).await }.boxed());
        }
    }
}
