//! The v0.12 ConfigMap: pools and their advertisements in one YAML text.
//!
//! MetalLB itself has not read it since v0.13, but it stands in many repositories. What layer 2 needs is read;
//! what is BGP's is reported as not served. Unlike MetalLB's converter, a protocol or a key that nobody knows
//! is a problem and not silence.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ConfigMap;
use lbcore::{Advertisement, PoolSpec};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{ObjectRef, Problem, created};
use crate::schema::{self, INVALID_VALUE, UNKNOWN_FIELD, What};
use crate::suggest;

/// The name of the ConfigMap.
pub const NAME: &str = "config";
/// The key of the text in its data.
pub const KEY: &str = "config";

/// The code of what is BGP's.
pub(crate) const NOT_SERVED: &str = "NotServed";

/// What a ConfigMap says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Legacy {
    /// Its pools, but those with a problem.
    pub pools: Vec<PoolSpec>,
    /// One for each pool with protocol `layer2`.
    pub advertisements: Vec<Advertisement>,
    /// All that is wrong with it.
    pub problems: Vec<Problem>,
    /// The names of all entries, also of those that cannot be read, with their places in the list. `None` if the
    /// text cannot be read at all.
    entries: Option<BTreeMap<String, usize>>,
    /// The entries whose protocol cannot be read.
    unclear: BTreeSet<String>,
}

impl Legacy {
    /// The place of a pool's entry in `address-pools`.
    #[must_use]
    pub fn place_of(&self, pool: &str) -> Option<usize> {
        self.entries.as_ref()?.get(pool).copied()
    }

    /// The names of the pools that are written and cannot be read; `None` if not even the names can be.
    pub(super) fn unreadable(&self) -> Option<Vec<String>> {
        let names = self.entries.as_ref()?.keys();
        let unread = |name: &&String| !self.pools.iter().any(|pool| pool.name == **name);
        Some(names.filter(unread).cloned().collect())
    }

    /// Puts back, from the last form, what this one names but does not say in a way that can be read.
    pub(super) fn keep_last_good(&mut self, last: Self) {
        let Some(entries) = &self.entries else {
            let problems = std::mem::take(&mut self.problems);
            *self = Self { problems, ..last };
            return;
        };
        for pool in last.pools {
            if entries.contains_key(&pool.name) && !self.pools.iter().any(|it| it.name == pool.name) {
                self.pools.push(pool);
            }
        }
        for advertisement in last.advertisements {
            let named = advertisement.pools.iter().any(|pool| self.unclear.contains(pool));
            if named && !self.advertisements.iter().any(|it| it.name == advertisement.name) {
                self.advertisements.push(advertisement);
            }
        }
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", expecting = "a map with address-pools")]
struct Text {
    #[serde(default)]
    address_pools: Vec<Entry>,
    #[serde(default, alias = "Peers")]
    peers: Vec<Value>,
    #[serde(default)]
    bgp_communities: Option<Value>,
    #[serde(default)]
    bfd_profiles: Vec<Value>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", expecting = "a map with name, protocol and addresses")]
struct Entry {
    name: String,
    #[serde(default)]
    protocol: String,
    #[serde(default)]
    addresses: Vec<String>,
    #[serde(default)]
    auto_assign: Option<bool>,
    #[serde(default)]
    avoid_buggy_ips: Option<bool>,
    #[serde(default)]
    bgp_advertisements: Vec<Value>,
}

/// Reads the ConfigMap.
#[must_use]
pub fn read(map: &ConfigMap) -> Legacy {
    let object = ObjectRef::of(map);
    let mut legacy = Legacy::default();
    let path =
        |rest: &str| if rest.is_empty() { format!("data.{KEY}") } else { format!("data.{KEY}: {rest}") };
    let Some(text) = map.data.as_ref().and_then(|data| data.get(KEY)) else {
        let message = "is missing; the v0.12 configuration is the text under this key";
        legacy.problems.push(Problem::new(&object, "NoConfiguration", format!("data.{KEY}"), message));
        return legacy;
    };
    let value: Value = match serde_saphyr::from_str(text) {
        Ok(value) => value,
        Err(error) => {
            let message = format!("is not YAML: {}", error.without_snippet());
            legacy.problems.push(Problem::new(&object, "Syntax", format!("data.{KEY}"), message));
            return legacy;
        }
    };
    for fault in schema::check::<Text>(&value) {
        let (code, message) = match fault.what {
            What::Unknown => {
                let near = suggest::field::<Text>(&fault.path);
                let message = match near {
                    Some(near) => {
                        format!("is no key of the v0.12 configuration{}", suggest::hint(Some(near)))
                    }
                    None => "is no key of the v0.12 configuration; remove it or correct its name".to_owned(),
                };
                (UNKNOWN_FIELD, message)
            }
            What::Mismatch(why) => (INVALID_VALUE, why),
        };
        legacy.problems.push(Problem::new(&object, code, path(&fault.path.to_string()), message));
    }
    let Ok(text) = serde_json::from_value::<Text>(value) else { return legacy };
    legacy.entries = Some(BTreeMap::new());
    let bgp = [
        ("peers", !text.peers.is_empty()),
        ("bgp-communities", text.bgp_communities.is_some()),
        ("bfd-profiles", !text.bfd_profiles.is_empty()),
    ];
    for (key, _) in bgp.into_iter().filter(|(_, used)| *used) {
        legacy.problems.push(Problem::new(
            &object,
            NOT_SERVED,
            path(key),
            "is BGP's, which lbd does not serve",
        ));
    }
    for (index, entry) in text.address_pools.into_iter().enumerate() {
        let at = |field: &str| path(&format!("address-pools[{index}].{field}"));
        let entries = legacy.entries.get_or_insert_default();
        if let Some(first) = entries.get(&entry.name) {
            let message =
                format!("{:?} is the name of address-pools[{first}] already; only that counts", entry.name);
            legacy.problems.push(Problem::new(&object, "DuplicateName", at("name"), message));
            continue;
        }
        entries.insert(entry.name.clone(), index);
        match entry.protocol.as_str() {
            "layer2" => legacy.advertisements.push(Advertisement {
                name: entry.name.clone(),
                pools: [entry.name.clone()].into(),
                ..Advertisement::default()
            }),
            "bgp" => {
                let message =
                    "is BGP, which lbd does not serve: its services get addresses that nobody announces";
                legacy.problems.push(Problem::new(&object, NOT_SERVED, at("protocol"), message));
            }
            other => {
                legacy.unclear.insert(entry.name.clone());
                let message = format!(
                    "{other:?} is no protocol; write layer2. Its services get addresses that nobody announces"
                );
                legacy.problems.push(Problem::new(&object, "UnknownProtocol", at("protocol"), message));
            }
        }
        if !entry.bgp_advertisements.is_empty() {
            legacy.problems.push(Problem::new(
                &object,
                NOT_SERVED,
                at("bgp-advertisements"),
                "is BGP's, which lbd does not serve",
            ));
        }
        match PoolSpec::parse(entry.name, entry.addresses.iter().map(String::as_str)) {
            Ok(pool) => legacy.pools.push(PoolSpec {
                created: created(map),
                auto_assign: entry.auto_assign.unwrap_or(true),
                avoid_buggy: entry.avoid_buggy_ips.unwrap_or(false),
                ..pool
            }),
            Err(errors) => legacy.problems.extend(errors.0.into_iter().map(|error| {
                // In this format the field is `addresses`, without `spec`.
                Problem::of_pool(&object, at(error.path.trim_start_matches("spec.")), &error.kind)
            })),
        }
    }
    legacy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> ConfigMap {
        let data = Some([(KEY.to_owned(), text.to_owned())].into());
        let metadata = kube::core::ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some("metallb-system".to_owned()),
            ..Default::default()
        };
        ConfigMap { metadata, data, ..ConfigMap::default() }
    }

    #[test]
    fn pools_and_their_advertisements_are_read() {
        let text = "
address-pools:
- name: default
  protocol: layer2
  addresses:
  - 192.168.3.251-192.168.3.254
- name: manual
  protocol: layer2
  auto-assign: false
  avoid-buggy-ips: true
  addresses: [10.0.0.0/24]
";
        let legacy = read(&map(text));
        assert_eq!(legacy.problems, []);
        let pools: Vec<_> = legacy
            .pools
            .iter()
            .map(|pool| (pool.name.as_str(), pool.auto_assign, pool.avoid_buggy))
            .collect();
        assert_eq!(pools, [("default", true, false), ("manual", false, true)]);
        assert!(legacy.advertisements[1].pools.contains("manual"));
    }

    #[test]
    fn what_mistakes_there_are_is_said_and_the_rest_is_read() {
        let text = "
peers: [{my-asn: 1}]
address-pools:
- {name: good, protocol: layer2, addresses: [10.0.0.0/24]}
- {name: typo, protocol: l2, addresses: [10.0.1.0/24]}
- {name: bad, protocol: layer2, adresses: [10.0.2.0/24], addresses: [10.0.3.9-10.0.3.1]}
";
        let legacy = read(&map(text));
        let problems: Vec<_> =
            legacy.problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
        assert_eq!(
            problems,
            [
                "data.config: address-pools[2].adresses: is no key of the v0.12 configuration; did you mean addresses?",
                "data.config: peers: is BGP's, which lbd does not serve",
                "data.config: address-pools[1].protocol: \"l2\" is no protocol; write layer2. Its services get addresses that nobody announces",
                "data.config: address-pools[2].addresses[0]: \"10.0.3.9-10.0.3.1\": ends at 10.0.3.1, before its start 10.0.3.9; write the lower address first",
            ]
        );
        assert_eq!(legacy.pools.iter().map(|pool| pool.name.as_str()).collect::<Vec<_>>(), ["good", "typo"]);
    }

    #[test]
    fn a_text_that_is_no_yaml_is_a_problem_and_no_panic() {
        for text in ["address-pools: [", "- a\n- b", "42", "address-pools: 7"] {
            let legacy = read(&map(text));
            assert!(legacy.pools.is_empty() && !legacy.problems.is_empty(), "{text}: {legacy:?}");
        }
    }
}
