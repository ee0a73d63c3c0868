//! Sets of addresses as pieces of a program, exact or wider.

use std::net::IpAddr;
use std::rc::Rc;

use super::bpf::{ACCEPT, Instruction, JEQ, JGE, JGT, LD_W, if_equal, load, skip};

/// A set of addresses of one family, as intervals of one word of each. The words before it are exact, those after
/// it are not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    /// Sorted, each once.
    addresses: Rc<[[u32; 4]]>,
    /// Which word is looked at last.
    last: usize,
    /// Intervals that are less than this apart are made one.
    gap: u32,
}

/// An interval of words, both ends in it.
type Interval = (u32, u32);

/// How many intervals are compared one after the other before it pays to halve them.
const ROW: usize = 32;

impl Targets {
    /// These addresses, which are of one family.
    pub fn new(addresses: impl Iterator<Item = IpAddr>) -> Self {
        let mut words = 1;
        let mut addresses: Vec<[u32; 4]> = addresses
            .map(|address| match address {
                IpAddr::V4(v4) => [v4.to_bits(), 0, 0, 0],
                IpAddr::V6(v6) => {
                    words = 4;
                    let bits = v6.to_bits();
                    [96, 64, 32, 0]
                        .map(|shift| u32::try_from((bits >> shift) & 0xffff_ffff).expect("32 bits"))
                }
            })
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        Self { addresses: addresses.into(), last: words - 1, gap: 1 }
    }

    /// The narrowest set for which `fits` holds, of this one and some that hold it: first those in which gaps in the
    /// last word are closed, small ones before large ones, then those that look at fewer words.
    pub fn widened_until(&self, fits: impl Fn(&Self) -> bool) -> Option<Self> {
        if fits(self) {
            return Some(self.clone());
        }
        let widened = |last, power: u32| {
            let gap = 1_u32.checked_shl(power).unwrap_or(u32::MAX);
            Self { last, gap, ..self.clone() }
        };
        let last = (0..=self.last).rev().find(|last| fits(&widened(*last, u32::BITS)))?;
        // The wider the gaps that are closed, the fewer the intervals: the first power that fits is looked for by
        // halves.
        let (mut too_narrow, mut wide_enough) = (0, u32::BITS);
        while too_narrow < wide_enough {
            let middle = u32::midpoint(too_narrow, wide_enough);
            if fits(&widened(last, middle)) { wide_enough = middle } else { too_narrow = middle + 1 }
        }
        Some(widened(last, wide_enough))
    }

    /// Accepts the frame if the address at this offset is in the set.
    pub(super) fn test(&self, offset: u32) -> Vec<Instruction> {
        self.test_from(0, offset, &self.addresses)
    }

    /// The same for addresses that agree in the words before this one.
    fn test_from(&self, word: usize, offset: u32, addresses: &[[u32; 4]]) -> Vec<Instruction> {
        if addresses.is_empty() {
            return Vec::new();
        }
        let at = offset + 4 * u32::try_from(word).expect("at most 3");
        let mut program = load(LD_W, at).to_vec();
        if word == self.last {
            program.extend(member(&self.intervals(word, addresses)));
            return program;
        }
        for alike in addresses.chunk_by(|one, other| one[word] == other[word]) {
            // The piece loads another word, so that this one is loaded anew for the next.
            if program.len() > 1 {
                program.extend(load(LD_W, at));
            }
            program.extend(if_equal(alike[0][word], self.test_from(word + 1, offset, alike)));
        }
        program
    }

    fn intervals(&self, word: usize, addresses: &[[u32; 4]]) -> Vec<Interval> {
        let mut intervals: Vec<Interval> = Vec::new();
        for address in addresses {
            match intervals.last_mut() {
                Some((_, end)) if address[word] - *end <= self.gap => *end = address[word],
                _ => intervals.push((address[word], address[word])),
            }
        }
        intervals
    }
}

/// Accepts the frame if the word that was loaded is in one of the intervals, which are sorted and apart.
fn member(intervals: &[Interval]) -> Vec<Instruction> {
    if intervals.len() <= ROW {
        return row(intervals);
    }
    let (low, high) = intervals.split_at(intervals.len() / 2);
    let (boundary, low, high) = (high[0].0, member(low), member(high));
    let mut program = vec![Instruction { code: JGE, yes: 0, no: 1, k: boundary }, skip(low.len() + 1)];
    program.extend(low);
    program.push(skip(high.len()));
    program.extend(high);
    program
}

/// The same, one after the other.
fn row(intervals: &[Interval]) -> Vec<Instruction> {
    let comparisons: usize = intervals.iter().map(|(first, last)| if first == last { 1 } else { 2 }).sum();
    let mut program = Vec::with_capacity(comparisons + 2);
    for (first, last) in intervals {
        if first != last {
            // Above this interval: on to the next, past its other end.
            program.push(Instruction { code: JGT, yes: 1, no: 0, k: *last });
        }
        // After the comparisons come a jump out of here, and behind that the acceptance.
        let out = u8::try_from(comparisons - program.len() - 1).expect("a row is short");
        program.push(if first == last {
            Instruction { code: JEQ, yes: out + 1, no: 0, k: *first }
        } else {
            Instruction { code: JGE, yes: out + 1, no: out, k: *first }
        });
    }
    program.push(skip(1));
    program.push(ACCEPT);
    program
}
