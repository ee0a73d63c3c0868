//! A controller without its edge, and the objects as a server would store them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Namespace, Node};
use k8s_openapi::jiff::Timestamp;
use lbcore::{Avoided, LostAddresses, ServiceKey};
use lbk8s::controller::{Change, Controller, MemoryWrite, Notice};
use lbk8s::objects::Severity;
use lbk8s::objects::config::{ConfigChange, FollowConfigMap};
use lbk8s::objects::namespace::NamespaceView;
use lbk8s::objects::node;
use serde_json::{Value, json};

use super::{condition, config_change, shown, view, with};

/// A controller that can be started anew on what is stored.
pub(crate) struct World {
    pub(crate) controller: Controller,
    lost_addresses: LostAddresses,
    /// By kind and name. All Services are in `default`.
    objects: BTreeMap<(String, String), Value>,
    version: u64,
    minute: u32,
    /// Seconds of the year 2025.
    now: i64,
}

/// A status that was written.
pub(crate) struct Written {
    pub(crate) name: String,
    pub(crate) patch: Value,
    /// As `Type Reason: note`.
    pub(crate) event: Option<String>,
    /// What is told of the addresses that it shows no more.
    #[allow(dead_code, reason = "not every test looks at it")]
    pub(crate) lost: Option<String>,
}

impl Written {
    pub(crate) fn event(&self) -> &str {
        self.event.as_deref().unwrap_or_default()
    }
}

/// The `metadata` with one annotation, as a merge patch; `null` removes it.
pub(crate) fn annotate(key: &str, value: impl Into<Value>) -> Value {
    let value: Value = value.into();
    json!({"metadata": {"annotations": {key: value}}})
}

pub(crate) fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// A Node with these addresses, each as its type and text.
pub(crate) fn node(name: &str, addresses: &[(&str, &str)]) -> Value {
    let addresses: Vec<Value> =
        addresses.iter().map(|(kind, address)| json!({"type": kind, "address": address})).collect();
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"addresses": addresses},
    })
}

pub(crate) fn node_addresses(node: &Value) -> BTreeMap<IpAddr, Avoided> {
    let node: Node = serde_json::from_value(node.clone()).unwrap();
    node::addresses(&node)
}

pub(crate) fn names(written: &[Written]) -> Vec<&str> {
    written.iter().map(|written| written.name.as_str()).collect()
}

fn id(object: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&object["kind"]), text(&object["metadata"]["name"]))
}

impl World {
    /// A controller that knows all of these.
    pub(crate) fn of(objects: &[Value]) -> Self {
        Self::that(LostAddresses::Keep, objects)
    }

    /// A controller that knows all of these, and treats lost addresses in this way.
    pub(crate) fn that(lost_addresses: LostAddresses, objects: &[Value]) -> Self {
        let objects = objects.iter().map(|object| (id(object), object.clone())).collect();
        let controller = Controller::default();
        let mut world = Self { controller, lost_addresses, objects, version: 100, minute: 0, now: 0 };
        world.restart();
        world
    }

    /// Another process takes over, and knows only what is stored.
    pub(crate) fn restart(&mut self) {
        self.controller = Controller::new(self.lost_addresses, FollowConfigMap::default());
        self.pass(0);
        for object in self.objects.values() {
            self.controller.apply(change(object));
        }
        self.controller.apply(Change::Synced);
    }

    /// Time goes by.
    pub(crate) fn pass(&mut self, seconds: i64) {
        self.now += seconds;
        let year: Timestamp = "2025-01-01T00:00:00Z".parse().unwrap();
        self.controller.advance(year.as_microsecond() + self.now * 1_000_000);
    }

    pub(crate) fn tell(&mut self, object: Value) {
        self.controller.apply(change(&object));
        self.objects.insert(id(&object), object);
    }

    pub(crate) fn tell_gone(&mut self, kind: &str, name: &str) {
        self.objects.remove(&(kind.to_owned(), name.to_owned())).unwrap();
        let name = name.to_owned();
        self.controller.apply(match kind {
            "Service" => Change::ServiceGone(ServiceKey::new("default", name), String::new()),
            "Namespace" => Change::Namespace(name, None),
            "Node" => Change::Node(name, None),
            "IPAddressPool" => Change::Config(Box::new(ConfigChange::PoolGone(name))),
            "L2Advertisement" => Change::Config(Box::new(ConfigChange::AdvertisementGone(name))),
            other => panic!("{other} cannot go"),
        });
    }

    /// Somebody changes an object.
    pub(crate) fn edit(&mut self, kind: &str, name: &str, patch: &Value) {
        self.version += 1;
        let version = json!({"metadata": {"resourceVersion": self.version.to_string()}});
        self.tell(with(with(self.object(kind, name).clone(), patch), &version));
    }

    pub(crate) fn object(&self, kind: &str, name: &str) -> &Value {
        &self.objects[&(kind.to_owned(), name.to_owned())]
    }

    pub(crate) fn service(&self, name: &str) -> &Value {
        self.object("Service", name)
    }

    /// Makes all writes of statuses that are due, as a server would.
    pub(crate) fn settle(&mut self) -> Vec<Written> {
        let mut written = Vec::new();
        while let Some(write) = self.controller.next_write() {
            assert!(written.len() < 1000, "it writes for ever");
            self.minute += 1;
            let now: Timestamp =
                format!("2025-01-01T{:02}:{:02}:00Z", self.minute / 60, self.minute % 60).parse().unwrap();
            let patch = write.patch(now);
            let name = write.key.name().to_owned();
            let stored = self.service(&name).clone();
            assert_eq!(patch["metadata"]["resourceVersion"], stored["metadata"]["resourceVersion"]);
            let unversioned = json!({"metadata": {"resourceVersion": null}});
            let changed = with(with(stored.clone(), &patch), &unversioned) != with(stored, &unversioned);
            assert!(changed, "a vain write of {name}");
            let event =
                |it: &lbk8s::events::Event| format!("{} {}: {}", it.severity.as_str(), it.reason, it.note);
            let (lost, events): (Vec<_>, Vec<_>) =
                write.events.iter().partition(|it| it.note.contains("is not this Service's any more"));
            assert!(lost.len() <= 1 && events.len() <= 1, "{lost:?} {events:?}");
            let lost = lost.first().map(|it| event(it));
            let event = events.first().map(|it| event(it));
            written.push(Written { name: name.clone(), patch: patch.clone(), event, lost });
            self.version += 1;
            let version = json!({"metadata": {"resourceVersion": self.version.to_string()}});
            self.tell(with(with(self.service(&name).clone(), &patch), &version));
        }
        written
    }

    /// Writes what is to be remembered on the pools, as a server would.
    pub(crate) fn settle_memory(&mut self) -> Vec<MemoryWrite> {
        let mut written = Vec::new();
        while let Some(write) = self.controller.next_memory() {
            assert!(written.len() < 1000, "it writes for ever");
            self.edit("IPAddressPool", &write.pool, &write.patch());
            written.push(write);
        }
        written
    }

    pub(crate) fn shows(&self, name: &str) -> Vec<String> {
        shown(self.service(name))
    }

    pub(crate) fn condition(&self, name: &str) -> String {
        condition(self.service(name))
    }

    /// What is recorded of a Service's lost addresses: null if there is no record.
    pub(crate) fn kept(&self, name: &str) -> Value {
        kept(self.service(name))
    }

    pub(crate) fn problems(&mut self) -> Vec<String> {
        let notices = self.controller.notices();
        let problem = |notice| match notice {
            Notice::Problem(problem) if problem.severity == Severity::Error => Some(problem.to_string()),
            _ => None,
        };
        notices.into_iter().filter_map(problem).collect()
    }

    /// A new process has nothing to add.
    pub(crate) fn check_restart(&mut self) {
        self.restart();
        let written = self.settle();
        let written: Vec<&Value> = written.iter().map(|written| &written.patch).collect();
        assert!(written.is_empty(), "a restart wrote {written:?}");
        assert_eq!(self.settle_memory(), []);
    }
}

/// The record of lost addresses on a Service: null if there is none.
pub(crate) fn kept(service: &Value) -> Value {
    let text = service["metadata"]["annotations"]["lbd.io/kept"].as_str();
    text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

fn change(object: &Value) -> Change {
    let (kind, name) = id(object);
    match kind.as_str() {
        "Service" => Change::Service(view(object)),
        "Node" => Change::Node(name, Some(node_addresses(object))),
        "Namespace" => {
            let namespace: Namespace = serde_json::from_value(object.clone()).unwrap();
            Change::Namespace(name, Some(NamespaceView::read(&namespace)))
        }
        _ => Change::Config(config_change(object)),
    }
}
