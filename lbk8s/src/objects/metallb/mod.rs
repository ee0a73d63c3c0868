//! MetalLB's objects for layer 2 (group `metallb.io`), with the fields of its own schema.
//!
//! What MetalLB's webhook refuses, the schema refuses as far as one object shows it: by the types, and by rules that
//! the API server evaluates (CEL). The numbers of entries are bounded only so that their cost is.

#![allow(unreachable_pub, reason = "the derive writes a module of its own around its items")]

pub mod bgp;
mod rules;
mod state;
mod status;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::core::ObjectMeta;
use kube::{CustomResource, KubeSchema, Resource};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use state::{ConfigurationState, ConfigurationStateFields, ConfigurationStateStatus, Verdict};
pub use status::{InterfaceInfo, L2Status, SECOND_FAMILY, ServiceL2Status, ServiceL2StatusFields};

/// `spec` of an `IPAddressPool`: addresses that may be given to services.
#[expect(clippy::duplicated_attributes, reason = "the columns differ in name and path")]
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "IPAddressPool",
    namespaced,
    status = "IPAddressPoolStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "Addresses that may be given to services of type LoadBalancer.",
    printcolumn(name = "Auto Assign", type_ = "boolean", json_path = ".spec.autoAssign"),
    printcolumn(name = "Avoid Buggy IPs", type_ = "boolean", json_path = ".spec.avoidBuggyIPs"),
    printcolumn(name = "Addresses", type_ = "string", json_path = ".spec.addresses")
)]
#[serde(rename_all = "camelCase")]
pub struct IPAddressPoolSpec {
    /// CIDRs and ranges `first-last`, of both families, in the order in which they are given out.
    #[schemars(schema_with = "rules::addresses")]
    pub addresses: Vec<String>,
    /// Whether services that name no pool may get these addresses. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = true))]
    pub auto_assign: Option<bool>,
    /// Whether IPv4 addresses ending in .0 and .255 are left out. Default: false.
    #[serde(default, rename = "avoidBuggyIPs", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub avoid_buggy_ips: Option<bool>,
    /// Who may get these addresses; absent means everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_allocation: Option<ServiceAllocation>,
}

/// Who may get addresses of a pool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAllocation {
    /// Pools with a lower number are used first; 0 comes last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// Namespaces by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::names")]
    pub namespaces: Option<Vec<String>>,
    /// Namespaces by label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::selectors")]
    pub namespace_selectors: Option<Vec<LabelSelector>>,
    /// Services by label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::selectors")]
    pub service_selectors: Option<Vec<LabelSelector>>,
}

/// `status` of an `IPAddressPool`: how full it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IPAddressPoolStatus {
    /// IPv4 addresses held by services.
    #[serde(default, rename = "assignedIPv4")]
    pub assigned_ipv4: i64,
    /// IPv6 addresses held by services.
    #[serde(default, rename = "assignedIPv6")]
    pub assigned_ipv6: i64,
    /// IPv4 addresses still free.
    #[serde(default, rename = "availableIPv4")]
    pub available_ipv4: i64,
    /// IPv6 addresses still free.
    #[serde(default, rename = "availableIPv6")]
    pub available_ipv6: i64,
    /// Whether the pool is in force as it is written (`lbd.io/InForce`), and why not. MetalLB has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::conditions")]
    pub conditions: Vec<Condition>,
}

/// `spec` of an `L2Advertisement`: which pools are announced, and from where.
#[expect(clippy::duplicated_attributes, reason = "the columns differ in name and path")]
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "L2Advertisement",
    root = "L2AdvertisementWithSpec",
    namespaced,
    status = "L2AdvertisementStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "Which address pools are announced by ARP and NDP, and from which nodes and interfaces.",
    printcolumn(name = "IPAddressPools", type_ = "string", json_path = ".spec.ipAddressPools"),
    printcolumn(
        name = "IPAddressPool Selectors",
        type_ = "string",
        json_path = ".spec.ipAddressPoolSelectors"
    ),
    printcolumn(name = "Interfaces", type_ = "string", json_path = ".spec.interfaces"),
    printcolumn(name = "Node Selectors", type_ = "string", json_path = ".spec.nodeSelectors", priority = 10)
)]
#[serde(rename_all = "camelCase")]
pub struct L2AdvertisementSpec {
    /// Pools by name. With neither names nor selectors: every pool.
    #[serde(default, rename = "ipAddressPools", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::names")]
    pub ip_address_pools: Option<Vec<String>>,
    /// Pools by label.
    #[serde(default, rename = "ipAddressPoolSelectors", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::selectors")]
    pub ip_address_pool_selectors: Option<Vec<LabelSelector>>,
    /// Nodes that may announce; absent means every node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::selectors")]
    pub node_selectors: Option<Vec<LabelSelector>>,
    /// Interfaces that answer, by name; absent means every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interfaces: Option<Vec<String>>,
    /// Services that are announced, by label; absent means every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::selectors")]
    pub service_selectors: Option<Vec<LabelSelector>>,
    /// Nodes that are better than others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub preferred_node_selectors: Option<Vec<PreferredNode>>,
}

/// An `L2Advertisement`. MetalLB's schema does not require a spec: without one, every pool is announced from
/// everywhere.
#[derive(Resource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[resource(inherit = L2AdvertisementWithSpec)]
#[serde(rename_all = "camelCase", default)]
pub struct L2Advertisement {
    /// `metallb.io/v1beta1`.
    pub api_version: String,
    /// `L2Advertisement`.
    pub kind: String,
    /// Name, namespace, labels.
    pub metadata: ObjectMeta,
    /// What is announced.
    pub spec: L2AdvertisementSpec,
    /// Whether it is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<L2AdvertisementStatus>,
}

impl Default for L2Advertisement {
    fn default() -> Self {
        Self {
            api_version: Self::api_version(&()).into_owned(),
            kind: Self::kind(&()).into_owned(),
            metadata: ObjectMeta::default(),
            spec: L2AdvertisementSpec::default(),
            status: None,
        }
    }
}

/// A node that is better than others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PreferredNode {
    /// How much better, from 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub weight: i32,
    /// Which nodes; an empty selector means every node.
    #[schemars(schema_with = "rules::selector")]
    pub preference: LabelSelector,
}

/// `status` of an `L2Advertisement`; in MetalLB it is empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct L2AdvertisementStatus {
    /// Whether the advertisement is in force as it is written (`lbd.io/InForce`), and why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::conditions")]
    pub conditions: Vec<Condition>,
}
