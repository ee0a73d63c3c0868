//! MetalLB's objects for BGP, of which no more is read than that they are there: lbd serves layer 2 only.

use kube::core::{ApiResource, GroupVersionKind};

/// The kinds, each in a version that MetalLB stores it in: asking for another would need MetalLB's own conversion
/// webhook, which goes with its controller.
pub const KINDS: [(&str, &str, &str); 4] = [
    ("BGPPeer", "v1beta2", "bgppeers"),
    ("BGPAdvertisement", "v1beta1", "bgpadvertisements"),
    ("BFDProfile", "v1beta1", "bfdprofiles"),
    ("Community", "v1beta1", "communities"),
];

/// How the API serves one of [`KINDS`].
#[must_use]
pub fn resource((kind, version, plural): (&str, &str, &str)) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("metallb.io", version, kind), plural)
}
