//! What a speaker knew last: enough to go on when the API server cannot be asked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::ConfigMap;
use lbcore::Node;
use lbcore::ownership::Interface;
use lbcore::ownership::claims::Table;
use serde::{Deserialize, Serialize};

use super::team::Record;
use super::{Change, Speaker, team};
use crate::objects::announced::AnnouncedService;
use crate::objects::config::ConfigChange;
use crate::objects::endpoints::SliceView;
use crate::objects::leftovers::Leftovers;
use crate::objects::metallb::{IPAddressPool, L2Advertisement};

/// The objects of the configuration, as they were written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// Pools, by name.
    pub pools: BTreeMap<String, IPAddressPool>,
    /// Advertisements, by name.
    pub advertisements: BTreeMap<String, L2Advertisement>,
    /// The v0.12 ConfigMap.
    pub config_map: Option<ConfigMap>,
    /// The ConfigMap `metallb-excludel2`.
    #[serde(default)]
    pub exclude: Option<ConfigMap>,
}

impl Configuration {
    /// Takes note of a change.
    pub fn note(&mut self, change: &ConfigChange) {
        match change {
            ConfigChange::Pool(pool) => {
                let mut pool = pool.clone();
                pool.metadata.managed_fields = None;
                self.pools.insert(pool.metadata.name.clone().unwrap_or_default(), pool);
            }
            ConfigChange::PoolGone(name) => drop(self.pools.remove(name)),
            ConfigChange::Advertisement(advertisement) => {
                let mut advertisement = advertisement.clone();
                advertisement.metadata.managed_fields = None;
                let name = advertisement.metadata.name.clone().unwrap_or_default();
                self.advertisements.insert(name, advertisement);
            }
            ConfigChange::AdvertisementGone(name) => drop(self.advertisements.remove(name)),
            ConfigChange::ConfigMap(map) => {
                let mut map = map.clone();
                map.metadata.managed_fields = None;
                self.config_map = Some(map);
            }
            ConfigChange::ConfigMapGone => self.config_map = None,
            // They are only reported.
            ConfigChange::Bgp { .. } => {}
        }
    }

    fn changes(self) -> impl Iterator<Item = ConfigChange> {
        let pools = self.pools.into_values().map(ConfigChange::Pool);
        let advertisements = self.advertisements.into_values().map(ConfigChange::Advertisement);
        pools.chain(advertisements).chain(self.config_map.map(ConfigChange::ConfigMap))
    }
}

/// All that a speaker needs to decide, and what it claimed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastKnown {
    /// Pools and advertisements.
    pub configuration: Configuration,
    /// All nodes.
    pub nodes: Vec<Node>,
    /// Where the speakers of nodes may be.
    pub places: BTreeMap<String, BTreeSet<IpAddr>>,
    /// What interfaces nodes have.
    pub interfaces: BTreeMap<String, Vec<Interface>>,
    /// The hardware addresses of other nodes: whoever answers with one of them is no stranger.
    #[serde(default)]
    pub macs: BTreeMap<String, BTreeSet<String>>,
    /// All Services with addresses.
    pub services: Vec<AnnouncedService>,
    /// All endpoint slices.
    pub slices: Vec<SliceView>,
    /// What is there of MetalLB.
    pub leftovers: Leftovers,
    /// When it was written, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub written: i64,
    /// What this node claimed, under which epochs.
    pub claims: Table,
}

impl LastKnown {
    /// The records by which other speakers learn that this one is back, and what it claimed.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        team::held(&self.claims)
    }
}

impl Speaker {
    /// What this speaker knows, with what only its edge does.
    #[must_use]
    pub fn last_known(
        &self,
        configuration: &Configuration,
        places: &BTreeMap<String, BTreeSet<IpAddr>>,
    ) -> LastKnown {
        let is_object = |node: &Node| !self.rules.members_are_nodes || node.name == self.node;
        LastKnown {
            written: 0,
            configuration: configuration.clone(),
            // Of hosts without a cluster each is known as long as it is heard.
            nodes: self.nodes.iter().filter(|it| is_object(it)).cloned().collect(),
            places: places.clone(),
            interfaces: self.interfaces.clone(),
            macs: BTreeMap::new(),
            services: self.services.values().map(|view| (**view).clone()).collect(),
            slices: self.slices.values().cloned().collect(),
            leftovers: self.leftovers.clone(),
            claims: self.team.as_ref().map(|team| team.claims.own()).unwrap_or_default(),
        }
    }

    /// Takes in what a process before this one knew, before anything else is told. What was claimed then counts where
    /// nobody claims it now; the others are to know of it from the first moment on ([`LastKnown::records`]).
    pub fn recall(&mut self, last: LastKnown) {
        for change in last.configuration.changes() {
            self.apply(Change::Config(Box::new(change)));
        }
        for (name, interfaces) in last.interfaces {
            // Its own may be others by now.
            if name != self.node {
                self.apply(Change::Facts(name, Some(interfaces)));
            }
        }
        for node in last.nodes {
            self.apply(Change::Node(node));
        }
        self.leftovers = last.leftovers;
        for service in last.services {
            self.apply(Change::Service(Box::new(service)));
        }
        for slice in last.slices {
            self.apply(Change::Slice(slice));
        }
        let claims = last.claims;
        if let Some(team) = &mut self.team {
            team.restore(claims);
        }
    }
}
