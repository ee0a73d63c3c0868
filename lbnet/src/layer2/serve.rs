//! The loop: takes in commands, changes of the interfaces, claims and deadlines, and carries out what the state
//! machines say.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use pnet_base::MacAddr;
use tokio::sync::mpsc;

use super::held::{Held, Mode};
use super::listening::{Listening, Refusal};
use super::ports::{Followed, Ports};
use super::readers::Shared;
use super::snapshot::{Conflict, InterfaceSnapshot, Snapshot};
use super::{Command, Event, Probed, Settings, StartError};
use crate::announcer::Due;
use crate::conflict::Conflicts;
use crate::filter::Protocol;
use crate::host::{ArpIgnore, kernel_answers};
use crate::interface::Unusable;
use crate::interface::monitor::{Monitor, Told};
use crate::interface::table::Change;
use crate::probe::{Probes, Step};
use crate::responder::{Asker, Claim, Port, Responder};
use crate::wire::{Advertisement, ArpFrame, Operation, Solicitation};
use crate::{Announcer, Interface, Rule, Segments};

/// How long to wait before the interfaces are followed again after the kernel closed the connection.
const NETLINK_RETRY: Duration = Duration::from_millis(200);

/// Commands that are obeyed, and announcements that are sent, before the readers have their turn.
const AT_A_TIME: usize = 32;
/// The pause between two such lots of announcements.
const BREATH: Duration = Duration::from_millis(1);

/// Neighbours that asked for an address within this time are told of a change each by itself: longer than most
/// caches keep what they do not use.
const RECENTLY: Duration = Duration::from_mins(10);

/// New addresses that are probed at a time; more are announced at once, so that a rush of them takes none of the
/// frames that announcements need.
const MOST_PROBED: usize = 50;

pub(super) struct Loop {
    settings: Settings,
    monitor: Monitor,
    ports: Ports,
    groups: Listening,
    refusals: mpsc::UnboundedReceiver<Refusal>,
    segments: Segments,
    /// The interfaces that answer, as they were when every address was placed last.
    answering: Vec<Interface>,
    shared: Shared,
    conflicts: Conflicts,
    probes: Probes,
    claims: mpsc::UnboundedReceiver<Claim>,
    held: BTreeMap<IpAddr, Held>,
    /// No announcement before this.
    breathing: Option<Instant>,
    announced: u64,
    events: mpsc::UnboundedSender<Event>,
}

impl Loop {
    pub(super) async fn open(
        settings: Settings,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<Self, StartError> {
        let monitor = Monitor::open().await.map_err(StartError::Netlink)?;
        let interfaces = monitor.table().interfaces();
        let there: Vec<String> = interfaces.values().map(|it| it.name.clone()).collect();
        let mut chosen = settings.interfaces.only.iter().filter_map(|pattern| pattern.name());
        if let Some(name) = chosen.find(|name| !there.iter().any(|there| there == name)) {
            return Err(StartError::NoInterface { name: name.to_owned(), there });
        }
        let (claims, heard_claims) = mpsc::unbounded_channel();
        let (refused, refusals) = mpsc::unbounded_channel();
        let groups = Listening::start(refused).map_err(StartError::Thread)?;
        let shared = Shared {
            responder: std::rc::Rc::new(Responder::default().into()),
            announcer: std::rc::Rc::new(Announcer::new(settings.profile).into()),
            claims,
        };
        let mut serving = Self {
            ports: Ports::new(shared.clone(), settings.echo),
            conflicts: Conflicts::new(settings.conflicts),
            probes: Probes::new(settings.probe),
            settings,
            monitor,
            groups,
            refusals,
            segments: Segments::default(),
            answering: Vec::new(),
            shared,
            claims: heard_claims,
            held: BTreeMap::new(),
            breathing: None,
            announced: 0,
            events,
        };
        serving.follow_interfaces();
        Ok(serving)
    }

    pub(super) async fn run(&mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        let mut obeyed = 0;
        loop {
            let deadline = self.deadline();
            let due = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                told = self.monitor.changed() => self.on_netlink(told).await,
                Some(claim) = self.claims.recv() => self.on_claim(claim),
                Some((index, error)) = self.refusals.recv() => {
                    self.tell(Event::NoGroup { interface: self.name(index), error });
                }
                () = due => {}
            }
            self.on_time(Instant::now());
            obeyed += 1;
            if obeyed % AT_A_TIME == 0 {
                // Commands, claims and messages of the kernel may come without end; frames are read in between.
                tokio::task::yield_now().await;
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let announcing = self.shared.announcer.borrow().deadline();
        let announcing = announcing.map(|at| self.breathing.map_or(at, |breathing| breathing.max(at)));
        [announcing, self.ports.deadline(), self.probes.deadline(), self.conflicts.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    fn on_time(&mut self, now: Instant) {
        self.ports.narrow(now);
        for step in self.probes.due(now) {
            match step {
                Step::Ask(address) => self.ask(address),
                Step::Free(address) => self.is_free(address),
            }
        }
        for (address, mac) in self.conflicts.expire(now) {
            self.tell(Event::ConflictOver { address, mac });
        }
        self.announce_due(now);
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Announce { address, rule, is_new } => self.take(address, rule, is_new),
            Command::Probe { address, rule, tell } => {
                match self.held.get_mut(&address).map(|it| &mut it.mode) {
                    None => {
                        self.held.insert(address, Held::new(rule, Mode::Probing(vec![tell])));
                        self.place(address);
                        self.start_probe(address);
                    }
                    Some(Mode::Probing(waiting)) => waiting.push(tell),
                    // Whoever asked may have gone.
                    Some(Mode::Answering | Mode::Waiting) => std::mem::drop(tell.send(Probed::NotAsked)),
                }
            }
            Command::Withdraw(address) => self.withdraw(address),
            Command::Members(members) => self.conflicts.set_members(members),
            Command::Snapshot(answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.snapshot());
            }
        }
    }

    /// The address is ours from now on, or is ours by another rule.
    fn take(&mut self, address: IpAddr, rule: Rule, is_new: bool) {
        let probes = is_new && self.probes.len() < MOST_PROBED;
        match self.held.get_mut(&address) {
            None => {
                let mode = if probes { Mode::Waiting } else { Mode::Answering };
                self.held.insert(address, Held::new(rule, mode));
                self.place(address);
                if probes {
                    self.start_probe(address);
                }
            }
            Some(held) if held.is_answering() && held.rule == rule => {}
            // One that was found taken, or is being probed, stays so unless it is not new any more.
            Some(held) if is_new && !held.is_answering() => {
                held.tell(Probed::NotAsked);
                held.rule = rule;
                held.mode = Mode::Waiting;
                self.place(address);
            }
            Some(held) => {
                held.tell(Probed::NotAsked);
                held.rule = rule;
                self.answer(address);
            }
        }
    }

    /// Answers from now on for an address that may have waited for that.
    fn answer(&mut self, address: IpAddr) {
        self.probes.stop(address);
        self.shared.responder.borrow_mut().set_probed(address, false);
        if let Some(held) = self.held.get_mut(&address) {
            if !held.is_answering() {
                held.mode = Mode::Answering;
                // It was heard of at these places, but not answered.
                held.at.clear();
            }
            self.place(address);
        }
    }

    fn withdraw(&mut self, address: IpAddr) {
        let Some(mut held) = self.held.remove(&address) else { return };
        held.tell(Probed::NotAsked);
        self.probes.stop(address);
        self.conflicts.forget(address);
        self.shared.responder.borrow_mut().remove(address);
        let now = Instant::now();
        for index in held.at {
            self.shared.announcer.borrow_mut().withdraw((address, index));
            self.ports.ignore(index, address, now);
        }
        if let IpAddr::V6(address) = address {
            self.groups.ignore(address);
        }
    }

    fn start_probe(&mut self, address: IpAddr) {
        let nowhere = self.held.get(&address).is_none_or(|held| held.at.is_empty());
        if nowhere {
            // Nobody can be asked, and nobody could be answered.
            return self.is_free(address);
        }
        self.shared.responder.borrow_mut().set_probed(address, true);
        self.probes.start(address, Instant::now());
    }

    fn ask(&mut self, address: IpAddr) {
        let Some(held) = self.held.get(&address) else { return };
        for index in held.at.clone() {
            let Some(mac) = self.ports.mac(index) else { continue };
            let sent = match address {
                IpAddr::V4(v4) => {
                    let frame = ArpFrame::request(mac, std::net::Ipv4Addr::UNSPECIFIED, v4);
                    self.ports.send(index, Protocol::Arp, &frame.to_bytes())
                }
                IpAddr::V6(v6) => {
                    let frame = Solicitation::multicast(mac, std::net::Ipv6Addr::UNSPECIFIED, v6);
                    self.ports.send(index, Protocol::Ipv6, &frame.to_bytes())
                }
            };
            self.announced += u64::from(sent);
            self.shared.announcer.borrow_mut().spend(1);
        }
    }

    fn is_free(&mut self, address: IpAddr) {
        let Some(held) = self.held.get_mut(&address) else { return };
        if let Mode::Probing(_) = held.mode {
            let probed = if held.at.is_empty() { Probed::NotAsked } else { Probed::Free };
            held.tell(probed);
            self.withdraw(address);
        } else {
            self.answer(address);
        }
    }

    fn on_claim(&mut self, claim: Claim) {
        let Claim { address, mac, interface } = claim;
        // It may have been heard before the link went down, and say nothing about what it is plugged into now.
        if !self.ports.is_open(interface) {
            return;
        }
        let Some(held) = self.held.get_mut(&address) else { return };
        // A frame of ours that came back by another interface: both are in one segment.
        let own = self.monitor.table().interfaces().values().find(|it| it.mac == Some(mac));
        if let Some(own) = own.map(|own| own.index) {
            if self.ports.is_open(own) && self.segments.heard_each_other(own, interface) {
                self.place_all();
            }
            return;
        }
        let now = Instant::now();
        if !held.is_answering() {
            if let Mode::Probing(_) = held.mode {
                held.tell(Probed::Taken(mac));
                self.withdraw(address);
            } else if self.probes.heard(address, mac, now) {
                let interface = self.name(interface);
                self.tell(Event::Taken { address, mac, interface });
            }
            return;
        }
        let reaction = self.conflicts.heard(claim, now);
        if reaction.report {
            let (interface, policy) = (self.name(interface), self.settings.conflicts);
            self.tell(Event::Conflict { address, mac, interface, policy });
        }
        if reaction.defend {
            self.announce((address, interface), false, now);
        }
        if reaction.give_way {
            self.give_way(address, mac, now);
        }
    }

    /// Answers no more for an address until nobody else has it.
    fn give_way(&mut self, address: IpAddr, to: MacAddr, now: Instant) {
        if let Some(held) = self.held.get_mut(&address) {
            held.mode = Mode::Waiting;
            held.told = None;
            self.probes.taken(address, to, now);
            self.place(address);
            self.shared.responder.borrow_mut().set_probed(address, true);
        }
    }

    async fn on_netlink(&mut self, told: io::Result<Told>) {
        let followed = match told {
            Ok(Told::Changed(change)) => return self.on_change(change),
            Ok(Told::Lost) => {
                self.close_all();
                self.monitor.reread().await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = followed {
            self.tell(Event::NetlinkLost(error));
            tokio::time::sleep(NETLINK_RETRY).await;
            match Monitor::open().await {
                Ok(monitor) => {
                    self.monitor = monitor;
                    self.close_all();
                }
                Err(error) => self.tell(Event::NetlinkLost(error)),
            }
        }
        self.follow_interfaces();
    }

    fn on_change(&mut self, change: Change) {
        let index = match change {
            Change::Gone(index) => {
                self.close(index);
                self.groups.gone(index);
                index
            }
            Change::Link(index) => index,
            Change::Address(index, address) => {
                self.ask_kernel(address);
                index
            }
        };
        // Containers come and go with interfaces that are none of ours.
        let interface = self.monitor.table().interfaces().get(&index);
        let is_ours = interface.is_none_or(|it| self.settings.interfaces.usable(it).is_ok());
        if !is_ours && !self.ports.is_open(index) {
            return;
        }
        self.groups.retry(index);
        // It may be plugged in elsewhere by now.
        let apart = matches!(change, Change::Link(_)) && self.segments.forget(index);
        if !self.follow_interfaces() && apart {
            self.place_all();
        }
    }

    /// After changes were missed: an interface may have been replaced by another with the same index, unseen.
    fn close_all(&mut self) {
        for index in self.ports.open_indexes() {
            self.close(index);
            self.groups.gone(index);
        }
    }

    fn close(&mut self, index: u32) {
        if let Some(name) = self.ports.close(index) {
            self.tell(Event::Closed { interface: name });
        }
    }

    /// Opens and closes sockets so that they go with the interfaces, then places every address anew; whether that
    /// was needed.
    fn follow_interfaces(&mut self) -> bool {
        let interfaces = self.monitor.table().interfaces();
        let usable: Vec<&Interface> =
            interfaces.values().filter(|it| self.settings.interfaces.usable(it).is_ok()).collect();
        let Followed { events, renewed } = self.ports.follow(usable.iter().copied());
        let now: Vec<Interface> =
            usable.into_iter().filter(|it| self.ports.is_open(it.index)).cloned().collect();
        for event in events {
            self.tell(event);
        }
        // An interface that does not answer may change without a look at every address.
        if renewed.is_empty() && now == self.answering {
            return false;
        }
        self.answering = now;
        // A link that came back, or one with a new hardware address, is told of everything again.
        for held in self.held.values_mut() {
            held.at.retain(|index| !renewed.contains(index));
        }
        self.place_all();
        true
    }

    fn place_all(&mut self) {
        let addresses: Vec<IpAddr> = self.held.keys().copied().collect();
        for address in addresses {
            self.place(address);
        }
    }

    /// Answers for an address where its rule says, and announces it where that is new. One that waits is only heard
    /// of there.
    fn place(&mut self, address: IpAddr) {
        let now = Instant::now();
        let Some(held) = self.held.get_mut(&address) else { return };
        let chosen = held.rule.choose(address, self.answering.iter(), &self.segments);
        let is_answering = held.is_answering();
        let before = std::mem::replace(&mut held.at, chosen.clone());
        let answered = if is_answering { chosen.clone() } else { BTreeSet::new() };
        self.shared.responder.borrow_mut().set(address, answered);
        for index in before.difference(&chosen) {
            self.shared.announcer.borrow_mut().withdraw((address, *index));
            self.ports.ignore(*index, address, now);
        }
        for index in chosen.difference(&before) {
            // Questions come in before anybody is told to ask here.
            self.ports.hear(*index, address, now);
            if let IpAddr::V6(address) = address {
                self.groups.listen(*index, address);
            }
            if is_answering {
                let place = (address, *index);
                let asked = self.shared.responder.borrow().last_asked(address, *index);
                self.shared.announcer.borrow_mut().claim(place, asked, now);
            }
        }
        if !is_answering {
            for index in &chosen {
                self.shared.announcer.borrow_mut().withdraw((address, *index));
            }
        }
        self.ask_kernel(address);
        if is_answering && self.is_news(address, &chosen) {
            let interfaces = self.names(&chosen);
            let passed_over = if interfaces.is_empty() { self.passed_over() } else { Vec::new() };
            self.tell(Event::Placed { address, interfaces, passed_over });
        }
    }

    /// Whether it is not known yet that the address is answered at these places.
    fn is_news(&mut self, address: IpAddr, chosen: &BTreeSet<u32>) -> bool {
        let told = self.held.get_mut(&address).map(|held| held.told.replace(chosen.clone()));
        told.is_some_and(|told| told.as_ref() != Some(chosen))
    }

    /// Finds out whether the kernel of this host answers for an address of ours too.
    fn ask_kernel(&mut self, address: IpAddr) {
        let Some(held) = self.held.get_mut(&address) else { return };
        let table = self.monitor.table();
        let is_here = table.holders(address).next().is_some();
        let on = held.at.iter().filter_map(|index| table.interfaces().get(index));
        let kernel = kernel_answers(address, table, on, ArpIgnore::read);
        // Where the kernel has the address it answers ping, whether it answers ARP or not.
        self.shared.responder.borrow_mut().set_echo(address, self.settings.echo && !is_here);
        let is_news = kernel.is_some() && kernel != held.kernel;
        held.kernel.clone_from(&kernel);
        if let Some(answer) = kernel.filter(|_| is_news) {
            self.tell(Event::KernelAnswers(answer));
        }
    }

    fn passed_over(&self) -> Vec<(String, Unusable)> {
        let why =
            |it: &Interface| self.settings.interfaces.usable(it).err().map(|why| (it.name.clone(), why));
        self.monitor.table().interfaces().values().filter_map(why).collect()
    }

    fn announce_due(&mut self, now: Instant) {
        if self.breathing.is_some_and(|until| until > now) {
            return;
        }
        let due = self.shared.announcer.borrow_mut().due(now, AT_A_TIME);
        self.breathing = (due.len() == AT_A_TIME).then_some(now + BREATH);
        for Due { place, first } in due {
            self.send_round(place, first, now);
        }
    }

    /// Announces out of turn.
    fn announce(&mut self, place: (IpAddr, u32), to_askers: bool, now: Instant) {
        let frames = self.send_round(place, to_askers, now);
        self.shared.announcer.borrow_mut().spend(frames);
    }

    /// Sends one round of announcements; how many frames of it are in no budget yet if the round is not.
    fn send_round(&mut self, (address, index): (IpAddr, u32), to_askers: bool, now: Instant) -> u32 {
        let Some(mac) = self.ports.mac(index) else { return 0 };
        let port = Port { index, mac };
        // A frame that the kernel does not take is made good by the next round.
        let broadcast = self.tell_everybody(port, address);
        let told = if to_askers { self.tell_askers(port, address, now) } else { 0 };
        self.shared.announcer.borrow_mut().spend(told);
        self.announced += u64::from(broadcast + told);
        broadcast
    }

    fn tell_everybody(&self, Port { index, mac }: Port, address: IpAddr) -> u32 {
        match address {
            IpAddr::V4(v4) => {
                let forms = [Operation::Request, Operation::Reply].into_iter();
                let frames = forms.map(|form| ArpFrame::gratuitous(form, mac, v4).to_bytes());
                frames.map(|frame| u32::from(self.ports.send(index, Protocol::Arp, &frame))).sum()
            }
            IpAddr::V6(v6) => {
                let frame = Advertisement::unsolicited(mac, v6).to_bytes();
                self.ports.send(index, Protocol::Ipv6, &frame).into()
            }
        }
    }

    /// Tells those who asked lately, each by itself: some routers pass over what is broadcast.
    fn tell_askers(&self, Port { index, mac }: Port, address: IpAddr, now: Instant) -> u32 {
        let responder = self.shared.responder.borrow();
        let recently = |asker: &&Asker| now.saturating_duration_since(asker.at) < RECENTLY;
        let mut told = 0;
        for asker in responder.askers(address, index).filter(recently) {
            told += u32::from(match (address, asker.ip) {
                (IpAddr::V4(address), IpAddr::V4(ip)) => {
                    let asked = ArpFrame::request(asker.mac, ip, address);
                    self.ports.send(index, Protocol::Arp, &asked.reply_from(mac).to_bytes())
                }
                (IpAddr::V6(address), IpAddr::V6(ip)) => {
                    let told = Advertisement::unsolicited(mac, address).told_to(asker.mac, ip);
                    self.ports.send(index, Protocol::Ipv6, &told.to_bytes())
                }
                _ => false,
            });
        }
        told
    }

    fn snapshot(&self) -> Snapshot {
        let responder = self.shared.responder.borrow();
        let answering = self.held.iter().filter(|(_, held)| held.is_answering());
        let interfaces = self.ports.iter().map(|(index, name, mac, filters)| {
            let counters = responder.counters().get(&index).cloned().unwrap_or_default();
            let groups = self.groups.count(index);
            (name.to_owned(), InterfaceSnapshot { mac, counters, filters, groups })
        });
        let conflicts = self.conflicts.seen().map(|(address, mac, sighting)| Conflict {
            address,
            mac,
            interface: self.name(sighting.interface),
            first: sighting.first,
            last: sighting.last,
            frames: sighting.frames,
        });
        let taken = self.held.keys().filter_map(|address| Some((*address, self.probes.taken_by(*address)?)));
        Snapshot {
            addresses: answering.map(|(address, held)| (*address, self.names(&held.at))).collect(),
            taken: taken.collect(),
            interfaces: interfaces.collect(),
            conflicts: conflicts.collect(),
            kernel_answers: self.held.values().filter_map(|held| held.kernel.clone()).collect(),
            announced: self.announced,
        }
    }

    fn names(&self, indexes: &BTreeSet<u32>) -> Vec<String> {
        let interfaces = self.monitor.table().interfaces();
        indexes.iter().filter_map(|index| interfaces.get(index)).map(|it| it.name.clone()).collect()
    }

    /// What an interface is called; its index if it has gone.
    fn name(&self, index: u32) -> String {
        let interface = self.monitor.table().interfaces().get(&index);
        interface.map_or_else(|| format!("interface {index}"), |it| it.name.clone())
    }

    fn tell(&self, event: Event) {
        // Nobody needs to listen.
        let _ = self.events.send(event);
    }
}
