//! A store, a controller on it that can be stopped and started, and somebody who notes down all that happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use kube::Client;
use kube::core::{Status, WatchEvent};
use lbk8s::Store;
use lbk8s::controller::{Settings, run};
use lbk8s::store::{Kinds, Verb};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::shown;

pub(crate) const SERVICES: &str = "/api/v1/namespaces/default/services";
pub(crate) const POOLS: &str = "/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools";
pub(crate) const EVENTS: &str = "/apis/events.k8s.io/v1/events";

/// Whatever a test waits for has come long before; most tests' clocks run ahead when nothing else is to do.
const DEADLINE: Duration = Duration::from_mins(10);
/// After this long without a change nothing more is to come.
const QUIET: Duration = Duration::from_secs(90);

/// What an injected fault says.
const FAULT: &str = "a fault that the test asked for";

/// Each change of a Service, in the order in which they were made: its kind and the object.
type Story = Arc<Mutex<Vec<(&'static str, Value)>>>;

pub(crate) struct Cluster {
    pub(crate) store: Store,
    client: Client,
    controller: Option<JoinHandle<()>>,
    story: Story,
}

impl Cluster {
    /// A store with one pool, and no controller yet.
    pub(crate) async fn with_pool(addresses: &[&str]) -> Self {
        let store = Store::with_bookmarks(Kinds::default(), Duration::from_mins(1));
        let client = store.client();
        let noted = Story::default();
        tokio::spawn(listen(client.clone(), noted.clone()));
        let cluster = Self { store, client, controller: None, story: noted };
        let namespace = json!({"metadata": {"name": "metallb-system"}});
        cluster.send("POST", "/api/v1/namespaces", &namespace).await.unwrap();
        if !addresses.is_empty() {
            let pool = json!({"metadata": {"name": "default"}, "spec": {"addresses": addresses}});
            cluster.send("POST", POOLS, &pool).await.unwrap();
        }
        cluster
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(crate) fn start(&mut self) {
        self.start_with(Settings::default());
    }

    pub(crate) fn start_with(&mut self, settings: Settings) {
        assert!(self.controller.is_none());
        self.controller = Some(tokio::spawn(run(self.client.clone(), settings, |_| {})));
    }

    pub(crate) async fn stop(&mut self) {
        let controller = self.controller.take().unwrap();
        controller.abort();
        assert!(controller.await.unwrap_err().is_cancelled());
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, Box<Status>> {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let request = http::Request::builder().method(method).uri(path).header("content-type", kind);
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = request.body(body).unwrap();
        loop {
            match self.client.request(request.clone()).await {
                Ok(value) => return Ok(value),
                // What we read with is not what is on trial.
                Err(kube::Error::Api(status)) if status.message == FAULT && method == "GET" => {}
                Err(kube::Error::Api(status)) => return Err(status),
                Err(other) => panic!("{method} {path}: {other}"),
            }
        }
    }

    pub(crate) async fn create(&self, service: &Value) {
        self.send("POST", SERVICES, service).await.unwrap();
    }

    pub(crate) async fn change(&self, service: &str, patch: &Value) {
        self.send("PATCH", &format!("{SERVICES}/{service}"), patch).await.unwrap();
    }

    pub(crate) async fn delete(&self, service: &str) {
        self.send("DELETE", &format!("{SERVICES}/{service}"), &Value::Null).await.unwrap();
    }

    pub(crate) async fn get(&self, service: &str) -> Value {
        self.send("GET", &format!("{SERVICES}/{service}"), &Value::Null).await.unwrap()
    }

    /// The first address of each Service.
    pub(crate) async fn addresses(&self) -> BTreeMap<String, Option<String>> {
        let list = self.send("GET", "/api/v1/services", &Value::Null).await.unwrap();
        let entry = |service: &Value| {
            (service["metadata"]["name"].as_str().unwrap().to_owned(), shown(service).first().cloned())
        };
        list["items"].as_array().unwrap().iter().map(entry).collect()
    }

    /// The events on a Service, as `Type Reason: note`, in the order in which they were sent.
    pub(crate) async fn events(&self, service: &str) -> Vec<String> {
        let list = self.send("GET", EVENTS, &Value::Null).await.unwrap();
        let mut events = list["items"].as_array().unwrap().clone();
        events.retain(|event| event["regarding"]["name"] == service);
        events.sort_by_key(|event| event["eventTime"].as_str().unwrap().to_owned());
        let text = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
        let line =
            |event| format!("{} {}: {}", text(event, "type"), text(event, "reason"), text(event, "note"));
        events.iter().map(line).collect()
    }

    pub(crate) fn status_writes(&self) -> u64 {
        self.store.faults().writes(Verb::Patch, "services/status")
    }

    /// How often a pool was written, by whomever.
    pub(crate) fn pool_writes(&self) -> u64 {
        self.store.faults().writes(Verb::Patch, "ipaddresspools")
    }

    pub(crate) async fn pool(&self, name: &str) -> Value {
        self.send("GET", &format!("{POOLS}/{name}"), &Value::Null).await.unwrap()
    }

    pub(crate) async fn change_pool(&self, name: &str, patch: &Value) {
        self.send("PATCH", &format!("{POOLS}/{name}"), patch).await.unwrap();
    }

    pub(crate) async fn delete_pool(&self, name: &str) {
        self.send("DELETE", &format!("{POOLS}/{name}"), &Value::Null).await.unwrap();
    }

    /// Waits until a Service fits.
    pub(crate) async fn until(&self, service: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.until_at(&format!("{SERVICES}/{service}"), what, fits).await
    }

    /// Waits until a pool fits.
    pub(crate) async fn until_pool(&self, pool: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.until_at(&format!("{POOLS}/{pool}"), what, fits).await
    }

    async fn until_at(&self, path: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let waited = tokio::time::timeout(DEADLINE, async {
            loop {
                let version = self.store.resource_version();
                let object = self.send("GET", path, &Value::Null).await.unwrap();
                if fits(&object) {
                    return object;
                }
                // The object cannot have changed as long as nothing has.
                while self.store.resource_version() == version {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
        if let Ok(object) = waited.await {
            return object;
        }
        panic!("{path} never was {what}: {}", self.send("GET", path, &Value::Null).await.unwrap())
    }

    pub(crate) async fn until_shows(&self, service: &str, address: &str) -> Value {
        self.until(service, &format!("at {address}"), |object| shown(object) == [address]).await
    }

    /// Waits until nothing changes any more.
    pub(crate) async fn quiet(&self) {
        let waited = tokio::time::timeout(DEADLINE, async {
            loop {
                let before = self.store.resource_version();
                tokio::time::sleep(QUIET).await;
                if self.store.resource_version() == before {
                    return;
                }
            }
        });
        waited.await.expect("the store never comes to rest");
    }

    /// All changes of Services so far, checked at each step: no address is shown by two Services, and no Service
    /// that shows an address comes to show another one, but for those named.
    pub(crate) fn check_story(&self, may_move: &[&str]) {
        let mut live: BTreeMap<String, Value> = BTreeMap::new();
        for (kind, object) in self.story.lock().unwrap().iter() {
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            let version = &object["metadata"]["resourceVersion"];
            if *kind == "DELETED" {
                live.remove(&name);
                continue;
            }
            let now = shown(object);
            if let Some(before) = live.get(&name).map(shown)
                && !before.is_empty()
                && !may_move.contains(&name.as_str())
            {
                assert_eq!(now, before, "at version {version} {name} lost its address");
            }
            let others = live.iter().filter(|(other, _)| **other != name);
            for (other, theirs) in others {
                let both: BTreeSet<String> = shown(theirs).into_iter().collect();
                let double = now.iter().find(|address| both.contains(*address));
                assert!(double.is_none(), "at version {version} both {name} and {other} show {double:?}");
            }
            live.insert(name, object.clone());
        }
    }
}

async fn listen(client: Client, story: Story) {
    let mut from = 1;
    loop {
        let path = format!("/api/v1/services?watch=true&resourceVersion={from}&timeoutSeconds=1000000");
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let Ok(events) = client.request_events::<Value>(request).await else { continue };
        let mut events = events.boxed();
        while let Some(Ok(event)) = events.next().await {
            let told = match event {
                WatchEvent::Added(object) => ("ADDED", object),
                WatchEvent::Modified(object) => ("MODIFIED", object),
                WatchEvent::Deleted(object) => ("DELETED", object),
                WatchEvent::Bookmark(_) => continue,
                // The history is gone: all that is there is told again.
                WatchEvent::Error(_) => break,
            };
            story.lock().unwrap().push(told);
        }
        from = 0;
    }
}
