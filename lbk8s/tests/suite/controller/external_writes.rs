//! Others who write what the controller writes, and what nodes and MetalLB's own parts mean for it.
#![cfg(feature = "controller")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use lbcore::{LostAddresses, ServiceKey};
use lbk8s::controller::{Change, Controller, Notice, Write};
use lbk8s::objects::config::{ConfigChange, FollowConfigMap};
use lbk8s::objects::facts::NodeFacts;
use lbk8s::objects::leftovers::Leftover;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::pure::World;
use crate::harness::{config_change, config_map, holding, legacy, pool, service, shown, view, with};

/// 2025-01-01T00:00:00Z, in microseconds.
const NEW_YEAR: i64 = 1_735_689_600_000_000;

fn key(name: &str) -> ServiceKey {
    ServiceKey::new("default", name)
}

// Two controllers.

/// A write that is on its way.
type Flight = Write;

/// A controller, what it has yet to hear, and its writes under way: one of a Service at a time, as at the edge.
struct Side {
    controller: Controller,
    inbox: VecDeque<Change>,
    flights: Vec<Flight>,
}

/// Two controllers on one store, neither of which knows of the other.
struct Two {
    stored: BTreeMap<String, Value>,
    version: u64,
    sides: [Side; 2],
    writes: u64,
    conflicts: u64,
    /// Addresses that two showed at one time, each counted once.
    doubles: BTreeSet<(String, String, String)>,
    /// What each Service has shown at any time.
    history: BTreeMap<String, BTreeSet<String>>,
    now: i64,
}

impl Two {
    fn with_pool(addresses: &str) -> Self {
        let side = || {
            let mut controller = Controller::new(LostAddresses::Keep, FollowConfigMap::default());
            controller.advance(NEW_YEAR);
            controller.apply(Change::Config(config_change(&pool("default", 0, &[addresses]))));
            controller.apply(Change::Synced);
            Side { controller, inbox: VecDeque::new(), flights: Vec::new() }
        };
        Self {
            stored: BTreeMap::new(),
            version: 1,
            sides: [side(), side()],
            writes: 0,
            conflicts: 0,
            doubles: BTreeSet::new(),
            history: BTreeMap::new(),
            now: NEW_YEAR,
        }
    }

    /// Stores an object; both hear of it later.
    fn store(&mut self, object: &Value) {
        self.version += 1;
        let version = json!({"metadata": {"resourceVersion": self.version.to_string()}});
        let object = with(object.clone(), &version);
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        for side in &mut self.sides {
            side.inbox.push_back(Change::Service(view(&object)));
        }
        self.stored.insert(name, object);
    }

    fn delete(&mut self, name: &str) {
        if let Some(object) = self.stored.remove(name) {
            let uid = object["metadata"]["uid"].as_str().unwrap().to_owned();
            for side in &mut self.sides {
                side.inbox.push_back(Change::ServiceGone(key(name), uid.clone()));
            }
        }
    }

    fn hear(&mut self, side: usize) -> bool {
        let heard = self.sides[side].inbox.pop_front();
        let Some(change) = heard else { return false };
        self.sides[side].controller.apply(change);
        true
    }

    fn begin(&mut self, side: usize) -> bool {
        let side = &mut self.sides[side];
        let mut later = Vec::new();
        let mut begun = false;
        while let Some(write) = side.controller.next_write() {
            if side.flights.iter().any(|flight| flight.key == write.key) {
                later.push(write.key);
            } else {
                side.flights.push(write);
                begun = true;
                break;
            }
        }
        for key in later {
            side.controller.retry(&key);
        }
        begun
    }

    /// A write arrives: it counts only if the Service is still what it was made against.
    fn land(&mut self, side: usize, which: usize) -> bool {
        if self.sides[side].flights.is_empty() {
            return false;
        }
        let which = which % self.sides[side].flights.len();
        let write = self.sides[side].flights.remove(which);
        let now = Timestamp::from_microsecond(self.now).unwrap();
        let (name, patch) = (write.key.name().to_owned(), write.patch(now));
        let Some(stored) = self.stored.get(&name).cloned() else { return true };
        if stored["metadata"]["resourceVersion"] == patch["metadata"]["resourceVersion"] {
            self.writes += 1;
            let written = with(stored.clone(), &patch);
            self.check_move(&name, &stored, &written);
            self.store(&written);
            self.note_doubles();
        } else {
            self.conflicts += 1;
        }
        // Either way it learns what is there now.
        let present = Change::Service(view(&self.stored[&name]));
        self.sides[side].controller.apply(present);
        self.sides[side].controller.retry(&write.key);
        true
    }

    /// A live Service changes its address only where an older one showed it as well.
    fn check_move(&mut self, name: &str, before: &Value, after: &Value) {
        let (was, is) = (shown(before), shown(after));
        for address in was.iter().filter(|address| !is.contains(address)) {
            let created =
                |object: &Value| object["metadata"]["creationTimestamp"].as_str().unwrap().to_owned();
            let ours = (created(before), name.to_owned());
            let is_double = self.doubles.iter().any(|(double, older, younger)| {
                let older_than_us =
                    self.stored.get(older).is_none_or(|it| (created(it), older.clone()) < ours);
                double == address && younger == name && older_than_us
            });
            assert!(is_double, "{name} loses {address}, which no older one showed");
        }
        self.history.entry(name.to_owned()).or_default().extend(is);
    }

    fn note_doubles(&mut self) {
        for (address, older, younger) in self.doubles_now() {
            self.doubles.insert((address, older, younger));
        }
    }

    /// What two show that may not share it: the address, the older, the younger.
    fn doubles_now(&self) -> Vec<(String, String, String)> {
        let mut by_age: Vec<(&String, &Value)> = self.stored.iter().collect();
        by_age
            .sort_by_key(|(name, it)| (it["metadata"]["creationTimestamp"].as_str().unwrap(), name.as_str()));
        let sharing = |object: &Value| {
            let annotation = object["metadata"]["annotations"]["metallb.io/allow-shared-ip"].as_str();
            annotation.map(str::to_owned)
        };
        let mut doubles = Vec::new();
        for (index, (younger, theirs)) in by_age.iter().enumerate() {
            for (older, ours) in &by_age[..index] {
                let may_share = sharing(theirs).is_some() && sharing(theirs) == sharing(ours);
                let both = shown(ours).into_iter().filter(|address| shown(theirs).contains(address));
                let both = both.filter(|_| !may_share);
                doubles.extend(both.map(|address| (address, (*older).clone(), (*younger).clone())));
            }
        }
        doubles
    }

    /// Everything that is due happens, in turn, until nothing is left.
    fn rest(&mut self) {
        for _ in 0..100_000 {
            let mut busy = false;
            for side in 0..2 {
                while self.hear(side) {
                    busy = true;
                }
                busy |= self.begin(side);
                busy |= self.land(side, 0);
            }
            if busy {
                continue;
            }
            let deadlines = self.sides.iter().filter_map(|side| side.controller.deadline());
            let Some(next) = deadlines.min() else { return };
            self.now = next;
            self.sides.iter_mut().for_each(|side| side.controller.advance(next));
        }
        panic!("they never come to rest: {} writes", self.writes);
    }
}

/// What happens next, to which controller.
#[derive(Debug, Clone)]
enum Step {
    Create { shared: bool },
    Delete(usize),
    Hear(usize),
    Begin(usize),
    Land(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any::<bool>().prop_map(|shared| Step::Create { shared }),
        1 => (0_usize..40).prop_map(Step::Delete),
        6 => (0_usize..2).prop_map(Step::Hear),
        6 => (0_usize..2).prop_map(Step::Begin),
        6 => (0_usize..2, 0_usize..8).prop_map(|(side, which)| Step::Land(side, which)),
    ]
}

/// Runs the steps, and comes to rest.
fn run(steps: Vec<Step>, deletes: bool, shares: bool) -> Two {
    let mut two = Two::with_pool("10.0.0.0/24");
    let mut made = 0;
    for step in steps {
        match step {
            Step::Create { shared } => {
                made += 1;
                let ports = json!({"spec": {"ports": [{"port": 1000 + made, "protocol": "TCP"}]}});
                let mut object = with(service(&format!("s{made:02}"), made), &ports);
                if shared && shares {
                    let sharing =
                        json!({"metadata": {"annotations": {"metallb.io/allow-shared-ip": "together"}}});
                    object = with(object, &sharing);
                }
                two.store(&object);
            }
            Step::Delete(which) if deletes => two.delete(&format!("s{which:02}")),
            Step::Delete(_) => {}
            Step::Hear(side) => drop(two.hear(side)),
            Step::Begin(side) => drop(two.begin(side)),
            Step::Land(side, which) => drop(two.land(side, which)),
        }
    }
    two.rest();
    let doubles = two.doubles_now();
    assert!(doubles.is_empty(), "at rest {doubles:?}");
    for (name, object) in &two.stored {
        assert_eq!(shown(object).len(), 1, "{name} shows {:?}", shown(object));
        for side in &two.sides {
            let held = side.controller.allocator().decision(&key(name)).map(|it| it.addresses());
            let held: Vec<String> = held.iter().flatten().map(ToString::to_string).collect();
            assert_eq!(held, shown(object), "what {name} shows is not what both believe");
        }
    }
    assert!(two.writes <= u64::from(made) * 6, "{} writes for {made} Services", two.writes);
    two
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn what_two_controllers_give_twice_is_undone(steps in prop::collection::vec(step(), 1..160)) {
        run(steps, false, false);
    }

    #[test]
    fn what_two_controllers_give_twice_is_undone_while_services_go(
        steps in prop::collection::vec(step(), 1..160),
    ) {
        run(steps, true, false);
    }

    #[test]
    fn those_that_may_share_an_address_are_no_double(steps in prop::collection::vec(step(), 1..160)) {
        run(steps, false, true);
    }
}

#[test]
fn two_that_hear_in_opposite_order_give_every_address_twice_and_both_settle() {
    let mut two = Two::with_pool("10.0.0.0/24");
    let all: Vec<Value> = (1..=20).map(|number| service(&format!("s{number:02}"), number)).collect();
    for object in &all {
        two.store(object);
    }
    // The second one hears of the youngest first.
    let inbox: Vec<Change> = two.sides[1].inbox.drain(..).collect();
    two.sides[1].inbox.extend(inbox.into_iter().rev());
    for side in 0..2 {
        while two.hear(side) {}
        for _ in 0..10 {
            two.begin(side);
        }
    }
    two.rest();
    assert!(!two.doubles.is_empty(), "it was to be hard");
    assert_eq!(two.doubles_now(), []);
    assert!(two.stored.values().all(|object| shown(object).len() == 1));
    assert!(two.writes <= 20 * 6, "{} writes, {} conflicts", two.writes, two.conflicts);
    let told = two.sides.iter_mut().flat_map(|side| side.controller.notices());
    let told = told.filter(|notice| matches!(notice, Notice::Double { .. })).count();
    assert!(told > 0 && told <= 2 * 2 * 20, "told {told} times");
}

// One who keeps rewriting a status.

/// As the server notes down who wrote the addresses of a Service.
fn by(manager: &str) -> Value {
    json!({"metadata": {"managedFields": [{
        "manager": manager, "operation": "Update", "apiVersion": "v1", "subresource": "status",
        "time": "2025-01-01T00:00:00Z", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:status": {"f:loadBalancer": {"f:ingress": {}}}},
    }]}})
}

fn rivals(world: &mut World) -> Vec<(String, Option<String>)> {
    let notices = world.controller.notices().into_iter();
    let rival = |notice| match notice {
        Notice::Rival { service, writer } => Some((service.name.to_string(), writer)),
        _ => None,
    };
    notices.filter_map(rival).collect()
}

/// Changes the status of `a` in this way, again and again, as fast as it is put right: how often that was at once,
/// what was told, and how often it was put right within the first hour.
fn fight(world: &mut World, patch: &Value) -> (u32, Vec<(String, Option<String>)>, u32) {
    world.settle();
    world.controller.notices();
    let (mut at_once, mut told, mut all) = (None, Vec::new(), 0);
    let mut passed = 0;
    for _ in 0..500 {
        world.edit("Service", "a", &with(by("rival"), patch));
        while world.settle().is_empty() {
            at_once.get_or_insert(all);
            told.extend(rivals(world));
            let Some(deadline) = world.controller.deadline() else {
                panic!("it is neither put right nor waited for: {}", world.service("a"))
            };
            let seconds = (deadline - NEW_YEAR) / 1_000_000 + 1 - passed;
            assert!(seconds > 0, "the end of the wait is past");
            world.pass(seconds);
            passed += seconds;
            if passed > 3600 {
                return (at_once.unwrap(), told, all);
            }
        }
        told.extend(rivals(world));
        all += 1;
    }
    (at_once.unwrap_or(all), told, all)
}

fn rival_world(more: &[Value]) -> World {
    let own = [pool("default", 0, &["10.0.0.0/24"]), service("a", 2)];
    let objects: Vec<Value> = own.iter().chain(more).cloned().collect();
    World::of(&objects)
}

fn check_backed_off(what: &str, (at_once, told, all): (u32, Vec<(String, Option<String>)>, u32)) {
    assert_eq!(at_once, 3, "{what}: put right at once");
    assert_eq!(told, [("a".to_owned(), Some("rival".to_owned()))], "{what}");
    assert!((4..40).contains(&all), "{what}: put right {all} times within an hour");
}

#[test]
fn one_who_empties_a_status_is_backed_off_from_and_told_of_once() {
    let empties = json!({"status": {"loadBalancer": {"ingress": []}}});
    check_backed_off("emptied", fight(&mut rival_world(&[]), &empties));
}

#[test]
fn one_who_writes_an_address_that_is_nobodys_to_give_is_backed_off_from() {
    let foreign = json!({"status": {"loadBalancer": {"ingress": [{"ip": "172.16.0.9"}]}}});
    let mut full = World::of(&[
        pool("default", 0, &["10.0.0.1/32"]),
        holding("older", 1, &["10.0.0.1"], "default"),
        service("a", 2),
    ]);
    check_backed_off("pending", fight(&mut full, &foreign));
    check_backed_off("without a pool", fight(&mut World::of(&[service("a", 2)]), &foreign));
}

#[test]
fn one_who_changes_what_is_said_of_an_address_is_backed_off_from() {
    let record = json!({"metadata": {"annotations": {"metallb.io/ip-allocated-from-pool": "mine"}}});
    check_backed_off("the record", fight(&mut rival_world(&[]), &record));
    check_backed_off("the condition", fight(&mut rival_world(&[]), &json!({"status": {"conditions": []}})));
}

#[test]
fn one_who_writes_an_address_that_another_service_has_is_backed_off_from() {
    let older = holding("older", 1, &["10.0.0.9"], "default");
    let rewrites = json!({"status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.9"}]}}});
    let mut world = rival_world(&[older]);
    check_backed_off("rewritten", fight(&mut world, &rewrites));
    world.settle();
    assert_eq!(world.shows("older"), ["10.0.0.9"]);
}

#[test]
fn one_who_writes_anothers_address_again_and_again_is_not_told_of_each_time() {
    let mut world = rival_world(&[holding("older", 1, &["10.0.0.9"], "default")]);
    world.settle();
    let mut told = 0;
    for _ in 0..100 {
        let rewrites = json!({"status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.9"}]}}});
        world.edit("Service", "a", &rewrites);
        world.settle();
        world.edit("Service", "a", &json!({"status": {"loadBalancer": {"ingress": []}}}));
        world.settle();
        let notices = world.controller.notices().into_iter();
        told += notices.filter(|it| matches!(it, Notice::Double { .. } | Notice::Rival { .. })).count();
    }
    assert!(told <= 10, "told {told} times");
}

#[test]
fn one_who_writes_a_host_name_instead_is_backed_off_from() {
    let rewrites = json!({"status": {"loadBalancer": {"ingress": [{"hostname": "lb.example"}]}}});
    check_backed_off("host name", fight(&mut rival_world(&[]), &rewrites));
}

#[test]
fn one_who_adds_an_address_that_is_not_ours_is_backed_off_from() {
    let adds = json!({"status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.0"}, {"ip": "172.16.0.1"}]}}});
    let mut world = rival_world(&[]);
    check_backed_off("added", fight(&mut world, &adds));
}

#[test]
fn one_who_turns_the_order_of_two_families_is_backed_off_from() {
    let both = json!({
        "spec": {"clusterIPs": ["10.96.0.7", "fd96::7"], "ipFamilyPolicy": "PreferDualStack"},
    });
    let objects = [pool("default", 0, &["10.0.0.0/24", "fd00::/120"]), with(service("a", 2), &both)];
    let mut world = World::of(&objects);
    world.settle();
    let mut turned = world.service("a")["status"]["loadBalancer"]["ingress"].as_array().unwrap().clone();
    assert_eq!(turned.len(), 2);
    turned.reverse();
    check_backed_off("turned", fight(&mut world, &json!({"status": {"loadBalancer": {"ingress": turned}}})));
}

#[test]
fn one_who_empties_the_status_of_a_service_with_an_unclear_wish_is_backed_off_from() {
    let mut world = rival_world(&[]);
    world.settle();
    world.edit("Service", "a", &json!({"spec": {"loadBalancerIP": "frog"}}));
    check_backed_off("unclear", fight(&mut world, &json!({"status": {"loadBalancer": {"ingress": []}}})));
}

#[test]
fn an_address_that_a_person_writes_and_that_is_free_is_taken_over() {
    let mut world = rival_world(&[]);
    world.settle();
    assert_eq!(world.shows("a"), ["10.0.0.0"]);
    world.edit("Service", "a", &json!({"status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.7"}]}}}));
    world.settle();
    assert_eq!(world.shows("a"), ["10.0.0.7"]);
    assert_eq!(rivals(&mut world), []);
    world.tell(service("b", 3));
    world.settle();
    assert_eq!(world.shows("b"), ["10.0.0.0"], "what it had is free");
    world.check_restart();
}

#[test]
fn a_clock_that_is_set_back_leaves_no_status_wrong_for_longer_than_the_longest_wait() {
    let mut world = rival_world(&[]);
    world.settle();
    for _ in 0..4 {
        world.edit("Service", "a", &json!({"status": {"loadBalancer": null}}));
        world.settle();
    }
    assert_eq!(world.shows("a"), Vec::<String>::new());
    world.pass(-86_400);
    world.pass(600);
    world.settle();
    assert_eq!(world.shows("a"), ["10.0.0.0"], "an hour's wait became a day's");
}

// What nodes tell.

fn facts(node: &str, mac: &str, taken: &[(&str, &str)]) -> Change {
    let taken: Vec<Value> =
        taken.iter().map(|(address, mac)| json!({"address": address, "mac": mac})).collect();
    let object = json!({
        "apiVersion": "lbd.io/v1alpha1", "kind": "NodeFacts",
        "metadata": {"name": node, "namespace": "metallb-system"},
        "interfaces": [{"name": "eth0", "mac": mac, "subnets": ["10.0.0.0/24"]}], "taken": taken,
    });
    let facts: NodeFacts = serde_json::from_value(object).unwrap();
    Change::Facts(node.to_owned(), Some(Box::new(facts.spec)))
}

const STRANGER: &str = "02:00:00:00:00:99";

fn taken_world(service: Value) -> World {
    let mut world = World::of(&[pool("default", 0, &["10.0.0.1-10.0.0.9"])]);
    world.controller.apply(facts("node-a", "02:00:00:00:00:0a", &[]));
    world.tell(service);
    world.settle();
    world.controller.notices();
    world
}

fn moved(world: &mut World) -> Vec<(String, String)> {
    let notices = world.controller.notices().into_iter();
    let moved = |notice| match notice {
        Notice::Moved { service, from, .. } => Some((service.name.to_string(), from.to_string())),
        _ => None,
    };
    notices.filter_map(moved).collect()
}

#[test]
fn a_new_service_moves_on_from_an_address_that_a_stranger_has_and_no_other_gets_it() {
    let mut world = taken_world(service("a", 1));
    assert_eq!(world.shows("a"), ["10.0.0.1"]);
    world.controller.apply(facts("node-a", "02:00:00:00:00:0a", &[("10.0.0.1", STRANGER)]));
    assert_eq!(moved(&mut world), [("a".to_owned(), "10.0.0.1".to_owned())]);
    assert_eq!(world.settle().len(), 1);
    assert_eq!(world.shows("a"), ["10.0.0.2"]);
    // Told again, also by another node, it is nothing new.
    for node in ["node-a", "node-b"] {
        world.controller.apply(facts(node, "02:00:00:00:00:0a", &[("10.0.0.1", STRANGER)]));
    }
    assert_eq!((moved(&mut world).len(), world.settle().len()), (0, 0));
    world.tell(service("b", 2));
    world.settle();
    assert_eq!(world.shows("b"), ["10.0.0.3"]);
}

#[test]
fn what_a_service_has_on_another_host_is_given_to_nobody_and_whoever_has_it_here_is_not_moved() {
    let mut world = taken_world(service("a", 1));
    let held = [("10.0.0.1", "Service default/x"), ("10.0.0.2", "Service default/y")];
    world.controller.apply(facts("host-b", "", &held));
    assert_eq!((moved(&mut world).len(), world.shows("a")), (0, vec!["10.0.0.1".to_owned()]));
    world.tell(service("b", 2));
    world.settle();
    assert_eq!(world.shows("b"), ["10.0.0.3"]);
    world.tell(with(service("c", 3), &json!({"spec": {"loadBalancerIP": "10.0.0.2"}})));
    world.settle();
    let says = world.condition("c");
    assert!(says.contains("10.0.0.2 is also the address of Service default/y on host host-b"), "{says}");
}

#[test]
fn an_adopted_service_stays_where_it_is_though_a_stranger_has_its_address() {
    let mut world = taken_world(service("a", 1));
    world.restart();
    world.controller.notices();
    world.controller.apply(facts("node-a", "02:00:00:00:00:0a", &[("10.0.0.1", STRANGER)]));
    assert_eq!(moved(&mut world), []);
    world.settle();
    assert!(world.condition("a").starts_with("True/AddressOfNode: "), "{}", world.condition("a"));
    assert_eq!(world.shows("a"), ["10.0.0.1"]);
}

#[test]
fn a_service_that_asked_for_the_address_by_name_stays_where_it_is() {
    let mut world = taken_world(with(service("a", 1), &json!({"spec": {"loadBalancerIP": "10.0.0.4"}})));
    world.controller.apply(facts("node-a", "02:00:00:00:00:0a", &[("10.0.0.4", STRANGER)]));
    assert_eq!(moved(&mut world), []);
    world.settle();
    assert!(world.condition("a").starts_with("True/AddressOfNode: "), "{}", world.condition("a"));
    assert_eq!(world.shows("a"), ["10.0.0.4"]);
}

#[test]
fn the_interface_of_another_node_is_no_stranger() {
    let mut world = taken_world(service("a", 1));
    world.controller.apply(facts("node-b", "02:00:00:00:00:0b", &[]));
    world.controller.apply(facts("node-a", "02:00:00:00:00:0a", &[("10.0.0.1", "02:00:00:00:00:0b")]));
    assert_eq!((moved(&mut world).len(), world.settle().len()), (0, 0));
    assert_eq!(world.shows("a"), ["10.0.0.1"]);
}

#[test]
fn a_service_without_another_address_to_go_to_keeps_what_it_has() {
    let mut world = World::of(&[pool("default", 0, &["10.0.0.1/32"]), service("a", 1)]);
    world.settle();
    world.controller.apply(facts("node-a", "02:00:00:00:00:0a", &[("10.0.0.1", STRANGER)]));
    world.settle();
    assert_eq!(world.shows("a"), ["10.0.0.1"]);
    assert_eq!(moved(&mut world), []);
}

#[test]
fn of_two_addresses_that_strangers_have_none_is_given_again_and_again() {
    let mut world = World::of(&[pool("default", 0, &["10.0.0.1-10.0.0.2"]), service("a", 1)]);
    world.settle();
    let mut writes = 0;
    for _ in 0..20 {
        // A speaker that finds an address taken tells so, and forgets it when the address moves on.
        let [address] = &world.shows("a")[..] else { panic!("{}", world.condition("a")) };
        let address = address.clone();
        world.controller.apply(facts("node-a", "02:00:00:00:00:0a", &[(&address, STRANGER)]));
        writes += world.settle().len();
        if world.shows("a") != [address] {
            world.controller.apply(facts("node-a", "02:00:00:00:00:0a", &[]));
            writes += world.settle().len();
        }
    }
    assert!(writes <= 4, "{writes} writes");
}

// What is left of MetalLB.

fn metallb_pod(component: &str, phase: &str) -> Change {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("{component}-1"), "namespace": "metallb-system",
            "labels": {"app": "metallb", "component": component},
        },
        "spec": {"nodeName": "node-a", "containers": []}, "status": {"phase": phase},
    });
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let (leftover, runs) = Leftover::of_pod(&pod).unwrap();
    Change::Leftover(leftover, runs)
}

fn gone(component: &str) -> Change {
    Change::PodGone("metallb-system".to_owned(), format!("{component}-1"))
}

#[test]
fn nothing_is_written_while_metallbs_controller_runs_and_all_of_it_when_it_is_gone() {
    for end in [gone("controller"), metallb_pod("controller", "Succeeded")] {
        let mut world = rival_world(&[]);
        world.controller.apply(metallb_pod("controller", "Running"));
        assert_eq!(world.settle().len(), 0);
        assert!(world.problems().iter().any(|it| it.contains("MetalLB's controller still runs")));
        // What it gives meanwhile is seen, and stays.
        world.tell(service("b", 3));
        world.edit("Service", "b", &json!({"status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.0"}]}}}));
        assert_eq!(world.settle().len(), 0);
        world.controller.apply(end);
        assert_eq!(world.settle().len(), 2);
        assert_eq!(
            (world.shows("a"), world.shows("b")),
            (vec!["10.0.0.1".to_owned()], vec!["10.0.0.0".to_owned()])
        );
        world.check_restart();
    }
}

#[test]
fn metallbs_speaker_holds_no_controller_back_and_a_controller_only_if_not_told_otherwise() {
    let mut world = rival_world(&[]);
    world.controller.apply(metallb_pod("speaker", "Running"));
    assert_eq!(world.settle().len(), 1);
    let mut world = rival_world(&[]);
    world.controller.set_beside_metallb(true);
    world.controller.apply(metallb_pod("controller", "Running"));
    assert_eq!(world.settle().len(), 1);
    assert!(
        world.problems().iter().any(|it| it.contains("MetalLB's controller still runs")),
        "it is told all the same"
    );
}

// The ConfigMap beside pools.

fn codes(world: &World) -> Vec<&str> {
    world.controller.problems().map(|problem| &*problem.code).collect()
}

#[test]
fn the_config_map_stays_as_long_as_an_address_is_only_in_it_and_goes_when_it_is_covered() {
    let advertisement = crate::harness::advertisement("all", &json!({}));
    let mut world =
        World::of(&[config_map(&legacy("old", "10.0.0.1-10.0.0.9")), advertisement, service("a", 1)]);
    world.settle();
    world.tell(pool("new", 1, &["10.1.0.1-10.1.0.9"]));
    assert_eq!(codes(&world), ["NotCovered"]);
    assert_eq!(world.settle().len(), 0);
    assert_eq!(world.shows("a"), ["10.0.0.1"]);
    world.check_restart();
    assert_eq!(codes(&world), ["NotCovered"]);
    world.tell(pool("covers", 2, &["10.0.0.0/24"]));
    assert_eq!(codes(&world), ["NotInForce"]);
    assert_eq!(world.settle().len(), 1, "the record names the pool that has it now");
    assert_eq!(world.shows("a"), ["10.0.0.1"]);
    world.controller.apply(Change::Config(Box::new(ConfigChange::ConfigMapGone)));
    assert_eq!(codes(&world), Vec::<&str>::new());
    assert_eq!(world.settle().len(), 0);
}

#[test]
fn the_config_map_goes_with_the_last_service_that_holds_an_address_of_it() {
    let mut world = World::of(&[config_map(&legacy("old", "10.0.0.1-10.0.0.9")), service("a", 1)]);
    world.settle();
    world.tell(pool("new", 1, &["10.1.0.1-10.1.0.9"]));
    assert!(codes(&world).contains(&"NotCovered"));
    world.tell_gone("Service", "a");
    assert!(codes(&world).contains(&"NotInForce"), "{:?}", codes(&world));
    world.tell(service("b", 2));
    world.settle();
    assert_eq!(world.shows("b"), ["10.1.0.1"]);
}

#[test]
fn a_stale_config_map_is_told_of_and_counts_only_if_it_always_does() {
    let objects = [config_map(&legacy("old", "10.0.0.1-10.0.0.9")), pool("new", 1, &["10.1.0.1/32"])];
    let world = World::of(&objects);
    assert!(codes(&world).contains(&"NotInForce"));
    let mut controller = Controller::new(LostAddresses::Keep, FollowConfigMap::Always);
    for object in &objects {
        controller.apply(Change::Config(config_change(object)));
    }
    controller.apply(Change::Service(view(&service("a", 1))));
    controller.apply(Change::Service(view(&service("b", 2))));
    controller.apply(Change::Synced);
    assert!(!controller.problems().any(|problem| ["NotInForce", "NotCovered"].contains(&&*problem.code)));
    let pools: Vec<&str> = controller.allocator().pools().map(|pool| pool.name.as_str()).collect();
    assert_eq!(pools.len(), 2, "{pools:?}");
    assert_eq!(std::iter::from_fn(|| controller.next_write()).count(), 2);
}

/// What a pool of today's does to a ConfigMap that has 10.0.0.1-10.0.0.9, of which `a` holds 10.0.0.1.
fn beside_config_map(pool: Value) -> World {
    let advertisement = crate::harness::advertisement("all", &json!({}));
    let mut world =
        World::of(&[config_map(&legacy("old", "10.0.0.1-10.0.0.9")), advertisement, service("a", 1)]);
    world.settle();
    world.tell(pool);
    assert_eq!(world.settle().len(), 0);
    assert_eq!((codes(&world), world.shows("a")), (vec!["NotCovered"], vec!["10.0.0.1".to_owned()]));
    world
}

#[test]
fn a_pool_of_the_config_maps_own_name_that_does_not_cover_it_stands_beside_it() {
    let mut world = beside_config_map(pool("old", 1, &["10.0.0.4-10.0.0.5"]));
    let ranges: Vec<String> =
        world.controller.allocator().pools().flat_map(|pool| &pool.ranges).map(ToString::to_string).collect();
    assert_eq!(ranges, ["10.0.0.4-10.0.0.5", "10.0.0.1-10.0.0.3", "10.0.0.6-10.0.0.9"]);
    world.check_restart();
    world.tell(pool("old", 1, &["10.0.0.0/28"]));
    assert_eq!(world.settle().len(), 0);
    assert_eq!(codes(&world), ["NotInForce"]);
}

#[test]
fn a_pool_that_overlaps_the_config_maps_takes_only_what_both_have() {
    let mut world = beside_config_map(pool("new", 1, &["10.0.0.3-10.0.0.99"]));
    for name in ["b", "c"] {
        world.tell(service(name, 2));
    }
    world.settle();
    assert_eq!([world.shows("b"), world.shows("c")].concat(), ["10.0.0.3", "10.0.0.4"]);
    world.check_restart();
    world.tell_gone("Service", "a");
    assert_eq!(codes(&world), ["NotInForce"]);
}

#[test]
fn an_address_without_a_record_or_with_one_of_old_keeps_the_config_map() {
    for record in [None, Some("old"), Some("another")] {
        let annotation = record.map(|name| json!({"metallb.universe.tf/ip-allocated-from-pool": name}));
        let shown = json!({
            "metadata": {"annotations": annotation},
            "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.7"}]}},
        });
        let mut world = World::of(&[
            config_map(&legacy("old", "10.0.0.1-10.0.0.9")),
            pool("new", 1, &["10.1.0.1-10.1.0.9"]),
            with(service("a", 1), &shown),
        ]);
        let written = world.settle();
        let ours = record != Some("another");
        assert_eq!(codes(&world).contains(&"NotCovered"), ours, "{record:?}");
        assert_eq!(world.shows("a"), ["10.0.0.7"], "{record:?}");
        assert!(written.iter().all(|it| it.lost.is_none()), "{record:?}");
        if ours {
            assert_eq!(world.condition("a"), "True/Assigned: 10.0.0.7 from pool \"old\"");
        }
    }
}

#[test]
fn deprecated_annotations_are_told_of_once_and_not_at_every_restart() {
    let old = json!({"metadata": {"annotations": {"metallb.universe.tf/address-pool": "default"}}});
    let mut world = rival_world(&[with(service("b", 3), &old)]);
    let told = |world: &mut World| {
        let notices = world.controller.notices();
        notices.iter().filter(|it| matches!(it, Notice::Deprecated { .. })).count()
    };
    world.settle();
    assert_eq!(told(&mut world), 1);
    world.edit("Service", "b", &json!({"metadata": {"labels": {"a": "b"}}}));
    world.settle();
    assert_eq!(told(&mut world), 0);
    world.check_restart();
    assert_eq!(told(&mut world), 0);
}

#[test]
fn whoever_loses_an_address_is_told_of_which_and_why() {
    let mut world = rival_world(&[]);
    world.settle();
    world.edit("Service", "a", &json!({"spec": {"loadBalancerIP": "10.0.0.77"}}));
    let written = world.settle();
    assert_eq!(
        written[0].lost.as_deref(),
        Some(
            "Warning ClearAssignment: 10.0.0.0 is not this Service's any more: 10.0.0.77 from pool \"default\""
        )
    );
    assert_eq!(written.len(), 1);
}
