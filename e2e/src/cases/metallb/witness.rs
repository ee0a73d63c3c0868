//! A witness of Services: every event of a watch, and not only what is there at last.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use futures::StreamExt;
use kube::Client;
use kube::api::{DynamicObject, ListParams, WatchEvent, WatchParams};
use serde_json::Value;
use tokio::task::AbortHandle;

use crate::Result;
use crate::cluster::Cluster;
use crate::object::{api_everywhere, service};
use crate::wait::until;

/// What Services show, by their identities: the name, and the ingress with all its fields.
pub(super) type Shown = BTreeMap<String, (String, Value)>;

/// What a list of Services shows.
pub(super) fn shown(services: &[Value]) -> Shown {
    let text =
        |service: &Value, field: &str| service["metadata"][field].as_str().unwrap_or_default().to_owned();
    let ingress = |service: &Value| service["status"]["loadBalancer"]["ingress"].clone();
    services.iter().map(|it| (text(it, "uid"), (text(it, "name"), ingress(it)))).collect()
}

/// A watch that goes on until this value is dropped.
pub(super) struct Witness {
    told: Rc<RefCell<Vec<std::result::Result<Told, String>>>>,
    task: AbortHandle,
}

/// A Service was made or changed, or is gone.
enum Told {
    Is(Value),
    Gone(Value),
}

impl Witness {
    /// Begins with what there is now.
    pub(super) async fn start(client: Client) -> Result<Self> {
        let services = api_everywhere(&client, "Service");
        let from = services.list(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default();
        let told = Rc::default();
        let events = Rc::clone(&told);
        let task = tokio::task::spawn_local(async move {
            let end = watch(&services, &from, &events).await;
            // Whatever came to its end was not seen to its end.
            let why = end.err().map_or("the watch ended".to_owned(), |error| error.to_string());
            events.borrow_mut().push(Err(why));
        });
        Ok(Self { told, task: task.abort_handle() })
    }

    /// Waits until all that was written up to now has been told; fails if any of it shows that one of these Services
    /// ever had another ingress, or was away. How many events it was about them.
    pub(super) async fn saw_nothing_but(&self, cluster: &Cluster, expected: &Shown) -> Result<usize> {
        cluster.create(&service("last").spec("type", "ClusterIP".into())).await?;
        until("the watch tells of the last one", async || {
            let is_last = |told: &Told| matches!(told, Told::Is(it) if it["metadata"]["name"] == "last");
            let seen = self.told.borrow().iter().flatten().any(is_last);
            if seen { Ok(()) } else { Err("it does not".into()) }
        })
        .await?;
        let mut about = 0;
        for told in self.told.borrow().iter() {
            match told {
                Ok(Told::Is(service)) => {
                    for (uid, found) in shown(std::slice::from_ref(service)) {
                        if let Some(before) = expected.get(&uid) {
                            assert_eq!(found, *before, "an event shows another ingress: {service}");
                            about += 1;
                        }
                    }
                }
                Ok(Told::Gone(service)) => {
                    let uid = service["metadata"]["uid"].as_str().unwrap_or_default();
                    assert!(!expected.contains_key(uid), "it was deleted: {service}");
                }
                Err(error) => return Err(error.clone().into()),
            }
        }
        Ok(about)
    }
}

async fn watch(
    services: &kube::Api<DynamicObject>,
    from: &str,
    told: &RefCell<Vec<std::result::Result<Told, String>>>,
) -> Result {
    let mut events = services.watch(&WatchParams::default(), from).await?.boxed();
    while let Some(event) = events.next().await {
        let event = match event? {
            WatchEvent::Added(it) | WatchEvent::Modified(it) => Told::Is(serde_json::to_value(it)?),
            WatchEvent::Deleted(it) => Told::Gone(serde_json::to_value(it)?),
            WatchEvent::Bookmark(_) => continue,
            WatchEvent::Error(error) => return Err(format!("{error:?}").into()),
        };
        told.borrow_mut().push(Ok(event));
    }
    Ok(())
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}
