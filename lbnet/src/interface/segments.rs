//! Which interfaces of this host are in one segment, so that only one of them may answer there.

use std::collections::BTreeSet;

use super::Interface;

/// Pairs of interfaces of which one has heard the other's frames. That two carry the same subnet is told by their
/// addresses; that two without an address are plugged into one switch is seen only so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Segments(BTreeSet<(u32, u32)>);

impl Segments {
    /// One of these interfaces has heard a frame that the other one sent; whether that is news.
    pub fn heard_each_other(&mut self, one: u32, other: u32) -> bool {
        one != other && self.0.insert((one.min(other), one.max(other)))
    }

    /// An interface has changed, and may be plugged in elsewhere now; whether anything was known of it.
    pub fn forget(&mut self, index: u32) -> bool {
        let before = self.0.len();
        self.0.retain(|(one, other)| *one != index && *other != index);
        self.0.len() < before
    }

    /// The first of each segment, by index.
    pub(super) fn one_each(&self, interfaces: Vec<&Interface>) -> BTreeSet<u32> {
        // Segments as they are found: what joins two of them makes them one.
        let mut segments: Vec<Vec<&Interface>> = Vec::new();
        for interface in interfaces {
            let (joined, mut apart): (Vec<_>, Vec<_>) = segments
                .into_iter()
                .partition(|segment| segment.iter().any(|other| self.together(interface, other)));
            apart.push(joined.into_iter().flatten().chain([interface]).collect());
            segments = apart;
        }
        let first = |segment: Vec<&Interface>| segment.into_iter().map(|it| it.index).min();
        segments.into_iter().filter_map(first).collect()
    }

    fn together(&self, one: &Interface, other: &Interface) -> bool {
        let pair = (one.index.min(other.index), one.index.max(other.index));
        self.0.contains(&pair) || one.subnets().any(|net| other.subnets().any(|others| others == net))
    }
}
