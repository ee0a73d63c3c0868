//! Which node answers for an address, and why not another one.
//!
//! The answer is a pure function of what every node can see, so all nodes come to the same one without
//! talking to each other. Candidates are ordered by preference, then by rendezvous hash: each pair of
//! address and node has a number of its own, so that addresses spread evenly over the nodes and only
//! those of a node that leaves have to move.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use crate::range::to_number;
use crate::{Advertisement, Interfaces, Labels, ServiceKey};

/// A node as ownership sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// The node's name (`metadata.name`).
    pub name: String,
    /// Its labels, for the selectors of advertisements.
    pub labels: Labels,
    /// It carries the label `node.kubernetes.io/exclude-from-external-load-balancers`.
    pub excluded: bool,
    /// Its condition `NetworkUnavailable` is true.
    pub network_unavailable: bool,
}

/// A service behind an address, as ownership sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The service.
    pub key: ServiceKey,
    /// Its labels, for `serviceSelectors`.
    pub labels: Labels,
    /// `externalTrafficPolicy: Local`: only nodes with an endpoint of it can answer.
    pub local: bool,
    /// Where its endpoints are.
    pub endpoints: Endpoints,
}

/// The endpoints of a service that can serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoints {
    /// Nobody keeps endpoints here (a service from files); every node is taken to serve it.
    Assumed,
    /// The nodes that have a serving endpoint, and whether there is any at all: an endpoint may be on no
    /// node.
    Known {
        /// Whether at least one endpoint serves.
        any: bool,
        /// Nodes with an endpoint that is ready.
        ready: BTreeSet<String>,
        /// Nodes whose only serving endpoints are terminating: last choice for `Local`.
        terminating: BTreeSet<String>,
    },
}

impl Endpoints {
    fn any(&self) -> bool {
        matches!(self, Self::Assumed | Self::Known { any: true, .. })
    }

    /// 1 for a node with a ready endpoint, 0 for one that only has terminating ones, nothing for others.
    fn rank_on(&self, node: &str) -> Option<i64> {
        match self {
            Self::Assumed => Some(1),
            Self::Known { ready, .. } if ready.contains(node) => Some(1),
            Self::Known { terminating, .. } => terminating.contains(node).then_some(0),
        }
    }
}

/// An address that somebody is to answer for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// The address.
    pub address: IpAddr,
    /// The name of the pool it is from.
    pub pool: String,
    /// That pool's labels.
    pub pool_labels: Labels,
    /// Only the advertisements of these names are about it, whatever pools they choose: the pool no longer has
    /// the address, and these chose it last.
    pub under: Option<BTreeSet<String>>,
    /// The services that hold it; more than one if it is shared. A node must suit all of them that have
    /// endpoints: one that has none takes the address from no other.
    pub services: Vec<Service>,
}

/// Who answers for an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// The address.
    pub address: IpAddr,
    /// The candidates, best first. The first one answers.
    pub candidates: Vec<Candidate>,
    /// The nodes that cannot answer, by name, with the reason.
    pub passed_over: Vec<(String, PassedOver)>,
    /// Why nobody answers, if so.
    pub nobody: Option<Nobody>,
}

/// A node that can answer for an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The node's name.
    pub node: String,
    /// Where it may answer.
    pub interfaces: Interfaces,
    /// The sum of the preferences that match it.
    pub weight: i64,
}

impl Ownership {
    /// The node that answers.
    #[must_use]
    pub fn owner(&self) -> Option<&Candidate> {
        self.candidates.first()
    }
}

/// Why a node is no candidate for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassedOver {
    /// It carries the exclude label.
    Excluded,
    /// Its network is not set up.
    NetworkUnavailable,
    /// No advertisement for the address chooses it.
    NotSelected,
    /// The service wants its traffic kept on the node, and has no serving endpoint there.
    NoLocalEndpoint,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Excluded => "carries the label node.kubernetes.io/exclude-from-external-load-balancers",
            Self::NetworkUnavailable => "reports NetworkUnavailable",
            Self::NotSelected => "is chosen by no L2Advertisement of the pool",
            Self::NoLocalEndpoint => "has no endpoint of the service (externalTrafficPolicy: Local)",
        })
    }
}

/// Why nobody answers for an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Nobody {
    /// No advertisement is about the pool and the services of the address.
    #[error("no L2Advertisement announces pool {pool:?} for {service}")]
    NotAdvertised {
        /// The pool.
        pool: String,
        /// A service that no advertisement of the pool is about.
        service: ServiceKey,
    },
    /// The address is in no pool, and no pool is recorded beside it: somebody else gave it.
    #[error("{address} is in no pool and was not given from one; it is not ours to announce")]
    NotFromPool {
        /// The address.
        address: IpAddr,
    },
    /// No service of the address has an endpoint that could serve; this is the first of them.
    #[error("{service} has no serving endpoint")]
    NoEndpoint {
        /// The service.
        service: ServiceKey,
    },
    /// Every node is passed over.
    #[error("no node can announce it")]
    NoCandidate,
}

/// Decides who answers for `announced`.
#[must_use]
pub fn elect(announced: &Announced, advertisements: &[Advertisement], nodes: &[Node]) -> Ownership {
    let address = announced.address;
    let nobody = |why| Ownership { address, candidates: vec![], passed_over: vec![], nobody: Some(why) };
    let about_pool: Vec<&Advertisement> = advertisements
        .iter()
        .filter(|advertisement| match &announced.under {
            Some(names) => names.contains(&advertisement.name),
            None => advertisement.chooses_pool(&announced.pool, &announced.pool_labels),
        })
        .collect();
    // For each service, the advertisements that are about it.
    let mut about: Vec<(&Service, Vec<&Advertisement>)> = Vec::new();
    for service in &announced.services {
        let ours: Vec<_> =
            about_pool.iter().copied().filter(|ad| ad.chooses_service(&service.labels)).collect();
        if ours.is_empty() {
            let (pool, service) = (announced.pool.clone(), service.key.clone());
            return nobody(Nobody::NotAdvertised { pool, service });
        }
        about.push((service, ours));
    }
    about.retain(|(service, _)| service.endpoints.any());
    if let ([], Some(service)) = (&about[..], announced.services.first()) {
        return nobody(Nobody::NoEndpoint { service: service.key.clone() });
    }

    let mut ranked = Vec::new();
    let mut passed_over = Vec::new();
    for node in nodes {
        match suits(node, &about) {
            Ok((endpoint_rank, candidate)) => ranked.push((endpoint_rank, candidate)),
            Err(why) => passed_over.push((node.name.clone(), why)),
        }
    }
    ranked.sort_by_cached_key(|(endpoint_rank, candidate)| {
        let hash = rendezvous(&candidate.node, address);
        (-endpoint_rank, -candidate.weight, std::cmp::Reverse(hash), candidate.node.clone())
    });
    passed_over.sort_by(|a, b| a.0.cmp(&b.0));
    let candidates: Vec<Candidate> = ranked.into_iter().map(|(_, candidate)| candidate).collect();
    let nobody = candidates.is_empty().then_some(Nobody::NoCandidate);
    Ownership { address, candidates, passed_over, nobody }
}

/// Whether `node` can answer for all services, and if so how good its endpoints are.
fn suits(node: &Node, about: &[(&Service, Vec<&Advertisement>)]) -> Result<(i64, Candidate), PassedOver> {
    if node.excluded {
        return Err(PassedOver::Excluded);
    }
    if node.network_unavailable {
        return Err(PassedOver::NetworkUnavailable);
    }
    let mut endpoint_rank = 1;
    let mut ours: Vec<&Advertisement> = Vec::new();
    for (service, advertisements) in about {
        let mut choosing = advertisements.iter().filter(|ad| ad.chooses_node(&node.labels)).peekable();
        if choosing.peek().is_none() {
            return Err(PassedOver::NotSelected);
        }
        for advertisement in choosing {
            // Two services under one advertisement count its weight once.
            if !ours.iter().any(|known| std::ptr::eq(*known, *advertisement)) {
                ours.push(advertisement);
            }
        }
        if service.local {
            let rank = service.endpoints.rank_on(&node.name).ok_or(PassedOver::NoLocalEndpoint)?;
            endpoint_rank = endpoint_rank.min(rank);
        }
    }
    let weight = ours.iter().map(|advertisement| advertisement.weight(&node.labels)).sum();
    let interfaces = Interfaces::union(ours);
    Ok((endpoint_rank, Candidate { node: node.name.clone(), interfaces, weight }))
}

/// The number of a pair of node and address; the highest wins. It is part of the protocol between nodes of
/// different versions: changing it moves addresses.
fn rendezvous(node: &str, address: IpAddr) -> u64 {
    // FNV-1a takes in the bytes, the finaliser of SplitMix64 spreads them over all bits.
    const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = node.bytes().chain([0]).chain(to_number(address).to_be_bytes());
    let hash = bytes.fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Selector;

    fn node(name: &str) -> Node {
        let labels = Labels::from([("kubernetes.io/hostname".to_owned(), name.to_owned())]);
        Node { name: name.to_owned(), labels, ..Node::default() }
    }

    fn nodes(count: usize) -> Vec<Node> {
        (0..count).map(|index| node(&format!("node-{index}"))).collect()
    }

    fn announced(address: &str) -> Announced {
        let service = Service {
            key: ServiceKey::new("default", "web"),
            labels: Labels::new(),
            local: false,
            endpoints: Endpoints::Assumed,
        };
        Announced {
            address: address.parse().unwrap(),
            pool: "default".to_owned(),
            pool_labels: Labels::new(),
            under: None,
            services: vec![service],
        }
    }

    fn owner(announced: &Announced, ads: &[Advertisement], nodes: &[Node]) -> Option<String> {
        elect(announced, ads, nodes).owner().map(|owner| owner.node.clone())
    }

    #[test]
    fn the_order_of_nodes_does_not_matter() {
        let (ads, mut nodes) = ([Advertisement::default()], nodes(5));
        let before = elect(&announced("10.0.0.1"), &ads, &nodes);
        nodes.reverse();
        assert_eq!(elect(&announced("10.0.0.1"), &ads, &nodes), before);
        assert_eq!(before.candidates.len(), 5);
    }

    #[test]
    fn addresses_spread_and_only_those_of_a_lost_node_move() {
        let (ads, all) = ([Advertisement::default()], nodes(10));
        let mut counts = std::collections::BTreeMap::<String, u32>::new();
        for last in 0..1000_u32 {
            let address = announced(&std::net::Ipv4Addr::from_bits(0x0a00_0000 + last).to_string());
            let before = owner(&address, &ads, &all).unwrap();
            let after = owner(&address, &ads, &all[1..]).unwrap();
            assert!(before == all[0].name || before == after, "{before} gave way to {after}");
            *counts.entry(before).or_default() += 1;
        }
        assert_eq!(counts.len(), 10);
        assert!(counts.values().all(|count| (60..=150).contains(count)), "{counts:?}");
    }

    #[test]
    fn unsuitable_nodes_are_passed_over_with_the_reason() {
        let mut all = nodes(4);
        all[0].excluded = true;
        all[1].network_unavailable = true;
        let ad = Advertisement {
            node_selectors: vec![Selector::label("kubernetes.io/hostname", "node-3")],
            interfaces: BTreeSet::from(["eth1".to_owned()]),
            ..Advertisement::default()
        };
        let ownership = elect(&announced("10.0.0.1"), &[ad], &all);
        let why: Vec<_> = ownership.passed_over.iter().map(|(node, why)| (node.as_str(), *why)).collect();
        assert_eq!(
            why,
            [
                ("node-0", PassedOver::Excluded),
                ("node-1", PassedOver::NetworkUnavailable),
                ("node-2", PassedOver::NotSelected)
            ]
        );
        let owner = ownership.owner().unwrap();
        assert_eq!(
            (owner.node.as_str(), owner.interfaces.allows("eth1"), owner.interfaces.allows("eth0")),
            ("node-3", true, false)
        );
    }

    #[test]
    fn local_traffic_wants_a_local_endpoint_and_a_ready_one_before_a_terminating_one() {
        let mut address = announced("10.0.0.1");
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        address.services[0].local = true;
        address.services[0].endpoints =
            Endpoints::Known { any: true, ready: set(&["node-2"]), terminating: set(&["node-0", "node-1"]) };
        let ownership = elect(&address, &[Advertisement::default()], &nodes(4));
        assert_eq!(ownership.owner().unwrap().node, "node-2");
        assert_eq!(ownership.candidates.len(), 3);
        assert_eq!(ownership.passed_over, [("node-3".to_owned(), PassedOver::NoLocalEndpoint)]);
    }

    #[test]
    fn preference_goes_before_the_hash() {
        let preferring = |name: &str| Advertisement {
            preferred: vec![(7, Selector::label("kubernetes.io/hostname", name))],
            ..Advertisement::default()
        };
        for name in ["node-0", "node-1", "node-2"] {
            assert_eq!(owner(&announced("10.0.0.1"), &[preferring(name)], &nodes(3)).as_deref(), Some(name));
        }
    }

    #[test]
    fn nobody_announces_without_advertisement_endpoint_or_node() {
        let mut address = announced("10.0.0.1");
        let all = nodes(1);
        let other_pool =
            Advertisement { pools: BTreeSet::from(["other".to_owned()]), ..Advertisement::default() };
        let why = |address: &Announced, ads: &[Advertisement], nodes: &[Node]| {
            elect(address, ads, nodes).nobody.map(|why| why.to_string())
        };
        assert_eq!(
            why(&address, &[other_pool], &all).as_deref(),
            Some(r#"no L2Advertisement announces pool "default" for default/web"#)
        );
        assert_eq!(
            why(&address, &[Advertisement::default()], &[]).as_deref(),
            Some("no node can announce it")
        );
        address.services[0].endpoints =
            Endpoints::Known { any: false, ready: BTreeSet::new(), terminating: BTreeSet::new() };
        assert_eq!(
            why(&address, &[Advertisement::default()], &all).as_deref(),
            Some("default/web has no serving endpoint")
        );
    }
}
