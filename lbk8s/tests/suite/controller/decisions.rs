//! The controller's pure part: what it decides and writes when it is told of Services and pools.
#![cfg(feature = "controller")]

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use lbcore::ServiceKey;
use lbk8s::ObjectRef;
use lbk8s::controller::{Change, Controller, Notice};
use lbk8s::objects::Severity;
use lbk8s::objects::config::ConfigChange;
use serde_json::{Value, json};

use crate::harness::{
    advertisement, condition, config_change, config_map, holding, legacy, pool, service, shown, view, with,
};

/// A controller, and the Services as a server would store them.
#[derive(Default)]
struct World {
    controller: Controller,
    services: BTreeMap<String, Value>,
    version: u64,
    minute: u32,
}

/// A status that was written.
struct Written {
    name: String,
    patch: Value,
    event: Option<String>,
}

fn name_of(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

impl World {
    /// A controller that knows all of these.
    fn synced(objects: &[Value]) -> Self {
        let mut world = Self { version: 100, ..Self::default() };
        for object in objects {
            world.tell(object.clone());
        }
        world.controller.apply(Change::Synced);
        world
    }

    fn tell(&mut self, object: Value) {
        if object["kind"] == "Service" {
            self.controller.apply(Change::Service(view(&object)));
            self.services.insert(name_of(&object), object);
        } else {
            self.controller.apply(Change::Config(config_change(&object)));
        }
    }

    fn tell_gone(&mut self, name: &str) {
        self.services.remove(name);
        self.controller.apply(Change::ServiceGone(ServiceKey::new("default", name), String::new()));
    }

    /// A user changes a Service.
    fn edit(&mut self, name: &str, patch: &Value) {
        self.version += 1;
        let version = json!({"metadata": {"resourceVersion": self.version.to_string()}});
        self.tell(with(with(self.services[name].clone(), patch), &version));
    }

    /// Makes all writes that are due, as a server would.
    fn settle(&mut self) -> Vec<Written> {
        let mut written = Vec::new();
        while let Some(write) = self.controller.next_write() {
            assert!(written.len() < 1000, "it writes for ever");
            self.minute += 1;
            let now: Timestamp =
                format!("2025-01-01T{:02}:{:02}:00Z", self.minute / 60, self.minute % 60).parse().unwrap();
            let patch = write.patch(now);
            let name = write.key.name().to_owned();
            let stored = self.services[&name].clone();
            assert_eq!(patch["metadata"]["resourceVersion"], stored["metadata"]["resourceVersion"]);
            self.version += 1;
            let version = json!({"metadata": {"resourceVersion": self.version.to_string()}});
            let event = write.events.last().map(|event| format!("{} {}", event.reason, event.note));
            written.push(Written { name: name.clone(), patch: patch.clone(), event });
            let after = with(with(stored.clone(), &patch), &version);
            let told = with(after.clone(), &json!({"metadata": {"resourceVersion": null}}));
            assert_ne!(told, with(stored, &json!({"metadata": {"resourceVersion": null}})), "a vain write");
            self.tell(after);
        }
        written
    }

    fn shows(&self, name: &str) -> Vec<String> {
        shown(&self.services[name])
    }

    fn condition(&self, name: &str) -> String {
        condition(&self.services[name])
    }

    fn problems(&mut self) -> Vec<String> {
        let notices = self.controller.notices();
        let problem = |notice| match notice {
            Notice::Problem(problem) if problem.severity == Severity::Error => Some(problem.to_string()),
            _ => None,
        };
        notices.into_iter().filter_map(problem).collect()
    }
}

fn default_pool() -> Value {
    pool("default", 0, &["192.168.3.251-192.168.3.254"])
}

fn names(written: &[Written]) -> Vec<&str> {
    written.iter().map(|written| written.name.as_str()).collect()
}

#[test]
fn the_walkthrough_goes_as_it_is_told() {
    for source in [default_pool(), config_map(&legacy("default", "192.168.3.251-192.168.3.254"))] {
        let mut world = World::synced(&[source, service("gateway-a", 1), service("gateway-b", 2)]);
        assert!(matches!(&world.controller.notices()[0], Notice::Pools { pools, .. } if pools[0].2 == 4));
        assert_eq!(names(&world.settle()), ["gateway-a", "gateway-b"]);
        world.tell(service("nginx", 3));
        let written = world.settle();
        assert_eq!(world.shows("nginx"), ["192.168.3.253"]);
        let note = written[0].event.as_deref().unwrap();
        assert!(note.starts_with("IPAllocated Assigned 192.168.3.253 from pool \"default\""), "{note}");
        world.tell(with(service("pinned", 4), &json!({"spec": {"loadBalancerIP": "192.168.3.254"}})));
        world.tell(service("fifth", 5));
        let written = world.settle();
        assert_eq!(world.shows("pinned"), ["192.168.3.254"]);
        assert_eq!(world.shows("fifth"), Vec::<String>::new());
        let why = "no free IPv4 address: pool \"default\" has all 4 in use";
        assert_eq!(world.condition("fifth"), format!("False/PoolExhausted: {why}"));
        assert_eq!(written[1].event.as_deref(), Some(&*format!("AllocationFailed {why}")));
        world.tell_gone("nginx");
        assert_eq!(names(&world.settle()), ["fifth"]);
        assert_eq!(world.shows("fifth"), ["192.168.3.253"]);
        assert_eq!(world.condition("fifth"), "True/Assigned: 192.168.3.253 from pool \"default\"");
    }
}

#[test]
fn nothing_is_decided_before_everything_is_known() {
    let mut world = World::default();
    world.tell(service("new", 1));
    world.tell(default_pool());
    world.tell(service("newer", 2));
    world.tell_gone("newer");
    assert!(world.controller.next_write().is_none());
    assert!(world.controller.notices().is_empty());
    assert_eq!(world.controller.allocator().held().count(), 0);
    // What comes last would have lost its address to the first.
    world.tell(holding("old", 3, &["192.168.3.251"], "default"));
    world.controller.apply(Change::Synced);
    world.settle();
    assert_eq!(
        (world.shows("old"), world.shows("new")),
        (vec!["192.168.3.251".to_owned()], vec!["192.168.3.252".to_owned()])
    );
}

#[test]
fn what_is_held_is_taken_over_first_and_of_two_the_older_keeps_it() {
    let mut world = World::synced(&[
        default_pool(),
        service("a-new", 1),
        holding("b-young", 5, &["192.168.3.251"], "default"),
        holding("c-old", 2, &["192.168.3.251"], "default"),
        holding("d", 9, &["192.168.3.252"], "default"),
    ]);
    let written = world.settle();
    assert_eq!(world.shows("c-old"), ["192.168.3.251"]);
    assert_eq!(world.shows("d"), ["192.168.3.252"]);
    assert_eq!(world.shows("a-new"), ["192.168.3.253"]);
    assert_eq!(world.shows("b-young"), ["192.168.3.254"]);
    let order = names(&written);
    let turn = |name| order.iter().position(|it| *it == name).unwrap();
    assert!(turn("a-new") < turn("c-old") && turn("c-old") < turn("b-young"), "{order:?}");
    for name in ["c-old", "d"] {
        let event = &written[turn(name)].event;
        assert!(event.is_none(), "{name} has what it had, but: {event:?}");
    }
}

#[test]
fn a_wish_that_cannot_be_read_keeps_what_is_held_and_says_why() {
    let mut world = World::synced(&[default_pool(), service("a", 1)]);
    world.settle();
    world.edit("a", &json!({"spec": {"loadBalancerIP": "frog"}}));
    world.tell(service("b", 2));
    let written = world.settle();
    assert_eq!(
        (world.shows("a"), world.shows("b")),
        (vec!["192.168.3.251".to_owned()], vec!["192.168.3.252".to_owned()])
    );
    let why = "spec.loadBalancerIP: \"frog\" is no IP address";
    assert_eq!(world.condition("a"), format!("True/InvalidRequest: {why}"));
    assert_eq!(written[0].event.as_deref(), Some(&*format!("LoadBalancerFailed {why}")));
    world.edit("a", &json!({"spec": {"loadBalancerIP": null}}));
    world.settle();
    assert_eq!(world.shows("a"), ["192.168.3.251"]);
    assert_eq!(world.condition("a"), "True/Assigned: 192.168.3.251 from pool \"default\"");
}

#[test]
fn after_a_restart_the_address_of_a_service_whose_wish_cannot_be_read_is_nobody_elses() {
    let unclear = json!({"spec": {"loadBalancerIP": "frog"}});
    let unclear = with(holding("a", 1, &["192.168.3.251"], "default"), &unclear);
    let mut world = World::synced(&[default_pool(), unclear, service("b", 2)]);
    world.settle();
    assert_eq!(world.shows("a"), ["192.168.3.251"]);
    assert_eq!(world.shows("b"), ["192.168.3.252"]);
}

#[test]
fn a_service_of_another_type_gives_back_its_address_and_our_traces_go() {
    let mut world = World::synced(&[default_pool(), service("a", 1)]);
    world.settle();
    world.edit("a", &json!({"spec": {"type": "ClusterIP"}}));
    let written = world.settle();
    assert_eq!(written[0].event.as_deref(), Some("ClearAssignment It asks for no address any more"));
    assert_eq!((world.shows("a").len(), world.condition("a")), (0, "/: ".to_owned()));
    assert!(
        world.services["a"]["metadata"]["annotations"].get("metallb.io/ip-allocated-from-pool").is_none()
    );
    world.tell(service("b", 2));
    world.settle();
    assert_eq!(world.shows("b"), ["192.168.3.251"]);
    world.edit("a", &json!({"spec": {"type": "LoadBalancer"}}));
    world.settle();
    assert_eq!(world.shows("a"), ["192.168.3.252"]);
}

#[test]
fn a_service_of_another_class_is_not_touched() {
    let theirs = json!({"spec": {"loadBalancerClass": "example.com/other"}});
    let mut world = World::synced(&[
        default_pool(),
        with(holding("theirs", 1, &["192.168.3.251"], "default"), &theirs),
        with(service("theirs-too", 1), &theirs),
    ]);
    assert!(world.settle().is_empty());
    // It is recreated without a class: then it is ours.
    world.edit("theirs-too", &json!({"spec": {"loadBalancerClass": null}}));
    assert_eq!(names(&world.settle()), ["theirs-too"]);
}

#[test]
fn a_pool_removed_under_a_live_service_takes_nothing_and_that_is_said() {
    let mut world = World::synced(&[default_pool(), service("a", 1)]);
    world.settle();
    world.controller.apply(Change::Config(Box::new(ConfigChange::PoolGone("default".to_owned()))));
    let written = world.settle();
    assert_eq!(world.shows("a"), ["192.168.3.251"]);
    assert!(world.condition("a").starts_with("True/PoolGone: 192.168.3.251 "), "{}", world.condition("a"));
    assert!(written[0].event.as_deref().unwrap().starts_with("AllocationFailed 192.168.3.251 is kept "));
    world.tell(service("b", 2));
    world.settle();
    assert!(world.condition("b").starts_with("False/NoPools: "));
    // A restart meanwhile changes nothing.
    let objects: Vec<Value> = world.services.values().cloned().collect();
    assert!(World::synced(&objects).settle().is_empty());
    world.tell(default_pool());
    world.settle();
    assert_eq!(
        (world.shows("a"), world.shows("b")),
        (vec!["192.168.3.251".to_owned()], vec!["192.168.3.252".to_owned()])
    );
    assert_eq!(world.condition("a"), "True/Assigned: 192.168.3.251 from pool \"default\"");
}

#[test]
fn a_config_map_beside_pools_is_out_of_force_and_comes_back_without_them() {
    let map = config_map(&legacy("old", "10.0.0.1-10.0.0.9"));
    let mut world = World::synced(&[map, default_pool(), service("a", 1)]);
    world.settle();
    assert_eq!(world.shows("a"), ["192.168.3.251"]);
    let told: Vec<String> = world.controller.problems().map(ToString::to_string).collect();
    let stale = "ConfigMap metallb-system/config: data.config: is not in force, because there are IPAddressPools; \
                 delete the ConfigMap";
    assert!(told.iter().any(|it| it == stale), "{told:?}");
    assert_eq!(world.problems(), Vec::<String>::new(), "many clusters have one left: that is no error");
    world.controller.apply(Change::Config(Box::new(ConfigChange::PoolGone("default".to_owned()))));
    world.tell(service("b", 2));
    world.settle();
    assert_eq!(
        (world.shows("a"), world.shows("b")),
        (vec!["192.168.3.251".to_owned()], vec!["10.0.0.1".to_owned()])
    );
    let notices = world.controller.notices();
    assert!(notices.iter().any(|it| matches!(it, Notice::Pools { source: "ConfigMap", .. })), "{notices:?}");
}

#[test]
fn a_broken_pool_keeps_its_last_good_form_and_hinders_no_other() {
    let mut world = World::synced(&[default_pool(), pool("other", 1, &["10.0.0.1/32"]), service("a", 1)]);
    world.settle();
    world.tell(pool("default", 0, &["192.168.3.251-192.168.3.254", "10.0.0.9-10.0.0.1"]));
    let problems = world.problems();
    assert!(problems.len() == 1 && problems[0].contains(" spec.addresses[1]: "), "{problems:?}");
    assert!(world.settle().is_empty());
    world.tell(service("b", 2));
    world.settle();
    assert_eq!(world.shows("b"), ["192.168.3.252"]);
}

#[test]
fn a_broken_config_map_keeps_its_last_good_form() {
    for broken in [
        "address-pools: [".to_owned(),
        "address-pools: 7\n".to_owned(),
        legacy("default", "192.168.3.254-192.168.3.251"),
        format!("{}- {{name: 7, addresses: x}}\n", legacy("default", "192.168.3.251-192.168.3.254")),
    ] {
        let good = config_map(&legacy("default", "192.168.3.251-192.168.3.254"));
        let mut world = World::synced(&[good, service("a", 1)]);
        world.settle();
        world.controller.notices();
        world.tell(config_map(&broken));
        assert!(!world.problems().is_empty(), "{broken}");
        let written = world.settle();
        assert!(written.is_empty(), "{broken}: now {}", world.condition("a"));
        world.tell(service("b", 2));
        world.settle();
        assert_eq!(world.shows("b"), ["192.168.3.252"], "{broken}");
    }
}

#[test]
fn a_pool_that_was_never_good_takes_no_config_map_out_of_force() {
    let map = config_map(&legacy("default", "192.168.3.251-192.168.3.254"));
    let mut world = World::synced(&[map, service("a", 1)]);
    world.settle();
    world.tell(pool("broken", 1, &["frog"]));
    world.tell(service("b", 2));
    world.settle();
    assert_eq!(world.condition("a"), "True/Assigned: 192.168.3.251 from pool \"default\"");
    assert_eq!(world.shows("b"), ["192.168.3.252"]);
}

#[test]
fn a_problem_is_noticed_once_and_once_more_when_it_comes_back() {
    let mut world = World::synced(&[default_pool()]);
    let bad = pool("bad", 1, &["frog"]);
    world.tell(bad.clone());
    assert_eq!(world.problems().len(), 1);
    world.tell(bad.clone());
    world.tell(pool("another", 2, &["10.0.0.0/24"]));
    world.tell(bad.clone());
    assert_eq!(world.problems(), Vec::<String>::new());
    world.tell(pool("overlaps", 3, &["10.0.0.7/32"]));
    world.tell(bad.clone());
    let problems = world.problems();
    assert!(
        problems.len() == 1 && problems[0].contains("IPAddressPool metallb-system/overlaps"),
        "{problems:?}"
    );
    world.tell(pool("bad", 1, &["10.0.1.0/24"]));
    world.tell(bad);
    assert_eq!(world.problems().len(), 1);
}

#[test]
fn what_is_shown_already_is_never_written_again() {
    let mut objects = vec![
        pool("default", 0, &["192.168.3.251-192.168.3.252", "fd00::1-fd00::9"]),
        pool("aside", 0, &["10.0.0.1-10.0.0.9"]),
        service("plain", 1),
        with(
            service("both", 2),
            &json!({"spec": {"clusterIPs": ["10.96.0.7", "fd96::7"], "ipFamilyPolicy": "PreferDualStack"}}),
        ),
        with(
            service("one-of-both", 3),
            &json!({
                "metadata": {"annotations": {"metallb.io/address-pool": "aside"}},
                "spec": {"clusterIPs": ["10.96.0.7", "fd96::7"], "ipFamilyPolicy": "PreferDualStack"},
            }),
        ),
        with(service("mute", 4), &json!({"spec": {"loadBalancerIP": "frog"}})),
        with(
            service("unknown-pool", 5),
            &json!({"metadata": {"annotations": {"metallb.io/address-pool": "none"}}}),
        ),
        with(service("taken", 6), &json!({"spec": {"loadBalancerIP": "192.168.3.251"}})),
        with(service("outside", 7), &json!({"spec": {"loadBalancerIP": "172.16.0.1"}})),
        with(service("cluster", 8), &json!({"spec": {"type": "ClusterIP"}})),
    ];
    for name in ["shared-a", "shared-b"] {
        let shared = json!({
            "metadata": {"annotations": {"metallb.io/allow-shared-ip": "k", "metallb.io/loadBalancerIPs": "10.0.0.7"}},
            "spec": {"ports": [{"port": if name == "shared-a" { 1 } else { 2 }}]},
        });
        objects.push(with(service(name, 9), &shared));
    }
    objects.push(with(service("will-not-share", 10), &json!({"spec": {"loadBalancerIP": "10.0.0.7"}})));
    let mut world = World::synced(&objects);
    let first = world.settle();
    assert_eq!(first.len(), objects.len() - 3, "one for each LoadBalancer Service: {:?}", names(&first));
    for object in world.services.values().cloned().collect::<Vec<_>>() {
        world.tell(object);
    }
    world.tell(objects[0].clone());
    world.controller.apply(Change::Synced);
    assert_eq!(names(&world.settle()), Vec::<&str>::new(), "after being told the same again");
    let again: Vec<Value> = objects[..2].iter().chain(world.services.values()).cloned().collect();
    let written = World::synced(&again).settle();
    assert_eq!(names(&written), Vec::<&str>::new(), "after a restart");
}

#[test]
fn a_write_keeps_what_others_wrote_and_carries_the_version() {
    let theirs = json!({"type": "example.com/Ready", "status": "True", "reason": "R", "message": "m",
        "lastTransitionTime": "2023-05-05T05:05:05Z", "observedGeneration": 7});
    let entry = json!({"ip": "192.168.3.251", "ipMode": "Proxy", "ports": [{"port": 80, "protocol": "TCP"}]});
    let patch = json!({
        "metadata": {"resourceVersion": "77", "annotations": {"their": "own"}},
        "status": {"conditions": [theirs], "loadBalancer": {"ingress": [entry, {"hostname": "a.example"}]}},
    });
    let mut world = World::synced(&[default_pool(), with(holding("a", 1, &[], "default"), &patch)]);
    let written = world.settle();
    assert_eq!(written[0].patch["metadata"]["resourceVersion"], "77");
    let status = &world.services["a"]["status"];
    assert_eq!(status["loadBalancer"]["ingress"], json!([entry, {"hostname": "a.example"}]));
    assert_eq!(status["conditions"][0], theirs);
    assert_eq!(status["conditions"].as_array().unwrap().len(), 2);
    assert_eq!(world.services["a"]["metadata"]["annotations"]["their"], "own");
    assert!(written[0].patch["metadata"]["annotations"].as_object().unwrap().len() == 1);
}

#[test]
fn the_time_of_the_condition_changes_with_its_status_only() {
    let time = |world: &World| {
        let conditions = world.services["a"]["status"]["conditions"].as_array().unwrap().clone();
        conditions.iter().find(|it| it["type"] == "lbd.io/Assigned").unwrap()["lastTransitionTime"].clone()
    };
    let mut world = World::synced(&[default_pool(), service("a", 1)]);
    world.settle();
    let assigned = time(&world);
    world.edit("a", &json!({"spec": {"loadBalancerIP": "192.168.3.254"}}));
    assert_eq!(world.settle().len(), 1);
    assert_eq!(time(&world), assigned);
    world.edit("a", &json!({"spec": {"loadBalancerIP": "frog"}}));
    assert_eq!(world.settle().len(), 1);
    assert_eq!(time(&world), assigned);
    world.edit("a", &json!({"spec": {"loadBalancerIP": null, "type": "ClusterIP"}}));
    world.settle();
    world.controller.apply(Change::Config(Box::new(ConfigChange::PoolGone("default".to_owned()))));
    world.edit("a", &json!({"spec": {"type": "LoadBalancer"}}));
    world.settle();
    assert_ne!(time(&world), assigned);
}

#[test]
fn an_old_form_of_a_service_told_late_undoes_nothing() {
    let mut world = World::synced(&[default_pool(), service("a", 1)]);
    world.settle();
    let old = world.services["a"].clone();
    world.edit("a", &json!({"spec": {"loadBalancerIP": "192.168.3.254"}}));
    world.tell(with(service("waits", 2), &json!({"spec": {"loadBalancerIP": "192.168.3.254"}})));
    world.settle();
    world.edit("a", &json!({"metadata": {"labels": {"x": "y"}}}));
    // The write was answered with the new form; the watch still tells of the one before.
    let new = world.services["a"].clone();
    world
        .controller
        .apply(Change::Service(view(&with(old, &json!({"spec": {"loadBalancerIP": "192.168.3.251"}})))));
    world.controller.apply(Change::Service(view(&new)));
    world.settle();
    assert_eq!(world.shows("a"), ["192.168.3.254"]);
    assert_eq!(world.shows("waits"), Vec::<String>::new());
}

#[test]
fn objects_for_bgp_and_pools_that_nobody_announces_are_warned_of() {
    let mut world = World::synced(&[default_pool()]);
    let peer = ObjectRef {
        api_version: "metallb.io/v1beta2".into(),
        kind: "BGPPeer".into(),
        namespace: "metallb-system".into(),
        name: "tor".into(),
        uid: "".into(),
    };
    let bgp = |present| Change::Config(Box::new(ConfigChange::Bgp { object: peer.clone(), present }));
    let warnings = |world: &mut World| -> Vec<String> {
        let told = world.controller.notices().into_iter().filter_map(|notice| match notice {
            Notice::Problem(problem) => Some(format!("{}: {}", problem.object, problem.code)),
            Notice::Solved(problem) => Some(format!("{}: {} no more", problem.object, problem.code)),
            _ => None,
        });
        told.collect()
    };
    assert_eq!(warnings(&mut world), ["IPAddressPool metallb-system/default: NotAdvertised"]);
    world.controller.apply(bgp(true));
    assert_eq!(warnings(&mut world), ["BGPPeer metallb-system/tor: NotServed"]);
    world.controller.apply(bgp(false));
    world.tell(advertisement("all", &json!({})));
    let solved = [
        "BGPPeer metallb-system/tor: NotServed no more",
        "IPAddressPool metallb-system/default: NotAdvertised no more",
    ];
    assert_eq!(warnings(&mut world), solved);
}
