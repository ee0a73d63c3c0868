//! The free positions of a pool, as intervals.

use std::collections::BTreeMap;

/// Intervals of free positions. Taking the lowest, taking a given one and giving one back cost
/// O(log n) in the number of intervals; how many are left is known without counting.
#[derive(Debug, Clone, Default)]
pub(crate) struct FreeIntervals {
    /// Last position of an interval to its first. Keyed by the end, so that taking the lowest
    /// position changes a value and moves no key.
    by_last: BTreeMap<u128, u128>,
    count: u128,
}

impl FreeIntervals {
    /// All positions below `total` are free.
    pub(crate) fn full(total: u128) -> Self {
        let by_last = total.checked_sub(1).map(|last| (last, 0)).into_iter().collect();
        Self { by_last, count: total }
    }

    /// The positions of `intervals` (first and last of each) are free. They must not overlap.
    pub(crate) fn of(intervals: impl IntoIterator<Item = (u128, u128)>) -> Self {
        let mut free = Self::default();
        for (first, last) in intervals {
            free.count += last - first + 1;
            // Neighbours are joined, so that each gap is one interval.
            let lower = first.checked_sub(1).and_then(|before| free.by_last.remove(&before)).unwrap_or(first);
            free.by_last.insert(last, lower);
        }
        free
    }

    /// How many positions are free.
    pub(crate) fn count(&self) -> u128 {
        self.count
    }

    /// The lowest free position.
    pub(crate) fn lowest(&self) -> Option<u128> {
        self.by_last.first_key_value().map(|(_, first)| *first)
    }

    /// Takes `position`; false if it was not free.
    pub(crate) fn take(&mut self, position: u128) -> bool {
        let Some((&last, first)) = self.by_last.range_mut(position..).next() else {
            return false;
        };
        if position < *first {
            return false;
        }
        let lower = *first;
        if position == last {
            self.by_last.remove(&last);
        } else {
            *first = position + 1;
        }
        if lower < position {
            self.by_last.insert(position - 1, lower);
        }
        self.count -= 1;
        true
    }

    /// Gives `position` back; false if it was free already.
    pub(crate) fn give(&mut self, position: u128) -> bool {
        let above = self.by_last.range(position..).next().map(|(last, first)| (*last, *first));
        if above.is_some_and(|(_, first)| first <= position) {
            return false;
        }
        let lower =
            position.checked_sub(1).and_then(|before| self.by_last.remove(&before)).unwrap_or(position);
        match above {
            Some((last, first)) if first == position + 1 => self.by_last.insert(last, lower),
            _ => self.by_last.insert(position, lower),
        };
        self.count += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn intervals_behave_like_a_set_of_numbers(total in 0_u128..40, steps in prop::collection::vec((any::<bool>(), 0_u128..42), 0..200)) {
            let mut intervals = FreeIntervals::full(total);
            let mut set: BTreeSet<u128> = (0..total).collect();
            for (take, position) in steps {
                if take {
                    prop_assert_eq!(intervals.take(position), set.remove(&position));
                } else if position < total {
                    prop_assert_eq!(intervals.give(position), set.insert(position));
                }
                prop_assert_eq!(intervals.lowest(), set.first().copied());
                prop_assert_eq!(intervals.count(), set.len() as u128);
            }
            // Adjacent intervals are always joined, so their number is that of the gaps.
            let runs = set.iter().filter(|position| !set.contains(&(**position + 1))).count();
            prop_assert_eq!(intervals.by_last.len(), runs);
        }
    }

    #[test]
    fn the_largest_pool_has_room_at_both_ends() {
        let mut intervals = FreeIntervals::full(u128::MAX);
        assert!(intervals.take(u128::MAX - 1));
        assert!(intervals.take(0));
        assert_eq!(intervals.count(), u128::MAX - 2);
        assert!(intervals.give(u128::MAX - 1) && intervals.give(0));
        assert_eq!(intervals.by_last.len(), 1);
    }
}
