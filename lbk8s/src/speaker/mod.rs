//! The speaker: answers on this node for the addresses that this node owns.
//!
//! [`Speaker`] is the pure part. It is told of changes, asks [`lbcore::elect`], and says what to announce and
//! what to withdraw. [`run`] is the edge. When the API server cannot be reached, nothing changes: what is
//! announced stays announced.

mod announced;
mod edge;
pub mod history;
pub mod last_known;
mod on_wire;
mod settling;
pub mod team;
pub mod view;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

pub use edge::{
    Beside, ConflictView, Counted, FramesView, Inspector, InterfaceView, MemberView, Members, Questions,
    Settings, SpeakerStatus, State, WireView, Wiring, Word, World, inspector, run,
};
use lbcore::ownership::claims::{Cause, Failback};
use lbcore::ownership::{Apart, Interface, Nobody};
use lbcore::{
    Advertisement, Allocator, Announced, Interfaces, Labels, Node, Ownership, PoolProblem, PoolSpec,
    ServiceKey, elect_beside,
};

use self::team::{Team, Told};
use crate::ObjectRef;
use crate::objects::announced::AnnouncedService;
use crate::objects::config::{Config, ConfigChange, FollowConfigMap};
use crate::objects::endpoints::SliceView;
use crate::objects::leftovers::{Leftover, Leftovers};
use crate::several::Several;

/// Something that the watches tell.
#[derive(Debug, Clone)]
pub enum Change {
    /// A configuration object changed.
    Config(Box<ConfigChange>),
    /// A node is there in this form.
    Node(Node),
    /// A node is gone.
    NodeGone(String),
    /// These interfaces of a node can answer, as its speaker tells; with `None` it tells no more.
    Facts(String, Option<Vec<Interface>>),
    /// A node's speaker tells that these addresses are another station's: whoever announces one of them next asks first.
    Taken(String, BTreeSet<IpAddr>),
    /// Something of MetalLB's that should be gone is there, or is gone.
    Leftover(Leftover, bool),
    /// The pod with this namespace and name is gone.
    PodGone(String, String),
    /// A Service is there in this form.
    Service(Box<AnnouncedService>),
    /// A Service is gone.
    ServiceGone(ServiceKey),
    /// An endpoint slice is there in this form.
    Slice(SliceView),
    /// An endpoint slice is gone.
    SliceGone(ServiceKey),
    /// These interfaces of this node can answer.
    OwnFacts(Vec<Interface>),
    /// The speaker of another node is heard.
    MemberUp(String),
    /// The speaker of another node is not heard any more.
    MemberDown(String),
    /// The speaker of another node tells this of itself.
    Member(String, Box<Told>),
    /// Everybody who was expected has been heard, or waited for in vain.
    Joined,
    /// This process stood still, and knows nothing of what others did meanwhile.
    StoodStill,
    /// Others took this node for dead, and may have taken what it has, though it went on answering.
    TakenForDead,
    /// So much time has passed since whenever.
    Time(Duration),
    /// This speaker is about to end: others are to take what it has.
    Leave,
    /// Addresses are to be spread evenly again.
    Rebalance,
    /// This node does not serve these Services, by its own check.
    Failing(BTreeSet<ServiceKey>),
    /// Everything that is there has been told of: an address that comes from now on is new.
    Listed,
    /// Everything is known, and it may be announced. Nothing is announced before.
    Synced,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Answer for an address from now on, there.
    Announce {
        /// The address.
        address: IpAddr,
        /// Where.
        interfaces: Interfaces,
        /// It was given just now and nobody has answered for it yet: it is to be probed first. Never so for an
        /// address that moves here, or that was there when this speaker started.
        is_new: bool,
    },
    /// Answer for an address no more.
    Withdraw {
        /// The address.
        address: IpAddr,
        /// Why, in words.
        why: String,
    },
    /// Tell the LAN once more that this node answers for an address: whoever did before has ceased to.
    AnnounceAgain {
        /// The address.
        address: IpAddr,
    },
    /// Another node, which could not be heard, answered for an address too: it goes on, and this one has ceased to.
    Overlap {
        /// A Service of the address.
        service: ObjectRef,
        /// The address.
        address: IpAddr,
        /// The other node.
        node: String,
        /// For how long the two did not hear each other.
        apart: Duration,
    },
    /// Nobody answers for an address of a Service. Every node sees that; one of them is asked to tell.
    Nobody {
        /// The Service.
        service: ObjectRef,
        /// The address.
        address: IpAddr,
        /// Why, in words.
        why: String,
    },
    /// This node has become the owner of an address of a Service.
    Owner {
        /// The Service.
        service: ObjectRef,
        /// The address.
        address: IpAddr,
        /// Why another node may answer for the other family of the Service, if so.
        apart: Option<Apart>,
        /// Why it is this one now, if that is known.
        why: Option<Cause>,
    },
}

/// Whether a Service without any endpoint slice is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutSlices {
    /// No: on a cluster every Service with pods has a slice.
    NotServed,
    /// Yes: nobody keeps slices here, as with Services from files.
    Served,
}

/// How a speaker decides.
#[expect(clippy::struct_excessive_bools, reason = "each is a rule of its own")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whether Services without endpoint slices are served.
    pub without_slices: WithoutSlices,
    /// Whether nodes with the exclude label announce all the same.
    pub ignore_exclude: bool,
    /// Whether the v0.12 ConfigMap counts where there are pools of today.
    pub follow_config_map: FollowConfigMap,
    /// Whether addresses are answered while MetalLB's speakers run.
    pub beside_metallb: bool,
    /// Speakers listen to each other, and this is when an address returns to a better node. Without it every speaker
    /// decides by the objects alone, and takes all others to live.
    pub together: Option<Failback>,
    /// Whether a cordon sends a node's addresses elsewhere.
    pub move_on_cordon: bool,
    /// Whether each speaker that is heard stands for a node, also without a Node object: hosts without a cluster, which
    /// share no API server that would tell them of each other.
    pub members_are_nodes: bool,
}

impl Default for Rules {
    /// As on a cluster.
    fn default() -> Self {
        Self {
            without_slices: WithoutSlices::NotServed,
            ignore_exclude: false,
            follow_config_map: FollowConfigMap::default(),
            beside_metallb: false,
            together: None,
            move_on_cordon: false,
            members_are_nodes: false,
        }
    }
}

/// An address that this node answers for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owned {
    interfaces: Interfaces,
    /// The Services that were told of it.
    told: Vec<ServiceKey>,
}

/// The state of a speaker. It knows no client, no clock and no socket.
#[derive(Debug)]
pub struct Speaker {
    node: String,
    rules: Rules,
    config: Config,
    advertisements: Vec<Advertisement>,
    /// Knows which pool an address is of, by the same rules as the controller; it gives out nothing here.
    pools: Allocator,
    /// The pools as they were written when they were put in force last.
    configured_pools: Vec<PoolSpec>,
    /// The labels that each pool has, or had when it was there last.
    labels_of: BTreeMap<String, Labels>,
    /// What is wrong between pools.
    contradictions: Vec<PoolProblem>,
    /// By name.
    nodes: Vec<Node>,
    /// The interfaces of nodes, as their speakers tell of them.
    interfaces: BTreeMap<String, Vec<Interface>>,
    leftovers: Leftovers,
    services: BTreeMap<ServiceKey, Box<AnnouncedService>>,
    slices: BTreeMap<ServiceKey, SliceView>,
    slices_of: Several<ServiceKey, ServiceKey>,
    users: Several<IpAddr, ServiceKey>,
    owned: BTreeMap<IpAddr, Owned>,
    /// Addresses that were given since this speaker knows everything, until they have their first owner.
    given: BTreeSet<IpAddr>,
    /// Addresses that another station was found to have, by the node that found it.
    taken: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Addresses that nobody answers for, and why.
    orphans: BTreeMap<IpAddr, Nobody>,
    /// Services that this node has begun or ceased to answer for.
    changed: BTreeSet<ServiceKey>,
    listed: bool,
    synced: bool,
    team: Option<Team>,
}

impl Speaker {
    /// The speaker of a node.
    #[must_use]
    pub fn new(node: impl Into<String>, rules: Rules) -> Self {
        let node = node.into();
        Self {
            team: rules.together.map(|failback| Team::new(&node, failback)),
            node,
            rules,
            config: Config::new(rules.follow_config_map),
            advertisements: Vec::new(),
            pools: Allocator::default(),
            configured_pools: Vec::new(),
            labels_of: BTreeMap::new(),
            contradictions: Vec::new(),
            nodes: Vec::new(),
            interfaces: BTreeMap::new(),
            leftovers: Leftovers::default(),
            services: BTreeMap::new(),
            slices: BTreeMap::new(),
            slices_of: Several::default(),
            users: Several::default(),
            owned: BTreeMap::new(),
            given: BTreeSet::new(),
            taken: BTreeMap::new(),
            orphans: BTreeMap::new(),
            changed: BTreeSet::new(),
            listed: false,
            synced: false,
        }
    }

    /// Takes in a change; what is to be done about it. Only addresses that the change is about are looked at.
    pub fn apply(&mut self, change: Change) -> Vec<Effect> {
        let (mut effects, mut kept) = (Vec::new(), BTreeSet::new());
        let begins = matches!(change, Change::Joined | Change::Synced);
        let touched = match change {
            Change::Config(change) => {
                let changed = self.config.apply(*change);
                // Pools that overlap are told apart by their age, and for that all must be known.
                if changed && self.synced && self.configure() {
                    self.all_addresses()
                } else {
                    BTreeSet::new()
                }
            }
            Change::Node(node) => self.set_node(node),
            Change::NodeGone(name) => {
                self.nodes.retain(|node| node.name != name);
                self.all_addresses()
            }
            // What a speaker says itself is newer than what its object says.
            Change::Facts(name, _) if self.tells_itself(&name) => BTreeSet::new(),
            Change::Facts(name, interfaces) => self.set_interfaces(name, interfaces),
            Change::OwnFacts(interfaces) => self.set_own_interfaces(interfaces),
            Change::MemberUp(name) => {
                let (touched, again) = self.set_alive(&name);
                effects = again;
                touched
            }
            Change::MemberDown(name) => {
                let (touched, again) = self.set_gone(&name);
                effects = again;
                touched
            }
            Change::Member(name, told) => {
                let (touched, again) = self.hear(&name, *told);
                effects = again;
                touched
            }
            Change::Joined => {
                let (touched, tell_anew) = self.set_joined();
                kept = if tell_anew { self.owned.keys().copied().collect() } else { BTreeSet::new() };
                touched
            }
            Change::StoodStill => {
                self.set_stood_still();
                BTreeSet::new()
            }
            Change::TakenForDead => {
                self.set_taken_for_dead();
                BTreeSet::new()
            }
            Change::Time(now) => self.set_time(now),
            Change::Leave => self.set_leaving(),
            Change::Rebalance => self.set_rebalancing(),
            Change::Failing(services) => self.set_failing(&services),
            Change::Taken(node, addresses) => {
                self.taken.insert(node, addresses);
                self.taken.retain(|_, addresses| !addresses.is_empty());
                BTreeSet::new()
            }
            Change::Leftover(leftover, present) => self.set_leftovers(|it| it.set(leftover, present)),
            Change::PodGone(namespace, name) => self.set_leftovers(|it| it.pod_gone(&namespace, &name)),
            Change::Service(view) => {
                let touched = self.set_service(view);
                self.follow_held(touched)
            }
            Change::ServiceGone(key) => {
                let touched = self.forget_service(&key);
                self.follow_held(touched)
            }
            Change::Slice(view) => self.set_slice(view),
            Change::SliceGone(key) => self.forget_slice(&key),
            Change::Listed => {
                self.listed = true;
                BTreeSet::new()
            }
            Change::Synced => {
                (self.listed, self.synced) = (true, true);
                self.configure();
                self.all_addresses()
            }
        };
        if !self.may_decide() {
            return Vec::new();
        }
        // Who owns one family of a Service is decided together with the other.
        let beside: Vec<IpAddr> = touched.iter().flat_map(|address| self.beside(*address)).collect();
        let touched: BTreeSet<IpAddr> = touched.into_iter().chain(beside).collect();
        effects.extend(touched.into_iter().flat_map(|address| self.settle(address)).collect::<Vec<_>>());
        // Hosts without a cluster hear of their Services' addresses only when they have heard each other.
        if let Some(team) = self.team.as_mut().filter(|_| begins && !self.rules.members_are_nodes) {
            team.claims.end_restoring();
        }
        let kept = kept.into_iter().filter(|address| self.owned.contains_key(address));
        effects.extend(kept.map(|address| Effect::AnnounceAgain { address }));
        effects
    }

    /// The addresses of the other family that the Services of `address` have.
    fn beside(&self, address: IpAddr) -> BTreeSet<IpAddr> {
        let addresses = self.users.of(&address).iter().flat_map(|key| self.addresses_of(key));
        addresses.copied().filter(|other| other.is_ipv4() != address.is_ipv4()).collect()
    }

    /// Who answers for an address, and why not others; `None` if no Service has it.
    #[must_use]
    pub fn ownership(&self, address: IpAddr) -> Option<Ownership> {
        if self.users.of(&address).is_empty() {
            return None;
        }
        let Some(announced) = self.announced(address) else {
            let nobody = Some(Nobody::NotFromPool { address });
            return Some(Ownership { address, candidates: vec![], passed_over: vec![], nobody, apart: None });
        };
        let beside: Vec<Announced> =
            self.beside(address).into_iter().filter_map(|other| self.announced(other)).collect();
        Some(elect_beside(&announced, &beside, &self.advertisements, &self.nodes))
    }

    /// The Services that this node has begun or ceased to answer for since the last call.
    pub fn changed(&mut self) -> BTreeSet<ServiceKey> {
        std::mem::take(&mut self.changed)
    }

    /// The addresses of a Service that this node answers for.
    pub fn owned_of(&self, service: &ServiceKey) -> impl Iterator<Item = IpAddr> {
        self.addresses_of(service).iter().copied().filter(|address| self.owned.contains_key(address))
    }

    /// Whether this node answers for IPv6 of a Service that has both families, and another node for IPv4.
    #[must_use]
    pub fn owns_second_family_alone(&self, service: &ServiceKey) -> bool {
        let addresses = self.addresses_of(service);
        let owns = |address: &&IpAddr| self.owned.contains_key(address);
        let mut owned = addresses.iter().filter(owns).peekable();
        owned.peek().is_some() && owned.all(IpAddr::is_ipv6) && addresses.iter().any(IpAddr::is_ipv4)
    }

    /// The Services that have an address, by key.
    pub fn keys_of(&self, address: IpAddr) -> impl Iterator<Item = &ServiceKey> {
        self.users.of(&address).iter()
    }

    /// Whether MetalLB's speakers answer, so that this one does not.
    #[must_use]
    pub fn is_held_back(&self) -> bool {
        !self.rules.beside_metallb && self.leftovers.speakers_run()
    }

    /// Whether there is a Node object for this node; without one it is no candidate.
    #[must_use]
    pub fn is_node(&self) -> bool {
        self.nodes().any(|name| name == self.node)
    }

    /// The names of the nodes there are.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|node| node.name.as_str())
    }

    /// Whether this node answers for an address.
    #[must_use]
    pub fn owns(&self, address: IpAddr) -> bool {
        self.owned.contains_key(&address)
    }

    /// The addresses that this node answers for.
    pub fn owned(&self) -> impl Iterator<Item = IpAddr> {
        self.owned.keys().copied()
    }

    /// The Services that have an address.
    pub fn users(&self, address: IpAddr) -> impl Iterator<Item = &ObjectRef> {
        self.users.of(&address).iter().filter_map(|key| self.services.get(key)).map(|view| &view.object)
    }

    fn all_addresses(&self) -> BTreeSet<IpAddr> {
        self.users.keys().chain(self.owned.keys()).copied().collect()
    }

    fn addresses_of(&self, service: &ServiceKey) -> &[IpAddr] {
        self.services.get(service).map(|view| &*view.addresses).unwrap_or_default()
    }
}
