//! The controller: gives addresses to Services and writes them into their status.
//!
//! [`Controller`] is the pure part. It is told of changes, asks [`lbcore::Allocator`], and says which status
//! is to be written; what the Service shows already is never written again. [`run`] is the edge.

mod edge;
mod shown;
mod status;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

pub use edge::{Settings, log, run};
use lbcore::allocator::Claim;
use lbcore::{Allocator, Decision, Family, Labels, ServiceKey};
use shown::Shown;
pub use status::{CONDITION, Write};

use crate::Problem;
use crate::objects::config::{Config, ConfigChange};
use crate::objects::service::{ServiceView, Wish};

/// Something that the watches tell.
#[derive(Debug, Clone)]
pub enum Change {
    /// A configuration object changed.
    Config(Box<ConfigChange>),
    /// A namespace has these labels, or with `None` is gone.
    Namespace(String, Option<Labels>),
    /// A Service is there in this form.
    Service(Box<ServiceView>),
    /// A Service is gone. Its identity (`metadata.uid`) tells it from one of the same name that has come since;
    /// empty if it is not known.
    ServiceGone(ServiceKey, String),
    /// Everything that is there has been told of. Nothing is decided before.
    Synced,
}

/// Something that people should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// These pools are in force now.
    Pools {
        /// Where they were read: `IPAddressPool` or `ConfigMap`.
        source: &'static str,
        /// Each pool's name, ranges and number of addresses.
        pools: Vec<(String, Vec<String>, u128)>,
    },
    /// Something is wrong with an object.
    Problem(Problem),
}

/// The state of the controller. It knows no client and no clock.
#[derive(Debug, Default)]
pub struct Controller {
    config: Config,
    allocator: Allocator,
    services: BTreeMap<ServiceKey, ServiceView>,
    shown: Shown,
    synced: bool,
    /// Services whose status may have to be written, in the order of the decisions.
    queue: VecDeque<ServiceKey>,
    queued: BTreeSet<ServiceKey>,
    problems: BTreeSet<Problem>,
    /// Where the pools in force were read.
    source: &'static str,
    notices: Vec<Notice>,
}

impl Controller {
    /// Takes in a change. What follows from it is fetched by [`Controller::next_write`] and
    /// [`Controller::notices`].
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Config(change) => {
                self.config.apply(*change);
                if self.synced {
                    self.put_pools_in_force();
                }
            }
            Change::Namespace(name, labels) => self.allocator.set_namespace(&name, labels),
            Change::Service(view) => self.on_service(*view),
            Change::ServiceGone(key, uid) => {
                let replaced = |known: &ServiceView| !uid.is_empty() && known.object.uid != uid;
                if !self.services.get(&key).is_some_and(replaced) {
                    self.services.remove(&key);
                    self.allocator.release(&key);
                    self.show(&key, BTreeSet::new());
                }
            }
            Change::Synced if self.synced => {}
            Change::Synced => {
                self.synced = true;
                self.put_pools_in_force();
                self.adopt();
            }
        }
        if self.synced {
            let woken = self.allocator.woken();
            self.enqueue(&woken);
        }
    }

    /// What people should know since the last call.
    pub fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// The next status to write, the oldest decision first. The caller tells of the outcome by
    /// [`Change::Service`] with what is stored then, and asks again for a Service by [`Controller::retry`].
    pub fn next_write(&mut self) -> Option<Write> {
        while let Some(key) = self.queue.pop_front() {
            self.queued.remove(&key);
            let Some(view) = self.services.get(&key) else { continue };
            let decision = self.allocator.decision(&key);
            let held = decision.as_ref().map(Decision::addresses).unwrap_or_default();
            let write = if self.shown.must_wait(&key, &held, &self.allocator) {
                status::give_up(view, &held)
            } else {
                status::write(view, decision.as_ref())
            };
            if write.is_some() {
                return write;
            }
        }
        None
    }

    /// Looks at a Service's status again: a write of it failed.
    pub fn retry(&mut self, key: &ServiceKey) {
        if self.services.contains_key(key) && self.queued.insert(key.clone()) {
            self.queue.push_back(key.clone());
        }
    }

    /// The allocation as it stands.
    #[must_use]
    pub fn allocator(&self) -> &Allocator {
        &self.allocator
    }

    fn on_service(&mut self, view: ServiceView) {
        let key = view.key.clone();
        // Our own writes tell of forms that the watch has yet to come to; what it tells until then is old.
        if self.services.get(&key).is_some_and(|known| view.is_older_than(known)) {
            return;
        }
        let wish = view.wish.clone();
        // Only what we would take from its status ourselves is worth waiting for.
        let ours = match wish {
            Wish::Addresses(_) => true,
            Wish::Nothing => view.recorded_pool.is_some(),
            Wish::Unclear(_) | Wish::NotOurs => false,
        };
        let shown = if ours { view.addresses() } else { Vec::new() };
        self.services.insert(key.clone(), view);
        self.show(&key, shown.into_iter().collect());
        if !self.synced {
            return;
        }
        match wish {
            Wish::Addresses(request) => drop(self.allocator.request(*request)),
            // What it holds is kept until its wish can be read again; one that holds nothing waits for that.
            Wish::Unclear(_) => {
                let holds = |decision: Decision| !decision.held().is_empty();
                if !self.allocator.decision(&key).is_some_and(holds) {
                    self.allocator.release(&key);
                }
            }
            Wish::Nothing | Wish::NotOurs => drop(self.allocator.release(&key)),
        }
        self.retry(&key);
    }

    /// Notes what a Service shows; those that waited for it to show that no more are looked at again.
    fn show(&mut self, key: &ServiceKey, addresses: BTreeSet<IpAddr>) {
        for waiting in self.shown.set(key, addresses) {
            self.retry(&waiting);
        }
    }

    /// Takes over what Services hold, before anything is given.
    fn adopt(&mut self) {
        let claim = |view: &ServiceView| {
            let request = match &view.wish {
                Wish::Addresses(request) => (**request).clone(),
                Wish::Unclear(_) => view.request_for_what_is_shown()?,
                Wish::Nothing | Wish::NotOurs => return None,
            };
            let (addresses, recorded_pool) = (view.addresses(), view.recorded_pool.clone());
            Some(Claim { request, addresses, recorded_pool })
        };
        let claims = self.services.values().filter_map(claim).collect();
        let decisions = self.allocator.adopt(claims);
        self.enqueue(&decisions);
        let rest: Vec<ServiceKey> = self.services.keys().cloned().collect();
        for key in rest {
            self.retry(&key);
        }
    }

    fn put_pools_in_force(&mut self) {
        let summary = |allocator: &Allocator| -> Vec<(String, Vec<String>, u128)> {
            let pools = allocator.pools().map(|pool| {
                let ranges = pool.ranges.iter().map(ToString::to_string).collect();
                let total =
                    |family| allocator.counters(&pool.name, family).map_or(0, |counters| counters.total);
                (pool.name.clone(), ranges, total(Family::V4).saturating_add(total(Family::V6)))
            });
            pools.collect()
        };
        let before = Notice::Pools { source: self.source, pools: summary(&self.allocator) };
        let changed = self.allocator.set_pools(self.config.pools());
        self.enqueue(&changed.decisions);
        self.source = self.config.source();
        let after = Notice::Pools { source: self.source, pools: summary(&self.allocator) };
        if before != after {
            self.notices.push(after);
        }
        let between = changed.problems.iter().map(|problem| self.config.blame(problem));
        let problems: BTreeSet<Problem> = self.config.problems().into_iter().chain(between).collect();
        self.notices.extend(problems.difference(&self.problems).cloned().map(Notice::Problem));
        self.problems = problems;
    }

    fn enqueue(&mut self, decisions: &[Decision]) {
        for decision in decisions {
            self.retry(&decision.key);
        }
    }
}
