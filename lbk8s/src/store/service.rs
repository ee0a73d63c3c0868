//! What the API server fills in on Services, and what it holds their writers to.

use lbcore::ServiceKey;
use serde_json::{Map, Value, json};

use super::cluster_ips::ClusterIps;
use super::{ApiError, Kind};

type Spec = Map<String, Value>;

/// The fields that Services of some types only have, and these types.
const OF_TYPES: [(&str, &[&str]); 7] = [
    ("clusterIP", WITH_CLUSTER_IP),
    ("clusterIPs", WITH_CLUSTER_IP),
    ("ipFamilies", WITH_CLUSTER_IP),
    ("ipFamilyPolicy", WITH_CLUSTER_IP),
    ("externalTrafficPolicy", &["NodePort", "LoadBalancer"]),
    ("allocateLoadBalancerNodePorts", &["LoadBalancer"]),
    ("loadBalancerClass", &["LoadBalancer"]),
];
const WITH_CLUSTER_IP: &[&str] = &["ClusterIP", "NodePort", "LoadBalancer"];
/// What the server gives once; a writer who leaves it out keeps it.
const GIVEN: [&str; 4] = ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"];

/// Fills in what the API server fills in, and takes cluster addresses. `before` is the stored form at an update.
pub(super) fn fill_in(
    kind: &Kind,
    object: &mut Value,
    before: Option<&Value>,
    cluster_ips: &mut ClusterIps,
) -> Result<(), ApiError> {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    let key = ServiceKey::new(text("namespace"), text("name"));
    let invalid = |why: String| ApiError::invalid(kind, key.name(), &why);
    let before = before.and_then(|before| before["spec"].as_object());
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
        return Err(invalid("spec: Required value".to_owned()));
    };
    spec.entry("type").or_insert_with(|| json!("ClusterIP"));
    let service_type = type_of(spec).to_owned();
    drop_what_the_type_has_not(spec, before).map_err(invalid)?;
    check_class(spec, before).map_err(invalid)?;
    fill_in_defaults(spec);
    if WITH_CLUSTER_IP.contains(&service_type.as_str()) {
        keep_cluster_ips(spec, before).map_err(invalid)?;
        if let Err(why) = cluster_ips.give(spec, &key) {
            // A refused write changes nothing: what was given before stays given.
            if let Some(mut before) = before.filter(|before| before.contains_key("clusterIP")).cloned() {
                let _ = cluster_ips.give(&mut before, &key);
            }
            return Err(invalid(why));
        }
    } else {
        cluster_ips.release(&key);
    }
    fill_in_status(object, &service_type);
    Ok(())
}

fn type_of(spec: &Spec) -> &str {
    spec.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// What was set under another type goes with that type; what is set anew is a mistake.
fn drop_what_the_type_has_not(spec: &mut Spec, before: Option<&Spec>) -> Result<(), String> {
    for (field, types) in OF_TYPES {
        let says_nothing = |value: &Value| *value == json!("") || *value == json!([]);
        if spec.get(field).is_some_and(says_nothing) {
            spec.remove(field);
        }
        // External addresses are reached from outside whatever the type is.
        let external = field == "externalTrafficPolicy" && spec.contains_key("externalIPs");
        if types.contains(&type_of(spec)) || external {
            continue;
        }
        if let Some(value) = spec.remove(field)
            && before.and_then(|before| before.get(field)) != Some(&value)
        {
            let service_type = type_of(spec);
            return Err(format!("spec.{field}: Forbidden: may not be used when `type` is {service_type:?}"));
        }
    }
    Ok(())
}

/// A load balancer stays with the class that it was made with.
fn check_class(spec: &Spec, before: Option<&Spec>) -> Result<(), String> {
    let class = |spec: &Spec| spec.get("loadBalancerClass").cloned().unwrap_or_default();
    let stays = |before: &&Spec| type_of(before) == "LoadBalancer" && type_of(spec) == "LoadBalancer";
    match before.filter(stays) {
        Some(before) if class(before) != class(spec) => {
            Err(format!("spec.loadBalancerClass: Invalid value: {}: may not change once set", class(spec)))
        }
        _ => Ok(()),
    }
}

fn fill_in_defaults(spec: &mut Spec) {
    spec.entry("sessionAffinity").or_insert_with(|| json!("None"));
    if type_of(spec) != "ExternalName" {
        spec.entry("internalTrafficPolicy").or_insert_with(|| json!("Cluster"));
    }
    if matches!(type_of(spec), "LoadBalancer" | "NodePort") {
        spec.entry("externalTrafficPolicy").or_insert_with(|| json!("Cluster"));
    }
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
        port.entry("protocol").or_insert_with(|| json!("TCP"));
        let number = port.get("port").cloned().unwrap_or_default();
        port.entry("targetPort").or_insert(number);
    }
}

/// What was given stays for a writer who leaves it out, and the first cluster address for as long as there is one.
fn keep_cluster_ips(spec: &mut Spec, before: Option<&Spec>) -> Result<(), String> {
    let Some(before) = before else { return Ok(()) };
    for field in GIVEN {
        if let Some(value) = before.get(field) {
            spec.entry(field).or_insert_with(|| value.clone());
        }
    }
    let given = before.get("clusterIP");
    let first = spec.get("clusterIPs").and_then(|listed| listed.get(0));
    if given.is_some() && (spec.get("clusterIP") != given || first != given) {
        let listed = spec.get("clusterIPs").cloned().unwrap_or_default();
        return Err(format!("spec.clusterIPs[0]: Invalid value: {listed}: field is immutable"));
    }
    if spec.get("ipFamilyPolicy") == Some(&json!("SingleStack")) {
        // Of two families the second goes, unless the writer insists on it.
        for field in ["clusterIPs", "ipFamilies"] {
            if let Some(listed) = spec.get_mut(field).filter(|listed| before.get(field) == Some(&**listed)) {
                listed.as_array_mut().into_iter().for_each(|listed| listed.truncate(1));
            }
        }
    }
    Ok(())
}

/// The address belongs to the type: a Service that is no `LoadBalancer` shows none. Since 1.30 the server says that
/// an address is a virtual one unless the writer says otherwise.
fn fill_in_status(object: &mut Value, service_type: &str) {
    let mut ingress = match object["status"]["loadBalancer"]["ingress"].take() {
        Value::Array(ingress) if service_type == "LoadBalancer" => ingress,
        _ => Vec::new(),
    };
    for entry in ingress.iter_mut().filter_map(Value::as_object_mut) {
        if entry.contains_key("ip") {
            entry.entry("ipMode").or_insert_with(|| json!("VIP"));
        }
    }
    object["status"]["loadBalancer"] =
        if ingress.is_empty() { json!({}) } else { json!({"ingress": ingress}) };
}
