//! MetalLB's annotations on Services, under the stable prefix and the deprecated one.

use std::collections::BTreeMap;

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
