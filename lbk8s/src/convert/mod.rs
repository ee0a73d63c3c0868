//! The v0.12 ConfigMap turned into today's objects, BGP's too.
//!
//! It gives what MetalLB's own converter gives, under the same names and in the same order. But where that one
//! is silent (a key that nobody knows, a protocol that is none, a name that comes out twice), this one fails, with
//! all reasons, and gives nothing.

mod bgp;
mod names;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use lbcore::{Allocator, PoolSpec};
use serde_json::{Map, Value, json};

use self::names::Names;
use self::text::{Pool, Text};
use crate::objects::config_map::KEY;
use crate::objects::{ObjectRef, Problem};
use crate::schema::{INVALID_VALUE, UNKNOWN_FIELD, What, check};
use crate::suggest;

/// Converts a ConfigMap.
///
/// # Errors
/// All reasons why it cannot be converted.
pub fn convert(map: &ConfigMap) -> Result<Vec<Value>, Vec<Problem>> {
    let object = ObjectRef::of(map);
    let namespace = map.namespace().unwrap_or_else(|| crate::CONFIG_NAMESPACE.to_owned());
    let text = map.data.as_ref().and_then(|data| data.get(KEY)).filter(|text| !text.trim().is_empty());
    if let Some(text) = text {
        convert_text(text, &object, &namespace)
    } else {
        let message = "is missing; the v0.12 configuration is the text under this key";
        Err(vec![Problem::new(&object, "NoConfiguration", format!("data.{KEY}"), message)])
    }
}

/// Converts the text that stands in a ConfigMap. Problems are told of `object`; the objects made are for
/// `namespace`.
///
/// # Errors
/// All reasons why it cannot be converted.
pub fn convert_text(text: &str, object: &ObjectRef, namespace: &str) -> Result<Vec<Value>, Vec<Problem>> {
    let mut faults = Faults { object, problems: Vec::new() };
    let objects = faults.parse(text).map(|text| objects(&text, namespace, &mut faults)).unwrap_or_default();
    if faults.problems.is_empty() { Ok(objects) } else { Err(faults.problems) }
}

/// What is wrong, all of it with one object.
struct Faults<'o> {
    object: &'o ObjectRef,
    problems: Vec<Problem>,
}

impl Faults<'_> {
    fn add(&mut self, code: &'static str, path: &str, message: impl std::fmt::Display) {
        let path = if path.is_empty() { format!("data.{KEY}") } else { format!("data.{KEY}: {path}") };
        self.problems.push(Problem::new(self.object, code, path, message));
    }

    fn parse(&mut self, text: &str) -> Option<Text> {
        let value: Value = match serde_saphyr::from_str(text) {
            Ok(value) => value,
            Err(error) => {
                let message = format!("is not YAML: {}", error.without_snippet());
                self.problems.push(Problem::new(self.object, "Syntax", format!("data.{KEY}"), message));
                return None;
            }
        };
        for fault in check::<Text>(&value) {
            let path = fault.path.to_string();
            match &fault.what {
                What::Unknown => {
                    let hint = suggest::hint(suggest::field::<Text>(&fault.path));
                    self.add(UNKNOWN_FIELD, &path, format!("is no key of the v0.12 configuration{hint}"));
                }
                What::Mismatch(why) => self.add(INVALID_VALUE, &path, why),
            }
        }
        serde_json::from_value(value).ok()
    }
}

/// The objects, in the order in which MetalLB's converter writes them.
fn objects(text: &Text, namespace: &str, faults: &mut Faults<'_>) -> Vec<Value> {
    let pool_names =
        Names::new("address-pools", text.address_pools.iter().map(|pool| pool.name.as_str()), faults);
    let profile_names =
        Names::new("bfd-profiles", text.bfd_profiles.iter().map(|profile| profile.name.as_str()), faults);
    let aliases: BTreeSet<&str> = text.bgp_communities.keys().map(String::as_str).collect();
    check_addresses(&text.address_pools, &pool_names, faults);

    let object = |version: &str, kind: &str, name: String, spec: Map<String, Value>| {
        json!({
            "apiVersion": format!("metallb.io/{version}"),
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        })
    };
    let mut objects = Vec::new();
    for (index, peer) in text.peers.iter().enumerate() {
        let spec = bgp::peer(peer, &format!("peers[{index}]"), &profile_names, faults);
        objects.push(object("v1beta2", "BGPPeer", format!("peer{}", index + 1), spec));
    }
    for (index, pool) in text.address_pools.iter().enumerate() {
        let spec = pool_spec(pool, &format!("address-pools[{index}]"), faults);
        objects.push(object("v1beta1", "IPAddressPool", pool_names.of(&pool.name), spec));
    }
    let mut number = 0;
    for (index, pool) in text.address_pools.iter().enumerate() {
        // Advertisements count also beside another protocol, and a pool of BGP without any has one by default.
        let default = [text::BgpAdvertisement::default()];
        let listed = match &pool.bgp_advertisements[..] {
            [] if pool.protocol == "bgp" => &default[..],
            listed => listed,
        };
        for (place, advertisement) in listed.iter().enumerate() {
            number += 1;
            let path = format!("address-pools[{index}].bgp-advertisements[{place}]");
            let spec = bgp::advertisement(advertisement, &pool_names.of(&pool.name), &path, &aliases, faults);
            objects.push(object("v1beta1", "BGPAdvertisement", format!("bgpadvertisement{number}"), spec));
        }
    }
    let layer2 = text.address_pools.iter().filter(|pool| pool.protocol == "layer2");
    for (pool, number) in layer2.zip(1..) {
        let spec = fields([("ipAddressPools", json!([pool_names.of(&pool.name)]))]);
        objects.push(object("v1beta1", "L2Advertisement", format!("l2advertisement{number}"), spec));
    }
    for (index, profile) in text.bfd_profiles.iter().enumerate() {
        let spec = bgp::profile(profile, &format!("bfd-profiles[{index}]"), faults);
        objects.push(object("v1beta1", "BFDProfile", profile_names.of(&profile.name), spec));
    }
    if !text.bgp_communities.is_empty() {
        let list = bgp::communities(&text.bgp_communities, faults);
        objects.push(object(
            "v1beta1",
            "Community",
            "communities".to_owned(),
            fields([("communities", list)]),
        ));
    }
    objects
}

/// The fields that have a value.
fn fields<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    let present = fields.into_iter().filter(|(_, value)| !value.is_null());
    present.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn pool_spec(pool: &Pool, path: &str, faults: &mut Faults<'_>) -> Map<String, Value> {
    if !matches!(pool.protocol.as_str(), "layer2" | "bgp") {
        let near = suggest::nearest(&pool.protocol, ["layer2", "bgp"]);
        let message =
            format!("{:?} is no protocol; write layer2 or bgp{}", pool.protocol, suggest::hint(near));
        faults.add("UnknownProtocol", &format!("{path}.protocol"), message);
    }
    fields([
        ("addresses", json!(pool.addresses)),
        ("autoAssign", json!(pool.auto_assign)),
        ("avoidBuggyIPs", json!(pool.avoid_buggy_ips)),
    ])
}

/// Pools that cannot be read or that overlap would be refused later; then it is better to know now.
fn check_addresses(pools: &[Pool], names: &Names, faults: &mut Faults<'_>) {
    let mut specs = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (index, pool) in pools.iter().enumerate() {
        let name = names.of(&pool.name);
        match PoolSpec::parse(&*name, pool.addresses.iter().map(String::as_str)) {
            Ok(spec) => specs.push(PoolSpec { created: i64::try_from(index).unwrap_or(i64::MAX), ..spec }),
            Err(problems) => {
                for problem in problems.0 {
                    let path = problem.path.trim_start_matches("spec.");
                    faults.add("InvalidAddress", &format!("address-pools[{index}].{path}"), &problem.kind);
                }
            }
        }
        places.entry(name).or_insert(index);
    }
    for problem in Allocator::default().set_pools(specs).problems {
        let Some(field) = problem.path.strip_prefix("spec.") else { continue };
        let index = places.get(&problem.pool).copied().unwrap_or_default();
        faults.add("Overlap", &format!("address-pools[{index}].{field}"), &problem.kind);
    }
}

#[cfg(test)]
mod tests;
