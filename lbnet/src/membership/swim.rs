//! Who is there at all, by gossip: SWIM, as the library foca has it, carried in our datagrams.
//!
//! Nobody relies on it to be fast. It finds members that no configuration names, because somebody else has met them, and
//! misses those whose watchers died together with them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::{Duration, Instant};

use foca::{
    AccumulatingRuntime, Config, Foca, NoCustomBroadcast, OwnedNotification, PeriodicParams, PostcardCodec,
    Timer,
};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use super::message::Body;
use super::{Identity, Membership};

/// A message of gossip fits into a datagram with all that is around it.
const MESSAGE: usize = 1100;
/// Addresses of one member that gossip carries.
const ADDRESSES: usize = 4;
/// Gossip is told of so many at a time that were met, and waits so long: it learns of most by itself meanwhile. Of each
/// one it would answer with all that it knows.
const TOLD: usize = 2;
const PAUSE: Duration = Duration::from_millis(100);

/// A process of a node, as gossip knows it. Two of one name are the same node, and the later one counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    name: String,
    generation: u64,
    addresses: Vec<SocketAddr>,
}

impl foca::Identity for Process {
    type Addr = String;

    fn renew(&self) -> Option<Self> {
        Some(Self { generation: self.generation + 1, ..self.clone() })
    }

    fn addr(&self) -> String {
        self.name.clone()
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.generation > adversary.generation
    }
}

/// The gossip of one node.
pub(super) struct Swim {
    foca: Foca<Process, PostcardCodec, StdRng, NoCustomBroadcast>,
    runtime: AccumulatingRuntime<Process>,
    timers: BTreeMap<(Instant, u64), Timer<Process>>,
    last_timer: u64,
    /// Members that were met and are to be told of, and when.
    met: VecDeque<String>,
    tell_at: Option<Instant>,
    /// Those that it knows.
    known: BTreeSet<String>,
}

impl fmt::Debug for Swim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Swim").field("members", &self.foca.num_members()).finish_non_exhaustive()
    }
}

impl Swim {
    pub(super) fn new(me: &Identity, seed: u64) -> Self {
        let addresses = me.addresses.iter().copied().take(ADDRESSES).collect();
        let process = Process { name: me.name.clone(), generation: me.generation, addresses };
        let config = Config {
            max_packet_size: NonZeroUsize::new(MESSAGE).unwrap_or(NonZeroUsize::MIN),
            periodic_gossip: Some(PeriodicParams {
                frequency: Duration::from_millis(500),
                num_members: NonZeroUsize::new(2).unwrap_or(NonZeroUsize::MIN),
            }),
            // Those that are down are greeted by ourselves, and more often.
            periodic_announce_to_down_members: None,
            ..Config::new_lan(NonZeroU32::new(10).unwrap_or(NonZeroU32::MIN))
        };
        Self {
            foca: Foca::new(process, config, StdRng::seed_from_u64(seed), PostcardCodec),
            runtime: AccumulatingRuntime::new(),
            timers: BTreeMap::new(),
            last_timer: 0,
            met: VecDeque::new(),
            tell_at: None,
            known: BTreeSet::new(),
        }
    }

    /// Somebody was heard: gossip is to know.
    pub(super) fn meet(&mut self, name: &str) {
        self.met.push_back(name.to_owned());
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timers.keys().next().map(|(at, _)| *at)
    }

    fn hear(&mut self, bytes: &[u8]) {
        // What it cannot make use of, it leaves.
        let _ = self.foca.handle_data(bytes, &mut self.runtime);
    }

    fn work(&mut self, now: Instant) {
        if self.tell_at.is_none_or(|at| at <= now) {
            self.met.retain(|name| !self.known.contains(name));
            for name in self.met.drain(..TOLD.min(self.met.len())) {
                // Which process it is, is not asked for in a first message.
                let somebody = Process { name, generation: 0, addresses: Vec::new() };
                let _ = self.foca.announce(somebody, &mut self.runtime);
                self.tell_at = Some(now + PAUSE);
            }
        }
        while let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 <= now) {
            let timer = entry.remove();
            let _ = self.foca.handle_timer(timer, &mut self.runtime);
        }
        while let Some((after, timer)) = self.runtime.to_schedule() {
            self.last_timer += 1;
            self.timers.insert((now + after, self.last_timer), timer);
        }
    }
}

impl Membership {
    pub(super) fn on_gossip(&mut self, bytes: &[u8], now: Instant) {
        self.swim.hear(bytes);
        self.gossip(now);
    }

    /// Lets gossip do what is due, and takes note of what it says.
    pub(super) fn gossip(&mut self, now: Instant) {
        self.swim.work(now);
        while let Some((to, bytes)) = self.swim.runtime.to_send() {
            self.send(&to.name, Body::Swim(&bytes));
        }
        while let Some(news) = self.swim.runtime.to_notify() {
            match news {
                OwnedNotification::MemberUp(process) | OwnedNotification::Rename(_, process)
                    if process.name != self.me.name =>
                {
                    self.swim.known.insert(process.name.clone());
                    let peer = self.peer(&process.name, now);
                    peer.gossiped = process.addresses.into_iter().collect();
                }
                // Gossip is slow and not always right: it is looked at, as if it had been noticed here.
                OwnedNotification::MemberDown(process) => {
                    self.swim.known.remove(&process.name);
                    self.suspect(&process.name, now);
                }
                _ => {}
            }
        }
    }
}
