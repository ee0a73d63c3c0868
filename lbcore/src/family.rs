//! Address families and what a service wants of them.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// An IP address family, spelled as in Kubernetes' `spec.ipFamilies`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    #[serde(rename = "IPv4")]
    V4,
    /// IPv6.
    #[serde(rename = "IPv6")]
    V6,
}

impl Family {
    /// The family of `address`.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The other of the two families.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// The families a service wants, the primary one first: Kubernetes' `ipFamilyPolicy` and
/// `ipFamilies` in one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// `SingleStack`: this family and no other.
    Single(Family),
    /// `PreferDualStack`: both, or whichever can be had; `primary` comes first.
    Prefer {
        /// The first entry of `spec.ipFamilies`.
        primary: Family,
    },
    /// `RequireDualStack`: both or none; `primary` comes first.
    Require {
        /// The first entry of `spec.ipFamilies`.
        primary: Family,
    },
}

impl Families {
    /// The family that comes first in the result.
    #[must_use]
    pub fn primary(self) -> Family {
        match self {
            Self::Single(family) | Self::Prefer { primary: family } | Self::Require { primary: family } => {
                family
            }
        }
    }

    /// The families wanted, in the order in which addresses are listed.
    #[must_use]
    pub fn wanted(self) -> &'static [Family] {
        use Family::{V4, V6};
        match self {
            Self::Single(V4) => &[V4],
            Self::Single(V6) => &[V6],
            Self::Prefer { primary: V4 } | Self::Require { primary: V4 } => &[V4, V6],
            Self::Prefer { primary: V6 } | Self::Require { primary: V6 } => &[V6, V4],
        }
    }

    /// Whether an address of `family` has a place in the result.
    #[must_use]
    pub fn wants(self, family: Family) -> bool {
        !matches!(self, Self::Single(only) if only != family)
    }
}

impl From<Family> for Families {
    fn from(family: Family) -> Self {
        Self::Single(family)
    }
}
