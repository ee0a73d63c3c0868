//! The cluster addresses of Services (`--service-cluster-ip-range`), given out by the same allocator as the
//! others.

use std::net::IpAddr;

use lbcore::{Allocator, Families, Family, PoolSpec, Request, ServiceKey};
use serde_json::{Map, Value, json};

#[derive(Debug, Clone)]
pub(super) struct ClusterIps(Allocator);

const RANGES: [&str; 2] = ["10.96.0.1-10.96.255.254", "fd96::1-fd96::ffff"];

impl Default for ClusterIps {
    fn default() -> Self {
        let mut allocator = Allocator::default();
        allocator.set_pools(vec![PoolSpec::parse("cluster", RANGES).expect("constant ranges are sound")]);
        Self(allocator)
    }
}

impl ClusterIps {
    pub(super) fn release(&mut self, key: &ServiceKey) {
        self.0.release(key);
    }

    /// Gives a Service the addresses that its spec asks for, and writes them into it.
    pub(super) fn give(&mut self, spec: &mut Map<String, Value>, key: &ServiceKey) -> Result<(), String> {
        let headless =
            spec.get("clusterIP").or_else(|| spec.get("clusterIPs")?.get(0)) == Some(&json!("None"));
        let families: Vec<Family> = match spec.get("ipFamilies") {
            Some(listed) => serde_json::from_value(listed.clone()).map_err(|_| {
                format!("spec.ipFamilies: Unsupported value: {listed}: supported values: \"IPv4\", \"IPv6\"")
            })?,
            None => Vec::new(),
        };
        let asked = asked_addresses(spec)?;
        let primary =
            asked.first().map(|ip| Family::of(*ip)).or(families.first().copied()).unwrap_or(Family::V4);
        let both = families.len() > 1 || asked.len() > 1;
        let policy = spec
            .entry("ipFamilyPolicy")
            .or_insert_with(|| json!(if both { "RequireDualStack" } else { "SingleStack" }));
        let families = match policy.as_str() {
            Some("SingleStack") => Families::Single(primary),
            Some("PreferDualStack") => Families::Prefer { primary },
            Some("RequireDualStack") => Families::Require { primary },
            _ => return Err(format!("spec.ipFamilyPolicy: Unsupported value: {policy}")),
        };
        let given: Vec<IpAddr> = if headless { Vec::new() } else { self.take(key, families, &asked)? };
        let listed = if headless {
            families.wanted().to_vec()
        } else {
            given.iter().map(|ip| Family::of(*ip)).collect()
        };
        let texts: Vec<String> =
            if headless { vec!["None".to_owned()] } else { given.iter().map(ToString::to_string).collect() };
        spec.insert("ipFamilies".to_owned(), json!(listed));
        spec.insert("clusterIP".to_owned(), json!(texts.first()));
        spec.insert("clusterIPs".to_owned(), json!(texts));
        Ok(())
    }

    fn take(
        &mut self,
        key: &ServiceKey,
        families: Families,
        asked: &[IpAddr],
    ) -> Result<Vec<IpAddr>, String> {
        let mut request = Request::new(key.clone(), families);
        request.addresses = asked.to_vec();
        let decision = self.0.request(request);
        let given = decision.addresses();
        // With PreferDualStack one family is enough, if it is what was asked for.
        let prefers = matches!(families, Families::Prefer { .. });
        let enough = prefers && !given.is_empty() && asked.iter().all(|ip| given.contains(ip));
        match decision.refusal().filter(|_| !enough).map(ToString::to_string) {
            Some(why) => {
                self.0.release(key);
                Err(why)
            }
            None => Ok(given),
        }
    }
}

/// The cluster addresses that the object names itself.
fn asked_addresses(spec: &Map<String, Value>) -> Result<Vec<IpAddr>, String> {
    let listed = spec.get("clusterIPs").and_then(Value::as_array).cloned().unwrap_or_default();
    let single = spec.get("clusterIP").cloned().into_iter();
    let named: Vec<Value> = if listed.is_empty() { single.collect() } else { listed };
    let named = named.iter().filter_map(Value::as_str).filter(|text| !matches!(*text, "" | "None"));
    named
        .map(|text| {
            text.parse().map_err(|_| format!("spec.clusterIPs: Invalid value: {text:?}: must be a valid IP"))
        })
        .collect()
}
