//! The controller on the embedded store.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Service};
use kube::Api;
use kube::api::PostParams;
use lbk8s::controller::{Settings, run};
use lbk8s::{CONFIG_NAMESPACE, Store, objects::metallb};
use lbnet::filter::Protocol;
use serde_json::json;
use tokio::task::{AbortHandle, LocalSet};

use crate::Figure;
use crate::cluster::{self, Plan, Server};
use crate::program::Served;
use crate::site::{Result, Site};

const DEADLINE: Duration = Duration::from_mins(1);

/// A store with one pool, and a controller on it; to be called inside a `LocalSet`.
async fn start(store: &Store) -> Result<(Api<Service>, AbortHandle)> {
    let pool = json!({
        "metadata": {"name": "default", "namespace": "default"},
        "spec": {"addresses": ["10.0.0.0/16"]}
    });
    let pools: Api<metallb::IPAddressPool> = Api::namespaced(store.client(), "default");
    pools.create(&PostParams::default(), &serde_json::from_value(pool)?).await?;
    let settings = Settings { namespace: "default".to_owned(), ..Settings::default() };
    let controller = tokio::task::spawn_local(run(store.client(), settings, |_| {}));
    Ok((Api::namespaced(store.client(), "default"), controller.abort_handle()))
}

/// Creates so many services and waits until each has its address: work for a thread beside one that is measured.
///
/// # Errors
/// The store refused something, or the controller did not come to an end.
pub fn reconcile(count: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let (services, controller) = start(&Store::default()).await?;
        for number in 0..count {
            services.create(&PostParams::default(), &service(&format!("service-{number}"))?).await?;
        }
        wait_for_all(&services, count).await?;
        controller.abort();
        Ok(())
    })
}

/// Measures what [`crate::cluster`] does, with `lbd controller`, `lbd speaker` and the store in different processes.
///
/// # Errors
/// The store refused something, or the controller does not do its work.
pub async fn measure(site: &Site) -> Result<Vec<Figure>> {
    let store = Served::start().await?;
    let node = json!({"metadata": {"name": site.node.name()}});
    let nodes: Api<Node> = Api::all(store.inside());
    nodes.create(&PostParams::default(), &serde_json::from_value(node)?).await?;
    let _controller = store.controller()?;
    let _speaker = store.speaker(site).await?;
    let asker = Some(site.asker(Protocol::Arp).await?);
    let server = Server {
        client: store.client()?,
        namespace: CONFIG_NAMESPACE,
        name: "embedded store",
        real: false,
        asker,
    };
    let plan = Plan { present: vec![10, 5_000], at_once: 5_000, samples: 500 };
    cluster::measure(server, &plan, Some(&|| store.status_writes())).await
}

fn service(name: &str) -> serde_json::Result<Service> {
    let spec = json!({"type": "LoadBalancer", "ports": [{"port": 80}]});
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec}))
}

fn has_address(service: &Service) -> bool {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    status.and_then(|status| status.ingress.as_ref()).is_some_and(|ingress| !ingress.is_empty())
}

async fn wait_for_all(services: &Api<Service>, expected: usize) -> Result<()> {
    let started = Instant::now();
    loop {
        let listed = services.list(&kube::api::ListParams::default()).await?;
        if listed.items.iter().filter(|service| has_address(service)).count() == expected {
            return Ok(());
        }
        if started.elapsed() > DEADLINE {
            return Err("not all services got an address".into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
