//! Stories: pools first, then anything that can happen to an allocator.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use lbcore::{
    AddressRange, Avoided, Families, Family, Labels, Namespace, PoolSpec, PoolState, Port, Protocol, Release,
    Request, Reservation, Selector, ServiceAllocation, ServiceKey, Sharing,
};
use proptest::prelude::*;
use proptest::sample::select;

use super::naive::listed;

/// One event.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Ask(Request),
    Release(ServiceKey),
    /// A service is deleted, if it is there, and made again with the wish that it had last.
    Remake(ServiceKey),
    Pools(Vec<PoolSpec>),
    /// One edit of the pool of this name, if it is written.
    Edit(&'static str, Edit),
    Namespace(&'static str, Option<Namespace>),
    Avoided(BTreeMap<IpAddr, Avoided>),
    Advance(i64),
    Restart,
}

/// What an operator changes in a pool.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    State(PoolState),
    Release(Release),
    Excludes(Vec<AddressRange>),
    NetworkAddresses(bool),
    Reservations(Vec<Reservation>),
    Rest(Duration, Duration),
}

impl Edit {
    /// The pool as it is written after the edit.
    pub(crate) fn of(&self, pool: PoolSpec) -> PoolSpec {
        let pool = match self.clone() {
            Self::State(state) => PoolSpec { state, ..pool },
            Self::Release(release) => PoolSpec { release, ..pool },
            Self::Excludes(excludes) => PoolSpec { excludes, ..pool },
            Self::NetworkAddresses(on) => PoolSpec { exclude_network_addresses: on, ..pool },
            Self::Reservations(reservations) => PoolSpec { reservations, ..pool },
            Self::Rest(sticky, cool_down) => PoolSpec { sticky, cool_down, ..pool },
        };
        without_bad_reservations(pool)
    }
}

fn label(key: &str, value: &str) -> Labels {
    Labels::from([(key.to_owned(), value.to_owned())])
}

fn range(text: &str) -> AddressRange {
    AddressRange::parse_or_address(text).expect(text)
}

/// One of six services; their age is not the order of their names.
fn service() -> impl Strategy<Value = (ServiceKey, i64)> {
    (0_usize..6).prop_map(|n| {
        let namespace = if n % 2 == 0 { "blue" } else { "red" };
        (ServiceKey::new(namespace, format!("s{n}")), [3, 1, 2, 3, 1, 0][n])
    })
}

fn families() -> impl Strategy<Value = Families> {
    let family = || select(vec![Family::V4, Family::V4, Family::V6]);
    prop_oneof![
        2 => family().prop_map(Families::Single),
        1 => family().prop_map(|primary| Families::Prefer { primary }),
        1 => family().prop_map(|primary| Families::Require { primary }),
    ]
}

/// Nothing asked for, or up to three addresses of any family; one may be named twice.
fn addresses() -> impl Strategy<Value = Vec<IpAddr>> {
    let some = ["10.0.0.0", "10.0.0.1", "10.0.0.3", "10.0.1.0", "fd00::", "fd00::1", "fd00::3"];
    let some: Vec<IpAddr> = some.iter().map(|text| text.parse().expect(text)).collect();
    let count = prop_oneof![4 => Just(0_usize), 1 => select(vec![1, 1, 1, 2, 2, 3])];
    count.prop_flat_map(move |count| prop::collection::vec(select(some.clone()), count))
}

fn sharing() -> impl Strategy<Value = Option<Sharing>> {
    let sharing = (select(vec!["k", "k", "l"]), select(vec!["", "", "app=x"]))
        .prop_map(|(key, backend)| Sharing { key: key.to_owned(), backend: backend.to_owned() });
    prop::option::of(sharing)
}

fn release() -> impl Strategy<Value = Release> {
    let within = select(vec!["10.0.0.0/31", "10.0.0.2-10.0.1.255", "fd00::/127"]);
    prop_oneof![
        8 => Just(Release::Nothing),
        1 => Just(Release::All),
        1 => within.prop_map(|text| Release::Within(vec![range(text)])),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let port = |number: u16| Port { protocol: Protocol::Tcp, number };
    let ports = prop::collection::btree_set((80_u16..83).prop_map(port), 0..3);
    let pool = prop_oneof![
        4 => Just(None),
        1 => select(vec!["a", "b", "c", "x"]).prop_map(|pool| Some(Arc::from(pool))),
    ];
    let labels = select(vec![Labels::new(), label("tier", "gold")]);
    (service(), families(), addresses(), pool, sharing(), ports, labels, release()).prop_map(
        |((key, created), families, addresses, pool, sharing, ports, labels, release)| Request {
            key,
            created,
            families,
            addresses,
            pool,
            sharing,
            ports,
            labels,
            release,
        },
    )
}

fn allocation() -> impl Strategy<Value = ServiceAllocation> {
    let open = ServiceAllocation::default();
    let kinds = vec![
        open.clone(),
        open.clone(),
        open.clone(),
        ServiceAllocation { namespaces: BTreeSet::from(["red".to_owned()]), ..open.clone() },
        ServiceAllocation { namespace_selectors: vec![Selector::label("team", "x")], ..open.clone() },
        ServiceAllocation { service_selectors: vec![Selector::label("tier", "gold")], ..open },
    ];
    (select(kinds), 0_i64..3).prop_map(|(kind, priority)| ServiceAllocation { priority, ..kind })
}

fn state() -> impl Strategy<Value = PoolState> {
    prop_oneof![6 => Just(PoolState::Active), 1 => Just(PoolState::Cordoned), 1 => Just(PoolState::Draining)]
}

fn excludes() -> impl Strategy<Value = Vec<AddressRange>> {
    let some = ["10.0.0.0/32", "10.0.0.1-10.0.0.2", "10.0.0.255-10.0.1.0", "10.0.2.1", "fd00::1", "fd00::4"];
    let some = some.map(range).to_vec();
    prop_oneof![3 => Just(vec![]), 1 => prop::sample::subsequence(some, 1..3)]
}

fn reservations() -> impl Strategy<Value = Vec<Reservation>> {
    let some = [
        "10.0.0.0=blue/s0",
        "10.0.0.1=red/*",
        "10.0.0.2-10.0.0.3=*/s1",
        "10.0.1.0=blue/s?",
        "10.0.2.1=red/s1",
        "10.0.2.2=red/*",
        "fd00::=*/s0",
        "fd00::1-fd00::4=red/s?",
    ];
    let some: Vec<Reservation> = some.iter().map(|text| text.parse().expect(text)).collect();
    prop_oneof![2 => Just(vec![]), 1 => prop::sample::subsequence(some, 1..5)]
}

/// How long a pool is sticky, and how long its addresses cool down.
fn rest() -> impl Strategy<Value = (Duration, Duration)> {
    let time = || select(vec![0, 0, 5, 20]).prop_map(Duration::from_micros);
    (time(), time())
}

/// A pool that keeps an address which it does not give out is faulty. Faults have tests of their own.
fn without_bad_reservations(mut pool: PoolSpec) -> PoolSpec {
    let mut reservations = std::mem::take(&mut pool.reservations);
    reservations.retain(|kept| {
        listed(&pool, kept.range.family()).iter().any(|address| kept.range.contains(*address))
    });
    PoolSpec { reservations, ..pool }
}

/// Some form of the pool `name`; forms of different pools may overlap.
fn pool(name: &'static str) -> impl Strategy<Value = PoolSpec> {
    let forms: Vec<&[&str]> = vec![
        &["10.0.0.0/31"],
        &["10.0.0.0/30", "fd00::/127"],
        &["10.0.0.3/32", "10.0.0.2/32"],
        &["10.0.1.0/31"],
        &["fd00::/127"],
        &["fd00::2/127", "10.0.0.0/32"],
        &["10.0.0.254-10.0.1.1"],
        &["10.0.2.0/30", "fd00::4/128"],
        &["10.0.2.0/30", "fd00::4/126"],
    ];
    let auto_assign = prop::bool::weighted(0.8);
    let flag = || prop::bool::weighted(0.2);
    let rules = (excludes(), flag(), reservations(), rest(), state(), release());
    (select(forms), 0_i64..3, auto_assign, flag(), allocation(), rules).prop_map(
        move |(ranges, created, auto_assign, avoid_buggy, allocation, rules)| {
            let (excludes, exclude_network_addresses, reservations, (sticky, cool_down), state, release) =
                rules;
            let parsed = PoolSpec::parse(name, ranges.iter().copied()).expect("good ranges");
            without_bad_reservations(PoolSpec {
                created,
                auto_assign,
                avoid_buggy,
                allocation,
                excludes,
                exclude_network_addresses,
                reservations,
                sticky,
                cool_down,
                state,
                release,
                ..parsed
            })
        },
    )
}

fn pools() -> impl Strategy<Value = Vec<PoolSpec>> {
    let maybe = |name| prop::option::weighted(0.8, pool(name));
    (maybe("a"), maybe("b"), maybe("c")).prop_map(|(a, b, c)| [a, b, c].into_iter().flatten().collect())
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        state().prop_map(Edit::State),
        release().prop_map(Edit::Release),
        excludes().prop_map(Edit::Excludes),
        any::<bool>().prop_map(Edit::NetworkAddresses),
        reservations().prop_map(Edit::Reservations),
        rest().prop_map(|(sticky, cool_down)| Edit::Rest(sticky, cool_down)),
    ]
}

fn namespace() -> impl Strategy<Value = Option<Namespace>> {
    let labels = select(vec![Labels::new(), label("team", "x")]);
    prop::option::of((labels, release()).prop_map(|(labels, release)| Namespace { labels, release }))
}

fn avoided() -> impl Strategy<Value = BTreeMap<IpAddr, Avoided>> {
    let some = [
        ("10.0.0.0", Avoided::GatewayOf("n1".to_owned())),
        ("10.0.0.1", Avoided::Node("n1".to_owned())),
        ("10.0.1.0", Avoided::Node("n2".to_owned())),
        ("10.0.2.1", Avoided::Node("n2".to_owned())),
        ("fd00::", Avoided::GatewayOf("n1".to_owned())),
        ("fd00::4", Avoided::Node("n2".to_owned())),
    ];
    let some: Vec<_> = some.map(|(text, owner)| (text.parse().expect(text), owner)).to_vec();
    prop::sample::subsequence(some, 0..4).prop_map(|some| some.into_iter().collect())
}

fn event() -> impl Strategy<Value = Event> {
    let pool_name = select(vec!["a", "b", "c"]);
    prop_oneof![
        12 => request().prop_map(Event::Ask),
        3 => service().prop_map(|(key, _)| Event::Release(key)),
        3 => service().prop_map(|(key, _)| Event::Remake(key)),
        1 => pools().prop_map(Event::Pools),
        3 => (pool_name, edit()).prop_map(|(name, edit)| Event::Edit(name, edit)),
        1 => (select(vec!["blue", "red"]), namespace()).prop_map(|(name, it)| Event::Namespace(name, it)),
        1 => avoided().prop_map(Event::Avoided),
        2 => (0_i64..8).prop_map(Event::Advance),
        1 => Just(Event::Restart),
    ]
}

/// A few pools first, then anything.
pub(crate) fn story() -> impl Strategy<Value = Vec<Event>> {
    (pools(), prop::collection::vec(event(), 1..25)).prop_map(|(pools, mut events)| {
        events.insert(0, Event::Pools(pools));
        events
    })
}
