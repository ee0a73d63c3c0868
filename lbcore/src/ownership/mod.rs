//! Which node answers for an address, and why not another one.
//!
//! The answer is a pure function of what every node can see, so all nodes come to the same one without
//! talking to each other. Candidates are ordered by preference, then by rendezvous hash: each pair of
//! address and node has a number of its own, so that addresses spread evenly over the nodes and only
//! those of a node that leaves have to move. The two families of a service go to one node if any can have both.

pub mod claims;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::range::to_number;
use crate::{Advertisement, Interfaces, Labels, ServiceKey};

/// A node as ownership sees it. What its speaker tells, and what follows from that, is not part of its written form.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any of them can hold beside any other"
)]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// The node's name (`metadata.name`).
    pub name: String,
    /// Its labels, for the selectors of advertisements.
    pub labels: Labels,
    /// It carries the label `node.kubernetes.io/exclude-from-external-load-balancers`.
    pub excluded: bool,
    /// Its condition `NetworkUnavailable` is true.
    pub network_unavailable: bool,
    /// Its speaker is not heard by the others.
    #[serde(skip)]
    pub silent: bool,
    /// It is being drained: on request, or because it is out of service.
    pub drained: bool,
    /// No pods are placed on it (`spec.unschedulable`); ownership does not look at this.
    pub cordoned: bool,
    /// It answers only if no other can: it is being drained.
    #[serde(skip)]
    pub last_choice: bool,
    /// Its speaker is about to end: any other is better.
    #[serde(skip)]
    pub leaving: bool,
    /// Its speaker was restarted a moment ago, and has not told of its interfaces yet: they are taken to be what they were.
    #[serde(skip)]
    pub returning: bool,
    /// Its interfaces that can answer, as its speaker tells of them; `None` if none has told of them yet.
    #[serde(skip)]
    pub interfaces: Option<Vec<Interface>>,
}

/// An interface of a node that can answer: up, with a carrier, and not left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// The subnets that it carries.
    pub subnets: Vec<IpNet>,
    /// Nobody on its LAN hears the node there, although the node lives: a switch or a cable lets nothing through.
    #[serde(default)]
    pub unheard: bool,
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
    /// Its addresses are to be answered by different nodes, where there are as many that are as good.
    pub spread: bool,
    /// Where its endpoints are.
    pub endpoints: Endpoints,
}

/// The endpoints of a service that can serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoints {
    /// Nobody keeps endpoints here (a service from files); every node is taken to serve it.
    Assumed,
    /// The same, but for those nodes that have found out that they do not.
    AssumedBut {
        /// The nodes whose own check of the service fails.
        failing: BTreeSet<String>,
    },
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
        matches!(self, Self::Assumed | Self::AssumedBut { .. } | Self::Known { any: true, .. })
    }

    fn fails_on(&self, node: &str) -> bool {
        matches!(self, Self::AssumedBut { failing } if failing.contains(node))
    }

    /// Whether the node has a ready endpoint or only terminating ones; nothing if it has none.
    fn ready_on(&self, node: &str) -> Option<bool> {
        match self {
            Self::Assumed | Self::AssumedBut { .. } => Some(true),
            Self::Known { ready, .. } if ready.contains(node) => Some(true),
            Self::Known { terminating, .. } => terminating.contains(node).then_some(false),
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
    /// Why the service's other family is owned separately, if it is.
    pub apart: Option<Apart>,
}

/// Why the addresses of a service have an owner each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apart {
    /// No node is a candidate for all of them.
    NoCommonNode,
    /// The service asks for it: [`Service::spread`].
    Asked,
}

impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCommonNode => {
                "no node can announce both families of the Service, so they are announced separately"
            }
            Self::Asked => "the Service asks for another node for its other family",
        })
    }
}

/// A node that can answer for an address.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The node's name.
    pub node: String,
    /// Where it may answer.
    pub interfaces: Interfaces,
    /// The sum of the preferences that match it.
    pub weight: i64,
    /// Whether it has a ready endpoint of every service that wants its traffic kept on the node.
    pub ready: bool,
    /// Whether it answers only if no other can.
    pub last_choice: bool,
    /// Whether its speaker is about to end.
    pub leaving: bool,
    /// What is known of the way from the address's LAN to the node.
    pub reach: Reach,
    /// Whether it is heard on an interface where it may answer, as far as is known.
    pub heard: bool,
    /// How good a choice it is: among those of the same standing the order of rendezvous decides.
    pub standing: Standing,
}

/// How good a choice a candidate is: the higher, the better. What is said first counts first.
#[expect(clippy::struct_excessive_bools, reason = "each is a rank of its own")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing {
    /// Its speaker is not about to end.
    pub staying: bool,
    /// It is heard on the address's LAN, as far as is known.
    pub heard: bool,
    /// It can answer for the service's other family too, if any candidate can.
    pub fits_all: bool,
    /// It has a ready endpoint of every service that wants its traffic kept on the node.
    pub ready: bool,
    /// It is not the last choice.
    pub willing: bool,
    /// The sum of the preferences that match it, for both families.
    pub weight: i64,
}

/// What is known of the way from an address's LAN to a node. Only nodes with the best that any candidate has are
/// candidates: on another LAN nobody would ask for the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// No speaker has told of the node's interfaces.
    Unknown,
    /// An interface can answer, but none that can carries the address's subnet.
    OtherSubnet,
    /// An interface that carries the address's subnet can answer.
    Subnet,
}

impl Ownership {
    /// The node that answers.
    #[must_use]
    pub fn owner(&self) -> Option<&Candidate> {
        self.candidates.first()
    }

    fn weight_of(&self, node: &str) -> Option<i64> {
        self.candidates.iter().find(|candidate| candidate.node == node).map(|candidate| candidate.weight)
    }
}

/// Why a node is no candidate for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PassedOver {
    /// It carries the exclude label.
    Excluded,
    /// Its speaker is not heard by the others.
    Silent,
    /// Its network is not set up.
    NetworkUnavailable,
    /// No advertisement for the address chooses it.
    NotSelected,
    /// The service wants its traffic kept on the node, and has no serving endpoint there.
    NoLocalEndpoint,
    /// The node's own check of the service fails.
    CheckFails,
    /// None of the interfaces that may answer is up, with a carrier, and not left out.
    NoInterface,
    /// No speaker has told of its interfaces, and other nodes have one that did.
    NoSpeaker,
    /// Other nodes are on the address's LAN, and it is not.
    OtherSubnet,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Excluded => "carries the label node.kubernetes.io/exclude-from-external-load-balancers",
            Self::Silent => "has a speaker that is not heard",
            Self::NetworkUnavailable => "reports NetworkUnavailable",
            Self::NotSelected => "is chosen by no L2Advertisement of the pool",
            Self::NoLocalEndpoint => "has no endpoint of the service (externalTrafficPolicy: Local)",
            Self::CheckFails => "finds by its own check that it does not serve the service",
            Self::NoInterface => "has no interface that may answer and can",
            Self::NoSpeaker => "has no speaker that tells of its interfaces",
            Self::OtherSubnet => "is not in the address's subnet, and other nodes are",
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
    /// The advertisements name interfaces, and no node that could announce it has one of them up.
    #[error("no node has a usable interface of those that the L2Advertisements name: {}", names(.interfaces))]
    NoInterface {
        /// The interfaces named.
        interfaces: BTreeSet<String>,
    },
    /// Every node is passed over.
    #[error("no node can announce it{}", reasons(.passed_over))]
    NoCandidate {
        /// Why each is.
        passed_over: Vec<(String, PassedOver)>,
    },
}

fn names(interfaces: &BTreeSet<String>) -> String {
    interfaces.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The reasons of the first few nodes: a cluster has many.
fn reasons(passed_over: &[(String, PassedOver)]) -> String {
    const FEW: usize = 3;
    let first: Vec<String> =
        passed_over.iter().take(FEW).map(|(node, why)| format!("node {node} {why}")).collect();
    match passed_over.len().saturating_sub(FEW) {
        _ if first.is_empty() => String::new(),
        0 => format!(": {}", first.join(", ")),
        more => format!(": {}, and so on for {more} more", first.join(", ")),
    }
}

/// Decides who answers for `announced`, an address of a service that has no other family.
#[must_use]
pub fn elect(announced: &Announced, advertisements: &[Advertisement], nodes: &[Node]) -> Ownership {
    elect_beside(announced, &[], advertisements, nodes)
}

/// Decides who answers for `announced` when its services also have the addresses `beside` of the other family.
///
/// One node answers for all of them if there is a candidate for all. If there is none, each is decided for alone,
/// and [`Ownership::apart`] says so. Asked for each of the addresses in turn, it gives the same node; or, where a service
/// asks for that, a different one each time, as long as there are others that are as good.
#[must_use]
pub fn elect_beside(
    announced: &Announced,
    beside: &[Announced],
    advertisements: &[Advertisement],
    nodes: &[Node],
) -> Ownership {
    let mut own = candidates(announced, advertisements, nodes);
    // Those that nobody can announce pull no other address anywhere.
    let others: Vec<Ownership> = beside
        .iter()
        .map(|other| candidates(other, advertisements, nodes))
        .filter(|other| !other.candidates.is_empty())
        .collect();
    let in_all = |candidate: &Candidate| {
        let weights = others.iter().map(|other| other.weight_of(&candidate.node));
        weights.sum::<Option<i64>>()
    };
    // Of addresses that are shared, each may have a service that the other does not have: all come to the same.
    let mut services = beside.iter().chain([announced]).flat_map(|it| &it.services);
    let spread = !others.is_empty() && services.any(|service| service.spread);
    let common = !spread && own.candidates.iter().any(|candidate| in_all(candidate).is_some());
    own.apart = match (spread, common) {
        _ if own.candidates.is_empty() => None,
        (true, _) => Some(Apart::Asked),
        (false, common) => (!common).then_some(Apart::NoCommonNode),
    };
    let sharing = others.iter().map(|other| other.address).filter(|_| common || spread);
    let key = sharing.min().map_or(own.address, |least| least.min(own.address));
    for candidate in &mut own.candidates {
        let (fits_all, weight) = match in_all(candidate).filter(|_| common) {
            Some(weight) => (true, candidate.weight + weight),
            None => (false, candidate.weight),
        };
        let willing = !candidate.last_choice;
        let (staying, heard, ready) = (!candidate.leaving, candidate.heard, candidate.ready);
        candidate.standing = Standing { staying, heard, fits_all, ready, willing, weight };
    }
    own.candidates.sort_by_cached_key(|candidate| {
        let hash = rendezvous(&candidate.node, key);
        (Reverse(candidate.standing), Reverse(hash), candidate.node.clone())
    });
    if spread {
        // All have the same order; the second address begins it with the second node, and so on.
        let before = others.iter().filter(|other| other.address < own.address).count();
        let best = own.candidates.first().map(|candidate| candidate.standing);
        let as_good = own.candidates.iter().take_while(|it| Some(it.standing) == best).count();
        if as_good > 0 {
            own.candidates[..as_good].rotate_left(before % as_good);
        }
    }
    own
}

/// The nodes that can answer for `announced`, by name.
fn candidates(announced: &Announced, advertisements: &[Advertisement], nodes: &[Node]) -> Ownership {
    let address = announced.address;
    let nobody =
        |why| Ownership { address, candidates: vec![], passed_over: vec![], nobody: Some(why), apart: None };
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

    let mut candidates = Vec::new();
    let mut passed_over = Vec::new();
    for node in nodes {
        match suits(node, address, &about) {
            Ok(candidate) => candidates.push(candidate),
            Err(why) => passed_over.push((node.name.clone(), why)),
        }
    }
    let best = candidates.iter().map(|candidate| candidate.reach).max();
    // Where speakers tell of their interfaces, one that does not is none: on such a node nobody would answer.
    let tells = |node: &Node| node.interfaces.as_ref().is_some_and(|interfaces| !interfaces.is_empty());
    let any_tells = nodes.iter().any(tells);
    candidates.retain(|candidate| {
        let why = match candidate.reach {
            Reach::Unknown if any_tells => PassedOver::NoSpeaker,
            reach if Some(reach) == best => return true,
            Reach::Unknown => PassedOver::NoSpeaker,
            Reach::OtherSubnet | Reach::Subnet => PassedOver::OtherSubnet,
        };
        passed_over.push((candidate.node.clone(), why));
        false
    });
    passed_over.sort_by(|a, b| a.0.cmp(&b.0));
    let nobody = candidates.is_empty().then(|| {
        let named =
            Interfaces::union(about.iter().flat_map(|(_, advertisements)| advertisements.iter().copied()));
        let lacks_it = passed_over.iter().any(|(_, why)| *why == PassedOver::NoInterface);
        match named {
            Interfaces::Named(interfaces) if lacks_it => Nobody::NoInterface { interfaces },
            _ => Nobody::NoCandidate { passed_over: passed_over.clone() },
        }
    });
    Ownership { address, candidates, passed_over, nobody, apart: None }
}

/// Whether `node` can answer for all services.
fn suits(
    node: &Node,
    address: IpAddr,
    about: &[(&Service, Vec<&Advertisement>)],
) -> Result<Candidate, PassedOver> {
    if node.excluded {
        return Err(PassedOver::Excluded);
    }
    if node.silent {
        return Err(PassedOver::Silent);
    }
    if node.network_unavailable {
        return Err(PassedOver::NetworkUnavailable);
    }
    let mut all_ready = true;
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
        if service.endpoints.fails_on(&node.name) {
            return Err(PassedOver::CheckFails);
        }
        if service.local {
            all_ready &= service.endpoints.ready_on(&node.name).ok_or(PassedOver::NoLocalEndpoint)?;
        }
    }
    let weight = ours.iter().map(|advertisement| advertisement.weight(&node.labels)).sum();
    let interfaces = Interfaces::union(ours);
    let (reach, heard) = reach(node, address, &interfaces)?;
    Ok(Candidate {
        node: node.name.clone(),
        interfaces,
        weight,
        ready: all_ready,
        last_choice: node.last_choice,
        leaving: node.leaving,
        reach,
        heard,
        standing: Standing::default(),
    })
}

/// What is known of the way from an address's LAN to a node, and whether the node is heard on one of the interfaces that
/// are as good.
fn reach(node: &Node, address: IpAddr, allowed: &Interfaces) -> Result<(Reach, bool), PassedOver> {
    let Some(interfaces) = &node.interfaces else {
        return Ok((if node.returning { Reach::Subnet } else { Reach::Unknown }, true));
    };
    let of = |it: &Interface| {
        let carries = it.subnets.iter().any(|net| net.contains(&address));
        (if carries { Reach::Subnet } else { Reach::OtherSubnet }, !it.unheard)
    };
    let answering = interfaces.iter().filter(|it| allowed.allows(&it.name));
    answering.map(of).max().ok_or(PassedOver::NoInterface)
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
mod tests;
