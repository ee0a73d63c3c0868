//! The controller: gives addresses to Services and writes them into their status.
//!
//! [`Controller`] is the pure part. It is told of changes, asks [`lbcore::Allocator`], and says which status
//! is to be written; what the Service shows already is never written again. [`run`] is the edge.

mod edge;
mod foreign;
pub mod lease;
pub mod membership_key;
mod memory;
mod nodes;
mod notice;
mod object_status;
mod rival;
mod shown;
mod status;
mod strangers;
pub mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

pub use edge::{ControllerStatus, Counted, Inspector, RulesView, Settings, run};
use lbcore::allocator::Claim;
use lbcore::{
    Allocator, Avoided, Decision, Family, LostAddresses, PoolProblem, PoolSpec, ServiceKey, Unreadable,
};
use memory::Memories;
pub use memory::MemoryWrite;
pub use notice::{Notice, log};
pub use object_status::IN_FORCE;
use rival::Rivals;
use shown::Shown;
pub use status::{CONDITION, Write};
use strangers::Strangers;

use crate::Problem;
use crate::objects::config::{Config, ConfigChange, FollowConfigMap};
use crate::objects::facts::NodeFactsFields;
use crate::objects::leftovers::{Leftover, Leftovers};
use crate::objects::namespace::NamespaceView;
use crate::objects::service::{Kept, ServiceView, Wish};

/// Something that the watches tell.
#[derive(Debug, Clone)]
pub enum Change {
    /// A configuration object changed.
    Config(Box<ConfigChange>),
    /// A namespace is there in this form, or with `None` is gone.
    Namespace(String, Option<NamespaceView>),
    /// A node and its gateways have these addresses, or with `None` it is gone.
    Node(String, Option<BTreeMap<IpAddr, Avoided>>),
    /// A node's speaker tells this of it, or with `None` no more.
    Facts(String, Option<Box<NodeFactsFields>>),
    /// A Service is there in this form.
    Service(Box<ServiceView>),
    /// A Service is gone. Its identity (`metadata.uid`) tells it from one of the same name that has come since;
    /// empty if it is not known.
    ServiceGone(ServiceKey, String),
    /// Something of MetalLB's that should be gone is there, or is gone.
    Leftover(Leftover, bool),
    /// The pod with this namespace and name is gone.
    PodGone(String, String),
    /// Everything that is there has been told of. Nothing is decided before.
    Synced,
}

/// The state of the controller. It knows no client and no clock.
#[derive(Debug, Default)]
pub struct Controller {
    config: Config,
    allocator: Allocator,
    // Each in a place of its own: a map's own places are never all in use.
    services: BTreeMap<ServiceKey, Box<ServiceView>>,
    shown: Shown,
    synced: bool,
    /// Services whose status may have to be written, in the order of the decisions.
    queue: VecDeque<ServiceKey>,
    queued: BTreeSet<ServiceKey>,
    /// All that was told to be wrong.
    problems: BTreeSet<Problem>,
    /// What is wrong between pools.
    contradictions: Vec<PoolProblem>,
    /// The pools as they were put in force last, and those that could not be read.
    configured: Option<(Vec<PoolSpec>, Unreadable)>,
    namespace_problems: BTreeMap<String, Vec<Problem>>,
    nodes: BTreeMap<String, BTreeMap<IpAddr, Avoided>>,
    facts: BTreeMap<String, NodeFactsFields>,
    leftovers: Leftovers,
    /// Addresses are given although MetalLB's controller gives some too.
    beside_metallb: bool,
    rivals: Rivals,
    told_deprecated: BTreeSet<ServiceKey>,
    /// The address that each Service was last said to have lost to another one.
    doubles: BTreeMap<ServiceKey, IpAddr>,
    /// Addresses that Services lose and have been told why.
    lost: BTreeMap<ServiceKey, IpAddr>,
    strangers: Strangers,
    now: i64,
    memories: Memories,
    /// The advertisements that choose each pool, or chose it when it was there last.
    chosen: BTreeMap<String, BTreeSet<String>>,
    /// Where the pools in force were read.
    source: &'static str,
    notices: Vec<Notice>,
}

impl Controller {
    /// A controller that treats held addresses in this way when their pool no longer has them, and the ConfigMap in
    /// that way.
    #[must_use]
    pub fn new(lost_addresses: LostAddresses, follow: FollowConfigMap) -> Self {
        let mut controller = Self { config: Config::new(follow), ..Self::default() };
        controller.allocator.set_lost_addresses(lost_addresses);
        controller
    }

    /// Gives addresses even while MetalLB's controller runs.
    pub fn set_beside_metallb(&mut self, beside: bool) {
        self.beside_metallb = beside;
    }

    /// Whether another implementation gives addresses, so that nothing is written.
    pub(crate) fn is_held_back(&self) -> bool {
        !self.beside_metallb && self.leftovers.controller_runs()
    }

    /// Tells what time it is, in microseconds since the Unix epoch; only what is remembered and
    /// who is backed off from depend on it.
    pub fn advance(&mut self, now: i64) {
        self.now = now;
        self.allocator.advance(now);
        for key in self.rivals.ended(now) {
            self.retry(&key);
        }
        if self.strangers.expire(now) {
            self.set_avoided();
        }
    }

    /// When [`Controller::advance`] has something to do next, in microseconds since the Unix epoch.
    #[must_use]
    pub fn deadline(&self) -> Option<i64> {
        self.rivals.deadline().into_iter().chain(self.strangers.deadline()).min()
    }

    /// Takes in a change. What follows from it is fetched by [`Controller::next_write`] and
    /// [`Controller::notices`].
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Config(change) => {
                match &*change {
                    ConfigChange::Pool(pool) => self.memories.see(pool),
                    ConfigChange::PoolGone(name) => self.memories.lose(name),
                    _ => {}
                }
                if self.config.apply(*change) && self.synced {
                    self.put_pools_in_force();
                }
            }
            Change::Namespace(name, view) => self.on_namespace(name, view),
            Change::Node(name, addresses) => self.on_node(name, addresses),
            Change::Facts(name, facts) => self.on_facts(name, facts),
            Change::Leftover(leftover, present) => {
                self.on_leftovers(|leftovers| leftovers.set(leftover, present));
            }
            Change::PodGone(namespace, name) => {
                self.on_leftovers(|leftovers| leftovers.pod_gone(&namespace, &name));
            }
            Change::Service(view) => self.on_service(view),
            Change::ServiceGone(key, uid) => {
                let replaced = |known: &ServiceView| !uid.is_empty() && *known.object.uid != *uid;
                if !self.services.get(&key).is_some_and(|known| replaced(known)) {
                    self.services.remove(&key);
                    self.allocator.release(&key);
                    self.rivals.forget(&key);
                    self.doubles.remove(&key);
                    self.lost.remove(&key);
                    self.told_deprecated.remove(&key);
                    self.show(&key, &[]);
                }
            }
            Change::Synced if self.synced => {}
            Change::Synced => {
                self.synced = true;
                self.set_avoided();
                self.put_pools_in_force();
                let remembered = self.memories.take_read();
                self.allocator.remember(remembered);
                self.adopt();
            }
        }
        if self.synced {
            let woken = self.allocator.woken();
            self.enqueue(&woken);
            self.memories.note_changes(&mut self.allocator);
            self.retire_config_map();
        }
    }

    /// What people should know since the last call.
    pub fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// The next status to write, the oldest decision first. The caller tells of the outcome by
    /// [`Change::Service`] with what is stored then, and asks again for a Service by [`Controller::retry`].
    pub fn next_write(&mut self) -> Option<Write> {
        if self.is_held_back() {
            return None;
        }
        while let Some(key) = self.queue.pop_front() {
            self.queued.remove(&key);
            let Some(view) = self.services.get(&key) else { continue };
            if self.rivals.is_waited_out(&key) {
                continue;
            }
            let decision = self.allocator.decision(&key);
            let held = decision.as_ref().map(Decision::addresses).unwrap_or_default();
            let told = self.lost.get(&key).copied();
            let write = if self.shown.must_wait(&key, &held, &self.allocator) {
                status::give_up(view, &held, told)
            } else {
                self.status(view, decision.as_ref())
            };
            let Some(write) = write else { continue };
            // Told when there is something to write: so not once more at every restart.
            if !view.deprecated.is_empty() && self.told_deprecated.insert(key.clone()) {
                let (service, keys) = (view.object.clone(), view.deprecated.clone());
                self.notices.push(Notice::Deprecated { service, keys });
            }
            return Some(write);
        }
        None
    }

    fn status(&self, view: &ServiceView, decision: Option<&Decision>) -> Option<Write> {
        status::write(view, decision, self.kept(view, decision), self.lost.get(&view.key).copied())
    }

    /// Looks at a Service's status again: a write of it failed.
    pub fn retry(&mut self, key: &ServiceKey) {
        if self.services.contains_key(key) && self.queued.insert(key.clone()) {
            self.queue.push_back(key.clone());
        }
    }

    /// The next annotation of a pool to write. The caller asks again for it by [`Controller::retry_memory`] if
    /// that fails.
    pub fn next_memory(&mut self) -> Option<MemoryWrite> {
        if self.is_held_back() {
            return None;
        }
        self.memories.next(&self.allocator)
    }

    /// Looks at a pool's annotation again: a write of it failed, and it says this now.
    pub fn retry_memory(&mut self, pool: &str) {
        self.memories.retry(pool);
    }

    /// Whether a Service is known under this identity.
    #[must_use]
    pub fn knows(&self, service: &ServiceKey, uid: &str) -> bool {
        self.services.get(service).is_some_and(|known| *known.object.uid == *uid)
    }

    /// Whether a Service shows anything that was written here.
    #[must_use]
    pub fn has_traces(&self, service: &ServiceKey) -> bool {
        let traces = |view: &ServiceView| view.recorded_pool.is_some() || view.condition(CONDITION).is_some();
        self.services.get(service).is_some_and(|view| traces(view))
    }

    /// The allocation as it stands.
    #[must_use]
    pub fn allocator(&self) -> &Allocator {
        &self.allocator
    }

    fn on_leftovers(&mut self, change: impl FnOnce(&mut Leftovers)) {
        let before = self.is_held_back();
        change(&mut self.leftovers);
        if before && !self.is_held_back() {
            let all: Vec<ServiceKey> = self.services.keys().cloned().collect();
            for key in &all {
                self.retry(key);
            }
        }
        if self.synced {
            self.tell_problems();
        }
    }

    fn on_namespace(&mut self, name: String, view: Option<NamespaceView>) {
        let (namespace, problems) = match view {
            Some(view) => (Some(view.namespace), view.problems),
            None => (None, Vec::new()),
        };
        let decisions = self.allocator.set_namespace(&name, namespace);
        self.enqueue(&decisions);
        if problems.is_empty() {
            self.namespace_problems.remove(&name);
        } else {
            self.namespace_problems.insert(name, problems);
        }
        if self.synced {
            self.tell_problems();
        }
    }

    /// What is to be recorded of those addresses that their pool no longer has.
    fn kept(&self, view: &ServiceView, decision: Option<&Decision>) -> BTreeMap<IpAddr, Kept> {
        let held = decision.map_or(&[][..], Decision::held);
        let (unreadable, allocator) = (self.config.unreadable(), &self.allocator);
        // Of a pool that cannot be read everything is known that matters; it is as before.
        let lost = held
            .iter()
            .filter(|held| allocator.pool_of(held.address).is_none() && !unreadable.contains(&held.pool));
        let record =
            |held: &lbcore::Holding| match (self.chosen.get(&*held.pool), view.kept.get(&held.address)) {
                (Some(advertisements), _) => {
                    Kept { pool: held.pool.to_string(), advertisements: Some(advertisements.clone()) }
                }
                // A process before this one has seen the pool go.
                (None, Some(kept)) if kept.pool == *held.pool => kept.clone(),
                (None, _) => Kept { pool: held.pool.to_string(), ..Kept::default() },
            };
        lost.map(|held| (held.address, record(held))).collect()
    }

    fn on_service(&mut self, view: Box<ServiceView>) {
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
        let now = view.addresses();
        let before = self.services.get(&key).filter(|known| known.object.uid == view.object.uid);
        let decided = self.synced.then(|| self.allocator.decision(&key)).flatten();
        // It says all that is ours to say, until now.
        let was_right = decided.is_some()
            && before.is_some_and(|known| {
                known.wish == view.wish && self.status(known, decided.as_ref()).is_none()
            });
        let before = before.map(|known| known.addresses());
        let changed = before.as_ref() != Some(&now);
        // Told, and shown no more.
        if self.lost.get(&key).is_some_and(|lost| !now.contains(lost)) {
            self.lost.remove(&key);
        }
        self.services.insert(key.clone(), view);
        self.show(&key, &shown);
        if !self.synced {
            return;
        }
        let holds = |controller: &Self| {
            controller.allocator.decision(&key).map(|it| it.addresses()).unwrap_or_default()
        };
        let held = holds(self);
        match wish.clone() {
            Wish::Addresses(request) => {
                // Only what somebody wrote into the status since is worth more than what was decided here.
                if changed && !now.is_empty() && now != held {
                    self.on_foreign(&key, request, &now);
                } else {
                    self.allocator.request(request);
                }
            }
            // What it holds is kept until its wish can be read again; one that holds nothing waits for that.
            Wish::Unclear(_) => {
                let holds = |decision: Decision| !decision.held().is_empty();
                if !self.allocator.decision(&key).is_some_and(holds) {
                    self.allocator.release(&key);
                }
            }
            Wish::Nothing | Wish::NotOurs => drop(self.allocator.release(&key)),
        }
        // It showed what it held, and now it does not show what it holds; or somebody changed what is said of that.
        let decision = self.allocator.decision(&key);
        let holds = holds(self);
        let undone = if changed {
            now != holds && before.is_some_and(|before| before == held)
        } else {
            let is_as_before = |now: &Decision| decided.as_ref().is_some_and(|it| it.outcome == now.outcome);
            was_right
                && decision.as_ref().is_some_and(is_as_before)
                && self.status(&self.services[&key], decision.as_ref()).is_some()
        };
        if undone && matches!(wish, Wish::Addresses(_) | Wish::Unclear(_)) {
            self.on_undone(&key);
        }
        // One that took another type is told of no more, once nothing is left of what was written.
        if wish == Wish::Nothing && !self.has_traces(&key) && self.services[&key].ingress.is_empty() {
            self.services.remove(&key);
            return;
        }
        self.retry(&key);
    }

    /// Notes what a Service shows; those that waited for it to show that no more are looked at again.
    fn show(&mut self, key: &ServiceKey, addresses: &[IpAddr]) {
        for waiting in self.shown.set(key, addresses) {
            self.retry(&waiting);
        }
    }

    /// Takes over what Services hold, before anything is given.
    fn adopt(&mut self) {
        let claim = |view: &ServiceView| {
            let request = match &view.wish {
                Wish::Addresses(request) => request.clone(),
                Wish::Unclear(_) => view.request_for_what_is_shown()?.into(),
                Wish::Nothing | Wish::NotOurs => return None,
            };
            let addresses = view.addresses();
            Some(Claim {
                request,
                addresses,
                recorded_pool: view.pool_on_record().map(str::to_owned),
                recorded_pools: view.recorded_pools(),
            })
        };
        let claims = self.services.values().filter_map(|view| claim(view)).collect();
        let decisions = self.allocator.adopt(claims);
        self.enqueue(&decisions);
        let rest: Vec<ServiceKey> = self.services.keys().cloned().collect();
        for key in rest {
            self.retry(&key);
        }
    }

    /// The ConfigMap beside pools goes when no Service holds an address of it any more.
    fn retire_config_map(&mut self) {
        let assigned = |pool: &str| {
            let counters = [Family::V4, Family::V6]
                .map(|family| self.allocator.counters(pool, family).unwrap_or_default());
            counters.iter().any(|counters| counters.assigned > 0)
        };
        let only_held: Vec<&str> = self.config.only_held().collect();
        if !only_held.is_empty() && !only_held.into_iter().any(assigned) {
            self.put_pools_in_force();
        }
    }

    fn put_pools_in_force(&mut self) {
        let held =
            self.services.values().filter(|view| matches!(view.wish, Wish::Addresses(_) | Wish::Unclear(_)));
        let held = held
            .flat_map(|view| view.addresses().into_iter().map(|address| (address, view.pool_on_record())));
        self.config.set_held(held);
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
        let configured = (self.config.pools(), self.config.unreadable());
        // Labels, a status or our own annotations of a pool change nothing, and then nobody is looked at again.
        if self.configured.as_ref() != Some(&configured) {
            let (pools, unreadable) = configured.clone();
            self.configured = Some(configured);
            self.allocator.set_unreadable(unreadable);
            let changed = self.allocator.set_pools(pools);
            self.enqueue(&changed.decisions);
            self.contradictions = changed.problems;
        }
        self.source = self.config.source();
        let after = Notice::Pools { source: self.source, pools: summary(&self.allocator) };
        if before != after {
            self.notices.push(after);
        }
        let advertisements = self.config.advertisements();
        for pool in self.allocator.pools() {
            let choosing = advertisements.iter().filter(|it| it.chooses_pool(&pool.name, &pool.labels));
            let names = choosing.map(|advertisement| advertisement.name.clone()).collect();
            self.chosen.insert(pool.name.clone(), names);
        }
        // The records of lost addresses may have to name another pool or other advertisements.
        let lost: Vec<ServiceKey> = self.allocator.lost().flat_map(|it| self.allocator.users(it)).collect();
        for key in lost {
            self.retry(&key);
        }
        self.tell_problems();
    }

    fn tell_problems(&mut self) {
        let namespaces = self.namespace_problems.values().flatten().cloned();
        let between = self.contradictions.iter().map(|problem| self.config.blame(problem));
        let all = self.config.problems().into_iter().chain(self.config.warnings());
        let all = all.chain(between).chain(namespaces).chain(self.leftovers.problems(self.beside_metallb));
        let problems: BTreeSet<Problem> = all.collect();
        self.notices.extend(problems.difference(&self.problems).cloned().map(Notice::Problem));
        self.notices.extend(self.problems.difference(&problems).cloned().map(Notice::Solved));
        self.problems = problems;
    }

    fn enqueue(&mut self, decisions: &[Decision]) {
        for decision in decisions {
            self.retry(&decision.key);
        }
    }
}
