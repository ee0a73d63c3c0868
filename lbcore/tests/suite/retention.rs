//! What becomes of addresses in use when a pool shrinks, goes, or gives no more. One claim per test.

use std::net::IpAddr;

use lbcore::allocator::Claim;
use lbcore::{
    AddressRange, Allocator, Decision, Exclusion, Families, Family, Loss, LostAddresses, Namespace, PoolSpec,
    PoolState, Port, Protocol, Refusal, Release, Request, ServiceKey, Sharing,
};

const V4: Families = Families::Single(Family::V4);
const V6: Families = Families::Single(Family::V6);
const PREFER: Families = Families::Prefer { primary: Family::V4 };
const PREFER_V6: Families = Families::Prefer { primary: Family::V6 };
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

fn range(text: &str) -> AddressRange {
    AddressRange::parse_or_address(text).expect(text)
}

fn release(text: &str) -> Release {
    text.parse().expect(text)
}

fn pool(name: &str, ranges: &[&str]) -> PoolSpec {
    PoolSpec::parse(name, ranges.iter().copied()).expect("good ranges")
}

fn in_state(state: PoolState, pool: PoolSpec) -> PoolSpec {
    PoolSpec { state, ..pool }
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

fn of_pool(service: &str, families: Families, pool: &str) -> Request {
    Request { pool: Some(pool.into()), ..asks(service, families) }
}

fn pinned(service: &str, address: &str) -> Request {
    Request { addresses: ips(&[address]), ..asks(service, V4) }
}

fn shares(service: &str, port: u16) -> Request {
    let ports = [Port { protocol: Protocol::Tcp, number: port }].into();
    Request {
        sharing: Some(Sharing { key: "k".to_owned(), backend: String::new() }),
        ports,
        ..asks(service, V4)
    }
}

fn now(allocator: &Allocator, service: &str) -> Decision {
    allocator.decision(&key(service)).expect(service)
}

fn keys(decisions: &[Decision]) -> Vec<String> {
    decisions.iter().map(|decision| decision.key.to_string()).collect()
}

fn claim(request: Request, addresses: &[&str], pool: Option<&str>) -> Claim {
    Claim {
        request: request.into(),
        addresses: ips(addresses),
        recorded_pool: pool.map(str::to_owned),
        recorded_pools: std::collections::BTreeMap::new(),
    }
}

/// Each way in which 10.0.0.1, held from the pool `p`, comes in question: the pools after it, and why.
fn losses() -> Vec<(&'static str, Vec<PoolSpec>, Loss)> {
    let p = || pool("p", &["10.0.0.0/30"]);
    let spare = || pool("spare", &["10.0.9.0/24"]);
    let excluded = |why| Loss::Excluded { pool: "p".into(), why };
    let listed = range("10.0.0.1-10.0.0.2");
    vec![
        ("removed", vec![spare()], Loss::PoolRemoved),
        ("shrunk", vec![pool("p", &["10.0.0.2/31"]), spare()], Loss::RangeRemoved),
        ("moved", vec![pool("p", &["10.0.5.0/30"]), spare()], Loss::RangeRemoved),
        (
            "excluded",
            vec![PoolSpec { excludes: vec![listed], ..p() }, spare()],
            excluded(Exclusion::Listed(listed)),
        ),
        ("draining", vec![in_state(PoolState::Draining, p()), spare()], Loss::Draining),
    ]
}

#[test]
fn a_pool_that_gives_no_more_serves_what_it_holds_and_nobody_else() {
    for state in [PoolState::Cordoned, PoolState::Draining] {
        let spec = || pool("p", &["10.0.0.0/30", "fd00::/64"]);
        let mut allocator = world(vec![spec()]);
        allocator.request(shares("a/holder", 80));
        allocator.request(asks("a/grows", PREFER));
        allocator.set_pools(vec![in_state(state, spec())]);
        allocator.woken();
        let before: Vec<_> = allocator.held().collect();
        let by_address = Request { addresses: ips(&["10.0.0.0"]), ..shares("a/e", 83) };
        for (request, code) in [
            (asks("a/a", V4), "PoolExhausted"),
            (of_pool("a/b", V4, "p"), "PoolCordoned"),
            (pinned("a/c", "10.0.0.3"), "PoolCordoned"),
            (shares("a/d", 81), "PoolExhausted"),
            (by_address, "PoolCordoned"),
            (asks("a/f", PREFER), "PoolExhausted"),
        ] {
            let refused = allocator.request(request);
            assert_eq!((refused.addresses(), refused.refusal().map(Refusal::code)), (ips(&[]), Some(code)));
        }
        assert_eq!(allocator.held().collect::<Vec<_>>(), before);
        // A holder is told of the draining, and of nothing when the pool is cordoned.
        let told = now(&allocator, "a/holder").refusal().map(Refusal::code);
        assert_eq!(told, (state == PoolState::Draining).then_some("PoolDraining"));
        // Asking again, adopting and becoming single-stack keep what is held.
        assert_eq!(allocator.request(shares("a/holder", 80)).addresses(), ips(&["10.0.0.0"]));
        assert_eq!(allocator.request(asks("a/grows", V6)).addresses(), ips(&["fd00::"]));
        let mut restarted = world(vec![in_state(state, spec())]);
        let adopted = restarted.adopt(vec![claim(shares("a/holder", 80), &["10.0.0.0"], Some("p"))]);
        assert_eq!(adopted[0].addresses(), ips(&["10.0.0.0"]));
    }
}

#[test]
fn a_pool_that_gives_again_serves_those_that_wait() {
    for state in [PoolState::Cordoned, PoolState::Draining] {
        let mut allocator = world(vec![in_state(state, pool("p", &["10.0.0.0/30"]))]);
        for (n, request) in
            [asks("a/0", V4), of_pool("a/1", V4, "p"), pinned("a/2", "10.0.0.3")].into_iter().enumerate()
        {
            allocator.request(Request { created: i64::try_from(n).expect("small"), ..request });
        }
        allocator.set_pools(vec![pool("p", &["10.0.0.0/30"])]);
        assert_eq!(keys(&allocator.woken()), ["a/0", "a/1", "a/2"]);
    }
}

#[test]
fn a_pool_that_gives_no_more_is_passed_over_for_the_second_family() {
    let four = || pool("p", &["10.0.0.0/30"]);
    let both = || in_state(PoolState::Cordoned, pool("p", &["10.0.0.0/30", "fd00::/64"]));
    let mut allocator = world(vec![four()]);
    allocator.request(asks("a/prefers", PREFER));
    allocator.request(asks("a/requires", V4));
    allocator.set_pools(vec![both(), pool("q", &["fd01::/64"])]);
    allocator.woken();
    assert_eq!(now(&allocator, "a/prefers").addresses(), ips(&["10.0.0.0"]));
    assert_eq!(allocator.request(asks("a/requires", REQUIRE)).addresses(), ips(&["10.0.0.1", "fd01::"]));
}

#[test]
fn an_address_in_question_is_kept_and_told_of_however_it_came_to_that() {
    for (edit, pools, why) in losses() {
        let mut allocator = world(vec![pool("p", &["10.0.0.0/30"])]);
        allocator.request(pinned("a/other", "10.0.0.3"));
        allocator.request(Request { addresses: ips(&["10.0.0.1"]), ..asks("a/a", V4) });
        allocator.request(asks("a/a", V4));
        let told = allocator.set_pools(pools.clone()).decisions;
        let kept = Refusal::Kept { address: ip("10.0.0.1"), pool: "p".into(), why };
        let about = told.iter().find(|decision| decision.key == key("a/a")).expect(edit);
        assert_eq!((about.addresses(), about.refusal()), (ips(&["10.0.0.1"]), Some(&kept)), "{edit}");
        // Once told, it is not told again.
        assert_eq!(allocator.set_pools(pools).decisions, [], "{edit}");
        assert_eq!(allocator.woken(), [], "{edit}");
        assert!(!allocator.request(asks("a/a", V4)).changed, "{edit}");
        // Nobody else gets it, not by name either.
        assert!(allocator.request(pinned("a/thief", "10.0.0.1")).held().is_empty(), "{edit}");
        // Set right, all is well.
        allocator.set_pools(vec![pool("p", &["10.0.0.0/30"])]);
        allocator.woken();
        assert_eq!(now(&allocator, "a/a").refusal(), None, "{edit}");
    }
}

#[test]
fn a_pool_that_begins_to_leave_out_its_edges_takes_none_from_a_live_service() {
    let spec = || pool("p", &["10.0.0.0/30", "fd00::/126"]);
    let edges = || PoolSpec { exclude_network_addresses: true, ..spec() };
    let buggy = || PoolSpec { avoid_buggy: true, ..spec() };
    for (edited, address, why) in [
        (edges(), "10.0.0.0", Exclusion::Network),
        (edges(), "10.0.0.3", Exclusion::Broadcast),
        (edges(), "fd00::", Exclusion::Network),
        (buggy(), "10.0.0.0", Exclusion::Buggy),
    ] {
        let mut allocator = world(vec![spec()]);
        let families = Families::Single(Family::of(ip(address)));
        allocator.request(Request { addresses: ips(&[address]), ..asks("a/a", families) });
        allocator.set_pools(vec![edited]);
        let kept = now(&allocator, "a/a");
        assert_eq!(kept.addresses(), ips(&[address]));
        let why = Loss::Excluded { pool: "p".into(), why };
        assert_eq!(kept.refusal(), Some(&Refusal::Kept { address: ip(address), pool: "p".into(), why }));
    }
}

#[test]
fn an_address_in_question_is_given_up_when_the_operator_confirms() {
    type Confirm = fn(&mut Allocator, &mut Vec<PoolSpec>, Release) -> Vec<Decision>;
    let by_pool: Confirm = |allocator, pools, release| {
        for pool in pools.iter_mut().filter(|pool| pool.name == "p") {
            pool.release = release.clone();
        }
        allocator.set_pools(pools.clone()).decisions
    };
    let by_service: Confirm =
        |allocator, _, release| vec![allocator.request(Request { release, ..asks("a/a", V4) })];
    let by_namespace: Confirm = |allocator, _, release| {
        allocator.set_namespace("a", Some(Namespace { release, ..Namespace::default() }))
    };
    for (edit, pools, why) in losses() {
        for (who, confirm) in [("pool", by_pool), ("service", by_service), ("namespace", by_namespace)] {
            for text in ["all", "10.0.0.1", "10.0.0.0/24", "10.0.7.7, 10.0.0.1-10.0.0.2"] {
                let mut allocator = world(vec![pool("p", &["10.0.0.1/32", "10.0.0.0/32", "10.0.0.2/31"])]);
                allocator.request(asks("a/a", V4));
                let mut pools = pools.clone();
                allocator.set_pools(pools.clone());
                assert_eq!(now(&allocator, "a/a").addresses(), ips(&["10.0.0.1"]));
                // A release of other addresses changes nothing.
                confirm(&mut allocator, &mut pools, release("10.0.0.2-10.0.9.255"));
                assert_eq!(now(&allocator, "a/a").addresses(), ips(&["10.0.0.1"]), "{edit} {who}");
                let told = confirm(&mut allocator, &mut pools, release(text));
                allocator.woken();
                let gone = why == Loss::PoolRemoved && who == "pool";
                let after = now(&allocator, "a/a");
                assert_eq!(after.addresses() == ips(&["10.0.0.1"]), gone, "{edit} {who} {text}: {after:?}");
                assert_eq!(after.held().len(), 1, "{edit} {who} {text}");
                assert!(gone || keys(&told) == ["a/a"] && told[0].changed, "{edit} {who} {text}");
            }
        }
    }
}

#[test]
fn a_release_that_is_there_before_the_edit_confirms_it() {
    for (edit, pools, why) in losses().into_iter().filter(|(_, _, why)| *why != Loss::PoolRemoved) {
        let released = |pool: PoolSpec| PoolSpec { release: Release::All, ..pool };
        let mut allocator = world(vec![released(pool("p", &["10.0.0.1/32"]))]);
        allocator.request(asks("a/a", V4));
        assert_eq!(
            now(&allocator, "a/a").refusal(),
            None,
            "a release of what an active pool has is no effect"
        );
        allocator.set_pools(pools.into_iter().map(released).collect());
        allocator.woken();
        assert_ne!(now(&allocator, "a/a").addresses(), ips(&["10.0.0.1"]), "{edit} {why:?}");
    }
}

#[test]
fn lost_addresses_that_are_taken_away_go_at_once_and_those_of_a_drained_pool_do_not() {
    for (edit, pools, why) in losses() {
        let mut allocator = world(vec![pool("p", &["10.0.0.1/32"])]);
        allocator.set_lost_addresses(LostAddresses::TakeAway);
        allocator.request(asks("a/a", V4));
        allocator.set_pools(pools.clone());
        allocator.woken();
        let stays = why == Loss::Draining;
        assert_eq!(now(&allocator, "a/a").addresses() == ips(&["10.0.0.1"]), stays, "{edit}");
        let mut restarted = Allocator::default();
        restarted.set_lost_addresses(LostAddresses::TakeAway);
        restarted.set_pools(pools);
        let adopted = restarted.adopt(vec![claim(asks("a/a", V4), &["10.0.0.1"], Some("p"))]);
        assert_eq!(adopted[0].addresses() == ips(&["10.0.0.1"]), stays, "{edit} at the start");
    }
}

#[test]
fn a_service_that_gives_up_its_only_address_waits_for_another() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/32"])]);
    allocator.request(asks("a/a", V4));
    let drained = in_state(PoolState::Draining, pool("p", &["10.0.0.0/32"]));
    let told = allocator.set_pools(vec![PoolSpec { release: Release::All, ..drained.clone() }]).decisions;
    assert_eq!((keys(&told), told[0].addresses()), (vec!["a/a".to_owned()], ips(&[])));
    allocator.set_pools(vec![drained, pool("q", &["10.0.1.0/32"])]);
    assert_eq!(keys(&allocator.woken()), ["a/a"]);
}

#[test]
fn a_restart_takes_none_of_several_addresses_while_a_changed_wish_is_open() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/30"])]);
    let both = Request { addresses: ips(&["10.0.0.1", "10.0.0.3"]), ..asks("a/a", V4) };
    allocator.request(both);
    allocator.request(pinned("a/b", "10.0.0.2"));
    let changed = pinned("a/a", "10.0.0.2");
    let open = allocator.request(changed.clone());
    assert_eq!(
        (open.addresses(), open.refusal().map(Refusal::code)),
        (ips(&["10.0.0.1", "10.0.0.3"]), Some("AddressInUse"))
    );
    let mut restarted = world(vec![pool("p", &["10.0.0.0/30"])]);
    let claims = vec![
        claim(changed, &["10.0.0.1", "10.0.0.3"], Some("p")),
        claim(pinned("a/b", "10.0.0.2"), &["10.0.0.2"], Some("p")),
    ];
    assert_eq!(restarted.adopt(claims)[0].addresses(), ips(&["10.0.0.1", "10.0.0.3"]));
    // What nobody asks for any more goes when the wish is fulfilled.
    let kept = world(vec![pool("p", &["10.0.0.0/30"])]).adopt(vec![claim(
        asks("a/a", V4),
        &["10.0.0.1", "10.0.0.3"],
        Some("p"),
    )]);
    assert_eq!(kept[0].addresses(), ips(&["10.0.0.1"]));
}

#[test]
fn only_those_sharers_give_an_address_up_that_are_released() {
    let mut allocator = world(vec![pool("p", &["10.0.0.0/32"])]);
    allocator.request(shares("a/a", 80));
    allocator.request(shares("a/b", 81));
    allocator.set_pools(vec![pool("q", &["10.0.1.0/24"])]);
    allocator.request(Request { release: Release::All, ..shares("a/a", 80) });
    assert_eq!(now(&allocator, "a/a").addresses(), ips(&["10.0.1.0"]));
    assert_eq!(now(&allocator, "a/b").addresses(), ips(&["10.0.0.0"]));
    // A newcomer shares the address that a pool has, not the one that is lost.
    assert_eq!(allocator.request(shares("a/c", 82)).addresses(), ips(&["10.0.1.0"]));
}

#[test]
fn of_two_families_only_the_one_in_question_is_given_up() {
    for (families, before, after) in [
        (PREFER, ["10.0.0.0", "fd00::"], ["10.0.0.0", "fd01::"]),
        (PREFER_V6, ["fd00::", "10.0.0.0"], ["fd01::", "10.0.0.0"]),
        (REQUIRE, ["10.0.0.0", "fd00::"], ["10.0.0.0", "fd01::"]),
    ] {
        let mut allocator = world(vec![pool("p", &["10.0.0.0/30", "fd00::/64"])]);
        assert_eq!(allocator.request(asks("a/a", families)).addresses(), ips(&before));
        allocator.set_pools(vec![pool("p", &["10.0.0.0/30", "fd01::/64"])]);
        allocator.woken();
        assert_eq!(now(&allocator, "a/a").addresses(), ips(&before));
        let released = PoolSpec { release: release("fd00::/64"), ..pool("p", &["10.0.0.0/30", "fd01::/64"]) };
        allocator.set_pools(vec![released]);
        allocator.woken();
        assert_eq!(now(&allocator, "a/a").addresses(), ips(&after));
        assert_eq!(now(&allocator, "a/a").refusal(), None);
    }
}

#[test]
fn who_prefers_both_gains_and_loses_its_second_family_and_keeps_the_first() {
    let four = || pool("p", &["10.0.0.0/30"]);
    let both = || pool("p", &["10.0.0.0/30", "fd00::/64"]);
    for (families, dual) in [(PREFER, ["10.0.0.0", "fd00::"]), (PREFER_V6, ["fd00::", "10.0.0.0"])] {
        let mut allocator = world(vec![four()]);
        allocator.request(asks("a/a", families));
        for _ in 0..3 {
            allocator.set_pools(vec![both()]);
            assert_eq!(keys(&allocator.woken()), ["a/a"]);
            assert_eq!(now(&allocator, "a/a").addresses(), ips(&dual));
            let released = PoolSpec { release: Release::All, ..four() };
            assert_eq!(keys(&allocator.set_pools(vec![released]).decisions), ["a/a"]);
            assert_eq!(allocator.woken(), []);
            assert_eq!(now(&allocator, "a/a").addresses(), ips(&["10.0.0.0"]));
        }
    }
}

#[test]
fn the_second_family_comes_from_another_pool_only_at_first_or_when_asked_for() {
    let (four, six) = (|| pool("p", &["10.0.0.0/30"]), || pool("q", &["fd00::/64"]));
    let dual = ips(&["10.0.0.0", "fd00::"]);
    assert_eq!(world(vec![four(), six()]).request(asks("a/first", PREFER)).addresses(), dual);

    let mut served = world(vec![four()]);
    served.request(asks("a/a", PREFER));
    served.set_pools(vec![four(), six()]);
    assert!(served.woken().iter().all(|decision| decision.addresses() == ips(&["10.0.0.0"])));

    let mut adopting = world(vec![four(), six()]);
    let adopted = adopting.adopt(vec![claim(asks("a/a", PREFER), &["10.0.0.0"], Some("p"))]);
    assert_eq!(adopted[0].addresses(), ips(&["10.0.0.0"]));

    for allocator in [&mut served, &mut adopting] {
        let asked = Request { addresses: ips(&["fd00::7"]), ..asks("a/a", PREFER) };
        assert_eq!(allocator.request(asked).addresses(), ips(&["fd00::7", "10.0.0.0"]));
    }
}

#[test]
fn a_deleted_service_leaves_a_lost_address_to_nobody() {
    for (edit, pools, why) in losses() {
        let mut allocator = world(vec![pool("p", &["10.0.0.1/32"])]);
        allocator.request(asks("a/a", V4));
        allocator.set_pools(pools);
        allocator.request(pinned("a/waits", "10.0.0.1"));
        allocator.release(&key("a/a"));
        assert_eq!(allocator.woken(), [], "{edit} {why:?}");
        assert_eq!(allocator.users(ip("10.0.0.1")), [], "{edit}");
    }
}

#[test]
fn a_release_is_read_from_text() {
    for (text, covered, not_covered) in [
        ("", &[][..], &["10.0.0.1"][..]),
        ("all", &["10.0.0.1", "fd00::1"], &[]),
        (" all ", &["10.0.0.1"], &[]),
        ("10.0.0.1", &["10.0.0.1"], &["10.0.0.2", "fd00::1"]),
        ("10.0.0.0/30, fd00::1", &["10.0.0.3", "fd00::1"], &["10.0.0.4", "fd00::2"]),
    ] {
        let parsed = release(text);
        assert!(covered.iter().all(|address| parsed.covers(ip(address))), "{text}");
        assert!(!not_covered.iter().any(|address| parsed.covers(ip(address))), "{text}");
    }
    for text in ["everything", "10.0.0.1 10.0.0.2", "10.0.0.1,", "10.0.0.2-10.0.0.1"] {
        text.parse::<Release>().expect_err(text);
    }
}

#[test]
fn a_state_is_read_from_text() {
    for (text, state) in
        [("active", PoolState::Active), ("cordoned", PoolState::Cordoned), ("draining", PoolState::Draining)]
    {
        assert_eq!(text.parse(), Ok(state));
    }
    let error = "Cordoned".parse::<PoolState>().expect_err("case matters");
    assert_eq!(error.to_string(), r#""Cordoned" is no state of a pool; write active, cordoned or draining"#);
}
