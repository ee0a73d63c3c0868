//! Why an address was given, and why not. Data first; the text is one rendering of it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

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
    /// The service held it already when this process first saw it.
    Adopted,
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lowest => "the lowest free address",
            Self::Requested => "the address asked for",
            Self::Shared => "shared under the same key",
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
        pool: String,
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
    #[error(
        "no pool gives out {address}; ask for an address of a pool, or add it to one (avoidBuggyIPs leaves out .0 and .255)"
    )]
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
        asked: String,
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
    /// A held address is in no pool any more. It is kept until the service gives it up.
    #[error("{address} is no longer in any pool (it came from {pool:?}); it is kept while the service lives")]
    PoolGone {
        /// The address.
        address: IpAddr,
        /// The pool it came from.
        pool: Arc<str>,
    },
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
    /// All of its addresses are held.
    Full {
        /// How many there are.
        total: u128,
    },
    /// A second address comes only from the pool of the first, once a service is served.
    NotTheFirstPool,
}

impl fmt::Display for PoolVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pool {:?} ", self.pool)?;
        match &self.verdict {
            Verdict::OnRequestOnly => f.write_str("is given out on request only (autoAssign: false)"),
            Verdict::NotAdmitted => f.write_str("is set aside for others"),
            Verdict::NoSuchFamily => f.write_str("has none"),
            Verdict::Full { total: 1 } => f.write_str("has its only one in use"),
            Verdict::Full { total } => write!(f, "has all {total} in use"),
            Verdict::NotTheFirstPool => f.write_str("is not the pool of the address already held"),
        }
    }
}

impl Refusal {
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
            Self::PoolGone { .. } => "PoolGone",
        }
    }
}

fn list(pools: &[Arc<str>]) -> String {
    pools.iter().map(|pool| format!("{pool:?}")).collect::<Vec<_>>().join(", ")
}

fn verdicts(tried: &[PoolVerdict]) -> String {
    tried.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
