//! What the tests of the reconcilers share: objects as JSON, and the reading of them.

#[cfg(all(feature = "controller", feature = "store"))]
pub(crate) mod cluster;
#[cfg(feature = "controller")]
pub(crate) mod pure;

use std::net::IpAddr;

use lbk8s::objects::announced::AnnouncedService;
use lbk8s::objects::config::ConfigChange;
use lbk8s::objects::service::ServiceView;
use serde_json::{Value, json};

/// RFC 7396.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key.as_str()], value);
        }
    }
}

/// `value`, changed by a merge patch.
pub(crate) fn with(mut value: Value, patch: &Value) -> Value {
    merge(&mut value, patch);
    value
}

/// A LoadBalancer Service in `default`, made in this second.
pub(crate) fn service(name: &str, second: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": name, "namespace": "default", "uid": format!("uid-of-{name}"), "resourceVersion": "1",
            "creationTimestamp": format!("2024-01-01T00:{:02}:{:02}Z", second / 60, second % 60),
        },
        "spec": {
            "type": "LoadBalancer", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"],
            "ports": [{"port": 80, "protocol": "TCP"}],
        },
    })
}

/// A Service that shows these addresses, out of a pool.
pub(crate) fn holding(name: &str, second: u32, addresses: &[&str], pool: &str) -> Value {
    let ingress: Vec<Value> = addresses.iter().map(|address| json!({"ip": address})).collect();
    let patch = json!({
        "metadata": {"annotations": {"metallb.io/ip-allocated-from-pool": pool}},
        "status": {"loadBalancer": {"ingress": ingress}},
    });
    with(service(name, second), &patch)
}

/// A Service without the metadata that a server gives, to be created.
pub(crate) fn new_service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
    })
}

pub(crate) fn pool(name: &str, second: u32, addresses: &[&str]) -> Value {
    json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
        "metadata": {
            "name": name, "namespace": "metallb-system", "uid": format!("uid-of-{name}"),
            "creationTimestamp": format!("2024-01-01T00:00:{second:02}Z"),
        },
        "spec": {"addresses": addresses},
    })
}

/// An `L2Advertisement` with this `spec`.
pub(crate) fn advertisement(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement",
        "metadata": {"name": name, "namespace": "metallb-system"}, "spec": spec,
    })
}

/// The v0.12 ConfigMap with this text.
pub(crate) fn config_map(text: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "config", "namespace": "metallb-system", "uid": "uid-of-the-map"},
        "data": {"config": text},
    })
}

/// The v0.12 text of one pool.
pub(crate) fn legacy(name: &str, addresses: &str) -> String {
    format!("address-pools:\n- name: {name}\n  protocol: layer2\n  addresses:\n  - {addresses}\n")
}

pub(crate) fn config_change(object: &Value) -> Box<ConfigChange> {
    let object = object.clone();
    Box::new(match object["kind"].as_str().unwrap() {
        "IPAddressPool" => ConfigChange::Pool(serde_json::from_value(object).unwrap()),
        "L2Advertisement" => ConfigChange::Advertisement(serde_json::from_value(object).unwrap()),
        "ConfigMap" => ConfigChange::ConfigMap(serde_json::from_value(object).unwrap()),
        other => panic!("{other} is no configuration"),
    })
}

pub(crate) fn view(service: &Value) -> Box<ServiceView> {
    let service = serde_json::from_value(service.clone()).unwrap();
    Box::new(ServiceView::read(&service, &None))
}

/// The same as a speaker sees it.
pub(crate) fn announced(service: &Value) -> Box<AnnouncedService> {
    Box::new(AnnouncedService::from(*view(service)))
}

/// The addresses that a Service shows.
pub(crate) fn shown(service: &Value) -> Vec<String> {
    let entries = service["status"]["loadBalancer"]["ingress"].as_array().cloned().unwrap_or_default();
    entries.iter().filter_map(|entry| Some(entry["ip"].as_str()?.to_owned())).collect()
}

/// Our condition, as `status/reason: message`.
pub(crate) fn condition(service: &Value) -> String {
    let conditions = service["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let ours = conditions.iter().find(|condition| condition["type"] == "lbd.io/Assigned");
    let text = |field: &str| ours.and_then(|ours| ours[field].as_str()).unwrap_or_default().to_owned();
    format!("{}/{}: {}", text("status"), text("reason"), text("message"))
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
