//! What a service asks for.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::{Families, Labels, Release, ServiceKey};

/// A service's wish for addresses: the parts of a Kubernetes Service that allocation looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Whose wish it is.
    pub key: ServiceKey,
    /// When the service was created, in microseconds since the Unix epoch (`metadata.creationTimestamp`).
    /// Older services come first; equal times are told apart by key.
    pub created: i64,
    /// The families wanted.
    pub families: Families,
    /// Addresses asked for by name, in the order in which they are to be listed
    /// (`metallb.io/loadBalancerIPs`, `spec.loadBalancerIP`). Several of one family are all given. Families they
    /// do not cover are chosen freely.
    pub addresses: Vec<IpAddr>,
    /// The only pool to take from (`metallb.io/address-pool`).
    pub pool: Option<Arc<str>>,
    /// With whom an address may be shared (`metallb.io/allow-shared-ip`).
    pub sharing: Option<Sharing>,
    /// The ports served; two services on one address must not have one in common.
    pub ports: BTreeSet<Port>,
    /// The service's labels, for pools with `serviceSelectors`.
    pub labels: Labels,
    /// Addresses it may lose now that their pool no longer has them or is drained (`lbd.io/release`).
    pub release: Release,
}

impl Request {
    /// A request for any address of the wanted families, with nothing else asked.
    pub fn new(key: ServiceKey, families: impl Into<Families>) -> Self {
        Self {
            key,
            created: 0,
            families: families.into(),
            addresses: Vec::new(),
            pool: None,
            sharing: None,
            ports: BTreeSet::new(),
            labels: Labels::new(),
            release: Release::Nothing,
        }
    }

    /// The place in the queue: the older service first, then by key.
    pub(crate) fn turn(&self) -> Turn {
        (self.created, self.key.clone())
    }
}

/// A place in the queue of those that wait.
pub(crate) type Turn = (i64, ServiceKey);

/// Who may use one address together: services with an equal value, and no port in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sharing {
    /// The value of the annotation; never empty.
    pub key: String,
    /// Empty with `externalTrafficPolicy: Cluster`; with `Local`, the pod selector written in a fixed
    /// order, because a node may answer for all sharers only if all have their pods on the same nodes.
    pub backend: String,
}

/// A port that a service serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// The transport protocol.
    pub protocol: Protocol,
    /// The port number on the address (`spec.ports[].port`).
    pub number: u16,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

/// A transport protocol, spelled as in `spec.ports[].protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, Kubernetes' default.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}
