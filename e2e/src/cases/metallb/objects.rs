//! What MetalLB's manifests install, and what its programs write.

use serde_json::{Value, json};

use crate::object::Object;

pub(in crate::cases) const NAMESPACE: &str = "metallb-system";

fn object(api_version: &str, kind: &str, name: &str) -> Object {
    let metadata = json!({"name": name, "namespace": NAMESPACE, "labels": {"app": "metallb"}});
    Object(json!({"apiVersion": api_version, "kind": kind, "metadata": metadata}))
}

/// The pods of a component, for their owner.
fn template(component: &str, grace: u32) -> Value {
    json!({
        "metadata": {"labels": {"app": "metallb", "component": component}},
        "spec": {
            "serviceAccountName": component,
            "terminationGracePeriodSeconds": grace,
            "containers": [{"name": component, "image": "quay.io/metallb/x"}],
        },
    })
}

/// The Deployment `controller` or the DaemonSet `speaker`, or the `ReplicaSet` of the first.
pub(in crate::cases) fn workload(kind: &str, component: &str) -> Object {
    let selector = json!({"matchLabels": {"app": "metallb", "component": component}});
    let workload = object("apps/v1", kind, component).label("component", component);
    workload.spec("selector", selector).spec("template", template(component, grace(component)))
}

/// What their manifests say: seconds.
fn grace(component: &str) -> u32 {
    if component == "speaker" { 2 } else { 0 }
}

pub(in crate::cases) fn account(component: &str) -> Object {
    object("v1", "ServiceAccount", component)
}

/// The Service of its webhook. Nobody is behind it here.
pub(super) fn webhook_service() -> Object {
    let ports = json!([{"port": 443, "targetPort": 9443}]);
    object("v1", "Service", "metallb-webhook-service")
        .spec("selector", json!({"component": "controller"}))
        .spec("ports", ports)
}

fn pod(component: &str, name: &str, node: &str) -> Object {
    let template = template(component, grace(component));
    let pod = object("v1", "Pod", name).label("component", component);
    Object(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": pod.0["metadata"], "spec": template["spec"],
    }))
    .spec("nodeName", json!(node))
}

pub(in crate::cases) fn controller_pod(node: &str) -> Object {
    pod("controller", "controller", node)
}

pub(in crate::cases) fn speaker_pod(node: &str) -> Object {
    pod("speaker", &format!("speaker-{node}"), node)
}

/// The same, owned by an object that was made.
pub(in crate::cases) fn owned(mut object: Object, owner: &Value) -> Object {
    object.0["metadata"]["ownerReferences"] = json!([{
        "apiVersion": owner["apiVersion"], "kind": owner["kind"],
        "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
    }]);
    object
}

/// As the speaker of the second node writes it about a Service.
pub(super) fn l2_status(service: &str) -> Object {
    let mut status = object("metallb.io/v1beta1", "ServiceL2Status", &format!("l2-old-{service}"));
    status.0["metadata"]["labels"] = json!({
        "metallb.io/node": "n2",
        "metallb.io/service-name": service,
        "metallb.io/service-namespace": "default",
    });
    status
}

/// The configuration of its webhooks for what we serve too. Nobody serves them here.
pub(in crate::cases) fn webhook() -> Object {
    let of = |kind: &str, plural: &str| {
        let path = format!("/validate-metallb-io-v1beta1-{kind}");
        json!({
            "name": format!("{kind}validationwebhook.metallb.io"),
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "clientConfig": {
                "service": {"namespace": NAMESPACE, "name": "metallb-webhook-service", "path": path},
            },
            "rules": [{
                "apiGroups": ["metallb.io"], "apiVersions": ["v1beta1"], "operations": ["CREATE", "UPDATE"],
                "resources": [plural],
            }],
        })
    };
    let webhooks = [of("ipaddresspool", "ipaddresspools"), of("l2advertisement", "l2advertisements")];
    Object(json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "metallb-webhook-configuration"},
        "webhooks": webhooks,
    }))
}

/// The kinds of MetalLB's that are not ours: kind, plural and version.
pub(super) const FOREIGN: [[&str; 3]; 5] = [
    ["BGPPeer", "bgppeers", "v1beta2"],
    ["BGPAdvertisement", "bgpadvertisements", "v1beta1"],
    ["BFDProfile", "bfdprofiles", "v1beta1"],
    ["Community", "communities", "v1beta1"],
    ["ServiceBGPStatus", "servicebgpstatuses", "v1beta1"],
];

/// The definition of a kind of MetalLB's for BGP, as far as anybody here looks at it.
pub(super) fn definition(kind: &str, plural: &str, version: &str) -> Object {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    Object(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.metallb.io")},
        "spec": {
            "group": "metallb.io",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
            "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    }))
}
