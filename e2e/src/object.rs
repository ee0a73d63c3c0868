//! The objects that tests write, and the way to them in the API.

use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use lbk8s::CONFIG_NAMESPACE;
use serde_json::{Value, json};

/// An object as it is written.
#[derive(Debug, Clone)]
pub struct Object(pub Value);

/// A Service of type `LoadBalancer` that takes port 80 to the pods of its name.
#[must_use]
pub fn service(name: &str) -> Object {
    Object(json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "type": "LoadBalancer",
            "selector": {"app": name},
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}],
        },
    }))
}

/// A pool of these addresses.
#[must_use]
pub fn pool(name: &str, addresses: &[&str]) -> Object {
    Object(json!({
        "apiVersion": "metallb.io/v1beta1",
        "kind": "IPAddressPool",
        "metadata": {"name": name, "namespace": CONFIG_NAMESPACE},
        "spec": {"addresses": addresses},
    }))
}

/// An advertisement of every pool from everywhere.
#[must_use]
pub fn advertisement(name: &str) -> Object {
    Object(json!({
        "apiVersion": "metallb.io/v1beta1",
        "kind": "L2Advertisement",
        "metadata": {"name": name, "namespace": CONFIG_NAMESPACE},
        "spec": {},
    }))
}

/// A namespace.
#[must_use]
pub fn namespace(name: &str) -> Object {
    Object(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
}

/// A ConfigMap of MetalLB's, with one text in it.
#[must_use]
pub fn config_map(name: &str, key: &str, text: &str) -> Object {
    Object(json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "metallb-system"},
        "data": {key: text},
    }))
}

impl Object {
    /// With this field under `spec`.
    #[must_use]
    pub fn spec(mut self, field: &str, value: Value) -> Self {
        self.0["spec"][field] = value;
        self
    }

    /// With this annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["annotations"][key] = json!(value);
        self
    }

    /// With this label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["labels"][key] = json!(value);
        self
    }

    /// In this namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.0["metadata"]["namespace"] = json!(namespace);
        self
    }

    /// With `externalTrafficPolicy: Local`.
    #[must_use]
    pub fn local(self) -> Self {
        self.spec("externalTrafficPolicy", json!("Local"))
    }

    /// With another port in place of its one.
    #[must_use]
    pub fn port(self, port: u16, protocol: &str) -> Self {
        let ports = json!([{"name": "only", "port": port, "targetPort": 8080, "protocol": protocol}]);
        self.spec("ports", ports)
    }
}

/// The group and version of the kinds that tests touch, and whether they live in namespaces.
fn resource(kind: &str) -> (ApiResource, bool) {
    let (group, version, namespaced) = match kind {
        "Node" | "Namespace" => ("", "v1", false),
        "Service" | "Pod" | "ConfigMap" | "Secret" | "ServiceAccount" => ("", "v1", true),
        "Deployment" | "ReplicaSet" | "DaemonSet" => ("apps", "v1", true),
        "EndpointSlice" => ("discovery.k8s.io", "v1", true),
        "Event" => ("events.k8s.io", "v1", true),
        "Lease" => ("coordination.k8s.io", "v1", true),
        "CustomResourceDefinition" => ("apiextensions.k8s.io", "v1", false),
        "ValidatingWebhookConfiguration" => ("admissionregistration.k8s.io", "v1", false),
        "Role" | "RoleBinding" => ("rbac.authorization.k8s.io", "v1", true),
        "ClusterRole" | "ClusterRoleBinding" => ("rbac.authorization.k8s.io", "v1", false),
        "NodeFacts" => return (node_facts(), true),
        "BGPPeer" => ("metallb.io", "v1beta2", true),
        _ => ("metallb.io", "v1beta1", true),
    };
    (ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind)), namespaced)
}

/// Its plural is its name.
fn node_facts() -> ApiResource {
    let kind = GroupVersionKind::gvk("lbd.io", "v1alpha1", "NodeFacts");
    ApiResource::from_gvk_with_plural(&kind, "nodefacts")
}

/// The API of a kind; `namespace` counts for kinds that live in one.
#[must_use]
pub fn api(client: &Client, kind: &str, namespace: &str) -> Api<DynamicObject> {
    let (resource, namespaced) = resource(kind);
    if namespaced {
        Api::namespaced_with(client.clone(), namespace, &resource)
    } else {
        Api::all_with(client.clone(), &resource)
    }
}

/// The API of a kind in all namespaces.
#[must_use]
pub fn api_everywhere(client: &Client, kind: &str) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &resource(kind).0)
}

/// The namespace in which the objects of a kind live unless they say otherwise.
#[must_use]
pub fn usual_namespace(kind: &str) -> &'static str {
    match kind {
        "IPAddressPool" | "L2Advertisement" | "ConfigMap" | "ServiceL2Status" | "ConfigurationState"
        | "NodeFacts" | "Lease" | "Secret" => CONFIG_NAMESPACE,
        _ => "default",
    }
}
