//! The loop: takes in commands, changes of the interfaces, claims and deadlines, and carries out what the state
//! machines say.

mod announcing;
mod holding;
mod interfaces;
mod rivals;
mod seen;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::held::{Held, Mode};
use super::listening::{Listening, Refusal};
use super::ports::Ports;
use super::readers::Shared;
use super::{Command, Event, Probed, Settings, StartError};
use crate::conflict::Conflicts;
use crate::host::ArpIgnores;
use crate::interface::monitor::Monitor;
use crate::probe::{Probes, Step};
use crate::responder::Claim;
use crate::{Announcer, Interface, Segments};

/// Commands that are obeyed, and announcements that are sent, before the readers have their turn.
const AT_A_TIME: usize = 32;

/// How often it is looked whether the permit holds again, while something is to be announced.
const UNPERMITTED: Duration = Duration::from_millis(5);

pub(in crate::layer2) struct Loop {
    settings: Settings,
    monitor: Monitor,
    ports: Ports,
    groups: Listening,
    refusals: mpsc::UnboundedReceiver<Refusal>,
    segments: Segments,
    /// The interfaces that answer, as they were when every address was placed last.
    answering: Vec<Interface>,
    /// Those that would, if they were up and had a carrier.
    down: Vec<Interface>,
    /// Those that could not be opened, by index, which has been told.
    failed: BTreeSet<u32>,
    /// When to try them again.
    retry_at: Option<Instant>,
    arp_ignore: ArpIgnores,
    shared: Shared,
    conflicts: Conflicts,
    probes: Probes,
    claims: mpsc::Receiver<Claim>,
    held: BTreeMap<IpAddr, Held>,
    /// No announcement before this.
    breathing: Option<Instant>,
    announced: u64,
    events: mpsc::UnboundedSender<Event>,
}

impl Loop {
    pub(in crate::layer2) async fn open(
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
        let (refused, refusals) = mpsc::unbounded_channel();
        let groups = Listening::start(refused).map_err(StartError::Thread)?;
        let (shared, claims) = Shared::new(Announcer::new(settings.profile), Arc::clone(&settings.permit));
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
            down: Vec::new(),
            failed: BTreeSet::new(),
            retry_at: None,
            arp_ignore: ArpIgnores::default(),
            shared,
            claims,
            held: BTreeMap::new(),
            breathing: None,
            announced: 0,
            events,
        };
        if !serving.follow_interfaces() {
            // There is none, which is worth knowing too.
            serving.tell(Event::Interfaces(Vec::new()));
        }
        Ok(serving)
    }

    pub(in crate::layer2) async fn run(&mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
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
        let announcing = self.shared.announcer().deadline();
        let announcing = announcing.map(|at| self.breathing.map_or(at, |breathing| breathing.max(at)));
        // Without a permit there is nothing to announce; it is looked at again soon.
        let now = Instant::now();
        let announcing =
            announcing.map(|at| if self.settings.permit.holds(now) { at } else { at.max(now + UNPERMITTED) });
        let others =
            [self.ports.deadline(), self.probes.deadline(), self.conflicts.deadline(), self.retry_at];
        [announcing].into_iter().chain(others).flatten().min()
    }

    fn on_time(&mut self, now: Instant) {
        self.ports.narrow(now);
        if self.retry_at.is_some_and(|at| at <= now) {
            self.follow_interfaces();
        }
        for step in self.probes.due(now) {
            match step {
                Step::Ask(address) => self.ask(address),
                Step::Quiet(address) => self.answer_quietly(address),
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
                    Some(Mode::Answering | Mode::Tentative | Mode::Waiting) => {
                        // Whoever asked may have gone.
                        let _ = tell.send(Probed::NotAsked);
                    }
                }
            }
            Command::Withdraw(address) => self.withdraw(address),
            Command::AnnounceAgain(address) => self.announce_again(address),
            // Whoever asked may have gone.
            Command::Obeyed(tell) => drop(tell.send(())),
            Command::Members(members) => {
                // An address that only a member answered for is asked for again: it may be free.
                self.probes.hurry(|mac| members.contains(&mac), Instant::now());
                self.conflicts.set_members(members);
            }
            Command::Selection(selection) => {
                if self.settings.interfaces != selection {
                    self.settings.interfaces = selection;
                    self.follow_interfaces();
                }
            }
            Command::Snapshot(answer) => {
                let counters = self.shared.responder().counters().clone();
                // What is counted has been looked at too.
                while let Ok(claim) = self.claims.try_recv() {
                    self.on_claim(claim);
                }
                // Whoever asked may have gone.
                let _ = answer.send(self.snapshot(&counters));
            }
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
