//! A speaker goes on announcing an address that its pool no longer has, under the recorded advertisements.
#![cfg(all(feature = "controller", feature = "speaker"))]

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Node;
use lbcore::Interfaces;
use lbk8s::objects::annotations::{EXCLUDE, KEPT, STATE};
use lbk8s::objects::config::ConfigChange;
use lbk8s::objects::node;
use lbk8s::speaker::{Change, Effect, Rules, Speaker, WithoutSlices};
use serde_json::{Value, json};

use crate::harness::pure::{self, annotate};
use crate::harness::{advertisement, announced, config_change, holding, ip, pool, service, with};

const NODE: &str = "node-a";

/// The only speaker, and what it has announced.
struct World {
    speaker: Speaker,
    announced: BTreeMap<IpAddr, Interfaces>,
}

fn change(object: &Value) -> Change {
    match object["kind"].as_str().unwrap() {
        "Service" => Change::Service(announced(object)),
        "Node" => {
            let object: Node = serde_json::from_value(object.clone()).unwrap();
            Change::Node(node::read(&object))
        }
        _ => Change::Config(config_change(object)),
    }
}

fn pool_gone() -> Change {
    Change::Config(Box::new(ConfigChange::PoolGone("p".to_owned())))
}

impl World {
    fn of(objects: &[Value]) -> Self {
        let mut world = Self {
            speaker: Speaker::new(NODE, Rules { without_slices: WithoutSlices::Served, ..Rules::default() }),
            announced: BTreeMap::new(),
        };
        world.speaker.apply(change(&pure::node(NODE, &[])));
        for object in objects {
            assert_eq!(world.tell(object), []);
        }
        world.apply(Change::Synced);
        world
    }

    fn tell(&mut self, object: &Value) -> Vec<Effect> {
        self.apply(change(object))
    }

    fn apply(&mut self, change: Change) -> Vec<Effect> {
        let effects = self.speaker.apply(change);
        for effect in &effects {
            match effect {
                Effect::Announce { address, interfaces, .. } => {
                    self.announced.insert(*address, interfaces.clone());
                }
                Effect::Withdraw { address, .. } => drop(self.announced.remove(address)),
                Effect::Owner { .. }
                | Effect::AnnounceAgain { .. }
                | Effect::Nobody { .. }
                | Effect::Overlap { .. } => {}
            }
        }
        effects
    }

    /// The interfaces on which an address is announced; none if it is not.
    fn on(&self, address: &str) -> Vec<&str> {
        match self.announced.get(&ip(address)) {
            None => vec![],
            Some(Interfaces::All) => vec!["all"],
            Some(Interfaces::Named(names)) => names.iter().map(String::as_str).collect(),
        }
    }
}

fn labelled_pool() -> Value {
    with(pool("p", 0, &["10.0.0.1-10.0.0.9"]), &json!({"metadata": {"labels": {"site": "web"}}}))
}

/// Advertisements of the pool by name and by label, each on an interface of its own.
fn by_name() -> Value {
    advertisement("by-name", &json!({"ipAddressPools": ["p"], "interfaces": ["eth1"]}))
}

fn by_label() -> Value {
    let selectors = json!([{"matchLabels": {"site": "web"}}]);
    advertisement("by-label", &json!({"ipAddressPoolSelectors": selectors, "interfaces": ["eth2"]}))
}

fn every() -> Value {
    advertisement("every", &json!({"interfaces": ["eth3"]}))
}

/// A Service that holds 10.0.0.1, which its pool no longer has, with these advertisements on record.
fn keeping(advertisements: &[&str]) -> Value {
    let record = json!({"10.0.0.1": {"pool": "p", "advertisements": advertisements}});
    with(holding("a", 1, &["10.0.0.1"], "p"), &annotate(KEPT, record.to_string()))
}

#[test]
fn a_speaker_that_starts_without_the_pool_announces_under_the_record_and_under_that_only() {
    for (advertisements, expected) in [
        (vec!["by-name"], vec!["eth1"]),
        (vec!["by-label"], vec!["eth2"]),
        (vec!["by-label", "by-name"], vec!["eth1", "eth2"]),
        (vec!["by-name", "gone"], vec!["eth1"]),
        (vec!["gone"], vec![]),
    ] {
        let all = [by_name(), by_label(), every()];
        for pools in [vec![], vec![pool("q", 1, &["10.1.0.0/24"])], vec![pool("p", 1, &["10.1.0.0/24"])]] {
            let objects: Vec<Value> = all.iter().cloned().chain(pools).collect();
            let mut world = World::of(&[&objects[..], &[keeping(&advertisements)]].concat());
            assert_eq!(world.on("10.0.0.1"), expected, "{advertisements:?}");
            for object in &objects {
                assert_eq!(world.tell(object), []);
            }
        }
    }
}

#[test]
fn what_happens_to_other_advertisements_does_not_matter_and_to_those_on_record_it_does() {
    let mut world = World::of(&[by_name(), by_label(), every(), keeping(&["by-name"])]);
    let gone = |name: &str| Change::Config(Box::new(ConfigChange::AdvertisementGone(name.to_owned())));
    assert_eq!(world.apply(gone("every")), []);
    assert_eq!(world.tell(&advertisement("new", &json!({"ipAddressPools": ["p"]}))), []);
    assert_eq!(world.on("10.0.0.1"), ["eth1"]);
    // It may be about other pools by now: this address stays under it.
    let elsewhere = json!({"ipAddressPools": ["q"], "interfaces": ["eth4"]});
    world.tell(&advertisement("by-name", &elsewhere));
    assert_eq!(world.on("10.0.0.1"), ["eth4"]);
    let services = json!({"serviceSelectors": [{"matchLabels": {"app": "x"}}], "interfaces": ["eth1"]});
    world.tell(&advertisement("by-name", &services));
    assert_eq!(world.on("10.0.0.1"), Vec::<&str>::new());
    world.tell(&by_name());
    world.apply(gone("by-name"));
    assert_eq!(world.on("10.0.0.1"), Vec::<&str>::new());
    world.tell(&by_name());
    assert_eq!(world.on("10.0.0.1"), ["eth1"]);
}

#[test]
fn without_a_record_the_advertisements_of_the_pool_count_again() {
    let mut world = World::of(&[by_name(), every(), keeping(&["by-name"])]);
    assert_eq!(world.on("10.0.0.1"), ["eth1"]);
    assert_eq!(world.tell(&labelled_pool()), []);
    world.tell(&holding("a", 1, &["10.0.0.1"], "p"));
    assert_eq!(world.on("10.0.0.1"), ["eth1", "eth3"]);
    // A record of another address says nothing of this one.
    let other = json!({"10.0.0.2": {"pool": "p", "advertisements": ["by-name"]}}).to_string();
    assert_eq!(world.tell(&with(holding("a", 1, &["10.0.0.1"], "p"), &annotate(KEPT, other))), []);
}

/// The pool loses the address in this way, and what the speaker is told of it.
fn losses() -> [(&'static str, Option<Value>); 4] {
    [
        ("it is deleted", None),
        ("it shrinks", Some(json!({"spec": {"addresses": ["10.0.0.7-10.0.0.9"]}}))),
        ("it excludes it", Some(annotate(EXCLUDE, "10.0.0.1"))),
        ("it is drained", Some(annotate(STATE, "draining"))),
    ]
}

#[test]
fn when_a_pool_loses_a_live_address_the_speaker_does_not_stumble_whatever_it_hears_first() {
    for advertisements in [vec![by_name()], vec![by_label()], vec![by_name(), by_label()], vec![every()]] {
        for (what, edit) in losses() {
            let objects = [&advertisements[..], &[labelled_pool(), service("a", 1)]].concat();
            let mut controller = pure::World::of(&objects);
            controller.settle();
            let before = [&advertisements[..], &[labelled_pool(), controller.service("a").clone()]].concat();
            match &edit {
                Some(edit) => controller.edit("IPAddressPool", "p", edit),
                None => controller.tell_gone("IPAddressPool", "p"),
            }
            controller.settle();
            let told_pool = match &edit {
                Some(edit) => change(&with(labelled_pool(), edit)),
                None => pool_gone(),
            };
            let told_service = change(controller.service("a"));
            for turned in [false, true] {
                let mut world = World::of(&before);
                let on: Vec<String> = world.on("10.0.0.1").iter().map(ToString::to_string).collect();
                assert!(!on.is_empty());
                let mut changes = [told_pool.clone(), told_service.clone()];
                if turned {
                    changes.reverse();
                }
                let names: Vec<&Value> = advertisements.iter().map(|it| &it["metadata"]["name"]).collect();
                for change in changes {
                    let effects = world.apply(change);
                    assert_eq!(effects, [], "{what}, Service first: {turned}, announced by {names:?}");
                }
                assert_eq!(world.on("10.0.0.1"), on);
            }
            // And one that starts now announces the same.
            let stored = match &edit {
                Some(edit) => vec![with(labelled_pool(), edit)],
                None => vec![],
            };
            let objects = [&advertisements[..], &stored, &[controller.service("a").clone()]].concat();
            assert_eq!(World::of(&objects).on("10.0.0.1"), World::of(&before).on("10.0.0.1"), "{what}");
        }
    }
}
