//! What the API server fills in on Services.

use std::net::IpAddr;

use lbcore::{Allocator, Families, Family, PoolSpec, Request, ServiceKey};
use serde_json::{Value, json};

use super::{ApiError, Kind};

/// The cluster addresses (`--service-cluster-ip-range`), given out by the same allocator as the others.
#[derive(Debug)]
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
    pub(super) fn release(&mut self, namespace: &str, name: &str) {
        self.0.release(&ServiceKey::new(namespace, name));
    }

    fn take(
        &mut self,
        key: &ServiceKey,
        families: Families,
        asked: Vec<IpAddr>,
    ) -> Result<Vec<IpAddr>, String> {
        let mut request = Request::new(key.clone(), families);
        request.addresses = asked;
        let decision = self.0.request(request);
        match decision.refusal() {
            // With PreferDualStack one family is enough.
            Some(refusal) if decision.held().is_empty() => {
                let why = refusal.to_string();
                self.0.release(key);
                Err(why)
            }
            _ => Ok(decision.addresses()),
        }
    }
}

/// Fills in what the API server fills in, and takes cluster addresses. `before` is the stored form at an
/// update: what the writer left out of what was given to it stays.
pub(super) fn fill_in(
    kind: &Kind,
    object: &mut Value,
    before: Option<&Value>,
    cluster_ips: &mut ClusterIps,
) -> Result<(), ApiError> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
    let invalid = |why: &str| ApiError::invalid(kind, &name, why);
    let Some(spec) = object["spec"].as_object_mut() else {
        return Err(invalid("spec: Required value"));
    };
    let kind_of =
        spec.entry("type").or_insert_with(|| json!("ClusterIP")).as_str().unwrap_or_default().to_owned();
    spec.entry("sessionAffinity").or_insert_with(|| json!("None"));
    if kind_of != "ExternalName" {
        spec.entry("internalTrafficPolicy").or_insert_with(|| json!("Cluster"));
    }
    if matches!(kind_of.as_str(), "LoadBalancer" | "NodePort") {
        spec.entry("externalTrafficPolicy").or_insert_with(|| json!("Cluster"));
    } else {
        spec.remove("externalTrafficPolicy");
    }
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
        port.entry("protocol").or_insert_with(|| json!("TCP"));
        let number = port.get("port").cloned().unwrap_or_default();
        port.entry("targetPort").or_insert(number);
    }
    if kind_of == "ExternalName" {
        cluster_ips.release(&namespace, &name);
        return Ok(());
    }
    if let Some(before) = before {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if let Some(value) = before["spec"].get(field) {
                spec.entry(field).or_insert_with(|| value.clone());
            }
        }
    }
    give_cluster_ips(spec, &ServiceKey::new(namespace, name.as_str()), cluster_ips)
        .map_err(|why| invalid(&why))?;
    if kind_of == "LoadBalancer" {
        fill_in_ip_mode(object);
    } else if object["status"].get("loadBalancer").is_some() {
        // The address belongs to the type: a Service that is no LoadBalancer any more shows none.
        object["status"]["loadBalancer"] = json!({});
    }
    Ok(())
}

fn give_cluster_ips(
    spec: &mut serde_json::Map<String, Value>,
    key: &ServiceKey,
    cluster_ips: &mut ClusterIps,
) -> Result<(), String> {
    let headless = spec.get("clusterIP").or_else(|| spec.get("clusterIPs")?.get(0)) == Some(&json!("None"));
    let families: Vec<Family> = match spec.get("ipFamilies") {
        Some(listed) => serde_json::from_value(listed.clone()).map_err(|_| {
            format!("spec.ipFamilies: Unsupported value: {listed}: supported values: \"IPv4\", \"IPv6\"")
        })?,
        None => Vec::new(),
    };
    let asked = asked_addresses(spec)?;
    let primary = asked.first().map(|ip| Family::of(*ip)).or(families.first().copied()).unwrap_or(Family::V4);
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
    let given: Vec<IpAddr> = if headless { Vec::new() } else { cluster_ips.take(key, families, asked)? };
    let listed = if headless { families.wanted() } else { given.iter().map(|ip| Family::of(*ip)).collect() };
    spec.insert("ipFamilies".to_owned(), json!(listed));
    let texts: Vec<String> =
        if headless { vec!["None".to_owned()] } else { given.iter().map(ToString::to_string).collect() };
    spec.insert("clusterIP".to_owned(), json!(texts[0]));
    spec.insert("clusterIPs".to_owned(), json!(texts));
    Ok(())
}

/// The cluster addresses that the object names itself.
fn asked_addresses(spec: &serde_json::Map<String, Value>) -> Result<Vec<IpAddr>, String> {
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

/// Since 1.30 the server says that an address is a virtual one unless the writer says otherwise.
fn fill_in_ip_mode(object: &mut Value) {
    let ingress = object["status"]["loadBalancer"]["ingress"].as_array_mut();
    for entry in ingress.into_iter().flatten().filter_map(Value::as_object_mut) {
        if entry.contains_key("ip") {
            entry.entry("ipMode").or_insert_with(|| json!("VIP"));
        }
    }
    if object["status"]["loadBalancer"].is_null() {
        object["status"]["loadBalancer"] = json!({});
    }
}
