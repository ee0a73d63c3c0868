//! What happens to live services when requests, pools or the process change. One claim per test.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lbcore::allocator::Claim;
use lbcore::pool::PoolProblemKind;
use lbcore::reason::NotShared;
use lbcore::{
    AddressRange, Allocator, Counters, Decision, Families, Family, Grant, Loss, PoolSpec, PoolVerdict,
    Refusal, Request, ServiceKey, Verdict,
};

const V4: Families = Families::Single(Family::V4);
const V6: Families = Families::Single(Family::V6);
const PREFER: Families = Families::Prefer { primary: Family::V4 };
const REQUIRE: Families = Families::Require { primary: Family::V4 };

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().expect(text)).collect()
}

fn ip(text: &str) -> IpAddr {
    ips(&[text])[0]
}

fn key(text: &str) -> ServiceKey {
    text.parse().expect(text)
}

fn pool(name: &str, ranges: &[&str]) -> PoolSpec {
    PoolSpec::parse(name, ranges.iter().copied()).expect("good ranges")
}

/// A pool created at `created`.
fn aged(name: &str, ranges: &[&str], created: i64) -> PoolSpec {
    PoolSpec { created, ..pool(name, ranges) }
}

fn world(pools: Vec<PoolSpec>) -> Allocator {
    let mut allocator = Allocator::default();
    assert_eq!(allocator.set_pools(pools).problems, []);
    assert_eq!(allocator.woken(), []);
    allocator
}

fn asks(service: &str, families: Families) -> Request {
    Request::new(key(service), families)
}

fn pinned(service: &str, families: Families, addresses: &[&str]) -> Request {
    Request { addresses: ips(addresses), ..asks(service, families) }
}

fn of_pool(service: &str, pool: &str) -> Request {
    Request { pool: Some(pool.into()), ..asks(service, V4) }
}

fn claim(request: Request, addresses: &[&str], recorded_pool: Option<&str>) -> Claim {
    Claim {
        request: request.into(),
        addresses: ips(addresses),
        recorded_pool: recorded_pool.map(str::to_owned),
        recorded_pools: BTreeMap::new(),
    }
}

fn decision(allocator: &Allocator, service: &str) -> Decision {
    allocator.decision(&key(service)).expect(service)
}

fn pools_of(decision: &Decision) -> Vec<&str> {
    decision.held().iter().map(|holding| &*holding.pool).collect()
}

fn in_force(allocator: &Allocator) -> Vec<(&str, String)> {
    let text = |range: &AddressRange| range.to_string();
    let ranges = |pool: &PoolSpec| pool.ranges.iter().map(text).collect::<Vec<_>>().join(" ");
    allocator.pools().map(|pool| (pool.name.as_str(), ranges(pool))).collect()
}

#[test]
fn asking_again_changes_nothing() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/31"])]);
    for request in
        [asks("a/a", V4), pinned("a/b", V4, &["10.0.0.1"]), asks("a/c", V4), pinned("a/d", V4, &["10.0.0.0"])]
    {
        let first = allocator.request(request.clone());
        assert!(first.changed);
        let again = allocator.request(request);
        assert_eq!(again, Decision { changed: false, ..first });
        assert_eq!(allocator.woken(), []);
    }
}

#[test]
fn a_changed_request_that_cannot_be_met_keeps_the_old_address_and_says_why() {
    let taken = Refusal::Taken { address: ip("10.0.0.1"), holder: key("a/b"), why: NotShared::NoKey };
    let full = |pool: &str, total| PoolVerdict {
        pool: pool.into(),
        verdict: Verdict::Full { total, reserved: 0, avoided: 0 },
    };
    let none_free = |family, tried| Refusal::NoneFree { family, tried };
    for (request, why) in [
        (pinned("a/a", V4, &["10.0.0.1"]), taken),
        (pinned("a/a", V4, &["10.9.9.9"]), Refusal::OutsidePools { address: ip("10.9.9.9") }),
        (pinned("a/a", V4, &["fd00::1"]), Refusal::FamilyNotWanted { address: ip("fd00::1") }),
        (of_pool("a/a", "q"), none_free(Family::V4, vec![full("q", 1)])),
        (of_pool("a/a", "x"), Refusal::UnknownPool { pool: "x".into(), pools: vec!["p".into(), "q".into()] }),
    ] {
        let mut allocator = world(vec![pool("p", &["10.0.0.0/24"]), pool("q", &["10.0.1.0/32"])]);
        allocator.request(asks("a/a", V4));
        allocator.request(pinned("a/b", V4, &["10.0.0.1"]));
        allocator.request(of_pool("a/c", "q"));
        let decision = allocator.request(request);
        assert_eq!(decision.addresses(), ips(&["10.0.0.0"]));
        assert_eq!(decision.refusal(), Some(&why));
        assert!(decision.changed);
        // Once it can be met, it is.
        allocator.release(&key("a/b"));
        allocator.release(&key("a/c"));
        allocator.woken();
        let expected = match why {
            Refusal::Taken { .. } => "10.0.0.1",
            Refusal::NoneFree { .. } => "10.0.1.0",
            _ => "10.0.0.0",
        };
        assert_eq!(self::decision(&allocator, "a/a").addresses(), ips(&[expected]));
    }
}

#[test]
fn a_service_whose_family_changes_never_holds_an_address_of_the_old_one() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/30", "fd00::/64"])]);
    allocator.request(pinned("a/a", V4, &["10.0.0.1"]));
    let decision = allocator.request(pinned("a/a", V6, &["10.0.0.1"]));
    assert_eq!(decision.refusal(), Some(&Refusal::FamilyNotWanted { address: ip("10.0.0.1") }));
    assert!(!decision.addresses().contains(&ip("10.0.0.1")), "{decision:?}");
}

#[test]
fn the_second_family_comes_later_only_from_the_pool_of_the_first() {
    let mut allocator = world(vec![pool("a", &["10.0.0.0/30"])]);
    allocator.request(asks("a/a", PREFER));
    allocator.set_pools(vec![pool("a", &["10.0.0.0/30"]), pool("b", &["fd00:b::/64"])]);
    allocator.woken();
    assert_eq!(decision(&allocator, "a/a").addresses(), ips(&["10.0.0.0"]));

    let both = pool("a", &["10.0.0.0/30", "fd00:a::/64"]);
    allocator.set_pools(vec![both, pool("b", &["fd00:b::/64"])]);
    allocator.woken();
    let grown = decision(&allocator, "a/a");
    assert_eq!(grown.addresses(), ips(&["10.0.0.0", "fd00:a::"]));
    assert_eq!(grown.refusal(), None);
}

#[test]
fn a_waiting_service_that_prefers_both_is_woken_by_either_family() {
    let world = || {
        let mut allocator = world(vec![pool("p", &["10.0.0.0/32", "fd00::/128"])]);
        allocator.request(asks("a/four", V4));
        allocator.request(asks("a/six", V6));
        allocator
    };
    for primary in [Family::V4, Family::V6] {
        for (leaver, expected) in [("a/four", "10.0.0.0"), ("a/six", "fd00::")] {
            let mut allocator = world();
            allocator.request(asks("a/waits", Families::Prefer { primary }));
            allocator.release(&key(leaver));
            allocator.woken();
            assert_eq!(decision(&allocator, "a/waits").addresses(), ips(&[expected]), "{primary} first");
        }
    }
    // The same while it holds an address of a pool that it does not want any more.
    let mut allocator = world();
    allocator.set_pools(vec![pool("p", &["10.0.0.0/32", "fd00::/128"]), pool("q", &["10.0.1.0/32"])]);
    let prefers_six = asks("a/moves", Families::Prefer { primary: Family::V6 });
    assert_eq!(allocator.request(prefers_six.clone()).addresses(), ips(&["10.0.1.0"]));
    assert_eq!(allocator.woken(), []);
    allocator.request(Request { pool: Some("p".into()), ..prefers_six });
    allocator.release(&key("a/four"));
    allocator.woken();
    assert_eq!(decision(&allocator, "a/moves").addresses(), ips(&["10.0.0.0"]));
}

#[test]
fn a_service_that_prefers_both_never_flaps() {
    let pools = || vec![pool("a", &["10.0.0.0/30"]), pool("b", &["fd00::/128"])];
    let mut allocator = world(pools());
    allocator.request(asks("a/six", V6));
    let first = allocator.request(asks("a/a", PREFER));
    assert_eq!(first.addresses(), ips(&["10.0.0.0"]));
    for _ in 0..3 {
        assert!(!allocator.request(asks("a/a", PREFER)).changed);
        allocator.set_pools(pools());
        assert_eq!(allocator.woken(), [], "nothing has changed since {first:?}");
    }
}

#[test]
fn adoption_keeps_what_is_held_and_the_older_of_a_double() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/30"])]);
    let at = |service, created| Request { created, ..asks(service, V4) };
    let decisions = allocator.adopt(vec![
        claim(at("a/new", 9), &["10.0.0.2"], Some("p")),
        claim(at("a/waits", 0), &[], None),
        claim(at("a/old", 1), &["10.0.0.2"], Some("p")),
        claim(at("a/other", 5), &["10.0.0.1"], None),
    ]);
    let got: Vec<_> = decisions.iter().map(|decision| (decision.key.name(), decision.addresses())).collect();
    assert_eq!(
        got,
        [
            ("waits", ips(&["10.0.0.0"])),
            ("old", ips(&["10.0.0.2"])),
            ("other", ips(&["10.0.0.1"])),
            ("new", ips(&["10.0.0.3"])),
        ]
    );
    assert_eq!(
        decisions.iter().map(|decision| decision.changed).collect::<Vec<_>>(),
        [true, false, false, true]
    );
    assert_eq!(decisions[1].held()[0].grant, Grant::Adopted);
    assert_eq!(allocator.woken(), []);
}

#[test]
fn addresses_are_listed_in_one_order_whatever_came_first() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/30", "fd00::/64"])]);
    allocator.request(asks("a/a", Families::Prefer { primary: Family::V6 }));
    // The wish cannot be fulfilled; what is held is kept, and listed as it would be after a restart.
    let refused = Request { pool: Some("gone".into()), ..pinned("a/a", PREFER, &["10.0.0.0"]) };
    let kept = allocator.request(refused.clone());
    assert_eq!(kept.addresses(), ips(&["10.0.0.0", "fd00::"]));
    let mut restarted = world(vec![pool("p", &["10.0.0.0/30", "fd00::/64"])]);
    let adopted = restarted.adopt(vec![claim(refused, &["10.0.0.0", "fd00::"], Some("p"))]);
    assert_eq!(adopted[0].addresses(), kept.addresses());
}

#[test]
fn an_address_outside_all_pools_is_adopted_only_with_a_recorded_pool() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/30"])]);
    let decisions = allocator.adopt(vec![
        claim(asks("a/foreign", V4), &["10.9.9.1"], None),
        claim(asks("a/ours", V4), &["10.9.9.2"], Some("gone")),
    ]);
    assert_eq!(decisions[0].addresses(), ips(&["10.0.0.0"]));
    assert_eq!(decisions[1].addresses(), ips(&["10.9.9.2"]));
    let gone = Refusal::Kept { address: ip("10.9.9.2"), pool: "gone".into(), why: Loss::PoolRemoved };
    assert_eq!(decisions[1].refusal(), Some(&gone));
    assert_eq!(
        gone.to_string(),
        r#"10.9.9.2 is kept although its pool "gone" is gone; it stays until the Service goes or lbd.io/release gives it up"#
    );
}

#[test]
fn an_address_listed_twice_in_a_status_has_one_user() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/30"])]);
    let decisions = allocator.adopt(vec![claim(asks("a/a", V4), &["10.0.0.1", "10.0.0.1"], Some("p"))]);
    assert_eq!(decisions[0].addresses(), ips(&["10.0.0.1"]));
    assert_eq!(allocator.users(ip("10.0.0.1")), [key("a/a")]);
}

#[test]
fn live_services_keep_their_addresses_when_their_pool_goes_shrinks_moves_or_splits() {
    for (edit, pools, lost, waiting_gets) in [
        ("removed", vec![], Some(Loss::PoolRemoved), None),
        ("shrunk", vec![pool("p", &["10.0.0.0/32"])], Some(Loss::RangeRemoved), None),
        ("moved", vec![pool("p", &["10.0.1.0/30"])], Some(Loss::RangeRemoved), Some("10.0.1.0")),
        ("renamed", vec![pool("q", &["10.0.0.0/31"])], None, None),
        ("split", vec![pool("q", &["10.0.0.0/32"]), pool("r", &["10.0.0.1/32"])], None, None),
        ("grown", vec![pool("p", &["10.0.0.0/30"])], None, Some("10.0.0.2")),
    ] {
        let mut allocator = world(vec![pool("p", &["10.0.0.0/31"])]);
        for service in ["a/a", "a/b", "a/waits"] {
            allocator.request(asks(service, V4));
        }
        allocator.set_pools(pools.clone());
        allocator.woken();
        assert_eq!(decision(&allocator, "a/a").addresses(), ips(&["10.0.0.0"]), "{edit}");
        let second = decision(&allocator, "a/b");
        assert_eq!(second.addresses(), ips(&["10.0.0.1"]), "{edit}");
        let kept = lost.clone().map(|why| Refusal::Kept { address: ip("10.0.0.1"), pool: "p".into(), why });
        assert_eq!(second.refusal(), kept.as_ref(), "{edit}");
        let waiting = decision(&allocator, "a/waits").addresses();
        assert_eq!(waiting, ips(waiting_gets.as_slice()), "{edit}");
        for pool in &pools {
            let of_pool = |(address, _): &(IpAddr, Vec<ServiceKey>)| {
                pool.ranges.iter().any(|range| range.contains(*address))
            };
            let assigned = allocator.held().filter(of_pool).count() as u128;
            let counters = allocator.counters(&pool.name, Family::V4).expect("it is in force");
            assert_eq!(counters.assigned, assigned, "{edit} {}", pool.name);
        }
        // Given up at last, an address that is in no pool goes to nobody.
        allocator.release(&key("a/b"));
        assert_eq!(allocator.woken().is_empty(), lost.is_some() || waiting_gets.is_some(), "{edit}");
    }
}

#[test]
fn a_held_address_names_the_pool_that_has_it_now_also_when_a_wish_is_open() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/31"])]);
    allocator.request(asks("a/a", V4));
    allocator.request(asks("a/b", V4));
    allocator.request(pinned("a/a", V4, &["10.0.0.1"]));
    allocator.set_pools(vec![pool("q", &["10.0.0.0/31"])]);
    allocator.woken();
    assert_eq!(pools_of(&decision(&allocator, "a/b")), ["q"]);
    let open = decision(&allocator, "a/a");
    assert_eq!(open.addresses(), ips(&["10.0.0.0"]));
    assert_eq!(pools_of(&open), ["q"]);
}

#[test]
fn a_service_that_names_its_pool_keeps_its_address_when_the_pool_is_split() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/30"])]);
    allocator.request(of_pool("a/a", "p"));
    allocator.set_pools(vec![pool("p", &["10.0.0.2/31"]), pool("q", &["10.0.0.0/31"])]);
    allocator.woken();
    assert_eq!(decision(&allocator, "a/a").addresses(), ips(&["10.0.0.0"]));
}

#[test]
fn a_lost_pool_is_told_also_when_another_wish_is_open() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/30"])]);
    allocator.request(asks("a/a", PREFER));
    allocator.set_pools(vec![pool("q", &["10.0.1.0/30"])]);
    allocator.woken();
    let kept = decision(&allocator, "a/a");
    assert_eq!(kept.addresses(), ips(&["10.0.0.0"]));
    let gone = Refusal::Kept { address: ip("10.0.0.0"), pool: "p".into(), why: Loss::PoolRemoved };
    assert_eq!(kept.refusal(), Some(&gone));
}

#[test]
fn a_pool_that_grows_serves_the_oldest_first() {
    let at = |service, created, families| Request { created, ..asks(service, families) };
    let mut allocator = world(vec![pool("p", &["10.0.0.0/30"])]);
    allocator.request(at("a/old", 1, V6));
    allocator.request(at("b/middle", 2, PREFER));
    allocator.request(at("a/new", 3, PREFER));
    let grown = |last: &str| vec![pool("p", &["10.0.0.0/30", &format!("fd00::-fd00::{last}")])];
    for (last, service) in [("0", "a/old"), ("1", "b/middle"), ("2", "a/new")] {
        allocator.set_pools(grown(last));
        allocator.woken();
        assert_eq!(allocator.users(ip(&format!("fd00::{last}"))), [key(service)]);
    }
}

#[test]
fn avoiding_buggy_addresses_takes_none_from_a_live_service() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/30"])]);
    allocator.request(asks("a/a", V4));
    allocator.set_pools(vec![PoolSpec { avoid_buggy: true, ..pool("p", &["10.0.0.0/30"]) }]);
    let kept = decision(&allocator, "a/a");
    assert_eq!(kept.addresses(), ips(&["10.0.0.0"]));
    assert!(kept.refusal().is_some());
    assert_eq!(
        allocator.counters("p", Family::V4),
        Some(Counters { total: 3, assigned: 0, ..Counters::default() })
    );
}

#[test]
fn of_overlapping_pools_the_one_in_force_stays_and_of_two_new_ones_the_older() {
    let mut allocator = Allocator::default();
    let new = aged("a", &["10.0.0.2/31"], 8);
    let changed = allocator.set_pools(vec![new.clone(), aged("b", &["10.0.0.0/30"], 5)]);
    assert_eq!(in_force(&allocator), [("b", "10.0.0.0-10.0.0.3".to_owned())]);
    assert_eq!(changed.problems.len(), 1);
    assert_eq!(
        changed.problems[0].to_string(),
        r#"pool "a": spec.addresses[0]: 10.0.0.2-10.0.0.3 overlaps 10.0.0.0-10.0.0.3 of pool "b", which stays in force; an address can belong to one pool only"#
    );
    // In force beats older.
    allocator.set_pools(vec![aged("b", &["10.0.0.0/30"], 5), aged("older", &["10.0.0.0/24"], 1)]);
    assert_eq!(in_force(&allocator), [("b", "10.0.0.0-10.0.0.3".to_owned())]);
    // Its place is free once it is gone.
    allocator.set_pools(vec![new]);
    assert_eq!(in_force(&allocator), [("a", "10.0.0.2-10.0.0.3".to_owned())]);
}

#[test]
fn of_two_pools_of_one_name_the_one_in_force_stays() {
    let mut allocator = world(vec![aged("p", &["10.0.0.0/30"], 5)]);
    let changed = allocator.set_pools(vec![aged("p", &["10.0.9.0/30"], 1), aged("p", &["10.0.0.0/30"], 5)]);
    assert_eq!(in_force(&allocator), [("p", "10.0.0.0-10.0.0.3".to_owned())]);
    assert_eq!(changed.problems.len(), 1);
    assert_eq!(changed.problems[0].path, "metadata.name");
    assert_eq!(changed.problems[0].kind, PoolProblemKind::DuplicateName);
}

#[test]
fn a_bad_edit_leaves_the_last_good_form_in_force() {
    let good = || vec![aged("a", &["10.0.0.0/30"], 1), aged("b", &["10.0.1.0/30"], 2)];
    let mut allocator = world(good());
    allocator.request(asks("a/a", V4));
    let bad = || vec![aged("a", &["10.0.0.0/30", "10.0.1.2/31"], 1), aged("b", &["10.0.1.0/30"], 2)];
    for _ in 0..2 {
        let changed = allocator.set_pools(bad());
        assert_eq!(changed.problems.len(), 1);
        assert_eq!(
            (changed.problems[0].pool.as_str(), &*changed.problems[0].path),
            ("a", "spec.addresses[1]")
        );
        assert_eq!(allocator.pools().cloned().collect::<Vec<_>>(), good());
        assert_eq!(decision(&allocator, "a/a").addresses(), ips(&["10.0.0.0"]));
    }
}

#[test]
fn a_bad_edit_keeps_its_last_good_form_against_an_older_new_pool() {
    let mut allocator = world(vec![aged("a", &["10.0.0.0/30"], 5), aged("c", &["10.0.1.0/30"], 5)]);
    allocator.request(asks("a/a", V4));
    let edit = aged("a", &["10.0.0.0/30", "10.0.1.0/31"], 5);
    allocator.set_pools(vec![edit, aged("c", &["10.0.1.0/30"], 5), aged("new", &["10.0.0.2/31"], 1)]);
    let names: Vec<_> = allocator.pools().map(|pool| pool.name.as_str()).collect();
    assert_eq!(names, ["a", "c"], "a and c were in force");
    assert_eq!(decision(&allocator, "a/a").refusal(), None);
}

#[test]
fn a_bad_edit_keeps_its_last_good_form_against_another_edit() {
    let mut allocator = world(vec![
        aged("a", &["10.0.0.0/30"], 1),
        aged("b", &["10.0.1.0/30"], 2),
        aged("c", &["10.0.2.0/30"], 3),
    ]);
    allocator.set_pools(vec![
        aged("a", &["10.0.1.0/31"], 1),
        aged("b", &["10.0.2.0/31"], 2),
        aged("c", &["10.0.2.0/30"], 3),
    ]);
    let names: Vec<_> = allocator.pools().map(|pool| pool.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[test]
fn edits_that_make_room_for_each_other_all_come_in_force() {
    let pools = |shift: usize| -> Vec<PoolSpec> {
        let at = |n| {
            aged(&format!("p{n}"), &[&format!("10.0.{}.0/24", n + shift)], i64::try_from(n).expect("small"))
        };
        (0..9).map(at).collect()
    };
    let mut allocator = world(pools(0));
    assert_eq!(allocator.set_pools(pools(1)).problems, []);
    assert_eq!(allocator.pools().cloned().collect::<Vec<_>>(), pools(1));
}

#[test]
fn a_pool_that_overlaps_itself_never_gives_one_address_to_two() {
    let range: AddressRange = "10.0.0.0/31".parse().expect("a range");
    let mut allocator = Allocator::default();
    allocator.set_pools(vec![PoolSpec::new("p", vec![range, range])]);
    for service in ["a/a", "a/b", "a/c", "a/d"] {
        allocator.request(asks(service, V4));
    }
    for (address, users) in allocator.held() {
        assert_eq!(users.len(), 1, "{address} is held by {users:?}");
    }
}

#[test]
fn a_family_that_is_required_later_and_cannot_be_had_costs_nothing() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/30"])]);
    allocator.request(asks("a/a", V4));
    let decision = allocator.request(asks("a/a", REQUIRE));
    assert_eq!(decision.addresses(), ips(&["10.0.0.0"]));
    assert!(matches!(decision.refusal(), Some(Refusal::NoneFree { family: Family::V6, .. })));
}
