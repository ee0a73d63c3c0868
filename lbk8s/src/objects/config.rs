//! The whole configuration: pools and advertisements, from today's objects or from the v0.12 ConfigMap.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use lbcore::{Advertisement, PoolProblem, PoolSpec};

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
    good: Option<T>,
    problems: Vec<Problem>,
}

impl<T> Entry<T> {
    fn update(before: Option<Self>, object: ObjectRef, read: Result<T, Vec<Problem>>) -> Self {
        match read {
            Ok(good) => Self { object, good: Some(good), problems: Vec::new() },
            Err(problems) => Self { object, good: before.and_then(|entry| entry.good), problems },
        }
    }
}

impl Config {
    /// Takes in a change.
    pub fn apply(&mut self, change: ConfigChange) {
        match change {
            ConfigChange::Pool(object) => {
                let reference = ObjectRef::of(&object);
                let name = reference.name.clone();
                let entry = Entry::update(self.pools.remove(&name), reference, pool::read(&object));
                self.pools.insert(name, entry);
            }
            ConfigChange::PoolGone(name) => drop(self.pools.remove(&name)),
            ConfigChange::Advertisement(object) => {
                let reference = ObjectRef::of(&object);
                let name = reference.name.clone();
                let before = self.advertisements.remove(&name);
                let entry = Entry::update(before, reference, advertisement::read(&object));
                self.advertisements.insert(name, entry);
            }
            ConfigChange::AdvertisementGone(name) => drop(self.advertisements.remove(&name)),
            ConfigChange::ConfigMap(map) => {
                self.legacy = Some((ObjectRef::of(&map), config_map::read(&map)));
            }
            ConfigChange::ConfigMapGone => self.legacy = None,
        }
    }

    /// The ConfigMap, if it is in force: with any `IPAddressPool` beside it, it is not.
    fn legacy(&self) -> Option<&Legacy> {
        self.legacy.as_ref().filter(|_| self.pools.is_empty()).map(|(_, legacy)| legacy)
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
            problems.push(Problem::new(object, format!("data.{}", config_map::KEY), message));
        }
        problems
    }

    /// A fault between pools, as a problem of the object at fault.
    #[must_use]
    pub fn blame(&self, problem: &PoolProblem) -> Problem {
        if let (Some(entry), None) = (self.pools.get(&problem.pool), self.legacy()) {
            return Problem::new(&entry.object, problem.path.clone(), &problem.kind);
        }
        let unknown = || ObjectRef {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            namespace: String::new(),
            name: config_map::NAME.to_owned(),
            uid: String::new(),
        };
        let object = self.legacy.as_ref().map_or_else(unknown, |(object, _)| object.clone());
        let path = format!("data.{}: pool {:?}: {}", config_map::KEY, problem.pool, problem.path);
        Problem::new(&object, path.replace("spec.", ""), &problem.kind)
    }
}
