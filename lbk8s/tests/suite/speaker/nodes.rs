//! What a speaker makes of the facts that nodes tell of themselves, and of MetalLB's own speakers.
#![cfg(feature = "speaker")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use lbcore::ownership::Interface;
use lbcore::ownership::claims::Failback;
use lbk8s::objects::leftovers::Leftover;
use lbk8s::objects::node;
use lbk8s::speaker::team::{FACTS, READY, Told};
use lbk8s::speaker::{Change, Effect, Rules, Speaker, WithoutSlices};
use serde_json::{Value, json};

use crate::harness::{advertisement, announced, config_change, config_map, holding, legacy, pool};

const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];
const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// A speaker on each node; all are told of the same.
struct World(Vec<(&'static str, Speaker)>);

fn node_with(name: &str, labels: &Value) -> Change {
    let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}});
    Change::Node(node::read(&serde_json::from_value(object).unwrap()))
}

/// The facts of a node: its interfaces with their subnets.
fn facts(node: &str, interfaces: &[(&str, &[&str])]) -> Change {
    let interface = |(name, subnets): &(&str, &[&str])| Interface {
        name: (*name).to_owned(),
        subnets: subnets.iter().map(|subnet| subnet.parse().unwrap()).collect(),
        unheard: false,
    };
    Change::Facts(node.to_owned(), Some(interfaces.iter().map(interface).collect()))
}

/// As on files, where nobody keeps slices.
fn served() -> Rules {
    Rules { without_slices: WithoutSlices::Served, ..Rules::default() }
}

impl World {
    /// 30 Services with an address each, announced from everywhere.
    fn with(rules: Rules) -> Self {
        let speaker = |name| (name, Speaker::new(name, rules));
        let mut world = Self(NODES.into_iter().map(speaker).collect());
        for name in NODES {
            world.tell(&node_with(name, &json!({})));
        }
        for object in [pool("default", 0, &["10.0.0.0/24"]), advertisement("all", &json!({}))] {
            world.tell(&Change::Config(config_change(&object)));
        }
        for last in 1..=30 {
            let service = holding(&format!("s{last}"), 1, &[&format!("10.0.0.{last}")], "default");
            world.tell(&Change::Service(announced(&service)));
        }
        world.tell(&Change::Synced);
        world
    }

    fn new() -> Self {
        Self::with(served())
    }

    fn tell(&mut self, change: &Change) {
        for (_, speaker) in &mut self.0 {
            speaker.apply(change.clone());
        }
    }

    /// The nodes that own anything. Each address is owned by one of them, or all by none.
    fn owners(&self) -> Vec<&'static str> {
        let owned: Vec<IpAddr> = self.0.iter().flat_map(|(_, speaker)| speaker.owned()).collect();
        let distinct: BTreeSet<&IpAddr> = owned.iter().collect();
        assert_eq!(owned.len(), distinct.len(), "an address with two owners");
        assert!([0, 30].contains(&owned.len()), "{} of 30 have an owner", owned.len());
        let owners = self.0.iter().filter(|(_, speaker)| speaker.owned().next().is_some());
        owners.map(|(name, _)| *name).collect()
    }
}

const LAN: (&str, &[&str]) = ("eth0", &["10.0.0.0/24"]);
const ELSEWHERE: (&str, &[&str]) = ("eth0", &["192.168.0.0/16"]);

#[test]
fn without_any_facts_every_node_may_own() {
    assert_eq!(World::new().owners(), NODES);
}

#[test]
fn a_node_without_facts_is_passed_over_when_another_one_has_them() {
    let mut world = World::new();
    world.tell(&facts("node-a", &[LAN]));
    assert_eq!(world.owners(), ["node-a"]);
    world.tell(&facts("node-c", &[LAN]));
    assert_eq!(world.owners(), ["node-a", "node-c"]);
    // One whose object goes is as one that never told.
    world.tell(&Change::Facts("node-a".to_owned(), None));
    assert_eq!(world.owners(), ["node-c"]);
    world.tell(&Change::Facts("node-c".to_owned(), None));
    assert_eq!(world.owners(), NODES);
}

#[test]
fn a_node_without_a_usable_interface_never_owns() {
    let mut world = World::new();
    world.tell(&facts("node-b", &[]));
    assert_eq!(world.owners(), ["node-a", "node-c"]);
    for name in NODES {
        world.tell(&facts(name, &[]));
    }
    assert_eq!(world.owners(), Vec::<&str>::new());
    world.tell(&facts("node-b", &[ELSEWHERE]));
    assert_eq!(world.owners(), ["node-b"], "an interface in another subnet is better than none");
}

#[test]
fn nodes_in_the_subnet_of_an_address_are_preferred() {
    let mut world = World::new();
    world.tell(&facts("node-a", &[ELSEWHERE]));
    world.tell(&facts("node-b", &[LAN]));
    world.tell(&facts("node-c", &[ELSEWHERE, ("eth1", LAN.1)]));
    assert_eq!(world.owners(), ["node-b", "node-c"]);
    world.tell(&Change::NodeGone("node-b".to_owned()));
    world.tell(&facts("node-c", &[ELSEWHERE]));
    assert_eq!(world.owners(), ["node-a", "node-c"], "where nobody is in it, all are alike");
}

#[test]
fn only_the_interfaces_that_an_advertisement_names_count() {
    let mut world = World::new();
    world.tell(&facts("node-a", &[LAN]));
    world.tell(&facts("node-b", &[("eth1", LAN.1)]));
    world.tell(&facts("node-c", &[LAN, ("eth1", ELSEWHERE.1)]));
    let named = advertisement("all", &json!({"interfaces": ["eth1"]}));
    world.tell(&Change::Config(config_change(&named)));
    assert_eq!(world.owners(), ["node-b"], "node-a has none of the name, node-c has it in another subnet");
}

#[test]
fn facts_that_come_before_their_node_count_when_it_comes() {
    let mut world = World::new();
    world.tell(&Change::NodeGone("node-b".to_owned()));
    world.tell(&facts("node-b", &[LAN]));
    assert_eq!(world.owners(), ["node-a", "node-c"]);
    world.tell(&node_with("node-b", &json!({})));
    assert_eq!(world.owners(), ["node-b"]);
}

#[test]
fn the_exclude_label_counts_unless_it_is_ignored() {
    let excluded = node_with("node-a", &json!({EXCLUDE: ""}));
    let mut world = World::new();
    world.tell(&excluded);
    assert_eq!(world.owners(), ["node-b", "node-c"]);
    world.tell(&node_with("node-a", &json!({})));
    assert_eq!(world.owners(), NODES);
    let mut world = World::with(Rules { ignore_exclude: true, ..served() });
    world.tell(&excluded);
    assert_eq!(world.owners(), NODES);
}

#[test]
fn a_repeated_word_of_nodes_and_facts_has_no_effect() {
    let mut world = World::new();
    world.tell(&facts("node-a", &[LAN]));
    for change in [facts("node-a", &[LAN]), node_with("node-a", &json!({}))] {
        for (name, speaker) in &mut world.0 {
            assert_eq!(speaker.apply(change.clone()), [], "{name}");
        }
    }
}

fn metallbs(component: &str, name: &str, phase: &str) -> Change {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "metallb-system",
            "labels": {"app.kubernetes.io/name": "metallb", "app.kubernetes.io/component": component},
        },
        "spec": {"nodeName": "node-a", "containers": []}, "status": {"phase": phase},
    });
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let (leftover, runs) = Leftover::of_pod(&pod).unwrap();
    Change::Leftover(leftover, runs)
}

fn gone(name: &str) -> Change {
    Change::PodGone("metallb-system".to_owned(), name.to_owned())
}

#[test]
fn while_metallbs_speakers_run_nothing_is_owned_and_all_is_when_the_last_is_gone() {
    let mut world = World::new();
    let before = world.owners();
    world.tell(&metallbs("speaker", "speaker-1", "Running"));
    assert_eq!(world.owners(), Vec::<&str>::new());
    world.tell(&metallbs("speaker", "speaker-2", "Running"));
    // What comes meanwhile is taken up as well.
    world.tell(&Change::Service(announced(&holding("late", 2, &["10.0.0.30"], "default"))));
    world.tell(&gone("speaker-1"));
    assert_eq!(world.owners(), Vec::<&str>::new());
    assert!(world.0.iter().all(|(_, speaker)| speaker.is_held_back()));
    world.tell(&metallbs("speaker", "speaker-2", "Failed"));
    assert_eq!(world.owners(), before);
}

#[test]
fn addresses_that_were_metallbs_are_announced_without_a_probe() {
    let mut world = World::new();
    world.tell(&metallbs("speaker", "speaker-1", "Running"));
    // One that was given meanwhile is answered for by MetalLB, and so is not new either.
    world.tell(&Change::Service(announced(&holding("late", 2, &["10.0.0.31"], "default"))));
    let gone = gone("speaker-1");
    let effects: Vec<Effect> =
        world.0.iter_mut().flat_map(|(_, speaker)| speaker.apply(gone.clone())).collect();
    let announced = effects.iter().filter(|effect| matches!(effect, Effect::Announce { is_new: false, .. }));
    assert_eq!(announced.count(), 31);
}

#[test]
fn beside_metallb_its_speakers_hold_nobody_back_and_its_controller_never_does() {
    let mut world = World::with(Rules { beside_metallb: true, ..served() });
    world.tell(&metallbs("speaker", "speaker-1", "Running"));
    assert_eq!(world.owners(), NODES);
    assert!(!world.0[0].1.problems().is_empty(), "it is told all the same");
    let mut world = World::new();
    world.tell(&metallbs("controller", "controller-1", "Running"));
    assert_eq!(world.owners(), NODES);
}

#[test]
fn whether_a_pool_or_a_service_of_the_config_map_is_heard_of_first_makes_no_difference() {
    let map = config_map(&legacy("old", "10.0.0.1-10.0.0.9"));
    let pool = Change::Config(config_change(&pool("new", 1, &["10.1.0.0/24"])));
    let service = Change::Service(announced(&holding("a", 1, &["10.0.0.1"], "old")));
    for changes in [[&service, &pool], [&pool, &service]] {
        let mut speaker = Speaker::new("node-a", served());
        speaker.apply(node_with("node-a", &json!({})));
        speaker.apply(Change::Config(config_change(&map)));
        speaker.apply(Change::Synced);
        for change in changes {
            speaker.apply(change.clone());
        }
        assert_eq!(speaker.owned().count(), 1);
    }
}

/// What a speaker hears of the other one, which has the one address under this epoch, if it claims it.
fn told(epoch: Option<u64>) -> Change {
    let facts = json!({"interfaces": [{"name": "eth0", "mac": "", "subnets": ["10.0.0.0/24"]}]});
    let mut records =
        BTreeMap::from([(FACTS.to_owned(), facts.to_string().into_bytes()), (READY.to_owned(), Vec::new())]);
    records.extend(epoch.map(|epoch| ("claim/10.0.0.1".to_owned(), epoch.to_be_bytes().to_vec())));
    Change::Member("node-b".to_owned(), Box::new(Told::read(&records)))
}

#[test]
fn who_was_taken_for_dead_tells_that_two_answered_and_who_stood_still_did_not_answer() {
    let rules = Rules { together: Some(Failback::default()), ..served() };
    let mut speaker = Speaker::new("node-a", rules);
    let mut tell = |change: Change| speaker.apply(change);
    for name in ["node-a", "node-b"] {
        tell(node_with(name, &json!({})));
    }
    for object in [pool("default", 0, &["10.0.0.0/24"]), advertisement("all", &json!({}))] {
        tell(Change::Config(config_change(&object)));
    }
    tell(Change::Service(announced(&holding("a", 1, &["10.0.0.1"], "default"))));
    let subnets = vec!["10.0.0.0/24".parse().unwrap()];
    tell(Change::OwnFacts(vec![Interface { name: "eth0".to_owned(), subnets, unheard: false }]));
    tell(Change::Synced);
    let effects = tell(Change::Joined);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Announce { .. })), "{effects:?}");
    tell(Change::MemberUp("node-b".to_owned()));
    tell(told(None));
    let mut epoch = 1;
    for (away, two) in [(Change::TakenForDead, true), (Change::StoodStill, false)] {
        tell(away);
        epoch += 1;
        assert_eq!(tell(told(Some(epoch))), [], "it decides nothing");
        let effects = tell(Change::Joined);
        let overlap = |effect: &Effect| matches!(effect, Effect::Overlap { node, .. } if node == "node-b");
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Withdraw { .. })), "{effects:?}");
        assert_eq!(effects.iter().any(overlap), two, "{effects:?}");
        // It has it again.
        tell(Change::MemberDown("node-b".to_owned()));
        tell(Change::MemberUp("node-b".to_owned()));
        tell(told(None));
        epoch += 1;
    }
    // That they did not hear each other once is long ago.
    tell(Change::Time(Duration::from_mins(1)));
    tell(Change::TakenForDead);
    tell(told(Some(epoch + 1)));
    let effects = tell(Change::Joined);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Overlap { .. })), "{effects:?}");
}
