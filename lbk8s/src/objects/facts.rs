//! `NodeFacts`: what only a node knows, told by its speaker.

#![allow(unreachable_pub, reason = "the derive writes a module of its own around its items")]

use std::collections::BTreeMap;
use std::net::IpAddr;

use kube::CustomResource;
use lbcore::ownership::Interface;
use lbcore::{Avoided, ServiceKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a node's speaker tells of its node; the object has the node's name.
#[expect(clippy::duplicated_attributes, reason = "the columns differ in name and path")]
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "lbd.io",
    version = "v1alpha1",
    kind = "NodeFacts",
    plural = "nodefacts",
    namespaced,
    no_spec,
    derive = "Default",
    derive = "PartialEq",
    doc = "What only a node knows, told by its speaker: written by lbd, and read by lbd on the other nodes.",
    printcolumn(name = "Interfaces", type_ = "string", json_path = ".interfaces[*].name"),
    printcolumn(name = "Gateways", type_ = "string", json_path = ".gateways"),
    printcolumn(name = "Taken", type_ = "string", json_path = ".taken[*].address")
)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeFactsFields {
    /// The interfaces that can answer ARP and NDP: up, with a carrier, and not left out.
    pub interfaces: Vec<InterfaceFacts>,
    /// The next hops of the node's routes: no Service gets one of these addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<String>,
    /// The node's own addresses on these interfaces: no Service gets one of these either.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Addresses of Services that another station turned out to have, so that they are not announced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<Taken>,
}

/// An interface that can answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct InterfaceFacts {
    /// Its name.
    pub name: String,
    /// Its hardware address: that of its answers.
    pub mac: String,
    /// The subnets that it carries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<String>,
    /// Nobody on its LAN hears the node there, although the node lives.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unheard: bool,
}

/// An address that another station has.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Taken {
    /// The address.
    pub address: String,
    /// The station's hardware address, or, where hosts without a cluster tell each other what they hold, `Service` and its
    /// namespace and name.
    pub mac: String,
}

const OF_SERVICE: &str = "Service ";

impl Taken {
    /// A Service has it on another host.
    #[must_use]
    pub fn by_service(address: IpAddr, service: &ServiceKey) -> Self {
        Self { address: address.to_string(), mac: format!("{OF_SERVICE}{service}") }
    }
}

impl NodeFactsFields {
    /// The interfaces as ownership sees them; what cannot be read is passed over.
    #[must_use]
    pub fn interfaces(&self) -> Vec<Interface> {
        let interface = |facts: &InterfaceFacts| Interface {
            name: facts.name.clone(),
            subnets: facts.subnets.iter().filter_map(|text| text.parse().ok()).collect(),
            unheard: facts.unheard,
        };
        self.interfaces.iter().map(interface).collect()
    }

    /// The hardware addresses that the node answers with.
    pub fn macs<T: std::str::FromStr>(&self) -> impl Iterator<Item = T> {
        self.interfaces.iter().filter_map(|facts| facts.mac.parse().ok())
    }
}

/// The addresses that a node's facts keep from Services: its own, its gateways', and those found taken.
#[must_use]
pub fn avoided(node: &str, facts: &NodeFactsFields) -> BTreeMap<IpAddr, Avoided> {
    let parse = |text: &String| text.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    let taken = facts.taken.iter().filter_map(|taken| {
        let service = taken.mac.strip_prefix(OF_SERVICE).and_then(|key| key.parse().ok());
        let whose = match service {
            Some(service) => Avoided::HeldOn { host: node.to_owned(), service },
            None => Avoided::Station { mac: taken.mac.clone(), heard_by: node.to_owned() },
        };
        Some((parse(&taken.address)?, whose))
    });
    let gateways = facts.gateways.iter().filter_map(parse);
    let gateways = gateways.map(|address| (address, Avoided::GatewayOf(node.to_owned())));
    let own = facts.addresses.iter().filter_map(parse).map(|it| (it, Avoided::Node(node.to_owned())));
    taken.chain(gateways).chain(own).collect()
}
