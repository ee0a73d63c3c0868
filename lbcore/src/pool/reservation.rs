//! Addresses kept for services that may not exist yet.

use std::fmt;
use std::str::FromStr;

use wildmatch::WildMatch;

use crate::{AddressRange, RangeError, ServiceKey};

/// Addresses of a pool that are kept for some services (an entry of `lbd.io/reserve`).
///
/// They are given to no other service, also on request; the services they are kept for get them before any
/// other address. Read from `RANGE=NAMESPACE/NAME`, where the range may be a single address, and `*` and `?`
/// stand for any text and any character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The addresses.
    pub range: AddressRange,
    /// Whom they are kept for.
    pub service: ServicePattern,
}

/// Names of services: `namespace/name`, in which `*` stands for any text and `?` for any character.
#[derive(Debug, Clone, PartialEq)]
pub struct ServicePattern {
    namespace: WildMatch,
    name: WildMatch,
}

// The library has only `PartialEq`, which compares characters.
impl Eq for ServicePattern {}

impl ServicePattern {
    /// Whether `key` is one of them.
    #[must_use]
    pub fn matches(&self, key: &ServiceKey) -> bool {
        self.namespace.matches(key.namespace()) && self.name.matches(key.name())
    }

    /// Whether it names one service, without `*` and `?`.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        let exact = |pattern: &WildMatch| !pattern.to_string().contains(['*', '?']);
        exact(&self.namespace) && exact(&self.name)
    }
}

impl fmt::Display for ServicePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A reservation that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReservationError {
    /// There is no `=` in it.
    #[error("{0:?} is no reservation; write ADDRESSES=NAMESPACE/NAME, as in 10.0.0.5=web/nginx")]
    NoService(String),
    /// What stands before the `=` is no range.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// What stands behind the `=` is no service.
    #[error("{0:?} names no service; write NAMESPACE/NAME, as in web/nginx or web/*")]
    Service(String),
}

impl FromStr for ServicePattern {
    type Err = ReservationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self { namespace: WildMatch::new(namespace), name: WildMatch::new(name) })
            }
            _ => Err(ReservationError::Service(text.to_owned())),
        }
    }
}

impl FromStr for Reservation {
    type Err = ReservationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((range, service)) = text.split_once('=') else {
            return Err(ReservationError::NoService(text.to_owned()));
        };
        Ok(Self { range: AddressRange::parse_or_address(range.trim())?, service: service.trim().parse()? })
    }
}

impl fmt::Display for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.range, self.service)
    }
}
