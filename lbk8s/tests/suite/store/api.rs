//! A client that speaks plain JSON, for what typed clients hide.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::Client;
use kube::core::{Status, WatchEvent};
use lbk8s::Store;
use serde_json::{Value, json};

pub(crate) const SERVICES: &str = "/api/v1/namespaces/default/services";
pub(crate) const POOLS: &str = "/apis/metallb.io/v1beta1/namespaces/default/ipaddresspools";
pub(crate) const NAMESPACES: &str = "/api/v1/namespaces";
pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub(crate) const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";

pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";

/// Whatever a test waits for has come long before.
const DEADLINE: Duration = Duration::from_secs(20);

/// The future's value; a test that waits in vain fails here.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(DEADLINE, future).await;
    waited.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

pub(crate) type Answer = Result<Value, Box<Status>>;

#[derive(Clone)]
pub(crate) struct Raw(pub(crate) Client);

impl Raw {
    pub(crate) fn of(store: &Store) -> Self {
        Self(store.client())
    }

    pub(crate) async fn send(&self, method: &str, path: &str, content_type: &str, body: &str) -> Answer {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.header("content-type", content_type).body(body.as_bytes().to_vec()).unwrap();
        match self.0.request(request).await {
            Ok(value) => Ok(value),
            Err(kube::Error::Api(status)) => Err(status),
            Err(other) => panic!("{method} {path}: {other}"),
        }
    }

    async fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send(method, path, "application/json", &body.to_string()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "application/json", "").await
    }

    pub(crate) async fn post(&self, path: &str, object: &Value) -> Answer {
        self.json("POST", path, object).await
    }

    pub(crate) async fn put(&self, path: &str, object: &Value) -> Answer {
        self.json("PUT", path, object).await
    }

    pub(crate) async fn merge(&self, path: &str, change: Value) -> Answer {
        self.send("PATCH", path, MERGE, &change.to_string()).await
    }

    /// A JSON patch: a list of operations.
    pub(crate) async fn operate(&self, path: &str, operations: Value) -> Answer {
        self.send("PATCH", path, JSON_PATCH, &operations.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, "application/json", "").await
    }

    pub(crate) async fn delete_with(&self, path: &str, options: Value) -> Answer {
        self.json("DELETE", path, &options).await
    }

    /// The names in a list, in its order.
    pub(crate) async fn names(&self, path: &str) -> Vec<String> {
        names(&self.get(path).await.unwrap())
    }

    /// The resource version of a list.
    pub(crate) async fn version(&self, path: &str) -> String {
        version(&self.get(path).await.unwrap())
    }

    /// Opens a watch; `query` is what follows `watch=true&`.
    pub(crate) async fn watch(&self, path: &str, query: &str) -> Watching {
        let request = http::Request::get(format!("{path}?watch=true&{query}")).body(Vec::new()).unwrap();
        let events = self.0.request_events::<Value>(request).await.unwrap();
        Watching(Box::pin(events))
    }
}

/// What a watch tells.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    Added(Value),
    Modified(Value),
    Deleted(Value),
    Bookmark { version: String, initial_events_end: bool },
    Error { code: u16, reason: String },
}

impl Told {
    /// As in `ADDED web`.
    pub(crate) fn short(&self) -> String {
        match self {
            Self::Added(object) => format!("ADDED {}", name(object)),
            Self::Modified(object) => format!("MODIFIED {}", name(object)),
            Self::Deleted(object) => format!("DELETED {}", name(object)),
            Self::Bookmark { initial_events_end: true, .. } => "INITIAL EVENTS END".to_owned(),
            Self::Bookmark { .. } => "BOOKMARK".to_owned(),
            Self::Error { code, reason } => format!("ERROR {code} {reason}"),
        }
    }

    /// The object, or the bookmark's version alone.
    pub(crate) fn version(&self) -> u64 {
        let text = match self {
            Self::Added(object) | Self::Modified(object) | Self::Deleted(object) => version(object),
            Self::Bookmark { version, .. } => version.clone(),
            Self::Error { .. } => panic!("no version: {self:?}"),
        };
        text.parse().unwrap()
    }

    pub(crate) fn object(&self) -> &Value {
        match self {
            Self::Added(object) | Self::Modified(object) | Self::Deleted(object) => object,
            Self::Bookmark { .. } | Self::Error { .. } => panic!("no object: {self:?}"),
        }
    }
}

type Events = dyn Stream<Item = kube::Result<WatchEvent<Value>>> + Send;

pub(crate) struct Watching(Pin<Box<Events>>);

impl Watching {
    /// The next event; `None` when the watch has ended.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        let event = in_time("an event", self.0.next()).await?;
        Some(match event.unwrap() {
            WatchEvent::Added(object) => Told::Added(object),
            WatchEvent::Modified(object) => Told::Modified(object),
            WatchEvent::Deleted(object) => Told::Deleted(object),
            WatchEvent::Bookmark(bookmark) => Told::Bookmark {
                version: bookmark.metadata.resource_version,
                initial_events_end: bookmark.metadata.annotations.get("k8s.io/initial-events-end")
                    == Some(&"true".to_owned()),
            },
            WatchEvent::Error(status) => Told::Error { code: status.code, reason: status.reason },
        })
    }

    /// The next event about an object.
    pub(crate) async fn change(&mut self) -> Told {
        loop {
            match self.next().await {
                Some(Told::Bookmark { .. }) => {}
                Some(told) => return told,
                None => panic!("the watch has ended"),
            }
        }
    }

    /// The events about objects up to the one that reads as `last`, that one included.
    pub(crate) async fn until(&mut self, last: &str) -> Vec<String> {
        let mut told = Vec::new();
        while told.last().is_none_or(|told| told != last) {
            told.push(self.change().await.short());
        }
        told
    }
}

/// What was refused, and with which code.
#[track_caller]
pub(crate) fn refused(answer: Answer, code: u16) -> Box<Status> {
    match answer {
        Err(status) if status.code == code => status,
        Err(status) => panic!("{code} was expected: {status:?}"),
        Ok(value) => panic!("{code} was expected: {value}"),
    }
}

pub(crate) fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

pub(crate) fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

pub(crate) fn names(list: &Value) -> Vec<String> {
    list["items"].as_array().unwrap().iter().map(name).collect()
}

pub(crate) fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}]},
    })
}

pub(crate) fn load_balancer(name: &str) -> Value {
    let mut service = service(name);
    service["spec"]["type"] = json!("LoadBalancer");
    service
}

pub(crate) fn pool(name: &str) -> Value {
    json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": name},
        "spec": {"addresses": ["192.0.2.0/28"]},
    })
}

pub(crate) fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}})
}

pub(crate) fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}
