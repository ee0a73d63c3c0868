//! What can be wrong with a pool.

use super::{Reservation, ServicePattern};
use crate::{AddressRange, RangeError};

/// A fault of one pool. The pool is not in force as written; its last good form stays in force, and
/// every other pool is untouched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pool {pool:?}: {path}: {kind}")]
pub struct PoolProblem {
    /// The pool at fault.
    pub pool: String,
    /// The field at fault, from the top of the object, as in `spec.addresses[1]`.
    pub path: String,
    /// What is wrong.
    pub kind: PoolProblemKind,
}

/// What is wrong with a pool, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolProblemKind {
    /// The list of addresses is empty.
    #[error("has no entry; a pool needs at least one CIDR or range")]
    NoAddresses,
    /// An entry is no address range.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// Two entries of this pool have addresses in common.
    #[error("{range} overlaps {earlier} earlier in the same list; remove one of them")]
    OverlapsItself {
        /// The later entry.
        range: AddressRange,
        /// The entry before it.
        earlier: AddressRange,
    },
    /// Another pool already has some of these addresses.
    #[error(
        "{range} overlaps {theirs} of pool {other:?}, which stays in force; an address can belong to one pool only"
    )]
    OverlapsPool {
        /// The entry of this pool.
        range: AddressRange,
        /// The entry of the other pool.
        theirs: AddressRange,
        /// The pool that stays in force.
        other: String,
    },
    /// Addresses are kept for a service that the pool does not give out.
    #[error("keeps {range} for {service}, but {range} is not among the addresses that the pool gives out")]
    ReservedOutside {
        /// The addresses.
        range: AddressRange,
        /// Whom they are kept for.
        service: ServicePattern,
    },
    /// An address is kept for two.
    #[error(
        "keeps {range} for {service}, but {earlier} is kept already; keep an address for one pattern only"
    )]
    ReservedTwice {
        /// The addresses.
        range: AddressRange,
        /// Whom they are kept for.
        service: ServicePattern,
        /// The reservation before it.
        earlier: Reservation,
    },
    /// Another pool has the same name.
    #[error("a pool of this name is in force already; give this one another name")]
    DuplicateName,
}
