use super::*;
use crate::Selector;

fn node(name: &str) -> Node {
    let labels = Labels::from([("kubernetes.io/hostname".to_owned(), name.to_owned())]);
    Node { name: name.to_owned(), labels, ..Node::default() }
}

fn nodes(count: usize) -> Vec<Node> {
    (0..count).map(|index| node(&format!("node-{index}"))).collect()
}

fn announced(address: &str) -> Announced {
    let service = Service {
        key: ServiceKey::new("default", "web"),
        labels: Labels::new(),
        local: false,
        spread: false,
        endpoints: Endpoints::Assumed,
    };
    Announced {
        address: address.parse().unwrap(),
        pool: "default".to_owned(),
        pool_labels: Labels::new(),
        under: None,
        services: vec![service],
    }
}

fn owner(announced: &Announced, ads: &[Advertisement], nodes: &[Node]) -> Option<String> {
    elect(announced, ads, nodes).owner().map(|owner| owner.node.clone())
}

#[test]
fn the_order_of_nodes_does_not_matter() {
    let (ads, mut nodes) = ([Advertisement::default()], nodes(5));
    let before = elect(&announced("10.0.0.1"), &ads, &nodes);
    nodes.reverse();
    assert_eq!(elect(&announced("10.0.0.1"), &ads, &nodes), before);
    assert_eq!(before.candidates.len(), 5);
}

#[test]
fn addresses_spread_and_only_those_of_a_lost_node_move() {
    let (ads, all) = ([Advertisement::default()], nodes(10));
    let mut counts = std::collections::BTreeMap::<String, u32>::new();
    for last in 0..1000_u32 {
        let address = announced(&std::net::Ipv4Addr::from_bits(0x0a00_0000 + last).to_string());
        let before = owner(&address, &ads, &all).unwrap();
        let after = owner(&address, &ads, &all[1..]).unwrap();
        assert!(before == all[0].name || before == after, "{before} gave way to {after}");
        *counts.entry(before).or_default() += 1;
    }
    assert_eq!(counts.len(), 10);
    assert!(counts.values().all(|count| (60..=150).contains(count)), "{counts:?}");
}

#[test]
fn unsuitable_nodes_are_passed_over_with_the_reason() {
    let mut all = nodes(4);
    all[0].excluded = true;
    all[1].network_unavailable = true;
    let ad = Advertisement {
        node_selectors: vec![Selector::label("kubernetes.io/hostname", "node-3")],
        interfaces: BTreeSet::from(["eth1".to_owned()]),
        ..Advertisement::default()
    };
    let ownership = elect(&announced("10.0.0.1"), &[ad], &all);
    let why: Vec<_> = ownership.passed_over.iter().map(|(node, why)| (node.as_str(), *why)).collect();
    assert_eq!(
        why,
        [
            ("node-0", PassedOver::Excluded),
            ("node-1", PassedOver::NetworkUnavailable),
            ("node-2", PassedOver::NotSelected)
        ]
    );
    let owner = ownership.owner().unwrap();
    assert_eq!(
        (owner.node.as_str(), owner.interfaces.allows("eth1"), owner.interfaces.allows("eth0")),
        ("node-3", true, false)
    );
}

#[test]
fn local_traffic_wants_a_local_endpoint_and_a_ready_one_before_a_terminating_one() {
    let mut address = announced("10.0.0.1");
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    address.services[0].local = true;
    address.services[0].endpoints =
        Endpoints::Known { any: true, ready: set(&["node-2"]), terminating: set(&["node-0", "node-1"]) };
    let ownership = elect(&address, &[Advertisement::default()], &nodes(4));
    assert_eq!(ownership.owner().unwrap().node, "node-2");
    assert_eq!(ownership.candidates.len(), 3);
    assert_eq!(ownership.passed_over, [("node-3".to_owned(), PassedOver::NoLocalEndpoint)]);
}

#[test]
fn the_families_of_a_service_go_to_one_node_if_any_can_have_both() {
    let of = |pool: &str, names: &[&str], preferred: &[(i32, &str)]| Advertisement {
        pools: BTreeSet::from([pool.to_owned()]),
        node_selectors: names.iter().map(|name| Selector::label("kubernetes.io/hostname", *name)).collect(),
        preferred: preferred
            .iter()
            .map(|(weight, name)| (*weight, Selector::label("kubernetes.io/hostname", *name)))
            .collect(),
        ..Advertisement::default()
    };
    let pair = |last: u32| {
        let four = Announced { pool: "four".to_owned(), ..announced(&format!("10.0.0.{last}")) };
        let six = Announced { pool: "six".to_owned(), ..announced(&format!("fd00::{last}")) };
        (four, six)
    };
    for (four_nodes, six_nodes, preferred, expected) in [
        (&["node-0", "node-1"][..], &["node-1", "node-2"][..], &[][..], Some(&["node-1"][..])),
        (&["node-0", "node-1", "node-2"], &["node-1", "node-2", "node-3"], &[], Some(&["node-1", "node-2"])),
        (&["node-0", "node-1", "node-2"], &["node-1", "node-2"], &[(5, "node-2")], Some(&["node-2"])),
        (&["node-0"], &["node-3"], &[], None),
    ] {
        let ads = [of("four", four_nodes, &[]), of("six", six_nodes, preferred)];
        for last in 1..50 {
            let (four, six) = pair(last);
            let owners = [
                elect_beside(&four, std::slice::from_ref(&six), &ads, &nodes(4)),
                elect_beside(&six, &[four], &ads, &nodes(4)),
            ];
            let names = owners.each_ref().map(|it| it.owner().unwrap().node.as_str());
            if let Some(expected) = expected {
                assert!(names[0] == names[1] && expected.contains(&names[0]), "{names:?}");
                assert!(owners.iter().all(|it| it.apart.is_none()));
            } else {
                assert_eq!(names, ["node-0", "node-3"]);
                assert!(owners.iter().all(|it| it.apart == Some(Apart::NoCommonNode)));
            }
        }
    }
}

#[test]
fn families_of_a_service_that_asks_to_be_spread_have_different_nodes_as_long_as_two_are_as_good() {
    let spread = |address: &str| {
        let mut announced = announced(address);
        announced.services[0].spread = true;
        announced
    };
    let favourite = Selector::label("kubernetes.io/hostname", "node-1");
    let ads = [Advertisement { preferred: vec![(5, favourite)], ..Advertisement::default() }];
    let names = |last: u32, ads: &[Advertisement], nodes: &[Node]| {
        let (four, six) = (spread(&format!("10.0.0.{last}")), spread(&format!("fd00::{last}")));
        let owners = [
            elect_beside(&four, std::slice::from_ref(&six), ads, nodes),
            elect_beside(&six, &[four], ads, nodes),
        ];
        assert!(owners.iter().all(|it| it.apart == Some(Apart::Asked)));
        owners.map(|it| it.owner().unwrap().node.clone())
    };
    for last in 1..50 {
        let [four, six] = names(last, &[Advertisement::default()], &nodes(2));
        assert_ne!(four, six);
        assert_eq!(names(last, &ads, &nodes(3)), ["node-1", "node-1"], "what is preferred counts first");
        assert_eq!(names(last, &[Advertisement::default()], &nodes(1)), ["node-0", "node-0"]);
    }
    // An address of two Services, of which one asks: that one's other address comes to the same, and the other one's too.
    let (mut shared, own) = (spread("10.0.0.1"), announced("fd00::1"));
    shared.services.push(own.services[0].clone());
    let owners = [
        elect_beside(&shared, std::slice::from_ref(&own), &[Advertisement::default()], &nodes(2)),
        elect_beside(&own, &[shared], &[Advertisement::default()], &nodes(2)),
    ];
    assert!(owners.iter().all(|it| it.apart == Some(Apart::Asked)));
    assert_ne!(owners[0].owner().unwrap().node, owners[1].owner().unwrap().node);
    let alone = elect(&spread("10.0.0.1"), &[Advertisement::default()], &nodes(2));
    assert_eq!(alone.apart, None, "it has no other family");
}

#[test]
fn a_family_that_nobody_can_announce_keeps_the_other_from_nothing() {
    let ad = Advertisement { pools: BTreeSet::from(["default".to_owned()]), ..Advertisement::default() };
    let six = Announced { pool: "six".to_owned(), ..announced("fd00::1") };
    let four = announced("10.0.0.1");
    let beside = elect_beside(&four, &[six], std::slice::from_ref(&ad), &nodes(3));
    assert_eq!(beside, elect(&four, &[ad], &nodes(3)));
}

#[test]
fn preference_goes_before_the_hash() {
    let preferring = |name: &str| Advertisement {
        preferred: vec![(7, Selector::label("kubernetes.io/hostname", name))],
        ..Advertisement::default()
    };
    for name in ["node-0", "node-1", "node-2"] {
        assert_eq!(owner(&announced("10.0.0.1"), &[preferring(name)], &nodes(3)).as_deref(), Some(name));
    }
}

#[test]
fn nobody_announces_without_advertisement_endpoint_or_node() {
    let mut address = announced("10.0.0.1");
    let all = nodes(1);
    let other_pool =
        Advertisement { pools: BTreeSet::from(["other".to_owned()]), ..Advertisement::default() };
    let why = |address: &Announced, ads: &[Advertisement], nodes: &[Node]| {
        elect(address, ads, nodes).nobody.map(|why| why.to_string())
    };
    assert_eq!(
        why(&address, &[other_pool], &all).as_deref(),
        Some(r#"no L2Advertisement announces pool "default" for default/web"#)
    );
    assert_eq!(why(&address, &[Advertisement::default()], &[]).as_deref(), Some("no node can announce it"));
    address.services[0].endpoints =
        Endpoints::Known { any: false, ready: BTreeSet::new(), terminating: BTreeSet::new() };
    assert_eq!(
        why(&address, &[Advertisement::default()], &all).as_deref(),
        Some("default/web has no serving endpoint")
    );
}

fn on(name: &str, subnets: &[&str]) -> Interface {
    Interface {
        name: name.to_owned(),
        subnets: subnets.iter().map(|net| net.parse().unwrap()).collect(),
        unheard: false,
    }
}

#[test]
fn nodes_on_the_lan_of_the_address_come_before_all_others() {
    let mut all = nodes(4);
    let (ads, address) = ([Advertisement::default()], announced("10.0.0.9"));
    let passed = |all: &[Node]| {
        let ownership = elect(&address, &ads, all);
        let candidates: Vec<String> = ownership.candidates.iter().map(|it| it.node.clone()).collect();
        let passed: Vec<_> = ownership.passed_over.iter().map(|(node, why)| (node.clone(), *why)).collect();
        (candidates.len(), passed)
    };
    let name = |index: usize| format!("node-{index}");
    assert_eq!(passed(&all), (4, vec![]), "nobody has told of interfaces");
    all[0].interfaces = Some(vec![]);
    assert_eq!(passed(&all), (3, vec![(name(0), PassedOver::NoInterface)]));
    all[1].interfaces = Some(vec![on("eth0", &["10.9.0.0/24"])]);
    let no_speaker = |index| (name(index), PassedOver::NoSpeaker);
    assert_eq!(passed(&all), (1, vec![(name(0), PassedOver::NoInterface), no_speaker(2), no_speaker(3)]));
    all[2].interfaces = Some(vec![on("eth0", &["fd00::/64"]), on("eth1", &["10.0.0.0/24"])]);
    let (candidates, why) = passed(&all);
    assert_eq!(candidates, 1);
    assert!(why.contains(&(name(1), PassedOver::OtherSubnet)) && why.contains(&no_speaker(3)), "{why:?}");
    assert_eq!(owner(&address, &ads, &all), Some(name(2)));
}

#[test]
fn who_is_not_heard_on_the_lan_of_the_address_is_the_last_choice_and_no_worse() {
    let (ads, address) = ([Advertisement::default()], announced("10.0.0.9"));
    let mut all = nodes(2);
    let two_lans = vec![on("eth0", &["10.0.0.0/24"]), on("eth1", &["10.1.0.0/24"])];
    for node in &mut all {
        node.interfaces = Some(two_lans.clone());
    }
    let first = owner(&address, &ads, &all).unwrap();
    let deaf = |all: &mut [Node], name: &str, at: usize| {
        let node = all.iter_mut().find(|node| node.name == name).unwrap();
        node.interfaces.as_mut().unwrap()[at].unheard = true;
    };
    deaf(&mut all, &first, 1);
    assert_eq!(owner(&address, &ads, &all).as_ref(), Some(&first), "on another LAN it does not matter");
    deaf(&mut all, &first, 0);
    let other = owner(&address, &ads, &all).unwrap();
    assert_ne!(other, first);
    deaf(&mut all, &other, 0);
    assert_eq!(owner(&address, &ads, &all), Some(first), "if nobody hears anybody, nothing is known");
}

#[test]
fn only_interfaces_that_may_answer_count() {
    let mut all = nodes(2);
    all[0].interfaces = Some(vec![on("eth0", &["10.0.0.0/24"]), on("eth1", &["10.1.0.0/24"])]);
    all[1].interfaces = Some(vec![on("eth0", &["10.0.0.0/24"])]);
    let ad = |name: &str| Advertisement {
        interfaces: BTreeSet::from([name.to_owned()]),
        ..Advertisement::default()
    };
    let address = announced("10.0.0.9");
    assert_eq!(owner(&address, &[ad("eth1")], &all), Some("node-0".to_owned()));
    let nobody = elect(&address, &[ad("eth7")], &all);
    assert!(nobody.owner().is_none() && nobody.nobody.is_some(), "{nobody:?}");
    let why = nobody.nobody.unwrap().to_string();
    assert!(why.ends_with("that the L2Advertisements name: eth7"), "{why}");
}
