//! The whole configuration: pools and advertisements, from today's objects or from the v0.12 ConfigMap.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use lbcore::{AddressRange, Advertisement, Labels, PoolProblem, PoolSpec, Unreadable};

use super::config_map::{self, Legacy};
use super::metallb::{IPAddressPool, L2Advertisement};
use super::{ObjectRef, Problem, advertisement, pool};

/// A change of a configuration object. Objects are told apart by name: all live in one namespace.
#[derive(Debug, Clone)]
pub enum ConfigChange {
    /// A pool is there in this form.
    Pool(IPAddressPool),
    /// A pool is gone.
    PoolGone(String),
    /// An advertisement is there in this form.
    Advertisement(L2Advertisement),
    /// An advertisement is gone.
    AdvertisementGone(String),
    /// The ConfigMap is there in this form.
    ConfigMap(ConfigMap),
    /// The ConfigMap is gone.
    ConfigMapGone,
    /// An object of MetalLB's for BGP is there, or is gone.
    Bgp {
        /// The object.
        object: ObjectRef,
        /// Whether it is there.
        present: bool,
    },
}

/// Whether the v0.12 ConfigMap counts where there are pools of today.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FollowConfigMap {
    /// No: clusters that were upgraded often hold a stale one. But as long as addresses that Services hold are only
    /// in its pools, these stay in force.
    #[default]
    WithoutPools,
    /// Yes: its pools are in force beside the others.
    Always,
}

/// What is configured, and what is wrong with it. Of an object that cannot be read, the last good form stays.
#[derive(Debug, Clone, Default)]
pub struct Config {
    pools: BTreeMap<String, Entry<PoolSpec>>,
    advertisements: BTreeMap<String, Entry<Advertisement>>,
    legacy: Option<(ObjectRef, Legacy)>,
    follow: FollowConfigMap,
    /// An address that a Service holds and that only a pool of the ConfigMap has, so that it stays in force.
    only_there: Option<IpAddr>,
    bgp: BTreeSet<ObjectRef>,
}

#[derive(Debug, Clone, PartialEq)]
struct Entry<T> {
    object: ObjectRef,
    /// The labels of the object, which can always be read.
    labels: Labels,
    good: Option<T>,
    problems: Vec<Problem>,
}

impl<T> Entry<T> {
    fn update<K>(before: Option<Self>, object: &K, read: Result<T, Vec<Problem>>) -> Self
    where
        K: kube::Resource<DynamicType = ()>,
    {
        let (reference, labels) = (ObjectRef::of(object), object.labels().into());
        let (good, problems) = match read {
            Ok(good) => (Some(good), Vec::new()),
            Err(problems) => (before.and_then(|entry| entry.good), problems),
        };
        Self { object: reference, labels, good, problems }
    }
}

impl Config {
    /// A configuration in which the ConfigMap counts in this way.
    #[must_use]
    pub fn new(follow: FollowConfigMap) -> Self {
        Self { follow, ..Self::default() }
    }

    /// Takes in a change. False if it changes nothing of what is configured, as a status that is written.
    pub fn apply(&mut self, change: ConfigChange) -> bool {
        match change {
            ConfigChange::Pool(object) => {
                let before = self.pools.get(&object.name_any()).cloned();
                let entry = Entry::update(before.clone(), &object, pool::read(&object));
                let changed = before.as_ref() != Some(&entry);
                self.pools.insert(object.name_any(), entry);
                return changed;
            }
            ConfigChange::PoolGone(name) => drop(self.pools.remove(&name)),
            ConfigChange::Advertisement(object) => {
                let before = self.advertisements.get(&object.name_any()).cloned();
                let entry = Entry::update(before.clone(), &object, advertisement::read(&object));
                let changed = before.as_ref() != Some(&entry);
                self.advertisements.insert(object.name_any(), entry);
                return changed;
            }
            ConfigChange::AdvertisementGone(name) => drop(self.advertisements.remove(&name)),
            ConfigChange::ConfigMap(map) => {
                let mut legacy = config_map::read(&map);
                if let Some((_, last)) = self.legacy.take() {
                    legacy.keep_last_good(last);
                }
                self.legacy = Some((ObjectRef::of(&map), legacy));
            }
            ConfigChange::ConfigMapGone => self.legacy = None,
            ConfigChange::Bgp { object, present: true } => drop(self.bgp.insert(object)),
            ConfigChange::Bgp { object, present: false } => {
                self.bgp.retain(|known| !known.same_name(&object));
            }
        }
        true
    }

    /// Tells which addresses Services hold, each with the pool that is recorded beside it: what only the ConfigMap
    /// has keeps it in force. True if that makes a difference.
    pub fn set_held<'a>(&mut self, mut held: impl Iterator<Item = (IpAddr, Option<&'a str>)>) -> bool {
        let only_there = held.find(|(address, recorded)| self.is_only_there(*address, *recorded));
        let changed = only_there.is_some() != self.only_there.is_some();
        self.only_there = only_there.map(|(address, _)| address);
        changed
    }

    /// Whether an address that a Service holds is in a pool of the ConfigMap and in none of today's. MetalLB before
    /// v0.13 recorded nothing beside it.
    #[must_use]
    pub fn is_only_there(&self, address: IpAddr, recorded: Option<&str>) -> bool {
        let Some((_, legacy)) = self.legacy.as_ref().filter(|_| self.has_pools()) else { return false };
        let covers = |pool: &PoolSpec| pool.ranges.iter().any(|range| range.contains(address));
        let of_legacy = legacy.pools.iter().filter(|pool| recorded.is_none_or(|name| pool.name == name));
        of_legacy.into_iter().any(covers) && !self.good_pools().any(covers)
    }

    fn good_pools(&self) -> impl Iterator<Item = &PoolSpec> {
        self.pools.values().filter_map(|entry| entry.good.as_ref())
    }

    /// Whether it matters which addresses Services hold: there is a ConfigMap beside pools.
    #[must_use]
    pub fn depends_on_held(&self) -> bool {
        self.follow == FollowConfigMap::WithoutPools && self.legacy.is_some() && self.has_pools()
    }

    /// An address that a Service holds and only the ConfigMap has, if there is one.
    #[must_use]
    pub fn only_there(&self) -> Option<IpAddr> {
        self.only_there
    }

    /// The pools that stay in force only because Services hold addresses of them.
    pub fn only_held(&self) -> impl Iterator<Item = &str> {
        let legacy =
            self.legacy().filter(|_| self.follow == FollowConfigMap::WithoutPools && self.has_pools());
        legacy.into_iter().flat_map(|legacy| &legacy.pools).map(|pool| pool.name.as_str())
    }

    fn has_pools(&self) -> bool {
        self.pools.values().any(|entry| entry.good.is_some())
    }

    /// The ConfigMap, if it is in force.
    fn legacy(&self) -> Option<&Legacy> {
        let counts = !self.has_pools() || self.follow == FollowConfigMap::Always || self.only_there.is_some();
        self.legacy.as_ref().filter(|_| counts).map(|(_, legacy)| legacy)
    }

    /// The pools of the ConfigMap that are in force, without the addresses that today's pools have.
    fn legacy_pools(&self) -> impl Iterator<Item = PoolSpec> {
        let taken: Vec<AddressRange> = self.good_pools().flat_map(|pool| pool.ranges.clone()).collect();
        let pools = self.legacy().into_iter().flat_map(|legacy| &legacy.pools);
        pools.filter_map(move |pool| {
            let ranges: Vec<AddressRange> =
                pool.ranges.iter().flat_map(|range| range.without(&taken)).collect();
            (!ranges.is_empty()).then(|| PoolSpec { ranges, ..pool.clone() })
        })
    }

    /// The labels of the pool that is recorded beside an address, if the record can be right: every node sees the
    /// same record, but not every node the same last good form of a pool.
    #[must_use]
    pub fn recorded_pool(&self, name: &str, address: IpAddr) -> Option<Labels> {
        let covers = |pool: Option<&PoolSpec>| {
            pool.is_none_or(|pool| pool.ranges.iter().any(|range| range.contains(address)))
        };
        let of_legacy = || {
            let legacy = self.legacy()?;
            let pool = legacy.pools.iter().find(|pool| pool.name == name);
            legacy.place_of(name).map(|_| covers(pool))
        };
        match (self.pools.get(name), of_legacy()) {
            (Some(entry), legacy) if entry.good.is_some() || legacy.is_none() => {
                (covers(entry.good.as_ref()) || legacy == Some(true)).then(|| entry.labels.clone())
            }
            (_, legacy) => legacy.filter(|covers| *covers).map(|_| Labels::new()),
        }
    }

    /// Where the pools come from, in a word for logs.
    #[must_use]
    pub fn source(&self) -> &'static str {
        match (self.legacy().is_some(), self.has_pools()) {
            (true, true) => "IPAddressPool and ConfigMap",
            (true, false) => "ConfigMap",
            (false, _) => "IPAddressPool",
        }
    }

    /// The pools that can be read. They may still contradict each other.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolSpec> {
        let mut pools: BTreeMap<String, PoolSpec> = BTreeMap::new();
        // Of one name there is but one pool: it has what both have.
        for pool in self.good_pools().cloned().chain(self.legacy_pools()) {
            match pools.get_mut(&pool.name) {
                Some(known) => known.ranges.extend(pool.ranges),
                None => drop(pools.insert(pool.name.clone(), pool)),
            }
        }
        pools.into_values().collect()
    }

    /// The pools that are written, but of which no form can be read.
    #[must_use]
    pub fn unreadable(&self) -> Unreadable {
        let bad = self.pools.iter().filter(|(_, entry)| entry.good.is_none()).map(|(name, _)| name.clone());
        match self.legacy().map(Legacy::unreadable) {
            Some(None) => Unreadable::Any,
            Some(Some(names)) => Unreadable::These(bad.chain(names).collect()),
            None => Unreadable::These(bad.collect()),
        }
    }

    /// The advertisements that can be read; of the ConfigMap's, those of its pools that are in force.
    #[must_use]
    pub fn advertisements(&self) -> Vec<Advertisement> {
        let own = self.advertisements.values().filter_map(|entry| entry.good.clone());
        let pools: BTreeSet<String> = self.legacy_pools().map(|pool| pool.name).collect();
        let in_force = |it: &&Advertisement| {
            !self.has_pools() || it.pools.iter().any(|pool| pools.contains(pool.as_str()))
        };
        let legacy = self.legacy().into_iter().flat_map(|legacy| &legacy.advertisements).filter(in_force);
        own.chain(legacy.cloned()).collect()
    }

    /// All that is wrong with the objects, each by itself.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let pools = self.pools.values().flat_map(|entry| entry.problems.clone());
        let advertisements = self.advertisements.values().flat_map(|entry| entry.problems.clone());
        let mut problems: Vec<Problem> = pools.chain(advertisements).collect();
        if let Some(legacy) = self.legacy() {
            problems.extend(legacy.problems.clone());
        }
        problems.extend(self.legacy.as_ref().filter(|_| self.has_pools()).and_then(|(object, _)| {
            let (code, message) = match (self.follow, self.only_there) {
                (FollowConfigMap::Always, _) => return None,
                (FollowConfigMap::WithoutPools, Some(address)) => (
                    "NotCovered",
                    format!(
                        "stays in force beside the IPAddressPools, because Services hold addresses that none of these \
                         has, as {address}; add them to an IPAddressPool, then delete the ConfigMap"
                    ),
                ),
                (FollowConfigMap::WithoutPools, None) => (
                    "NotInForce",
                    "is not in force, because there are IPAddressPools; delete the ConfigMap".to_owned(),
                ),
            };
            // Nothing that is meant to be in force is not: many clusters were upgraded and have one left.
            Some(Problem::new(object, code, format!("data.{}", config_map::KEY), message).warning())
        }));
        problems
    }

    /// What is there and not served, or in force and of no use: BGP's objects, and pools that nobody announces.
    #[must_use]
    pub fn warnings(&self) -> Vec<Problem> {
        let bgp = self.bgp.iter().map(|object| {
            let message = "is BGP's, and lbd serves layer 2 only; what it says is not done";
            Problem::new(object, config_map::NOT_SERVED, "spec", message).warning()
        });
        let advertisements = self.advertisements();
        let unread = self.advertisements.values().any(|entry| entry.good.is_none());
        let unannounced = self.pools.values().filter(|entry| {
            let chosen =
                |pool: &PoolSpec| advertisements.iter().any(|it| it.chooses_pool(&pool.name, &pool.labels));
            // One that cannot be read may choose it.
            !unread && entry.good.as_ref().is_some_and(|pool| !chosen(pool))
        });
        let unannounced = unannounced.map(|entry| {
            let message = "is chosen by no L2Advertisement: its addresses are given and nobody answers for them; \
                           create an L2Advertisement";
            Problem::new(&entry.object, "NotAdvertised", "metadata.name", message).warning()
        });
        bgp.chain(unannounced).collect()
    }

    /// The objects of pools and advertisements, each with what is wrong with it by itself and whether a form of it is
    /// in force.
    pub fn objects(&self) -> impl Iterator<Item = (&ObjectRef, &[Problem])> {
        let pools = self.pools.values().map(|entry| (&entry.object, &entry.problems[..]));
        pools.chain(self.advertisements.values().map(|entry| (&entry.object, &entry.problems[..])))
    }

    /// A fault between pools, as a problem of the object at fault.
    #[must_use]
    pub fn blame(&self, problem: &PoolProblem) -> Problem {
        if let Some(entry) = self.pools.get(&problem.pool).filter(|entry| entry.good.is_some()) {
            return Problem::of_pool(&entry.object, problem.path.clone(), &problem.kind);
        }
        let Some((object, legacy)) = &self.legacy else {
            // Its object has gone since; what is left to say is its name.
            let object = ObjectRef::unknown("IPAddressPool", &problem.pool);
            return Problem::of_pool(&object, problem.path.clone(), &problem.kind);
        };
        // In this format the field is an entry of a list, and `addresses` stands in it without `spec`.
        let field = problem.path.strip_prefix("spec.").unwrap_or("name");
        let place = legacy.place_of(&problem.pool).unwrap_or_default();
        let path = format!("data.{}: address-pools[{place}].{field}", config_map::KEY);
        let message = format!("pool {:?}: {}", problem.pool, problem.kind);
        Problem { message, ..Problem::of_pool(object, path, &problem.kind) }
    }
}
