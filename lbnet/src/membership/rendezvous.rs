//! Who does something for whom, without asking anybody: each pair of names has a number of its own, the same
//! everywhere, and the highest ones do it. When one goes, only what he did moves.

/// The number of a pair. FNV-1a takes in the bytes, the finaliser of `SplitMix64` spreads them over all bits.
#[must_use]
pub fn weight(of: &str, by: &str, round: u64) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = of.bytes().chain([0]).chain(by.bytes()).chain([0]).chain(round.to_be_bytes());
    let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// The `count` best of `among` for `of`, best first.
pub fn choose<'a>(of: &str, round: u64, count: usize, among: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut all: Vec<(u64, &str)> = among.map(|by| (weight(of, by, round), by)).collect();
    all.sort_unstable_by(|a, b| b.cmp(a));
    all.into_iter().take(count).map(|(_, by)| by).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("node-{number}")).collect()
    }

    #[test]
    fn work_is_spread_and_only_that_of_who_goes_moves() {
        let names = names(50);
        let others = |of: &str, gone: &str| -> Vec<String> {
            let among = names.iter().map(String::as_str).filter(|it| *it != of && *it != gone);
            choose(of, 0, 3, among).into_iter().map(str::to_owned).collect()
        };
        let mut load: BTreeMap<String, u32> = BTreeMap::new();
        for of in &names {
            let (before, after) = (others(of, ""), others(of, "node-7"));
            assert_eq!(before.len(), 3);
            let moved = before.iter().filter(|it| !after.contains(it));
            assert!(moved.clone().all(|it| it == "node-7"));
            for by in before {
                *load.entry(by).or_default() += 1;
            }
        }
        assert!(load.len() > 40 && load.values().all(|it| *it <= 10), "{load:?}");
    }

    #[test]
    fn another_round_asks_others() {
        let names = names(50);
        let round = |round| choose("node-1", round, 5, names.iter().map(String::as_str));
        assert_ne!(round(0), round(1));
        assert_eq!(round(1), round(1));
    }
}
