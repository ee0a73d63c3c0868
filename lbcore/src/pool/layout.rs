//! A pool's addresses of one family as positions 0, 1, 2 … in the order in which they are given out.

use std::net::IpAddr;

use super::PoolSpec;
use crate::range::{from_number, to_number};
use crate::{AddressRange, Family};

/// The two-way map between addresses and positions. Nothing is enumerated: a `/8` is one stretch.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    family: Family,
    avoid_buggy: bool,
    /// In the order written, with growing offsets.
    stretches: Vec<Stretch>,
    /// Indexes into `stretches`, by first address.
    by_address: Vec<usize>,
    total: u128,
}

#[derive(Debug, Clone, Copy)]
struct Stretch {
    first: u128,
    last: u128,
    /// The position of the stretch's first usable address.
    offset: u128,
    /// The rank of the first usable address, see [`Layout::rank`].
    rank: u128,
}

impl Layout {
    /// Lays out the addresses of `family` that a pool gives out. Its ranges must not overlap.
    pub(crate) fn new(family: Family, spec: &PoolSpec) -> Self {
        let avoid_buggy = spec.avoid_buggy && family == Family::V4;
        let mut layout =
            Self { family, avoid_buggy, stretches: Vec::new(), by_address: Vec::new(), total: 0 };
        let left_out = spec.left_out().filter(|range| range.family() == family);
        let mut left_out: Vec<(u128, u128)> = left_out.map(|range| range.bounds()).collect();
        left_out.sort_unstable();
        for range in spec.ranges.iter().filter(|range| range.family() == family) {
            let (first, last) = range.bounds();
            // The first address that is not dealt with yet; none beyond the end of the address space.
            let mut next = Some(first);
            for (from, to) in &left_out {
                let Some(first) = next.filter(|first| *first <= last) else { break };
                if *to < first || *from > last {
                    continue;
                }
                if *from > first {
                    layout.push(first, from - 1);
                }
                next = to.checked_add(1);
            }
            if let Some(first) = next.filter(|first| *first <= last) {
                layout.push(first, last);
            }
        }
        layout.by_address = (0..layout.stretches.len()).collect();
        layout.by_address.sort_by_key(|index| layout.stretches[*index].first);
        layout
    }

    fn push(&mut self, first: u128, last: u128) {
        let rank = self.rank(first);
        // 2^128 addresses, all of IPv6, count as 2^128 - 1: the very last is never given out.
        let size =
            if self.avoid_buggy { self.rank(last + 1) - rank } else { (last - first).saturating_add(1) };
        if size > 0 {
            self.stretches.push(Stretch { first, last, offset: self.total, rank });
            self.total = self.total.saturating_add(size);
        }
    }

    /// The positions of those addresses of `range` that are given out, as first and last of each run.
    pub(crate) fn positions(&self, range: &AddressRange) -> Vec<(u128, u128)> {
        if range.family() != self.family {
            return Vec::new();
        }
        let (first, last) = range.bounds();
        let mut runs = Vec::new();
        for stretch in self.stretches.iter().filter(|it| it.first <= last && first <= it.last) {
            let from = stretch.offset + (self.rank(first.max(stretch.first)) - stretch.rank);
            let last = last.min(stretch.last);
            // How many usable ones lie up to the last, and one back: of that rank is the last itself.
            let behind = if self.avoid_buggy { self.rank(last + 1) } else { last.saturating_add(1) };
            let to = stretch.offset + (behind - stretch.rank);
            let to = to.min(self.total);
            if from < to {
                runs.push((from, to - 1));
            }
        }
        runs
    }

    /// How many positions there are.
    pub(crate) fn total(&self) -> u128 {
        self.total
    }

    /// The position of `address`, if it is one that may be given out.
    pub(crate) fn position(&self, address: IpAddr) -> Option<u128> {
        if Family::of(address) != self.family {
            return None;
        }
        let number = to_number(address);
        if self.avoid_buggy && matches!(number & 0xff, 0 | 0xff) {
            return None;
        }
        let after = self.by_address.partition_point(|index| self.stretches[*index].first <= number);
        let stretch = self.stretches[*self.by_address.get(after.checked_sub(1)?)?];
        let position = stretch.offset + (self.rank(number) - stretch.rank);
        (number <= stretch.last && position < self.total).then_some(position)
    }

    /// The address at `position`, which must be below [`Layout::total`].
    pub(crate) fn address(&self, position: u128) -> IpAddr {
        let after = self.stretches.partition_point(|stretch| stretch.offset <= position);
        let stretch = self.stretches[after - 1];
        let rank = stretch.rank + (position - stretch.offset);
        let number = if self.avoid_buggy { (rank / 254) << 8 | (rank % 254 + 1) } else { rank };
        from_number(self.family, number)
    }

    /// How many usable addresses lie below `number`. Without .0 and .255 every /24 has 254 of them.
    fn rank(&self, number: u128) -> u128 {
        if self.avoid_buggy { (number >> 8) * 254 + (number & 0xff).saturating_sub(1) } else { number }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(ranges: &[&str], avoid_buggy: bool) -> Layout {
        let ranges: Vec<AddressRange> = ranges.iter().map(|text| text.parse().expect(text)).collect();
        Layout::new(Family::V4, &PoolSpec { avoid_buggy, ..PoolSpec::new("p", ranges) })
    }

    fn all(layout: &Layout) -> Vec<String> {
        (0..layout.total()).map(|position| layout.address(position).to_string()).collect()
    }

    #[test]
    fn positions_follow_the_written_order() {
        let layout = layout(&["10.0.1.0/31", "10.0.0.0/31", "fd00::/126"], false);
        assert_eq!(all(&layout), ["10.0.1.0", "10.0.1.1", "10.0.0.0", "10.0.0.1"]);
        assert_eq!(layout.position("10.0.0.1".parse().unwrap()), Some(3));
        assert_eq!(layout.position("10.0.0.2".parse().unwrap()), None);
        assert_eq!(layout.position("fd00::".parse().unwrap()), None);
    }

    #[test]
    fn avoiding_buggy_addresses_leaves_out_0_and_255_only() {
        let layout = layout(&["10.0.0.254-10.0.1.2"], true);
        assert_eq!(all(&layout), ["10.0.0.254", "10.0.1.1", "10.0.1.2"]);
        assert_eq!(layout.position("10.0.0.255".parse().unwrap()), None);
        assert_eq!(self::layout(&["10.0.0.0/8"], true).total(), 65536 * 254);
    }

    #[test]
    fn a_slash_32_on_a_buggy_address_is_empty_and_not_negative() {
        assert_eq!(layout(&["10.0.0.0/32"], true).total(), 0);
        assert_eq!(layout(&["10.0.0.255/32", "255.255.255.255/32"], true).total(), 0);
    }

    #[test]
    fn the_ends_of_the_address_spaces_are_reached() {
        let layout4 = layout(&["255.255.255.254/31"], false);
        assert_eq!(all(&layout4), ["255.255.255.254", "255.255.255.255"]);
        let everything: AddressRange = "::/0".parse().unwrap();
        let layout6 = Layout::new(Family::V6, &PoolSpec::new("p", vec![everything]));
        assert_eq!(layout6.total(), u128::MAX);
        assert_eq!(
            layout6.address(layout6.total() - 1),
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe".parse::<IpAddr>().unwrap()
        );
        assert_eq!(layout6.position("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap()), None);
    }

    #[test]
    fn what_is_excluded_has_no_position() {
        let ranges = ["10.0.0.0/29", "10.0.1.0/30"].map(|text| text.parse().unwrap());
        let excludes = ["10.0.0.2/31", "10.0.0.3-10.0.0.4", "10.0.0.7-10.0.1.0", "10.0.1.3/32"];
        let excludes = excludes.iter().map(|text| text.parse().unwrap()).collect();
        let spec = PoolSpec { excludes, ..PoolSpec::new("p", ranges.to_vec()) };
        let layout = Layout::new(Family::V4, &spec);
        assert_eq!(all(&layout), ["10.0.0.0", "10.0.0.1", "10.0.0.5", "10.0.0.6", "10.0.1.1", "10.0.1.2"]);
        assert_eq!(layout.position("10.0.0.3".parse().unwrap()), None);
        assert_eq!(layout.position("10.0.1.1".parse().unwrap()), Some(4));
        assert_eq!(layout.positions(&"10.0.0.1-10.0.1.1".parse().unwrap()), [(1, 1), (2, 3), (4, 4)]);
    }

    #[test]
    fn excluding_everything_up_to_the_last_address_leaves_nothing() {
        for (range, exclude) in
            [("255.255.255.252/30", "0.0.0.0/0"), ("ffff::/16", "::/0"), ("fd00::/126", "fd00::/120")]
        {
            let spec = PoolSpec {
                excludes: vec![exclude.parse().unwrap()],
                ..PoolSpec::new("p", vec![range.parse().unwrap()])
            };
            assert_eq!(Layout::new(spec.ranges[0].family(), &spec).total(), 0, "{range}");
        }
    }

    #[test]
    fn network_and_broadcast_addresses_are_those_of_whole_subnets() {
        let ranges = ["10.0.0.0/30", "10.0.1.0/31", "10.0.2.0-10.0.2.3", "10.0.3.1-10.0.3.4"];
        let ranges = ranges.iter().map(|text| text.parse().unwrap()).collect();
        let spec = PoolSpec { exclude_network_addresses: true, ..PoolSpec::new("p", ranges) };
        let expected = [
            "10.0.0.1", "10.0.0.2", "10.0.1.0", "10.0.1.1", "10.0.2.1", "10.0.2.2", "10.0.3.1", "10.0.3.2",
            "10.0.3.3", "10.0.3.4",
        ];
        assert_eq!(all(&Layout::new(Family::V4, &spec)), expected);
        let spec = PoolSpec { ranges: vec!["fd00::/126".parse().unwrap()], ..spec };
        let layout = Layout::new(Family::V6, &spec);
        assert_eq!((layout.total(), layout.position("fd00::".parse().unwrap())), (3, None));
    }
}
