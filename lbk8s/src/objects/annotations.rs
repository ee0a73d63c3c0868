//! Annotations: MetalLB's, under the stable prefix and the deprecated one, and our own.
//!
//! | on | annotation | value | meaning |
//! |---|---|---|---|
//! | `Service` | [`ADDRESS_POOL`] | the name of a pool | it gets an address of this pool |
//! | | [`LOAD_BALANCER_IPS`] | addresses, separated by commas | it gets these addresses, in this order |
//! | | [`ALLOW_SHARED_IP`] | any word | it shares addresses with Services of the same word, without a port in common |
//! | written on `Service` | [`ALLOCATED_FROM`] | the name of a pool | the pool of the address that it holds |
//! | | [`ALLOCATED_FROM_OF_OLD`] | the name of a pool | the same, as MetalLB wrote it before v0.15: read where the other is not there, and left as it is |
//!
//! What MetalLB's schema has no field for is written as an annotation under our own prefix, [`OWN_PREFIX`]:
//!
//! | on | annotation | value | meaning |
//! |---|---|---|---|
//! | `IPAddressPool` | [`EXCLUDE`] | addresses, CIDRs and ranges, separated by commas | never given out |
//! | | [`EXCLUDE_NETWORK_ADDRESSES`] | `true` or `false` | leave out the first and the last address of every entry that is a whole IPv4 subnet, and the first of an IPv6 subnet |
//! | | [`RESERVE`] | `ADDRESSES=NAMESPACE/NAME`, separated by commas; `*` and `?` in the names | given to these Services only, which get them first |
//! | | [`STICKY`] | a duration, as in `10m` or `24h` | a Service that is deleted and made again within it gets the same address |
//! | | [`COOL_DOWN`] | a duration | a freed address is the last to be given to another Service until it is over |
//! | | [`STATE`] | `active`, `cordoned` or `draining` | whether the pool gives out addresses |
//! | `IPAddressPool`, `Service`, `Namespace` | [`RELEASE`] | `all`, or addresses, CIDRs and ranges | addresses that may be taken from Services because their pool is drained or has them no more |
//! | `Service` | [`SPREAD`] | `true` or `false` | different nodes answer for its two families |
//! | `Node` | [`GATEWAYS`] | addresses, separated by commas | where the node sends its traffic: never given out unless asked for |
//! | | [`DRAIN`] | `true` | other nodes answer for the addresses that this one has, as long as any can |
//! | | [`REBALANCE`] | any word | when it changes, the node gives away what it has more than its share of addresses |
//! | written on `IPAddressPool` | [`REMEMBERED`] | JSON | which Service had which address, for `sticky` and `cool-down` |
//! | written on `Service` | [`KEPT`] | JSON | of an address that its pool no longer has: that pool, and the advertisements under which it stays announced |

use std::collections::BTreeMap;
use std::fmt::Display;

use lbcore::{AddressRange, Release};

use super::{ObjectRef, Problem};

/// The prefix to use.
pub const PREFIX: &str = "metallb.io/";
/// The prefix of old, still read.
pub const DEPRECATED_PREFIX: &str = "metallb.universe.tf/";

/// Take from this pool only.
pub const ADDRESS_POOL: &str = "address-pool";
/// These addresses, separated by commas.
pub const LOAD_BALANCER_IPS: &str = "loadBalancerIPs";
/// Share addresses with services that have the same value.
pub const ALLOW_SHARED_IP: &str = "allow-shared-ip";
/// Written by the controller: the pool of the address held.
pub const ALLOCATED_FROM: &str = "metallb.io/ip-allocated-from-pool";
/// The same, as MetalLB wrote it before v0.15: read where the other is not there, and left as it is.
pub const ALLOCATED_FROM_OF_OLD: &str = "metallb.universe.tf/ip-allocated-from-pool";

/// The prefix of what has no counterpart in MetalLB.
pub const OWN_PREFIX: &str = "lbd.io/";
/// On a pool: addresses never given out.
pub const EXCLUDE: &str = "lbd.io/exclude";
/// On a pool: whether network and broadcast addresses are left out.
pub const EXCLUDE_NETWORK_ADDRESSES: &str = "lbd.io/exclude-network-addresses";
/// On a pool: addresses kept for Services by name.
pub const RESERVE: &str = lbcore::pool::RESERVE;
/// On a pool: how long a deleted Service can come back to its address.
pub const STICKY: &str = "lbd.io/sticky";
/// On a pool: how long a freed address is the last to be given to another Service.
pub const COOL_DOWN: &str = "lbd.io/cool-down";
/// On a pool: whether it gives out addresses.
pub const STATE: &str = "lbd.io/state";
/// On a pool, a Service or a Namespace: addresses that may be taken away.
pub const RELEASE: &str = "lbd.io/release";
/// On a Service: whether different nodes are to answer for its two families.
pub const SPREAD: &str = "lbd.io/spread";
/// On a Node: where it sends its traffic.
pub const GATEWAYS: &str = "lbd.io/gateways";
/// On a Node: `true` sends its addresses elsewhere.
pub const DRAIN: &str = "lbd.io/drain";
/// On a Node: when it changes, the node gives away what it has more than its share of addresses.
pub const REBALANCE: &str = "lbd.io/rebalance";
/// Written on a pool: which Service had which address.
pub const REMEMBERED: &str = "lbd.io/remembered";
/// Written on a Service: where an address came from that its pool no longer has.
pub const KEPT: &str = "lbd.io/kept";

/// Those of our own that may stand on a pool.
pub const ON_POOLS: [&str; 8] =
    [EXCLUDE, EXCLUDE_NETWORK_ADDRESSES, RESERVE, STICKY, COOL_DOWN, STATE, RELEASE, REMEMBERED];

/// The code of an annotation under our prefix that nobody reads.
pub const UNKNOWN_ANNOTATION: &str = "UnknownAnnotation";

/// The code of an annotation under the prefix of old.
pub const DEPRECATED: &str = "Deprecated";

/// The field path of an annotation.
#[must_use]
pub fn path(key: &str) -> String {
    format!("metadata.annotations[{key}]")
}

/// What lists of addresses may hold, for messages.
const LIST: &str = "addresses, CIDRs and ranges, separated by commas";

/// Reads a list of addresses.
pub(super) fn ranges(text: &str) -> Result<Vec<AddressRange>, String> {
    let ranges = text.split(',').map(|range| AddressRange::parse_or_address(range.trim()));
    ranges.collect::<Result<_, _>>().map_err(|error| format!("{error}; write {LIST}"))
}

/// Reads what may be taken away.
pub(super) fn release(text: &str) -> Result<Release, String> {
    text.parse().map_err(|error| format!("{error}; write all, or {LIST}"))
}

pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("{text:?} is neither true nor false"))
}

/// Reads an annotation of our own; an empty value counts as none, a bad one is a problem.
pub(super) fn read<T, E: Display>(
    object: &ObjectRef,
    annotations: &BTreeMap<String, String>,
    key: &str,
    problems: &mut Vec<Problem>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let value = annotations.get(key)?.trim();
    if value.is_empty() {
        return None;
    }
    match parse(value) {
        Ok(value) => Some(value),
        Err(error) => {
            problems.push(Problem::new(object, "InvalidAnnotation", path(key), error));
            None
        }
    }
}

/// The annotations of a Service that are written under the deprecated prefix.
#[must_use]
pub fn deprecated(annotations: &BTreeMap<String, String>) -> Vec<String> {
    let known = [ADDRESS_POOL, LOAD_BALANCER_IPS, ALLOW_SHARED_IP];
    let keys = known.iter().map(|name| format!("{DEPRECATED_PREFIX}{name}"));
    keys.filter(|key| annotations.contains_key(key)).collect()
}

/// The value of an annotation under whichever prefix has one, with the whole key. The stable prefix wins, but
/// an empty value under it does not hide the other.
#[must_use]
pub fn find<'a>(annotations: &'a BTreeMap<String, String>, name: &str) -> Option<(String, &'a str)> {
    let under = |prefix: &str| {
        let key = format!("{prefix}{name}");
        let value = annotations.get(&key)?.trim();
        (!value.is_empty()).then_some((key, value))
    };
    under(PREFIX).or_else(|| under(DEPRECATED_PREFIX))
}
