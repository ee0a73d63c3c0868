//! Questions about manifests, answered without a cluster.
//!
//! [`World::read`] takes manifests as a cluster would hold them and finds all that is wrong with them. From it come
//! a plan ([`report::Report`]), the problems alone, and the explanation of one Service.

pub mod explain;
mod finding;
mod kinds;
mod lint;
pub mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub use finding::Finding;
use k8s_openapi::api::core::v1::{Namespace, Node, Service};
use kube::ResourceExt;
use lbcore::allocator::Claim;
use lbcore::plan;
use lbcore::{Avoided, LostAddresses, PoolSpec, Refusal, Request, ServiceKey};
use serde_json::Value;

use self::kinds::{Kind, Object};
use crate::manifest::{Manifest, Manifests};
use crate::objects::config::{Config, ConfigChange};
use crate::objects::metallb::{IPAddressPool, L2Advertisement};
use crate::objects::namespace::NamespaceView;
use crate::objects::node;
use crate::objects::pool::read_remembered;
use crate::objects::service::{Class, ServiceView, Wish};
use crate::objects::{ObjectRef, Problem, created};
use crate::suggest;

/// The code of an object that is written twice.
const DUPLICATE: &str = "Duplicate";

/// How manifests are to be read.
#[derive(Debug, Clone)]
pub struct Options {
    /// The namespace of pools and advertisements.
    pub namespace: String,
    /// The class of Services that are ours.
    pub class: Class,
    /// What becomes of held addresses that no pool has any more.
    pub lost_addresses: LostAddresses,
    /// The time, in microseconds since the Unix epoch: for what pools remember.
    pub now: i64,
}

impl Default for Options {
    fn default() -> Self {
        let namespace = crate::CONFIG_NAMESPACE.to_owned();
        Self { namespace, class: None, lost_addresses: LostAddresses::Keep, now: 0 }
    }
}

/// Manifests as a cluster would hold them.
#[derive(Debug)]
pub struct World {
    config: Config,
    /// In the order of the files; of one name, the first.
    services: Vec<ServiceView>,
    pools: Vec<IPAddressPool>,
    advertisements: Vec<L2Advertisement>,
    namespaces: BTreeMap<String, Namespace>,
    nodes: BTreeMap<String, Node>,
    /// The world as allocation sees it.
    facts: plan::World,
    /// What is wrong with the files and with each object by itself.
    problems: Vec<Problem>,
    manifests: Manifests,
    /// Where each object stands in the manifests; of one name, the first.
    index: BTreeMap<ObjectRef, usize>,
}

impl World {
    /// Reads manifests.
    #[must_use]
    pub fn read(manifests: Manifests, options: &Options) -> Self {
        let mut world = Self {
            config: Config::default(),
            services: Vec::new(),
            pools: Vec::new(),
            advertisements: Vec::new(),
            namespaces: BTreeMap::new(),
            nodes: BTreeMap::new(),
            facts: plan::World {
                lost_addresses: options.lost_addresses,
                now: options.now,
                ..plan::World::default()
            },
            problems: Vec::new(),
            manifests,
            index: BTreeMap::new(),
        };
        let mut services: Vec<(i64, ServiceView)> = Vec::new();
        for (place, manifest) in world.manifests.objects.iter().enumerate() {
            let Some(kind) = Kind::of(manifest, &mut world.problems) else { continue };
            let reference = kinds::reference(manifest, kind, &options.namespace, &mut world.problems);
            let Some(reference) = reference else { continue };
            if let Some(first) = world.index.get(&reference) {
                let first = &world.manifests.objects[*first].place;
                let message = format!("is written at {first} already; only that counts");
                world.problems.push(Problem::new(&reference, DUPLICATE, "metadata.name", message));
                continue;
            }
            world.index.insert(reference.clone(), place);
            match kinds::decode(manifest, kind, &reference, &mut world.problems) {
                None => {}
                Some(Object::Pool(pool)) => {
                    world.config.apply(ConfigChange::Pool(pool.clone()));
                    world.pools.push(pool);
                }
                Some(Object::Advertisement(advertisement)) => {
                    world.config.apply(ConfigChange::Advertisement(advertisement.clone()));
                    world.advertisements.push(advertisement);
                }
                Some(Object::ConfigMap(map)) => drop(world.config.apply(ConfigChange::ConfigMap(map))),
                Some(Object::Namespace(it)) => drop(world.namespaces.insert(it.name_any(), it)),
                Some(Object::Node(it)) => drop(world.nodes.insert(it.name_any(), it)),
                Some(Object::Service(it)) => services.push((age(&it), read_service(&it, options))),
            }
        }
        world.set_services(services);
        world.collect();
        world
    }

    /// Puts the Services in their turn: by creation, then in the order of the files.
    fn set_services(&mut self, services: Vec<(i64, ServiceView)>) {
        let mut order: Vec<usize> = (0..services.len()).collect();
        order.sort_by_key(|index| services[*index].0);
        let turn: BTreeMap<usize, i64> = order.into_iter().zip(0..).collect();
        for (index, (_, view)) in services.into_iter().enumerate() {
            self.facts.services.extend(claim(&view, turn[&index], &mut self.problems));
            self.services.push(view);
        }
    }

    fn collect(&mut self) {
        self.problems.extend(self.config.problems());
        // Of pools that overlap the older one is in force; those of one file are as old as their order says.
        let order: BTreeMap<String, (i64, usize)> = self
            .pools
            .iter()
            .enumerate()
            .map(|(index, pool)| (pool.name_any(), (age(pool), index)))
            .collect();
        let mut pools = self.config.pools();
        let place = |pool: &PoolSpec| order.get(&pool.name).copied().unwrap_or_default();
        pools.sort_by_key(place);
        for (pool, created) in pools.iter_mut().zip(0..) {
            pool.created = created;
        }
        self.facts.pools = pools;
        for (name, namespace) in &self.namespaces {
            let view = NamespaceView::read(namespace);
            self.problems.extend(view.problems);
            self.facts.namespaces.insert(name.clone(), view.namespace);
        }
        self.facts.unreadable = self.config.unreadable();
        self.problems.extend(self.nodes.values().flat_map(node::problems));
        self.facts.avoided = self.avoided();
        self.facts.remembered = self.pools.iter().flat_map(read_remembered).collect();
    }

    fn avoided(&self) -> BTreeMap<IpAddr, Avoided> {
        self.nodes.values().rev().flat_map(node::addresses).collect()
    }

    /// The world as allocation sees it.
    #[must_use]
    pub fn facts(&self) -> &plan::World {
        &self.facts
    }

    /// The advertisements in force.
    #[must_use]
    pub fn advertisements(&self) -> Vec<lbcore::Advertisement> {
        self.config.advertisements()
    }

    /// All that is wrong, in the order of the files: with each object by itself, between them, and what Services
    /// cannot have in `plan`. With `advice` also what is in force but probably not meant.
    #[must_use]
    pub fn findings(&self, plan: &plan::Plan, advice: bool) -> Vec<Finding> {
        let mut problems = self.problems.clone();
        problems.extend(plan.problems.iter().map(|problem| self.config.blame(problem)));
        problems.extend(self.unserved(plan));
        problems.extend(lint::selections(self));
        problems.extend(lint::families_apart(self, plan));
        if advice {
            problems.extend(lint::advice(self));
        }
        let mut seen = BTreeSet::new();
        problems.retain(|problem| seen.insert(problem.clone()));
        let finding = |problem: Problem| {
            // Of an object that is written twice, the second is at fault.
            let last = || self.manifests.objects.iter().rfind(|manifest| manifest.is(&problem.object));
            let manifest = if problem.code == DUPLICATE {
                last()
            } else {
                self.manifest_of(&problem.object).or_else(last)
            };
            Finding::new(problem, manifest)
        };
        let mut findings: Vec<Finding> = problems.into_iter().map(finding).collect();
        findings.extend(self.of_files());
        findings.sort_by(|a, b| a.order().cmp(&b.order()));
        findings
    }

    /// Pools of which hardly anything is left: nothing that is wrong with what is written, but soon somebody will wait.
    #[must_use]
    pub fn nearly_full(&self, plan: &plan::Plan) -> Vec<Finding> {
        let finding = |problem: Problem| {
            let manifest = self.manifest_of(&problem.object);
            Finding::new(problem, manifest)
        };
        lint::nearly_full(self, plan).into_iter().map(finding).collect()
    }

    /// What is wrong with the files themselves.
    #[must_use]
    pub fn of_files(&self) -> Vec<Finding> {
        self.manifests.errors.iter().map(|error| Finding::of_file(error, &self.manifests)).collect()
    }

    /// What Services ask for and do not get.
    fn unserved(&self, plan: &plan::Plan) -> Vec<Problem> {
        let planned: BTreeMap<&ServiceKey, &plan::Planned> =
            plan.services.iter().map(|planned| (&planned.decision.key, planned)).collect();
        let problem = |view: &ServiceView| {
            let planned = planned.get(&view.key)?;
            let refusal = planned.decision.refusal()?;
            let written = self.manifest_of(&view.object).map(|manifest| &manifest.value);
            let field = finding::field_of(refusal, written.unwrap_or(&Value::Null));
            let mut message = refusal.to_string();
            if let Refusal::UnknownPool { pool, pools } = refusal {
                message += &suggest::hint(suggest::nearest(pool, pools.iter().map(|pool| &**pool)));
            }
            let problem = Problem::new(&view.object, refusal.code(), field, message);
            let refused = planned.outcome() == plan::PlannedOutcome::Refused;
            Some(if refused { problem } else { problem.warning() })
        };
        self.services.iter().filter_map(problem).collect()
    }

    fn manifest_of(&self, object: &ObjectRef) -> Option<&Manifest> {
        let object = ObjectRef { uid: "".into(), ..object.clone() };
        self.index.get(&object).map(|index| &self.manifests.objects[*index])
    }
}

/// When an object was created; one that does not say comes after all that do.
fn age<K: ResourceExt>(object: &K) -> i64 {
    if object.creation_timestamp().is_some() { created(object) } else { i64::MAX }
}

fn read_service(service: &Service, options: &Options) -> ServiceView {
    ServiceView::read_manifest(service, &options.class)
}

/// A Service's part in the plan, if it is one of ours.
fn claim(view: &ServiceView, turn: i64, problems: &mut Vec<Problem>) -> Option<Claim> {
    let request = match &view.wish {
        Wish::Addresses(request) => (**request).clone(),
        Wish::Unclear(faults) => {
            problems.extend(faults.iter().cloned());
            view.request_for_what_is_shown()?
        }
        Wish::Nothing | Wish::NotOurs => return None,
    };
    let addresses = view.addresses();
    Some(Claim {
        request: Request { created: turn, ..request }.into(),
        addresses,
        recorded_pool: view.pool_on_record().map(str::to_owned),
        recorded_pools: view.recorded_pools(),
    })
}
