//! The whole configuration: pools and advertisements, from today's objects or from the v0.12 ConfigMap.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use lbcore::{Advertisement, Labels, PoolProblem, PoolSpec, Unreadable};

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
}

/// What is configured, and what is wrong with it. Of an object that cannot be read, the last good form stays.
#[derive(Debug, Clone, Default)]
pub struct Config {
    pools: BTreeMap<String, Entry<PoolSpec>>,
    advertisements: BTreeMap<String, Entry<Advertisement>>,
    legacy: Option<(ObjectRef, Legacy)>,
}

#[derive(Debug, Clone)]
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
        let (reference, labels) = (ObjectRef::of(object), object.labels().clone());
        let (good, problems) = match read {
            Ok(good) => (Some(good), Vec::new()),
            Err(problems) => (before.and_then(|entry| entry.good), problems),
        };
        Self { object: reference, labels, good, problems }
    }
}

impl Config {
    /// Takes in a change.
    pub fn apply(&mut self, change: ConfigChange) {
        match change {
            ConfigChange::Pool(object) => {
                let name = object.name_any();
                let entry = Entry::update(self.pools.remove(&name), &object, pool::read(&object));
                self.pools.insert(name, entry);
            }
            ConfigChange::PoolGone(name) => drop(self.pools.remove(&name)),
            ConfigChange::Advertisement(object) => {
                let name = object.name_any();
                let before = self.advertisements.remove(&name);
                let entry = Entry::update(before, &object, advertisement::read(&object));
                self.advertisements.insert(name, entry);
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
        }
    }

    /// The ConfigMap, if it is in force: with an `IPAddressPool` beside it that can be read, it is not.
    fn legacy(&self) -> Option<&Legacy> {
        let no_pool = self.pools.values().all(|entry| entry.good.is_none());
        self.legacy.as_ref().filter(|_| no_pool).map(|(_, legacy)| legacy)
    }

    /// The labels of the pool that is recorded beside an address, if the record can be right: every node sees the
    /// same record, but not every node the same last good form of a pool.
    #[must_use]
    pub fn recorded_pool(&self, name: &str, address: IpAddr) -> Option<Labels> {
        let covers = |pool: Option<&PoolSpec>| {
            pool.is_none_or(|pool| pool.ranges.iter().any(|range| range.contains(address)))
        };
        if let Some(legacy) = self.legacy() {
            let pool = legacy.pools.iter().find(|pool| pool.name == name);
            return (legacy.place_of(name).is_some() && covers(pool)).then(Labels::new);
        }
        let entry = self.pools.get(name)?;
        covers(entry.good.as_ref()).then(|| entry.labels.clone())
    }

    /// Where the pools come from, in a word for logs.
    #[must_use]
    pub fn source(&self) -> &'static str {
        if self.legacy().is_some() { "ConfigMap" } else { "IPAddressPool" }
    }

    /// The pools that can be read. They may still contradict each other.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolSpec> {
        match self.legacy() {
            Some(legacy) => legacy.pools.clone(),
            None => self.pools.values().filter_map(|entry| entry.good.clone()).collect(),
        }
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

    /// The advertisements that can be read.
    #[must_use]
    pub fn advertisements(&self) -> Vec<Advertisement> {
        let own = self.advertisements.values().filter_map(|entry| entry.good.clone());
        let legacy = self.legacy().into_iter().flat_map(|legacy| legacy.advertisements.clone());
        own.chain(legacy).collect()
    }

    /// All that is wrong with the objects, each by itself.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let pools = self.pools.values().flat_map(|entry| entry.problems.clone());
        let advertisements = self.advertisements.values().flat_map(|entry| entry.problems.clone());
        let mut problems: Vec<Problem> = pools.chain(advertisements).collect();
        if let Some(legacy) = self.legacy() {
            problems.extend(legacy.problems.clone());
        } else if let Some((object, _)) = &self.legacy {
            let message = "is not in force, because there are IPAddressPools; delete the ConfigMap";
            problems.push(Problem::new(object, "NotInForce", format!("data.{}", config_map::KEY), message));
        }
        problems
    }

    /// A fault between pools, as a problem of the object at fault.
    #[must_use]
    pub fn blame(&self, problem: &PoolProblem) -> Problem {
        if let (Some(entry), None) = (self.pools.get(&problem.pool), self.legacy()) {
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
