//! The addresses that a service holds, in little room.

use std::net::IpAddr;
use std::slice;

use super::in_force::PoolId;
use crate::Grant;

/// An address that a service holds; [`super::Holding`] is the same for others to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) address: IpAddr,
    pub(super) pool: PoolId,
    pub(super) grant: Grant,
}

/// What a service holds: nearly always one address, which needs no memory of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Holdings {
    #[default]
    None,
    One(Held),
    More(Box<[Held]>),
}

impl Holdings {
    pub(super) fn as_slice(&self) -> &[Held] {
        match self {
            Self::None => &[],
            Self::One(held) => slice::from_ref(held),
            Self::More(held) => held,
        }
    }
}

impl From<Vec<Held>> for Holdings {
    fn from(held: Vec<Held>) -> Self {
        match held[..] {
            [] => Self::None,
            [one] => Self::One(one),
            _ => Self::More(held.into_boxed_slice()),
        }
    }
}
