//! Whether a pool gives out addresses, and what its owner has agreed to take away.

use std::net::IpAddr;
use std::str::FromStr;

use crate::{AddressRange, RangeError};

/// Whether a pool gives out addresses (`lbd.io/state`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PoolState {
    /// It does.
    #[default]
    Active,
    /// It serves what it holds, and gives no more.
    Cordoned,
    /// It gives no more, and each service that holds an address of it is told to leave; it moves when its owner
    /// confirms that ([`Release`]) or makes it anew.
    Draining,
}

/// A text that is no state of a pool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no state of a pool; write active, cordoned or draining")]
pub struct PoolStateError(String);

impl FromStr for PoolState {
    type Err = PoolStateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "active" => Ok(Self::Active),
            "cordoned" => Ok(Self::Cordoned),
            "draining" => Ok(Self::Draining),
            _ => Err(PoolStateError(text.to_owned())),
        }
    }
}

/// Addresses that may be taken from live services because a pool no longer has them or is drained: the
/// operator's word (`lbd.io/release`). It is no effect on addresses that an active pool has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Release {
    /// None. What is held is kept.
    #[default]
    Nothing,
    /// Whatever is in question.
    All,
    /// Those in question that lie in these ranges.
    Within(Vec<AddressRange>),
}

impl Release {
    /// Whether `address` may be taken away.
    #[must_use]
    pub fn covers(&self, address: IpAddr) -> bool {
        match self {
            Self::Nothing => false,
            Self::All => true,
            Self::Within(ranges) => ranges.iter().any(|range| range.contains(address)),
        }
    }
}

impl FromStr for Release {
    type Err = RangeError;

    /// Reads `all`, or addresses, CIDRs and ranges separated by commas.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "" => Ok(Self::Nothing),
            "all" => Ok(Self::All),
            ranges => {
                let ranges = ranges.split(',').map(|range| AddressRange::parse_or_address(range.trim()));
                Ok(Self::Within(ranges.collect::<Result<_, _>>()?))
            }
        }
    }
}
