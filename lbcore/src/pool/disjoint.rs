//! Ranges that must not overlap.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::AddressRange;

/// Ranges without an address in common, each with something that belongs to it. Finding the one in the way of
/// another costs O(log n).
#[derive(Debug, Default)]
pub(crate) struct DisjointRanges<T>(BTreeMap<IpAddr, (AddressRange, T)>);

impl<T> DisjointRanges<T> {
    pub(crate) fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds `range` if none is in its way; otherwise tells which one is.
    pub(crate) fn insert(&mut self, range: AddressRange, what: T) -> Result<(), &(AddressRange, T)> {
        // They do not overlap, so if any reaches into this one, the last that begins before its end does.
        let clash = self.0.range(..=range.last()).next_back().filter(|(_, (it, _))| it.overlaps(&range));
        if let Some((first, _)) = clash {
            let first = *first;
            return Err(&self.0[&first]);
        }
        self.0.insert(range.first(), (range, what));
        Ok(())
    }
}
