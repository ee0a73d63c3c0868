//! Why an address was given, and why not. Data first; the text is one rendering of it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::pool::Exclusion;
use crate::{Family, Port, ServiceKey};

/// Why a service holds an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// It was the first free address of the pool.
    Lowest,
    /// The service asked for exactly this address.
    Requested,
    /// The service shares it with others that have the same sharing key.
    Shared,
    /// It is kept for this service by name.
    Reserved,
    /// The service had it before it was deleted, a short while ago.
    Remembered,
    /// The service held it already when this process first saw it.
    Adopted,
}

impl Grant {
    /// A short, stable word for machines.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Lowest => "Lowest",
            Self::Requested => "Requested",
            Self::Shared => "Shared",
            Self::Reserved => "Reserved",
            Self::Remembered => "Remembered",
            Self::Adopted => "Held",
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lowest => "the lowest free address",
            Self::Requested => "the address asked for",
            Self::Shared => "shared under the same key",
            Self::Reserved => "kept for this service",
            Self::Remembered => "the address it had before",
            Self::Adopted => "held already",
        })
    }
}

/// Why a service's wish, or a part of it, is not fulfilled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no pool at all.
    #[error("there is no address pool; create an IPAddressPool")]
    NoPools,
    /// The service names a pool that is not in force.
    #[error("there is no pool {pool:?}; the pools are {}", list(pools))]
    UnknownPool {
        /// The pool asked for.
        pool: Arc<str>,
        /// The pools in force.
        pools: Vec<Arc<str>>,
    },
    /// The service names a pool, or an address of a pool, that is set aside for others.
    #[error("pool {pool:?} is set aside for other namespaces or services (spec.serviceAllocation)")]
    NotAdmitted {
        /// The pool.
        pool: Arc<str>,
    },
    /// No pool that the service may use has a free address.
    #[error("no free {} address: {}", family, verdicts(tried))]
    NoneFree {
        /// The family that could not be had.
        family: Family,
        /// The pools in the order in which they were looked at.
        tried: Vec<PoolVerdict>,
    },
    /// The address asked for is one that no pool gives out.
    #[error("no pool has {address}; ask for an address of a pool, or add it to one")]
    OutsidePools {
        /// The address asked for.
        address: IpAddr,
    },
    /// The address asked for is not in the pool asked for.
    #[error("{address} belongs to pool {pool:?}, but the service asks for pool {asked:?}")]
    OtherPool {
        /// The address asked for.
        address: IpAddr,
        /// The pool it is in.
        pool: Arc<str>,
        /// The pool asked for.
        asked: Arc<str>,
    },
    /// The address asked for is of a family that the service does not have.
    #[error("{address} is {}, which the service does not have (spec.ipFamilies)", Family::of(*address))]
    FamilyNotWanted {
        /// The address asked for.
        address: IpAddr,
    },
    /// The address is held by others, and cannot be shared with them.
    #[error("{address} is held by {holder}: {why}")]
    Taken {
        /// The address.
        address: IpAddr,
        /// The service in the way.
        holder: ServiceKey,
        /// Why the two cannot share it.
        why: NotShared,
    },
    /// The address asked for lies in a pool that leaves it out.
    #[error("pool {pool:?} does not give out {address}: {why}")]
    Excluded {
        /// The address asked for.
        address: IpAddr,
        /// The pool whose ranges it is in.
        pool: Arc<str>,
        /// Why it is left out.
        why: Exclusion,
    },
    /// The address is kept for others by name.
    #[error("{address} is kept for {pattern} (lbd.io/reserve of pool {pool:?})")]
    Reserved {
        /// The address.
        address: IpAddr,
        /// Its pool.
        pool: Arc<str>,
        /// Whom it is kept for.
        pattern: String,
    },
    /// The pool asked for, or that of the address asked for, gives no more addresses.
    #[error("pool {pool:?} gives out no more addresses (lbd.io/state: cordoned or draining)")]
    Cordoned {
        /// The pool.
        pool: Arc<str>,
    },
    /// A held address is one that its service should leave. It is kept until the operator gives it up.
    #[error(
        "{address} is kept although {}; it stays until the Service goes or lbd.io/release gives it up", why.text(pool)
    )]
    Kept {
        /// The address.
        address: IpAddr,
        /// The pool it came from.
        pool: Arc<str>,
        /// What is the matter with it.
        why: Loss,
    },
    /// A held address is also somebody else's. It is kept, because the service asked for it or had it already.
    #[error("{address} is also {owner}: two hosts will answer for it; give the Service another address")]
    NotAlone {
        /// The address.
        address: IpAddr,
        /// Whose it is.
        owner: Avoided,
    },
}

/// Why a service should leave an address that it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// Its pool is gone, and no other has it.
    PoolRemoved,
    /// Its pool is written in a way that cannot be read.
    PoolUnreadable,
    /// Its pool is there, but has it no more.
    RangeRemoved,
    /// A pool has it in its ranges, but leaves it out.
    Excluded {
        /// The pool.
        pool: Arc<str>,
        /// Why it leaves it out.
        why: Exclusion,
    },
    /// Its pool is to be emptied.
    Draining,
}

impl Loss {
    fn text(&self, pool: &str) -> String {
        match self {
            Self::PoolRemoved => format!("its pool {pool:?} is gone"),
            Self::PoolUnreadable => format!("its pool {pool:?} cannot be read; correct the pool"),
            Self::RangeRemoved => format!("pool {pool:?} has it no more"),
            Self::Excluded { pool, why } => format!("pool {pool:?} does not give it out: {why}"),
            Self::Draining => format!("pool {pool:?} is being drained"),
        }
    }
}

/// Whose an address is that is never given without being asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Avoided {
    /// A node's own address (`status.addresses` of the Node).
    Node(String),
    /// The gateway that a node sends its traffic to.
    GatewayOf(String),
    /// Another station's on the LAN, which a node has found to answer for it.
    Station {
        /// The station's hardware address, as text.
        mac: String,
        /// The node that has heard it.
        heard_by: String,
    },
    /// A Service's on another host, which gives addresses from the same pools by itself. Who has it here too keeps it as far
    /// as this allocator goes: which of two holds counts is for those to say who know both.
    HeldOn {
        /// The host.
        host: String,
        /// The Service, which may not be known here.
        service: ServiceKey,
    },
}

impl fmt::Display for Avoided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(f, "the address of node {name}"),
            Self::GatewayOf(name) => write!(f, "the gateway of node {name}"),
            Self::Station { mac, heard_by } => {
                write!(f, "the address of the station {mac} on the LAN of node {heard_by}")
            }
            Self::HeldOn { host, service } => write!(f, "the address of Service {service} on host {host}"),
        }
    }
}

/// Why two services cannot have one address together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotShared {
    /// At least one of them has no sharing key.
    #[error("to share it, both need the same metallb.io/allow-shared-ip")]
    NoKey,
    /// Their sharing keys differ.
    #[error("its sharing key is {theirs:?}, not {ours:?}")]
    OtherKey {
        /// The holder's key.
        theirs: String,
        /// The asking service's key.
        ours: String,
    },
    /// Their keys agree, but one has `externalTrafficPolicy: Local` and other pods.
    #[error("with externalTrafficPolicy Local both need the same policy and pod selector")]
    OtherBackend,
    /// Both serve this port.
    #[error("both serve port {port}")]
    PortInUse {
        /// The port in common.
        port: Port,
    },
}

/// A pool that was looked at and passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolVerdict {
    /// The pool.
    pub pool: Arc<str>,
    /// Why nothing was taken from it.
    pub verdict: Verdict,
}

/// Why nothing was taken from a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is given out on request only (`autoAssign: false`).
    OnRequestOnly,
    /// It is set aside for other namespaces or services.
    NotAdmitted,
    /// It has no address of the family at all.
    NoSuchFamily,
    /// None of its addresses is left for the service.
    Full {
        /// How many there are.
        total: u128,
        /// How many of them are kept for services by name.
        reserved: u128,
        /// How many of them are a node's or a gateway's.
        avoided: u128,
    },
    /// It gives out no more addresses.
    Cordoned,
    /// A second address comes only from the pool of the first, once a service is served.
    NotTheFirstPool,
}

impl Verdict {
    /// A short, stable word for machines.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::OnRequestOnly => "OnRequestOnly",
            Self::NotAdmitted => "PoolNotAllowed",
            Self::NoSuchFamily => "NoSuchFamily",
            Self::Full { .. } => "PoolExhausted",
            Self::Cordoned => "PoolCordoned",
            Self::NotTheFirstPool => "NotTheFirstPool",
        }
    }
}

impl fmt::Display for PoolVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pool {:?} ", self.pool)?;
        match &self.verdict {
            Verdict::OnRequestOnly => f.write_str("is given out on request only (autoAssign: false)"),
            Verdict::NotAdmitted => f.write_str("is set aside for others"),
            Verdict::NoSuchFamily => f.write_str("has none"),
            Verdict::Full { total: 1, reserved: 0, avoided: 0 } => f.write_str("has its only one in use"),
            Verdict::Full { total, reserved: 0, avoided: 0 } => write!(f, "has all {total} in use"),
            Verdict::Full { total, reserved, avoided } => {
                write!(f, "has none left of {total} (")?;
                if *reserved > 0 {
                    write!(f, "kept for Services by name: {reserved}")?;
                }
                if *avoided > 0 {
                    let comma = if *reserved > 0 { ", " } else { "" };
                    write!(f, "{comma}of nodes, gateways and others: {avoided}")?;
                }
                f.write_str(")")
            }
            Verdict::Cordoned => f.write_str("gives out no more (lbd.io/state)"),
            Verdict::NotTheFirstPool => f.write_str("is not the pool of the address already held"),
        }
    }
}

impl Refusal {
    /// Whether no address that comes free could help: the service asks for something that is not to be had, and
    /// it or a pool has to be changed.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::UnknownPool { .. }
            | Self::NotAdmitted { .. }
            | Self::OutsidePools { .. }
            | Self::OtherPool { .. }
            | Self::FamilyNotWanted { .. }
            | Self::Excluded { .. }
            | Self::Reserved { .. } => true,
            Self::NoPools
            | Self::NoneFree { .. }
            | Self::Cordoned { .. }
            | Self::Taken { .. }
            | Self::Kept { .. }
            | Self::NotAlone { .. } => false,
        }
    }

    /// A short, stable word for machines, in the form Kubernetes wants for a condition's reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoPools => "NoPools",
            Self::UnknownPool { .. } => "UnknownPool",
            Self::NotAdmitted { .. } => "PoolNotAllowed",
            Self::NoneFree { .. } => "PoolExhausted",
            Self::OutsidePools { .. } => "AddressOutsidePools",
            Self::OtherPool { .. } => "AddressInOtherPool",
            Self::FamilyNotWanted { .. } => "FamilyNotWanted",
            Self::Taken { .. } => "AddressInUse",
            Self::Excluded { .. } | Self::Kept { why: Loss::Excluded { .. }, .. } => "AddressExcluded",
            Self::Reserved { .. } => "AddressReserved",
            Self::Cordoned { .. } => "PoolCordoned",
            Self::Kept { why: Loss::PoolRemoved, .. } => "PoolGone",
            Self::Kept { why: Loss::PoolUnreadable, .. } => "PoolUnreadable",
            Self::Kept { why: Loss::RangeRemoved, .. } => "AddressNotInPool",
            Self::Kept { why: Loss::Draining, .. } => "PoolDraining",
            Self::NotAlone { .. } => "AddressOfNode",
        }
    }
}

fn list(pools: &[Arc<str>]) -> String {
    pools.iter().map(|pool| format!("{pool:?}")).collect::<Vec<_>>().join(", ")
}

fn verdicts(tried: &[PoolVerdict]) -> String {
    tried.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
