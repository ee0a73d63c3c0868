//! `ServiceL2Status`: which node answers for a service, and where.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the name of the object ends that is about a Service's IPv6 address alone, where each family has a node of its own.
pub const SECOND_FAMILY: &str = "-ipv6";

/// Everything of a `ServiceL2Status` but its status: nothing.
#[expect(clippy::duplicated_attributes, reason = "the columns differ in name and path")]
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "ServiceL2Status",
    plural = "servicel2statuses",
    namespaced,
    no_spec,
    status = "L2Status",
    derive = "Default",
    derive = "PartialEq",
    doc = "Which node answers ARP and NDP for a service of type LoadBalancer.",
    printcolumn(name = "Allocated Node", type_ = "string", json_path = ".status.node"),
    printcolumn(name = "Service Name", type_ = "string", json_path = ".status.serviceName"),
    printcolumn(name = "Service Namespace", type_ = "string", json_path = ".status.serviceNamespace")
)]
pub struct ServiceL2StatusFields {
    /// Nothing; MetalLB writes it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<Empty>,
}

/// An object without fields.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Empty {}

/// `status` of a `ServiceL2Status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct L2Status {
    /// The node that answers.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("Value is immutable"))]
    pub node: String,
    /// The name of the service.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("Value is immutable"))]
    pub service_name: String,
    /// The namespace of the service.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("Value is immutable"))]
    pub service_namespace: String,
    /// The interfaces that answer, by name. Empty: every one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<InterfaceInfo>,
}

/// An interface that answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InterfaceInfo {
    /// Its name.
    #[serde(default)]
    pub name: String,
}
