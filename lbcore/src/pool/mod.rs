//! Pools: the operator's ranges, the rules of who may have an address of them, and what is still free.

mod disjoint;
mod exclude;
mod free;
mod layout;
mod problem;
mod reservation;
mod space;
mod state;

use std::collections::BTreeSet;
use std::time::Duration;

pub(crate) use disjoint::DisjointRanges;
pub use exclude::Exclusion;
pub use problem::{PoolProblem, PoolProblemKind};
pub use reservation::{Reservation, ReservationError, ServicePattern};
pub(crate) use space::Space;
pub use state::{PoolState, PoolStateError, Release};

use crate::selector::any_matches;
use crate::{AddressRange, Labels, Request, Selector};

/// The annotation of [`PoolSpec::reservations`].
pub const RESERVE: &str = "lbd.io/reserve";

/// A pool as its owner wrote it: MetalLB's `IPAddressPool`, or an entry of the v0.12 `address-pools`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSpec {
    /// The pool's name; no two pools in force share one.
    pub name: String,
    /// When it was created, in microseconds since the Unix epoch. Of two pools that overlap, the
    /// older one is in force.
    pub created: i64,
    /// The addresses, in the order in which they are given out (`spec.addresses`).
    pub ranges: Vec<AddressRange>,
    /// Whether services that ask for no pool may have its addresses (`spec.autoAssign`).
    pub auto_assign: bool,
    /// Whether IPv4 addresses that end in .0 or .255 are left out (`spec.avoidBuggyIPs`).
    pub avoid_buggy: bool,
    /// Who may have its addresses (`spec.serviceAllocation`).
    pub allocation: ServiceAllocation,
    /// The pool's own labels, by which advertisements may choose it.
    pub labels: Labels,
    /// Addresses of its ranges that are never given out (`lbd.io/exclude`).
    pub excludes: Vec<AddressRange>,
    /// Whether the network and broadcast addresses of those ranges that are whole subnets are left out
    /// (`lbd.io/exclude-network-addresses`).
    pub exclude_network_addresses: bool,
    /// Addresses kept for services by name, each for one pattern (`lbd.io/reserve`).
    pub reservations: Vec<Reservation>,
    /// How long a service that is deleted can come back to the address it had (`lbd.io/sticky`).
    pub sticky: Duration,
    /// How long an address that was freed is the last to be given to another service (`lbd.io/cool-down`).
    pub cool_down: Duration,
    /// Whether it gives out addresses (`lbd.io/state`).
    pub state: PoolState,
    /// Held addresses that may be taken away now that the pool is drained or no longer has them
    /// (`lbd.io/release`).
    pub release: Release,
}

/// Who may have addresses of a pool, and how early it is looked at. The default admits every service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceAllocation {
    /// Lower numbers are looked at first; 0, the default, comes last (`priority`).
    pub priority: i64,
    /// Names of admitted namespaces (`namespaces`).
    pub namespaces: BTreeSet<String>,
    /// Admitted namespaces by label (`namespaceSelectors`).
    pub namespace_selectors: Vec<Selector>,
    /// Admitted services by label (`serviceSelectors`).
    pub service_selectors: Vec<Selector>,
}

impl ServiceAllocation {
    /// Whether the pool is set aside for some services only.
    #[must_use]
    pub fn is_restricted(&self) -> bool {
        self.restricts_namespaces() || !self.service_selectors.is_empty()
    }

    // A selector that matches no namespace admits nobody: it is a restriction all the same.
    fn restricts_namespaces(&self) -> bool {
        !self.namespaces.is_empty() || !self.namespace_selectors.is_empty()
    }

    /// Whether a service in a namespace with these labels is admitted.
    #[must_use]
    pub fn admits(&self, request: &Request, namespace_labels: &Labels) -> bool {
        let namespace = !self.restricts_namespaces()
            || self.namespaces.contains(request.key.namespace())
            || any_matches(&self.namespace_selectors, namespace_labels);
        let service =
            self.service_selectors.is_empty() || any_matches(&self.service_selectors, &request.labels);
        namespace && service
    }

    /// The place among the pools that admit a service: those set aside for it first, then by priority.
    pub(crate) fn rank(&self) -> (bool, i64) {
        // MetalLB: lower is earlier, and 0 means "none given", which comes after every number above it.
        let priority = if self.priority == 0 { i64::MAX } else { self.priority };
        (!self.is_restricted(), priority)
    }
}

impl PoolSpec {
    /// A pool of `ranges` with the defaults of MetalLB: given out automatically, to everybody.
    #[must_use]
    pub fn new(name: impl Into<String>, ranges: Vec<AddressRange>) -> Self {
        Self {
            name: name.into(),
            created: 0,
            ranges,
            auto_assign: true,
            avoid_buggy: false,
            allocation: ServiceAllocation::default(),
            labels: Labels::new(),
            excludes: Vec::new(),
            exclude_network_addresses: false,
            reservations: Vec::new(),
            sticky: Duration::ZERO,
            cool_down: Duration::ZERO,
            state: PoolState::Active,
            release: Release::Nothing,
        }
    }

    /// All that is wrong with the pool by itself: each time the field at fault and why.
    pub(crate) fn faults(&self) -> Vec<(String, PoolProblemKind)> {
        let mut faults = Vec::new();
        let mut ranges = DisjointRanges::new();
        for (index, range) in self.ranges.iter().enumerate() {
            if let Err((earlier, ())) = ranges.insert(*range, ()) {
                let kind = PoolProblemKind::OverlapsItself { range: *range, earlier: *earlier };
                faults.push((format!("spec.addresses[{index}]"), kind));
            }
        }
        if !faults.is_empty() || self.reservations.is_empty() {
            return faults;
        }
        let (mut kept, space) =
            (DisjointRanges::new(), Space::new(&Self { reservations: vec![], ..self.clone() }));
        for reservation in &self.reservations {
            let (range, service) = (reservation.range, reservation.service.clone());
            let kind = if let Err((_, earlier)) = kept.insert(range, reservation) {
                PoolProblemKind::ReservedTwice { range, service, earlier: (*earlier).clone() }
            } else if space.has_any(&range) {
                continue;
            } else {
                PoolProblemKind::ReservedOutside { range, service }
            };
            faults.push((format!("metadata.annotations[{RESERVE}]"), kind));
        }
        faults
    }

    /// Whether both have the same addresses, kept for the same services: what a pool's free space is made of.
    pub(crate) fn same_space(&self, other: &Self) -> bool {
        let parts = |spec: &Self| (spec.avoid_buggy, spec.exclude_network_addresses);
        parts(self) == parts(other)
            && self.ranges == other.ranges
            && self.excludes == other.excludes
            && self.reservations == other.reservations
    }

    /// How long an address is remembered after it was freed: it rests until the later of both times is over.
    pub(crate) fn rest(&self) -> Duration {
        self.sticky.max(self.cool_down)
    }

    /// A pool from addresses as text.
    ///
    /// # Errors
    /// Every entry that is no range, or that overlaps an earlier one, with its place in the list.
    pub fn parse<'a>(
        name: impl Into<String>,
        addresses: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, PoolProblems> {
        let name = name.into();
        let mut ranges: Vec<AddressRange> = Vec::new();
        let mut known = DisjointRanges::new();
        let mut problems = Vec::new();
        let mut entries = 0;
        for (index, text) in addresses.into_iter().enumerate() {
            entries += 1;
            let kind = match text.parse::<AddressRange>() {
                Err(error) => PoolProblemKind::Range(error),
                Ok(range) => match known.insert(range, ()) {
                    Ok(()) => {
                        ranges.push(range);
                        continue;
                    }
                    Err((earlier, ())) => PoolProblemKind::OverlapsItself { range, earlier: *earlier },
                },
            };
            problems.push(PoolProblem { pool: name.clone(), path: format!("spec.addresses[{index}]"), kind });
        }
        if entries == 0 {
            let kind = PoolProblemKind::NoAddresses;
            problems.push(PoolProblem { pool: name.clone(), path: "spec.addresses".to_owned(), kind });
        }
        if problems.is_empty() { Ok(Self::new(name, ranges)) } else { Err(PoolProblems(problems)) }
    }
}

/// All that is wrong with one pool, never only the first of it. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct PoolProblems(pub Vec<PoolProblem>);

/// How full a pool is, in addresses of one family. An address that several services share counts once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Addresses of the pool that may be given out.
    pub total: u128,
    /// Of these, held by a service.
    pub assigned: u128,
    /// Of these, not held, but kept for services by name.
    pub reserved: u128,
    /// Of these, not held, but never given without being asked for: addresses of nodes and gateways.
    pub avoided: u128,
}

impl Counters {
    /// Addresses that any service can still get.
    #[must_use]
    pub fn available(self) -> u128 {
        self.total.saturating_sub(self.assigned).saturating_sub(self.reserved).saturating_sub(self.avoided)
    }

    /// Whether no more than a tenth is left for any service: soon somebody will wait.
    #[must_use]
    pub fn is_nearly_full(self) -> bool {
        self.total > 0 && self.available().saturating_mul(10) <= self.total
    }
}
