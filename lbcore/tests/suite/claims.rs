//! Who answers in fact: every rule of the claims, as a table of what nodes say and what one of them makes of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use lbcore::ownership::claims::rebalance::{Group, even_out};
use lbcore::ownership::claims::{Cause, Claims, Failback, Offers, PATIENCE, Table, Verdict};
use lbcore::ownership::{Endpoints, Service};
use lbcore::selector::Selector;
use lbcore::{Advertisement, Announced, Labels, Node, Ownership, ServiceKey, elect};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn ip(last: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + last).into()
}

fn node(name: &str) -> Node {
    Node { name: name.to_owned(), labels: Labels::from([("name", name)]), ..Node::default() }
}

fn nodes(names: &[&str]) -> Vec<Node> {
    names.iter().map(|name| node(name)).collect()
}

/// The candidates for an address among these nodes, of which one may be preferred.
fn among(address: IpAddr, nodes: &[Node], preferred: Option<&str>) -> Ownership {
    let service = Service {
        key: ServiceKey::new("default", "web"),
        labels: Labels::new(),
        local: false,
        spread: false,
        endpoints: Endpoints::Assumed,
    };
    let announced = Announced {
        address,
        pool: "default".to_owned(),
        pool_labels: Labels::new(),
        under: None,
        services: vec![service],
    };
    let preferred = preferred.map(|name| (10, Selector::label("name", name))).into_iter().collect();
    elect(&announced, &[Advertisement { preferred, ..Advertisement::default() }], nodes)
}

fn claims(me: &str) -> Claims {
    Claims::new(me, Failback::Preferred { after: 30 * SECOND })
}

fn says(claims: &mut Claims, node: &str, table: &[(IpAddr, u64)]) {
    claims.set(node, table.iter().copied().collect());
}

fn theirs(node: &str, claimed: bool) -> Verdict {
    Verdict::Theirs { node: node.to_owned(), claimed }
}

/// The first and the second in the order of rendezvous, of a, b and c, for address 1.
fn order() -> [String; 3] {
    let candidates = among(ip(1), &nodes(&["a", "b", "c"]), None).candidates;
    let names: Vec<String> = candidates.into_iter().map(|candidate| candidate.node).collect();
    names.try_into().unwrap()
}

#[test]
fn the_first_in_the_order_claims_what_nobody_has_and_the_others_expect_that() {
    let [first, second, _] = order();
    let all = among(ip(1), &nodes(&["a", "b", "c"]), None);
    let mut own = claims(&first);
    assert_eq!(own.settle(ip(1), &all, &[], SECOND), Verdict::Ours { taken: Some(Cause::First) });
    assert_eq!(own.changed_own(), [(ip(1), Some(1))]);
    assert_eq!(own.settle(ip(1), &all, &[], SECOND), Verdict::Ours { taken: None }, "and keeps it");
    assert_eq!(own.changed_own(), []);
    let mut other = claims(&second);
    assert_eq!(other.settle(ip(1), &all, &[], SECOND), theirs(&first, false));
    says(&mut other, &first, &[(ip(1), 1)]);
    assert_eq!(other.settle(ip(1), &all, &[], SECOND), theirs(&first, true));
    assert_eq!(other.deadline(), None, "there is nothing to wait for");
}

#[test]
fn a_claim_stays_though_a_better_node_comes_and_is_followed_when_its_node_dies() {
    let [first, second, third] = order();
    let mut own = claims(&first);
    says(&mut own, &third, &[(ip(1), 7)]);
    let all = nodes(&["a", "b", "c"]);
    assert_eq!(own.settle(ip(1), &among(ip(1), &all, None), &[], SECOND), theirs(&third, true));
    own.set_gone(&third);
    let left: Vec<Node> = all.iter().filter(|node| node.name != third).cloned().collect();
    let died = Cause::Died { node: third.clone() };
    assert_eq!(
        own.settle(ip(1), &among(ip(1), &left, None), &[], SECOND),
        Verdict::Ours { taken: Some(died) }
    );
    assert_eq!(own.own(), Table::from([(ip(1), 8)]), "under the next epoch");
    // One that gave it up by itself did not die.
    let mut own = claims(&first);
    says(&mut own, &second, &[(ip(1), 7)]);
    says(&mut own, &second, &[]);
    let first_again = Verdict::Ours { taken: Some(Cause::First) };
    assert_eq!(own.settle(ip(1), &among(ip(1), &all, None), &[], SECOND), first_again);
}

#[test]
fn of_two_that_claimed_it_at_the_same_time_the_one_who_kept_it_is_followed_when_it_dies() {
    let [first, second, _] = order();
    let all = nodes(&["a", "b", "c"]);
    // Neither has heard of the other.
    let mut own = claims(&second);
    let alone: Vec<Node> = all.iter().filter(|node| node.name != first).cloned().collect();
    own.settle(ip(1), &among(ip(1), &alone, None), &[], SECOND);
    says(&mut own, &first, &[(ip(1), 1)]);
    assert_eq!(own.settle(ip(1), &among(ip(1), &all, None), &[], SECOND), theirs(&first, true));
    own.set_gone(&first);
    let died = Some(Cause::Died { node: first });
    assert_eq!(
        own.settle(ip(1), &among(ip(1), &alone, None), &[], 2 * SECOND),
        Verdict::Ours { taken: died }
    );
}

#[test]
fn who_must_not_answer_any_more_does_so_for_a_second_at_most() {
    let [first, _, _] = order();
    let all = nodes(&["a", "b", "c"]);
    let mut own = claims(&first);
    own.settle(ip(1), &among(ip(1), &all, None), &[], SECOND);
    let others: Vec<Node> = all.iter().filter(|node| node.name != first).cloned().collect();
    let without = among(ip(1), &others, None);
    assert_eq!(own.settle(ip(1), &without, &[], 2 * SECOND), Verdict::Ours { taken: None });
    assert_eq!(own.deadline(), Some(2 * SECOND + PATIENCE));
    let verdict = own.settle(ip(1), &without, &[], 2 * SECOND + PATIENCE);
    assert!(matches!(verdict, Verdict::Theirs { claimed: false, .. }), "{verdict:?}");
    assert_eq!(own.own(), Table::new());
}

#[test]
fn if_the_better_ones_do_not_take_it_whoever_answers_stays() {
    let [first, _, third] = order();
    let mut all = nodes(&["a", "b", "c"]);
    let mut own = claims(&third);
    own.restore(Table::from([(ip(1), 4)]));
    all.iter_mut().find(|node| node.name == third).unwrap().last_choice = true;
    all.iter_mut().find(|node| node.name == first).unwrap().last_choice = true;
    let drained = among(ip(1), &all, None);
    for second in 1..20 {
        let verdict = own.settle(ip(1), &drained, &[], second * SECOND);
        assert!(matches!(verdict, Verdict::Ours { .. }), "{verdict:?}");
    }
    assert_eq!(own.own(), Table::from([(ip(1), 4)]), "under the epoch that it had");
}

#[test]
fn addresses_that_belong_together_come_together_again() {
    let (v4, v6) = (ip(1), IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]));
    let all = nodes(&["a", "b"]);
    let mut own = claims("b");
    own.restore(Table::from([(v6, 1)]));
    says(&mut own, "a", &[(v4, 1)]);
    own.settle(v4, &among(v4, &all, None), &[v6], SECOND);
    // It answers until the other one has both.
    assert!(matches!(own.settle(v6, &among(v6, &all, None), &[v4], SECOND), Verdict::Ours { .. }));
    assert_eq!(own.owner(v6), Some("a"));
    let mut other = claims("a");
    other.restore(Table::from([(v4, 1)]));
    says(&mut other, "b", &[(v6, 1)]);
    other.settle(v4, &among(v4, &all, None), &[v6], SECOND);
    let verdict = other.settle(v6, &among(v6, &all, None), &[v4], SECOND);
    assert!(matches!(verdict, Verdict::Ours { taken: Some(_) }), "{verdict:?}");
}

#[test]
fn of_two_claims_the_higher_epoch_counts_and_of_equal_ones_the_order() {
    let [first, second, third] = order();
    let all = among(ip(1), &nodes(&["a", "b", "c"]), None);
    for (ours, theirs_epoch, stays) in [(3, 2, true), (3, 4, false), (3, 3, false)] {
        // The one that claims it too comes before this one in the order.
        let mut own = claims(&second);
        says(&mut own, &second, &[(ip(1), ours)]);
        says(&mut own, &first, &[(ip(1), theirs_epoch)]);
        let verdict = own.settle(ip(1), &all, &[], SECOND);
        let expected = if stays { Verdict::Ours { taken: None } } else { theirs(&first, true) };
        assert_eq!(verdict, expected, "{ours} against {theirs_epoch}");
        assert_eq!(own.own().is_empty(), !stays, "whoever gives way says so");
    }
    let mut own = claims(&second);
    says(&mut own, &second, &[(ip(1), 3)]);
    says(&mut own, &third, &[(ip(1), 3)]);
    assert!(
        matches!(own.settle(ip(1), &all, &[], SECOND), Verdict::Ours { .. }),
        "it is behind in the order"
    );
}

#[test]
fn what_was_claimed_before_a_restart_counts_only_where_nobody_claims_it_now() {
    let all = nodes(&["a", "b"]);
    let mut own = claims("a");
    // However high its epoch: it may be from long ago.
    own.restore(Table::from([(ip(1), 9), (ip(2), 9), (ip(3), 9)]));
    assert_eq!(own.changed_own(), vec![], "nobody is told before it is decided");
    says(&mut own, "b", &[(ip(1), 1)]);
    assert_eq!(own.settle(ip(1), &among(ip(1), &all, None), &[], SECOND), theirs("b", true));
    let restored = Verdict::Ours { taken: Some(Cause::Restored) };
    assert_eq!(own.settle(ip(2), &among(ip(2), &all, None), &[], SECOND), restored);
    own.end_restoring();
    assert_eq!(own.changed_own(), vec![(ip(1), None), (ip(2), Some(9)), (ip(3), None)]);
    assert_eq!(own.own(), Table::from([(ip(2), 9)]));
}

#[test]
fn who_returns_keeps_what_nobody_has_taken_meanwhile() {
    let all = nodes(&["a", "b", "c"]);
    let mut own = claims("b");
    says(&mut own, "c", &[(ip(1), 1)]);
    own.set_returning("a", Table::from([(ip(1), 7), (ip(2), 7)]));
    assert_eq!(own.settle(ip(1), &among(ip(1), &all, None), &[], SECOND), theirs("c", true));
    assert_eq!(own.settle(ip(2), &among(ip(2), &all, None), &[], SECOND), theirs("a", true));
}

#[test]
fn what_is_offered_is_taken_by_the_one_it_is_offered_to_and_by_nobody_else() {
    let all = among(ip(1), &nodes(&["a", "b", "c"]), None);
    let mut holder = claims("a");
    says(&mut holder, "a", &[(ip(1), 4)]);
    let offers = Offers::from([(ip(1), "b".to_owned())]);
    assert_eq!(holder.offer(offers.clone()).len(), 1);
    assert_eq!(holder.settle(ip(1), &all, &[], SECOND), Verdict::Ours { taken: None });
    for (node, takes) in [("b", true), ("c", false)] {
        let mut other = claims(node);
        says(&mut other, "a", &[(ip(1), 4)]);
        other.set_offers("a", offers.clone());
        let verdict = other.settle(ip(1), &all, &[], SECOND);
        let taken = Verdict::Ours { taken: Some(Cause::Rebalanced { node: "a".to_owned() }) };
        assert_eq!(verdict == taken, takes, "{node}: {verdict:?}");
        assert_eq!(other.own(), if takes { Table::from([(ip(1), 5)]) } else { Table::new() });
    }
    says(&mut holder, "b", &[(ip(1), 5)]);
    assert_eq!(holder.settle(ip(1), &all, &[], SECOND), theirs("b", true));
    assert_eq!(holder.own_offers(), Offers::new(), "it is given");
}

#[test]
fn what_is_offered_and_not_taken_stays() {
    let all = among(ip(1), &nodes(&["a", "b"]), None);
    let mut holder = claims("a");
    says(&mut holder, "a", &[(ip(1), 4)]);
    holder.offer(Offers::from([(ip(1), "b".to_owned())]));
    for second in 1..4 {
        assert_eq!(holder.settle(ip(1), &all, &[], second * SECOND), Verdict::Ours { taken: None });
    }
    assert_eq!(holder.own_offers(), Offers::new());
    assert_eq!(holder.own(), Table::from([(ip(1), 4)]));
}

proptest! {
    #[test]
    fn an_even_spread_moves_nothing_twice_and_nothing_that_need_not(
        held in prop::collection::vec((0..5_u8, 1..32_u8), 0..60),
    ) {
        // Each group has some of five nodes as candidates, its holder among them.
        let name = |node: u8| format!("n{node}");
        let groups: Vec<Group> = held.iter().enumerate().map(|(index, (holder, among))| Group {
            addresses: vec![ip(u32::try_from(index).unwrap())],
            holder: name(*holder),
            candidates: (0..5).filter(|node| node == holder || among >> node & 1 == 1).map(name).collect(),
        }).collect();
        let offers = even_out(&groups, usize::MAX);
        let mut load: std::collections::BTreeMap<String, usize> = (0..5).map(|node| (name(node), 0)).collect();
        for group in &groups {
            let to = offers.get(&group.addresses[0]);
            prop_assert!(to.is_none_or(|to| group.candidates.contains(to) && *to != group.holder));
            *load.get_mut(to.unwrap_or(&group.holder)).unwrap() += 1;
        }
        // Nobody has two more than one who could have one of what it had.
        for group in groups.iter().filter(|group| !offers.contains_key(&group.addresses[0])) {
            for other in &group.candidates {
                prop_assert!(load[&group.holder] <= load[other] + 1, "{load:?} {offers:?}");
            }
        }
        // Among nodes that can all have all, each has its share.
        if held.iter().all(|(_, among)| *among == 31) {
            let (most, least) = (load.values().max(), load.values().min());
            prop_assert!(most <= least.map(|least| least + 1).as_ref());
        }
    }
}

#[test]
fn who_is_drained_answers_until_the_next_one_has_claimed_and_is_the_last_choice() {
    let [first, second, _] = order();
    let mut all = nodes(&["a", "b", "c"]);
    let mut own = claims(&first);
    own.settle(ip(1), &among(ip(1), &all, None), &[], SECOND);
    all.iter_mut().find(|node| node.name == first).unwrap().last_choice = true;
    let drained = among(ip(1), &all, None);
    assert_eq!(own.settle(ip(1), &drained, &[], 2 * SECOND), Verdict::Ours { taken: None });
    let mut next = claims(&second);
    says(&mut next, &first, &[(ip(1), 1)]);
    let outranked = Cause::Outranked { node: first.clone() };
    assert_eq!(next.settle(ip(1), &drained, &[], 2 * SECOND), Verdict::Ours { taken: Some(outranked) });
    says(&mut own, &second, &[(ip(1), 2)]);
    assert_eq!(own.settle(ip(1), &drained, &[], 2 * SECOND), theirs(&second, true));
    assert_eq!(own.own(), Table::new());
    // What it has given up is heard, so that the other one can have the last word.
    let (touched, given_up) = next.set(&first, Table::new());
    assert_eq!((touched.len(), given_up.into_iter().collect::<Vec<_>>()), (1, vec![ip(1)]));
    let alone: Vec<Node> = all.into_iter().filter(|node| node.name == first).collect();
    says(&mut own, &second, &[]);
    assert!(matches!(own.settle(ip(1), &among(ip(1), &alone, None), &[], 9 * SECOND), Verdict::Ours { .. }));
}

#[test]
fn a_node_that_is_preferred_takes_an_address_back_after_it_has_been_there_for_a_while() {
    let all = nodes(&["a", "b", "c"]);
    let without: Vec<Node> = all.iter().filter(|node| node.name != "b").cloned().collect();
    let (with_b, without_b) = (among(ip(1), &all, Some("b")), among(ip(1), &without, Some("b")));
    let mut own = claims("b");
    says(&mut own, "a", &[(ip(1), 1)]);
    assert_eq!(own.settle(ip(1), &with_b, &[], SECOND), theirs("a", true));
    assert_eq!(own.deadline(), Some(31 * SECOND));
    // A break begins the time anew.
    own.settle(ip(1), &without_b, &[], 20 * SECOND);
    assert_eq!(own.settle(ip(1), &with_b, &[], 21 * SECOND), theirs("a", true));
    assert_eq!(own.settle(ip(1), &with_b, &[], 50 * SECOND), theirs("a", true));
    assert_eq!(own.due(51 * SECOND).len(), 1);
    let taken = Some(Cause::Outranked { node: "a".to_owned() });
    assert_eq!(own.settle(ip(1), &with_b, &[], 51 * SECOND), Verdict::Ours { taken });
    let mut at_once = Claims::new("b", Failback::Always);
    says(&mut at_once, "a", &[(ip(1), 1)]);
    assert!(matches!(at_once.settle(ip(1), &with_b, &[], SECOND), Verdict::Ours { .. }));
}

#[test]
fn who_should_take_an_address_and_does_not_is_passed_over() {
    let [first, second, third] = order();
    let all = among(ip(1), &nodes(&["a", "b", "c"]), None);
    let mut own = claims(&second);
    assert_eq!(own.settle(ip(1), &all, &[], SECOND), theirs(&first, false));
    assert_eq!(own.deadline(), Some(SECOND + PATIENCE));
    let taken = Some(Cause::NotTaken { by: first.clone() });
    assert_eq!(own.settle(ip(1), &all, &[], SECOND + PATIENCE), Verdict::Ours { taken });
    let mut last = claims(&third);
    for (at, expected) in [(1, &first), (2, &second)] {
        assert_eq!(last.settle(ip(1), &all, &[], at * SECOND), theirs(expected, false));
    }
    assert!(matches!(last.settle(ip(1), &all, &[], 3 * SECOND), Verdict::Ours { .. }));
}

#[test]
fn two_that_see_the_world_differently_take_an_address_from_each_other_less_and_less() {
    let mut all = nodes(&["a", "b"]);
    let mut of_b = all.clone();
    all[1].last_choice = true;
    of_b[0].last_choice = true;
    let (sees_a, sees_b) = (among(ip(1), &all, None), among(ip(1), &of_b, None));
    let (mut a, mut b) = (claims("a"), claims("b"));
    let mut takes = 0;
    for tenth in 0..6000 {
        let now = tenth * SECOND / 10;
        takes += usize::from(matches!(a.settle(ip(1), &sees_a, &[], now), Verdict::Ours { taken: Some(_) }));
        b.set("a", a.own());
        takes += usize::from(matches!(b.settle(ip(1), &sees_b, &[], now), Verdict::Ours { taken: Some(_) }));
        a.set("b", b.own());
    }
    assert!((10..40).contains(&takes), "{takes} times in ten minutes");
}

#[test]
fn addresses_that_belong_together_go_to_one_node() {
    let all = nodes(&["a", "b", "c"]);
    for number in 0..50 {
        let (v4, v6) = (ip(number), IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]));
        let mut own = claims("a");
        own.settle(v4, &among(v4, &all, None), &[v6], SECOND);
        let first = own.owner(v4).unwrap().to_owned();
        own.settle(v6, &among(v6, &all, None), &[v4], SECOND);
        assert_eq!(own.owner(v6), Some(first.as_str()));
    }
}

#[test]
fn nobody_has_more_than_a_quarter_above_the_mean() {
    for (count, names) in [(1000, 10), (30, 3), (7, 3), (100, 4)] {
        let names: Vec<String> = (0..names).map(|number| format!("node-{number}")).collect();
        let all: Vec<Node> = names.iter().map(|name| node(name)).collect();
        let mut own = claims("node-0");
        for number in 0..count {
            own.settle(ip(number), &among(ip(number), &all, None), &[], SECOND);
        }
        let most = *own.load().values().max().unwrap();
        let mean = f64::from(count) / f64::from(u32::try_from(all.len()).unwrap());
        let allowed = (mean * 1.25).ceil();
        assert!(f64::from(u32::try_from(most).unwrap()) <= allowed, "{most} of {count} on {}", all.len());
    }
}

#[test]
fn what_no_service_has_is_forgotten() {
    let mut own = claims("a");
    own.settle(ip(1), &among(ip(1), &nodes(&["a"]), None), &[], SECOND);
    own.changed_own();
    own.forget(ip(1));
    assert_eq!((own.changed_own(), own.own(), own.load().len()), (vec![(ip(1), None)], Table::new(), 0));
    let none = own.settle(ip(2), &among(ip(2), &[], None), &[], SECOND);
    assert_eq!(none, Verdict::Nobody);
}

proptest! {
    /// Nodes that tell each other everything, in any order and as late as they like, come to one owner each; and no
    /// epoch ever falls.
    #[test]
    fn whoever_hears_what_when_all_come_to_one_owner_each(
        steps in prop::collection::vec((0_usize..4, 0_usize..4, 0_u32..6, 0_u32..3), 1..80)
    ) {
        let names = ["a", "b", "c", "d"];
        let all = nodes(&names);
        let mut members: Vec<Claims> = names.iter().map(|name| claims(name)).collect();
        let mut highest: BTreeMap<IpAddr, u64> = BTreeMap::new();
        let mut now = SECOND;
        let settle = |member: &mut Claims, address: u32, now| {
            member.settle(ip(address), &among(ip(address), &all, None), &[], now);
        };
        for (from, to, address, seconds) in steps {
            now += seconds * SECOND;
            settle(&mut members[from], address, now);
            for (address, epoch) in members[from].own() {
                let known = highest.entry(address).or_default();
                *known = epoch.max(*known);
            }
            let table = members[from].own();
            if from != to {
                members[to].set(names[from], table);
            }
        }
        // In the end all hear all, a few times.
        for _ in 0..6 {
            now += 2 * SECOND;
            for from in 0..names.len() {
                for address in 0..6 {
                    settle(&mut members[from], address, now);
                }
                let table = members[from].own();
                for to in (0..names.len()).filter(|to| *to != from) {
                    members[to].set(names[from], table.clone());
                }
            }
        }
        for address in 0..6 {
            let owners: Vec<&str> = names.iter().zip(&members)
                .filter(|(_, member)| member.own().contains_key(&ip(address)))
                .map(|(name, _)| *name)
                .collect();
            prop_assert_eq!(owners.len(), 1, "{} is claimed by {:?}", ip(address), owners);
            let epoch = members.iter().find_map(|member| member.own().get(&ip(address)).copied()).unwrap();
            prop_assert!(epoch >= highest.get(&ip(address)).copied().unwrap_or_default());
        }
    }
}
