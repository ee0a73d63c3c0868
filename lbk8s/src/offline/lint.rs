//! What is in force as written, but probably not meant.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use lbcore::plan::Plan;
use lbcore::{Advertisement, Family, Holding, Labels, PoolSpec, ServiceKey};

use super::World;
use crate::objects::annotations::{self, DEPRECATED_PREFIX, EXCLUDE, LOAD_BALANCER_IPS};
use crate::objects::metallb::{IPAddressPool, L2Advertisement};
use crate::objects::service::{ServiceView, Wish};
use crate::objects::{ObjectRef, Problem, selector};
use crate::suggest;

/// Names and selectors that choose nothing. Namespaces and Nodes are looked at only if any are written.
pub(super) fn selections(world: &World) -> Vec<Problem> {
    let mut problems = Vec::new();
    for advertisement in &world.advertisements {
        of_advertisement(world, advertisement, &mut problems);
    }
    for pool in &world.pools {
        of_pool(world, pool, &mut problems);
    }
    problems
}

/// Pools of which hardly anything is left.
pub(super) fn nearly_full(world: &World, plan: &Plan) -> Vec<Problem> {
    let mut problems = Vec::new();
    for pool in &world.pools {
        let name = pool.name_any();
        let Some(planned) = plan.pools.iter().find(|planned| planned.name == name) else { continue };
        for (family, counters) in [(Family::V4, planned.v4), (Family::V6, planned.v6)] {
            if counters.is_nearly_full() {
                let (left, total) = (counters.available(), counters.total);
                let message =
                    format!("{left} of {total} {family} addresses are left; soon Services will wait");
                problems.push(
                    Problem::new(&ObjectRef::of(pool), "NearlyFull", "spec.addresses", message).warning(),
                );
            }
        }
    }
    problems
}

fn of_advertisement(world: &World, advertisement: &L2Advertisement, problems: &mut Vec<Problem>) {
    let object = ObjectRef::of(advertisement);
    let pools = &world.facts.pools;
    for (index, name) in advertisement.spec.ip_address_pools.iter().flatten().enumerate() {
        let written = world.pools.iter().any(|pool| pool.name_any() == *name);
        if !written && !pools.iter().any(|pool| pool.name == *name) {
            let near = suggest::nearest(name, pools.iter().map(|pool| pool.name.as_str()));
            let message = format!("there is no pool {name:?}{}", suggest::hint(near));
            let path = format!("spec.ipAddressPools[{index}]");
            problems.push(Problem::new(&object, "UnknownPool", path, message).warning());
        }
    }
    let pool_labels: Vec<Labels> = pools.iter().map(|pool| pool.labels.clone()).collect();
    let nodes: Vec<Labels> = world.nodes.values().map(|node| node.labels().into()).collect();
    let services: Vec<Labels> = world.services.iter().map(|view| view.labels.clone()).collect();
    let spec = &advertisement.spec;
    for (field, selectors, what, objects, known) in [
        ("ipAddressPoolSelectors", &spec.ip_address_pool_selectors, "pool", &pool_labels, true),
        ("nodeSelectors", &spec.node_selectors, "Node", &nodes, !nodes.is_empty()),
        ("serviceSelectors", &spec.service_selectors, "Service", &services, !services.is_empty()),
    ] {
        if known {
            choose_nothing(&object, &format!("spec.{field}"), selectors.as_ref(), what, objects, problems);
        }
    }
}

fn of_pool(world: &World, pool: &IPAddressPool, problems: &mut Vec<Problem>) {
    let object = ObjectRef::of(pool);
    let rules = pool.spec.service_allocation.clone().unwrap_or_default();
    if !world.namespaces.is_empty() {
        for (index, name) in rules.namespaces.iter().flatten().enumerate() {
            if !world.namespaces.contains_key(name) {
                let near = suggest::nearest(name, world.namespaces.keys().map(String::as_str));
                let message = format!("there is no Namespace {name:?}{}", suggest::hint(near));
                let path = format!("spec.serviceAllocation.namespaces[{index}]");
                problems.push(Problem::new(&object, "UnknownNamespace", path, message).warning());
            }
        }
        let labels: Vec<Labels> = world.namespaces.values().map(|it| it.labels().into()).collect();
        let path = "spec.serviceAllocation.namespaceSelectors";
        choose_nothing(&object, path, rules.namespace_selectors.as_ref(), "Namespace", &labels, problems);
    }
    let spec = world.facts.pools.iter().find(|spec| spec.name == pool.name_any());
    let idle = |spec: &&PoolSpec| {
        !spec.excludes.iter().all(|exclude| spec.ranges.iter().any(|range| range.overlaps(exclude)))
    };
    if spec.as_ref().is_some_and(idle) {
        let message = "names addresses that are not in spec.addresses; that has no effect";
        let problem = Problem::new(&object, "ExcludesNothing", annotations::path(EXCLUDE), message);
        problems.push(problem.warning());
    }
}

/// Those of `selectors` that choose none of the objects with these labels.
fn choose_nothing(
    object: &ObjectRef,
    path: &str,
    selectors: Option<&Vec<LabelSelector>>,
    what: &str,
    objects: &[Labels],
    problems: &mut Vec<Problem>,
) {
    for (index, written) in selectors.into_iter().flatten().enumerate() {
        let path = format!("{path}[{index}]");
        // One that cannot be read is told of elsewhere.
        let Some(selector) = selector::read(object, &path, written, &mut Vec::new()) else { continue };
        if !objects.iter().any(|labels| selector.matches(labels)) {
            let message = format!("chooses no {what}");
            problems.push(Problem::new(object, "SelectsNothing", path, message).warning());
        }
    }
}

/// Services of both families that no Node can announce together. Looked at only if any Nodes are written.
pub(super) fn families_apart(world: &World, plan: &Plan) -> Vec<Problem> {
    if world.nodes.is_empty() {
        return Vec::new();
    }
    let advertisements = world.advertisements();
    let views: BTreeMap<&ServiceKey, &ServiceView> =
        world.services.iter().map(|view| (&view.key, view)).collect();
    let nodes = |held: &Holding, view: &ServiceView| -> BTreeSet<&String> {
        let pool = world.facts.pools.iter().find(|pool| *pool.name == *held.pool);
        let labels = pool.map(|pool| pool.labels.clone()).unwrap_or_default();
        let about =
            |it: &&Advertisement| it.chooses_pool(&held.pool, &labels) && it.chooses_service(&view.labels);
        let about: Vec<&Advertisement> = advertisements.iter().filter(about).collect();
        let chosen = world
            .nodes
            .iter()
            .filter(|(_, node)| about.iter().any(|it| it.chooses_node(&node.labels().into())));
        chosen.map(|(name, _)| name).collect()
    };
    let mut problems = Vec::new();
    for planned in &plan.services {
        let (held, Some(view)) = (planned.decision.held(), views.get(&planned.decision.key)) else {
            continue;
        };
        let of = |family| held.iter().find(|held| Family::of(held.address) == family);
        let (Some(four), Some(six)) = (of(Family::V4), of(Family::V6)) else { continue };
        let (fours, sixes) = (nodes(four, view), nodes(six, view));
        if !fours.is_empty() && !sixes.is_empty() && fours.is_disjoint(&sixes) {
            let message = "no Node can announce both of its families, so they are announced separately";
            let problem = Problem::new(&view.object, "FamiliesApart", "metadata.name", message);
            problems.push(problem.warning());
        }
    }
    problems
}

/// What else a careful reader would say.
pub(super) fn advice(world: &World) -> Vec<Problem> {
    let mut problems = Vec::new();
    not_advertised(world, &mut problems);
    for pool in &world.pools {
        let object = ObjectRef::of(pool);
        let rules = pool.spec.service_allocation.clone().unwrap_or_default();
        let path = |field: &str| format!("spec.serviceAllocation.{field}");
        twice(&object, &path("namespaces"), rules.namespaces.as_deref(), &mut problems);
        twice_selected(
            &object,
            &path("namespaceSelectors"),
            rules.namespace_selectors.as_deref(),
            &mut problems,
        );
        twice_selected(&object, &path("serviceSelectors"), rules.service_selectors.as_deref(), &mut problems);
    }
    for advertisement in &world.advertisements {
        let (object, spec) = (ObjectRef::of(advertisement), &advertisement.spec);
        twice(&object, "spec.ipAddressPools", spec.ip_address_pools.as_deref(), &mut problems);
        for (field, selectors) in [
            ("spec.ipAddressPoolSelectors", &spec.ip_address_pool_selectors),
            ("spec.nodeSelectors", &spec.node_selectors),
            ("spec.serviceSelectors", &spec.service_selectors),
        ] {
            twice_selected(&object, field, selectors.as_deref(), &mut problems);
        }
    }
    of_services(world, &mut problems);
    problems
}

/// Pools from which addresses are given that nobody announces.
fn not_advertised(world: &World, problems: &mut Vec<Problem>) {
    let advertisements = world.advertisements();
    for pool in &world.pools {
        let (name, labels) = (pool.name_any(), pool.labels().into());
        if !advertisements.iter().any(|advertisement| advertisement.chooses_pool(&name, &labels)) {
            let message =
                "is chosen by no L2Advertisement: its addresses are given and nobody answers for them";
            let problem = Problem::new(&ObjectRef::of(pool), "NotAdvertised", "metadata.name", message);
            problems.push(problem.warning());
        }
    }
}

/// What MetalLB refuses, and with it the whole configuration.
const NOT_FOR_METALLB: &str = "NotForMetalLB";

/// Entries that are written twice.
fn twice<T: PartialEq + Debug>(
    object: &ObjectRef,
    path: &str,
    list: Option<&[T]>,
    problems: &mut Vec<Problem>,
) {
    for (index, entry) in list.into_iter().flatten().enumerate() {
        let before = list.into_iter().flatten().take(index).any(|earlier| earlier == entry);
        if before {
            let message = "is written twice in this list, which MetalLB refuses; remove one";
            let path = format!("{path}[{index}]");
            problems.push(Problem::new(object, NOT_FOR_METALLB, path, message).warning());
        }
    }
}

/// The same of selectors, in which the order of expressions and values does not count; and what is written twice
/// within one.
fn twice_selected(
    object: &ObjectRef,
    path: &str,
    selectors: Option<&[LabelSelector]>,
    problems: &mut Vec<Problem>,
) {
    let sorted = |selector: &LabelSelector| {
        let mut sorted = selector.clone();
        for expression in sorted.match_expressions.iter_mut().flatten() {
            expression.values.iter_mut().for_each(|values| values.sort());
        }
        if let Some(expressions) = &mut sorted.match_expressions {
            expressions
                .sort_by(|a, b| (&a.key, &a.operator, &a.values).cmp(&(&b.key, &b.operator, &b.values)));
        }
        sorted
    };
    let list: Vec<LabelSelector> = selectors.into_iter().flatten().map(sorted).collect();
    twice(object, path, Some(&list), problems);
    for (index, selector) in selectors.into_iter().flatten().enumerate() {
        let path = format!("{path}[{index}].matchExpressions");
        twice(object, &path, selector.match_expressions.as_deref(), problems);
        for (index, expression) in selector.match_expressions.iter().flatten().enumerate() {
            twice(object, &format!("{path}[{index}].values"), expression.values.as_deref(), problems);
        }
    }
}

fn of_services(world: &World, problems: &mut Vec<Problem>) {
    for view in &world.services {
        let Wish::Addresses(request) = &view.wish else { continue };
        let families: Vec<Family> = request.addresses.iter().map(|it| Family::of(*it)).collect();
        let different: BTreeSet<&Family> = families.iter().collect();
        let wanted = request.families.wanted().len();
        if different.len() < families.len() {
            let message = "asks for several addresses of one family, which MetalLB refuses";
            let path = annotations::path(&format!("{}{LOAD_BALANCER_IPS}", annotations::PREFIX));
            problems.push(Problem::new(&view.object, NOT_FOR_METALLB, path, message).warning());
        } else if !families.is_empty() && families.len() < wanted {
            let message =
                "asks for an address of one family only, which MetalLB refuses for a dual-stack Service";
            let path = annotations::path(&format!("{}{LOAD_BALANCER_IPS}", annotations::PREFIX));
            problems.push(Problem::new(&view.object, NOT_FOR_METALLB, path, message).warning());
        }
        let written = world.manifest_of(&view.object).map(|it| &it.value["metadata"]["annotations"]);
        let keys = written.and_then(|it| it.as_object()).into_iter().flatten().map(|(key, _)| key);
        for key in keys.filter(|key| key.starts_with(DEPRECATED_PREFIX)) {
            let now = key.replacen(DEPRECATED_PREFIX, annotations::PREFIX, 1);
            let message = format!("is of MetalLB's old prefix; write {now}");
            let problem =
                Problem::new(&view.object, annotations::DEPRECATED, annotations::path(key), message);
            problems.push(problem.warning());
        }
    }
}
