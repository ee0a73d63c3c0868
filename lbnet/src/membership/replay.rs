//! Which numbers of a sender have been seen: a datagram that comes twice counts once (RFC 4303 section 3.4.3).

/// How far behind the highest number one may be and still be looked at.
pub const WINDOW: u64 = 128;

/// The numbers that were seen of one process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replay {
    highest: u64,
    /// Bit n: the number n below the highest was seen.
    seen: u128,
}

impl Replay {
    /// The highest number so far.
    #[must_use]
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// Takes note of a number; false if it was seen before, or is so old that nobody knows. Numbers begin at 1.
    pub fn accept(&mut self, number: u64) -> bool {
        if number > self.highest {
            let ahead = number - self.highest;
            self.seen = if ahead < WINDOW { self.seen << ahead | 1 } else { 1 };
            self.highest = number;
            return true;
        }
        let behind = self.highest - number;
        if number == 0 || behind >= WINDOW {
            return false;
        }
        let bit = 1 << behind;
        let is_new = self.seen & bit == 0;
        self.seen |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_number_is_accepted_twice_and_none_in_the_window_is_refused_the_first_time(
            numbers in prop::collection::vec(1_u64..400, 1..300)
        ) {
            let (mut replay, mut seen, mut highest) = (Replay::default(), BTreeSet::new(), 0);
            for number in numbers {
                let is_old = number + WINDOW <= highest;
                let expected = !is_old && !seen.contains(&number);
                prop_assert_eq!(replay.accept(number), expected, "{} after {}", number, highest);
                seen.insert(number);
                highest = highest.max(number);
            }
        }
    }

    #[test]
    fn the_ends_of_the_numbers_do_no_harm() {
        let mut replay = Replay::default();
        assert!(!replay.accept(0));
        assert!(replay.accept(u64::MAX) && !replay.accept(u64::MAX) && replay.accept(u64::MAX - 1));
        assert!(!replay.accept(1));
    }
}
