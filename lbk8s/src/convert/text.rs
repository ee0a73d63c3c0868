//! The v0.12 configuration, every key of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default, expecting = "a map with address-pools")]
pub(super) struct Text {
    #[serde(alias = "Peers")]
    pub(super) peers: Vec<Peer>,
    pub(super) bgp_communities: BTreeMap<String, String>,
    pub(super) address_pools: Vec<Pool>,
    pub(super) bfd_profiles: Vec<Profile>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", expecting = "a map with name, protocol and addresses")]
pub(super) struct Pool {
    pub(super) name: String,
    #[serde(default)]
    pub(super) protocol: String,
    #[serde(default)]
    pub(super) addresses: Vec<String>,
    #[serde(default)]
    pub(super) auto_assign: Option<bool>,
    #[serde(default)]
    pub(super) avoid_buggy_ips: Option<bool>,
    #[serde(default)]
    pub(super) bgp_advertisements: Vec<BgpAdvertisement>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct BgpAdvertisement {
    pub(super) aggregation_length: Option<i32>,
    pub(super) aggregation_length_v6: Option<i32>,
    pub(super) localpref: Option<u32>,
    pub(super) communities: Vec<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default)]
#[expect(clippy::struct_field_names, reason = "they are the keys of the format")]
pub(super) struct Peer {
    pub(super) my_asn: u32,
    pub(super) peer_asn: u32,
    pub(super) peer_address: String,
    pub(super) source_address: Option<String>,
    pub(super) peer_port: Option<u16>,
    pub(super) hold_time: Option<String>,
    pub(super) keepalive_time: Option<String>,
    pub(super) router_id: Option<String>,
    pub(super) node_selectors: Vec<NodeSelector>,
    pub(super) password: Option<String>,
    pub(super) bfd_profile: Option<String>,
    pub(super) ebgp_multihop: Option<bool>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct NodeSelector {
    pub(super) match_labels: BTreeMap<String, String>,
    pub(super) match_expressions: Vec<Expression>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Expression {
    pub(super) key: String,
    pub(super) operator: String,
    #[serde(default, alias = "Values")]
    pub(super) values: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Profile {
    pub(super) name: String,
    #[serde(default)]
    pub(super) receive_interval: Option<u32>,
    #[serde(default)]
    pub(super) transmit_interval: Option<u32>,
    #[serde(default)]
    pub(super) detect_multiplier: Option<u32>,
    #[serde(default)]
    pub(super) echo_interval: Option<u32>,
    #[serde(default)]
    pub(super) echo_mode: Option<bool>,
    #[serde(default)]
    pub(super) passive_mode: Option<bool>,
    #[serde(default)]
    pub(super) minimum_ttl: Option<u32>,
}
