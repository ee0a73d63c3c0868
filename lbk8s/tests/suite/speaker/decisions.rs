//! The speaker's pure part, one on each node: who announces what when all are told of the same things.
#![cfg(feature = "speaker")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use lbcore::{Interfaces, ServiceKey};
use lbk8s::objects::config::ConfigChange;
use lbk8s::objects::endpoints::SliceView;
use lbk8s::objects::node;
use lbk8s::speaker::{Change, Effect, Rules, Speaker, WithoutSlices};
use serde_json::{Value, json};

use crate::harness::{advertisement, announced, config_change, config_map, holding, ip, legacy, pool, with};

const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];

/// A speaker on each node, and what each has announced.
struct World {
    speakers: BTreeMap<String, Speaker>,
    announced: BTreeMap<String, BTreeMap<IpAddr, Interfaces>>,
}

fn node_object(name: &str, labels: &Value) -> Value {
    let labels = with(json!({"kubernetes.io/hostname": name}), labels);
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
}

/// A slice of a Service with one endpoint for each of these nodes, in this state.
fn slice(service: &str, nodes: &[&str], conditions: &Value) -> Value {
    let endpoints: Vec<Value> = nodes
        .iter()
        .map(|node| json!({"addresses": ["10.1.0.1"], "nodeName": node, "conditions": conditions}))
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{service}-1"), "namespace": "default",
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4", "endpoints": endpoints,
    })
}

fn everywhere(service: &str) -> Value {
    slice(service, &NODES, &json!({"ready": true}))
}

fn change(object: &Value) -> Change {
    match object["kind"].as_str().unwrap() {
        "Service" => Change::Service(announced(object)),
        "Node" => Change::Node(node::read(&serde_json::from_value(object.clone()).unwrap())),
        "EndpointSlice" => Change::Slice(SliceView::read(&serde_json::from_value(object.clone()).unwrap())),
        _ => Change::Config(config_change(object)),
    }
}

impl World {
    /// Three nodes whose speakers know the default pool, that it is announced, and these.
    fn of(objects: &[Value]) -> Self {
        let common = [pool("default", 0, &["10.0.0.0/24"]), advertisement("all", &json!({}))];
        Self::bare(common.iter().chain(objects))
    }

    fn bare<'a>(objects: impl IntoIterator<Item = &'a Value>) -> Self {
        let speaker = |name: &&str| ((*name).to_owned(), Speaker::new(*name, Rules::default()));
        let announced = NODES.iter().map(|name| ((*name).to_owned(), BTreeMap::new())).collect();
        let mut world = Self { speakers: NODES.iter().map(speaker).collect(), announced };
        for name in NODES {
            world.tell(&node_object(name, &json!({})));
        }
        for object in objects {
            assert_eq!(world.tell(object), 0, "something is done before all is known");
        }
        world.apply(&Change::Synced);
        world
    }

    /// Tells every speaker; how many effects that has.
    fn tell(&mut self, object: &Value) -> usize {
        self.apply(&change(object))
    }

    fn apply(&mut self, change: &Change) -> usize {
        let names: Vec<String> = self.speakers.keys().cloned().collect();
        names.into_iter().map(|name| self.apply_on(&name, change.clone()).len()).sum()
    }

    /// Carries out what one speaker says. Every effect changes something.
    fn apply_on(&mut self, node: &str, change: Change) -> Vec<Effect> {
        let effects = self.speakers.get_mut(node).unwrap().apply(change);
        let announced = self.announced.get_mut(node).unwrap();
        for effect in &effects {
            match effect {
                Effect::Announce { address, interfaces, .. } => {
                    let before = announced.insert(*address, interfaces.clone());
                    assert_ne!(before.as_ref(), Some(interfaces), "announced as it was");
                }
                Effect::Withdraw { address, why } => {
                    assert!(announced.remove(address).is_some(), "withdrawn but not announced");
                    assert!(!why.is_empty(), "withdrawn without a word");
                }
                Effect::Owner { address, .. } | Effect::AnnounceAgain { address } => {
                    assert!(announced.contains_key(address));
                }
                Effect::Nobody { why, .. } => assert!(!why.is_empty()),
                Effect::Overlap { .. } => panic!("nobody else is heard"),
            }
        }
        let owned: BTreeSet<IpAddr> = self.speakers[node].owned().collect();
        assert_eq!(owned, announced.keys().copied().collect());
        effects
    }

    /// The nodes that announce an address.
    fn owners(&self, address: &str) -> Vec<&str> {
        let announced = self.announced.iter();
        let owners = announced.filter(|(_, addresses)| addresses.contains_key(&ip(address)));
        owners.map(|(node, _)| node.as_str()).collect()
    }

    fn owner(&self, address: &str) -> &str {
        let owners = self.owners(address);
        assert_eq!(owners.len(), 1, "{address} is announced by {owners:?}");
        owners[0]
    }
}

fn web(address: &str) -> Value {
    holding("web", 1, &[address], "default")
}

#[test]
fn each_address_has_one_owner_and_the_nodes_share_them_out() {
    let mut objects = Vec::new();
    for last in 0..90 {
        let name = format!("s{last}");
        objects.extend([everywhere(&name), holding(&name, 1, &[&format!("10.0.0.{last}")], "default")]);
    }
    let mut world = World::of(&objects);
    let before: Vec<String> = (0..90).map(|last| world.owner(&format!("10.0.0.{last}")).to_owned()).collect();
    for name in NODES {
        let count = before.iter().filter(|owner| *owner == name).count();
        assert!((15..=45).contains(&count), "{name} has {count} of 90");
    }
    world.apply(&Change::NodeGone("node-b".to_owned()));
    world.announced.remove("node-b");
    world.speakers.remove("node-b");
    for (last, before) in before.iter().enumerate() {
        let now = world.owner(&format!("10.0.0.{last}"));
        assert!(before == "node-b" || before == now, "{before} gave way to {now} for nothing");
    }
}

#[test]
fn without_an_endpoint_nobody_announces() {
    let mut world = World::of(&[web("10.0.0.1")]);
    assert_eq!(world.owners("10.0.0.1"), Vec::<&str>::new());
    for (conditions, served) in [
        (json!({"ready": true}), 1),
        (json!({"ready": false}), 0),
        (json!({}), 1),
        (json!({"ready": false, "serving": true, "terminating": true}), 1),
        (json!({"ready": false, "serving": false}), 0),
    ] {
        world.tell(&slice("web", &["node-a"], &conditions));
        assert_eq!(world.owners("10.0.0.1").len(), served, "{conditions}");
    }
    world.tell(&everywhere("web"));
    world.apply(&Change::SliceGone(ServiceKey::new("default", "web-1")));
    assert_eq!(world.owners("10.0.0.1"), Vec::<&str>::new());
}

/// Whether each node that is to announce an address is told that it is new, by node.
fn told_new(world: &mut World, object: &Value) -> Vec<(String, bool)> {
    let mut told = Vec::new();
    for name in NODES {
        for effect in world.apply_on(name, change(object)) {
            if let Effect::Announce { is_new, .. } = effect {
                told.push((name.to_owned(), is_new));
            }
        }
    }
    told
}

#[test]
fn an_address_is_new_to_its_first_owner_and_to_no_other() {
    let mut world =
        World::of(&[everywhere("web"), everywhere("old"), holding("old", 1, &["10.0.0.9"], "default")]);
    let told = told_new(&mut world, &web("10.0.0.1"));
    let owner = world.owner("10.0.0.1").to_owned();
    assert_eq!(told, [(owner.clone(), true)], "it was given just now");
    // It moves: its next owner takes it as it is.
    let told = told_new(&mut world, &slice("web", &["elsewhere"], &json!({"ready": false})));
    assert_eq!(told, []);
    let moved = told_new(&mut world, &everywhere("web"));
    assert_eq!(moved, [(owner, false)]);
    // What was there when the speakers started is new to nobody, whatever becomes of it.
    let old = world.owner("10.0.0.9").to_owned();
    world.tell(&slice("old", &["elsewhere"], &json!({"ready": false})));
    assert_eq!(told_new(&mut world, &everywhere("old")), [(old, false)]);
}

#[test]
fn an_address_without_an_owner_stays_new_until_it_has_one() {
    let mut world = World::of(&[]);
    assert_eq!(told_new(&mut world, &web("10.0.0.1")), [], "no endpoint yet");
    let told = told_new(&mut world, &everywhere("web"));
    assert_eq!(told, [(world.owner("10.0.0.1").to_owned(), true)]);
}

#[test]
fn a_service_from_files_needs_no_slice_but_one_with_a_slice_needs_an_endpoint() {
    let mut speaker =
        Speaker::new("node-a", Rules { without_slices: WithoutSlices::Served, ..Rules::default() });
    let objects = [pool("default", 0, &["10.0.0.0/24"]), advertisement("all", &json!({}))];
    for object in objects.iter().chain(&[node_object("node-a", &json!({})), web("10.0.0.1")]) {
        speaker.apply(change(object));
    }
    assert_eq!(speaker.apply(Change::Synced).len(), 2);
    speaker.apply(change(&slice("web", &[], &json!({}))));
    assert_eq!(speaker.owned().count(), 0);
}

#[test]
fn with_local_traffic_only_a_node_with_an_endpoint_announces() {
    let local = json!({"spec": {"externalTrafficPolicy": "Local"}});
    let mut world = World::of(&[with(web("10.0.0.1"), &local)]);
    for name in NODES {
        world.tell(&slice("web", &[name], &json!({"ready": true})));
        assert_eq!(world.owner("10.0.0.1"), name);
    }
    world.tell(&slice("web", &["elsewhere"], &json!({"ready": true})));
    assert_eq!(world.owners("10.0.0.1"), Vec::<&str>::new());
    // A pod that is going away is better than none, and worse than one that stays.
    let going = slice("web", &["node-a"], &json!({"ready": false, "serving": true, "terminating": true}));
    world.tell(&going);
    assert_eq!(world.owner("10.0.0.1"), "node-a");
    let mut second = slice("web", &["node-c"], &json!({"ready": true}));
    second["metadata"]["name"] = json!("web-2");
    world.tell(&second);
    assert_eq!(world.owner("10.0.0.1"), "node-c");
}

#[test]
fn a_node_that_is_excluded_or_has_no_network_announces_nothing() {
    let mut world = World::of(&[web("10.0.0.1"), everywhere("web")]);
    let first = world.owner("10.0.0.1").to_owned();
    let label = json!({"node.kubernetes.io/exclude-from-external-load-balancers": ""});
    assert_eq!(world.tell(&node_object(&first, &label)), 3, "withdrawn here, announced there, and told");
    let second = world.owner("10.0.0.1").to_owned();
    assert_ne!(second, first);
    let down = json!({"status": {"conditions": [{"type": "NetworkUnavailable", "status": "True"}]}});
    world.tell(&with(node_object(&second, &json!({})), &down));
    assert!(![&first, &second].contains(&&world.owner("10.0.0.1").to_owned()));
    world.tell(&node_object(&first, &json!({})));
    assert_eq!(world.owner("10.0.0.1"), first);
}

#[test]
fn advertisements_choose_nodes_interfaces_and_services() {
    let on = |name: &str| json!([{"matchLabels": {"kubernetes.io/hostname": name}}]);
    let mut world = World::of(&[web("10.0.0.1"), everywhere("web")]);
    let interfaces = |world: &World, node: &str| world.announced[node][&ip("10.0.0.1")].clone();
    for name in NODES {
        world.tell(&advertisement("all", &json!({"nodeSelectors": on(name), "interfaces": ["eth1"]})));
        assert_eq!(world.owner("10.0.0.1"), name);
        assert_eq!(interfaces(&world, name), Interfaces::Named(["eth1".to_owned()].into()));
    }
    world.tell(&advertisement("second", &json!({"nodeSelectors": on("node-c"), "interfaces": ["eth2"]})));
    let both = Interfaces::Named(["eth1".to_owned(), "eth2".to_owned()].into());
    assert_eq!(interfaces(&world, "node-c"), both);
    assert_eq!(world.tell(&advertisement("second", &json!({"nodeSelectors": on("node-c")}))), 1);
    assert_eq!(interfaces(&world, "node-c"), Interfaces::All);
    world.apply(&Change::Config(Box::new(ConfigChange::AdvertisementGone("second".to_owned()))));
    world.tell(&advertisement("all", &json!({"serviceSelectors": [{"matchLabels": {"app": "x"}}]})));
    assert_eq!(world.owners("10.0.0.1"), Vec::<&str>::new());
    world.tell(&with(web("10.0.0.1"), &json!({"metadata": {"labels": {"app": "x"}}})));
    assert_eq!(world.owners("10.0.0.1").len(), 1);
    for name in NODES {
        let preferred = json!([{"weight": 5, "preference": on(name)[0]}]);
        world.tell(&advertisement("all", &json!({"preferredNodeSelectors": preferred})));
        assert_eq!(world.owner("10.0.0.1"), name);
    }
    world.tell(&advertisement("all", &json!({"ipAddressPools": ["other"]})));
    assert_eq!(world.owners("10.0.0.1"), Vec::<&str>::new());
}

fn sharer(name: &str) -> Value {
    let key = json!({"metadata": {"annotations": {"metallb.io/allow-shared-ip": "k"}}});
    with(holding(name, 1, &["10.0.0.1"], "default"), &key)
}

#[test]
fn a_shared_address_has_one_owner_until_the_last_of_its_services_goes() {
    let mut world = World::of(&[sharer("a"), sharer("b"), everywhere("a"), everywhere("b")]);
    let owner = world.owner("10.0.0.1").to_owned();
    for name in ["a", "b"] {
        assert_eq!(world.owner("10.0.0.1"), owner);
        let effects = world.apply(&Change::ServiceGone(ServiceKey::new("default", name)));
        assert_eq!(effects, usize::from(name == "b"));
    }
    assert_eq!(world.owners("10.0.0.1"), Vec::<&str>::new());
}

#[test]
fn a_service_that_joins_an_announced_address_is_told_who_announces_it() {
    let mut world = World::of(&[sharer("a"), everywhere("a"), everywhere("b")]);
    let owner = world.owner("10.0.0.1").to_owned();
    let effects = world.apply_on(&owner, change(&sharer("b")));
    let told =
        effects.iter().any(|effect| matches!(effect, Effect::Owner { service, .. } if *service.name == *"b"));
    assert!(told, "{effects:?}");
}

#[test]
fn a_sharer_without_endpoints_takes_the_address_from_no_other() {
    let mut world = World::of(&[sharer("a"), sharer("b"), everywhere("a"), everywhere("b")]);
    world.tell(&slice("b", &[], &json!({})));
    assert_eq!(world.owners("10.0.0.1").len(), 1, "\"a\" is served as before");
}

#[test]
fn an_address_that_is_in_no_pool_is_announced_only_if_we_gave_it() {
    let theirs = with(web("172.16.0.1"), &json!({"metadata": {"annotations": null}}));
    let mut world = World::of(&[theirs, everywhere("web")]);
    assert_eq!(world.owners("172.16.0.1"), Vec::<&str>::new());
    world.tell(&web("172.16.0.1"));
    assert_eq!(world.owners("172.16.0.1").len(), 1);
    // Its pool goes under it: it is answered as before.
    world.tell(&web("10.0.0.1"));
    let effects = world.apply(&Change::Config(Box::new(ConfigChange::PoolGone("default".to_owned()))));
    assert_eq!((effects, world.owners("10.0.0.1").len()), (0, 1));
}

#[test]
fn a_change_of_something_else_has_no_effect() {
    let mut world = World::of(&[web("10.0.0.1"), everywhere("web")]);
    let beat = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    for object in [
        with(node_object("node-a", &json!({})), &beat),
        node_object("node-a", &json!({"some": "label"})),
        pool("other", 1, &["10.9.0.0/24"]),
        advertisement("others", &json!({"ipAddressPools": ["other"]})),
        holding("other", 1, &[], "default"),
        with(web("10.0.0.1"), &json!({"metadata": {"labels": {"a": "b"}}})),
        with(web("10.0.0.1"), &json!({"spec": {"type": "LoadBalancer", "loadBalancerIP": "frog"}})),
        slice("unknown", &["node-a"], &json!({})),
        everywhere("web"),
    ] {
        assert_eq!(world.tell(&object), 0, "{object}");
    }
    assert_eq!(world.apply(&Change::Synced), 0);
}

#[test]
fn a_change_of_the_addresses_announces_and_withdraws_just_the_difference() {
    let mut world = World::of(&[holding("web", 1, &["10.0.0.1", "fd00::1"], "default"), everywhere("web")]);
    let owner = world.owner("10.0.0.1").to_owned();
    world.owner("fd00::1");
    // One effect withdraws; one announces and one tells of it.
    assert_eq!(world.tell(&holding("web", 1, &["10.0.0.1"], "default")), 1);
    assert_eq!(world.tell(&holding("web", 1, &["10.0.0.1", "10.0.0.2"], "default")), 2);
    assert_eq!(world.owner("10.0.0.1"), owner);
    assert_eq!(world.tell(&holding("web", 1, &["10.0.0.3", "10.0.0.2"], "default")), 3);
    assert_eq!(world.tell(&with(web("10.0.0.2"), &json!({"spec": {"type": "ClusterIP"}}))), 2);
    assert!(NODES.iter().all(|name| world.announced[*name].is_empty()));
    let theirs = json!({"spec": {"loadBalancerClass": "example.com/other"}});
    assert_eq!(world.tell(&with(web("10.0.0.2"), &theirs)), 0);
}

#[test]
fn of_two_pools_that_overlap_the_speaker_holds_with_the_controller() {
    // The controller has the older one in force, and gave the address from it.
    let objects = [
        pool("a-young", 9, &["10.0.0.0/24"]),
        pool("b-old", 1, &["10.0.0.0/25"]),
        advertisement("old", &json!({"ipAddressPools": ["b-old"]})),
        holding("web", 1, &["10.0.0.1"], "b-old"),
        everywhere("web"),
    ];
    for order in [objects.clone(), {
        let mut it = objects;
        it.reverse();
        it
    }] {
        let world = World::bare(&order);
        assert_eq!(world.owners("10.0.0.1").len(), 1);
    }
}

#[test]
fn a_config_map_that_cannot_be_read_any_more_withdraws_nothing() {
    let good = config_map(&legacy("default", "10.0.0.0/24"));
    let mut world = World::bare(&[good, web("10.0.0.1"), everywhere("web")]);
    assert_eq!(world.owners("10.0.0.1").len(), 1);
    assert_eq!(world.tell(&config_map("address-pools: [")), 0);
    assert_eq!(world.owners("10.0.0.1").len(), 1);
}

#[test]
fn two_thousand_addresses_on_a_hundred_nodes_are_decided_in_time() {
    let mut speaker =
        Speaker::new("node-7", Rules { without_slices: WithoutSlices::Served, ..Rules::default() });
    let common = [pool("default", 0, &["10.0.0.0/16"]), advertisement("all", &json!({}))];
    for object in &common {
        speaker.apply(change(object));
    }
    for number in 0..100 {
        speaker.apply(change(&node_object(&format!("node-{number}"), &json!({}))));
    }
    for number in 0..2000 {
        let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).to_string();
        speaker.apply(change(&holding(&format!("s{number}"), 1, &[&address], "default")));
    }
    let timed = |speaker: &mut Speaker, what: &str, change: Change| {
        let started = Instant::now();
        let effects = speaker.apply(change).len();
        eprintln!("{what}: {effects} effects in {:?}", started.elapsed());
        effects
    };
    assert!(timed(&mut speaker, "first decision", Change::Synced) > 0);
    let label = node_object("node-9", &json!({"a": "b"}));
    assert_eq!(timed(&mut speaker, "a label of a node", change(&label)), 0);
    assert_eq!(timed(&mut speaker, "the same pool again", change(&common[0])), 0);
    timed(&mut speaker, "one Service", Change::ServiceGone(ServiceKey::new("default", "s7")));
}
