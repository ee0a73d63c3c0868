//! Where one address is answered.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Interface, Pattern, Segments};

/// Where one address is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule(Where);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Where {
    Carrying { else_all: bool },
    Matching(Vec<Pattern>),
}

impl Rule {
    /// On the usable interfaces that carry the address's subnet; if the host has no interface that does, on all usable
    /// ones. While the one that carries it is down it is answered nowhere: other LANs do not look for it.
    #[must_use]
    pub fn any() -> Self {
        Self(Where::Carrying { else_all: true })
    }

    /// On the usable interfaces that carry the address's subnet, and nowhere if there is none.
    #[must_use]
    pub fn carrying() -> Self {
        Self(Where::Carrying { else_all: false })
    }

    /// On the usable ones of these interfaces, whatever subnets they carry.
    #[must_use]
    pub fn named(names: BTreeSet<String>) -> Self {
        Self::matching(names.into_iter().map(Pattern::Name).collect())
    }

    /// On the usable interfaces that any of these patterns means, whatever subnets they carry.
    #[must_use]
    pub fn matching(patterns: Vec<Pattern>) -> Self {
        Self(Where::Matching(patterns))
    }

    /// The indexes of the interfaces that answer for `address`, of those that are `usable`; `down` are those that would
    /// be, if they were up and had a carrier. Of several in one
    /// segment only that with the lowest index, so that nobody there hears two answers.
    pub fn choose<'a>(
        &self,
        address: IpAddr,
        usable: impl Iterator<Item = &'a Interface> + Clone,
        mut down: impl Iterator<Item = &'a Interface>,
        segments: &Segments,
    ) -> BTreeSet<u32> {
        let chosen: Vec<&Interface> = match &self.0 {
            Where::Matching(patterns) => {
                usable.filter(|it| patterns.iter().any(|pattern| pattern.matches(&it.name))).collect()
            }
            Where::Carrying { else_all } => {
                let carrying: Vec<&Interface> = usable.clone().filter(|it| it.carries(address)).collect();
                let nobody_does = carrying.is_empty() && !down.any(|it| it.carries(address));
                if nobody_does && *else_all { usable.collect() } else { carrying }
            }
        };
        segments.one_each(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::interface;

    fn choose(rule: &Rule, address: &str, all: &[Interface], segments: &Segments) -> Vec<u32> {
        rule.choose(address.parse().unwrap(), all.iter(), [].iter(), segments).into_iter().collect()
    }

    #[test]
    fn the_interfaces_that_carry_the_subnet_answer_and_all_if_there_is_none() {
        let all = [
            interface(2, "eth0", &["10.0.0.1/24", "fe80::1/64", "fd00:0::1/64"]),
            interface(3, "eth1", &["10.0.1.1/24", "fe80::2/64", "fd00:1::1/64", "10.9.9.9/32"]),
        ];
        let nowhere = Segments::default();
        let choose = |rule: &Rule, address: &str| choose(rule, address, &all, &nowhere);
        assert_eq!(choose(&Rule::any(), "10.0.1.9"), [3]);
        assert_eq!(choose(&Rule::any(), "fd00:0::9"), [2]);
        assert_eq!(choose(&Rule::any(), "10.9.9.9"), [2, 3], "the length of a host carries nothing");
        assert_eq!(choose(&Rule::any(), "fe80::9"), [2, 3], "link-local subnets are everywhere");
        assert_eq!(choose(&Rule::carrying(), "10.0.1.9"), [3]);
        assert_eq!(choose(&Rule::carrying(), "10.9.9.9"), [0; 0]);
        assert_eq!(choose(&Rule::named(BTreeSet::from(["eth0".to_owned()])), "10.0.1.9"), [2]);
        assert_eq!(choose(&Rule::named(BTreeSet::from(["eth*".to_owned()])), "10.0.1.9"), [0; 0]);
        assert_eq!(choose(&Rule::matching(vec!["eth*".parse().unwrap()]), "10.0.1.9"), [2, 3]);
    }

    #[test]
    fn while_the_interface_that_carries_the_subnet_is_down_no_other_answers() {
        let up = [interface(2, "eth0", &["10.0.0.1/24"])];
        let down = [interface(3, "eth1", &["10.0.1.1/24"])];
        let choose = |address: &str| {
            let segments = Segments::default();
            Rule::any().choose(address.parse().unwrap(), up.iter(), down.iter(), &segments)
        };
        assert_eq!(choose("10.0.1.9"), BTreeSet::new());
        assert_eq!(choose("10.9.9.9"), BTreeSet::from([2]));
    }

    #[test]
    fn of_two_interfaces_in_one_segment_one_answers() {
        let by_subnet = [
            interface(2, "eth0", &["10.0.0.1/24"]),
            interface(3, "eth1", &["10.0.0.2/24"]),
            interface(4, "eth2", &["10.0.4.1/24"]),
        ];
        let mut segments = Segments::default();
        assert_eq!(choose(&Rule::any(), "10.0.0.9", &by_subnet, &segments), [2]);
        assert_eq!(choose(&Rule::any(), "10.9.9.9", &by_subnet, &segments), [2, 4]);
        // One heard the other.
        assert!(segments.heard_each_other(3, 4));
        assert_eq!(choose(&Rule::any(), "10.9.9.9", &by_subnet, &segments), [2]);
        assert_eq!(choose(&Rule::any(), "10.9.9.9", &by_subnet[1..], &segments), [3]);
        segments.forget(4);
        assert_eq!(choose(&Rule::any(), "10.9.9.9", &by_subnet, &segments), [2, 4]);
    }
}
