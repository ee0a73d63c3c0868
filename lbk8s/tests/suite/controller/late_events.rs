//! What the controller hears late, and what it writes beside the statuses of Services.
#![cfg(all(feature = "controller", feature = "store"))]

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use kube::Client;
use lbk8s::Store;
use lbk8s::controller::{Settings, run};
use lbk8s::store::Verb;
use serde_json::json;

use crate::harness::cluster::Cluster;
use crate::harness::{new_service, shown};

/// A store whose answers to writes of statuses are a while on their way.
#[derive(Clone)]
struct Slow(Store);

type Request = http::Request<kube::client::Body>;

impl tower::Service<Request> for Slow {
    type Response = <Store as tower::Service<Request>>::Response;
    type Error = <Store as tower::Service<Request>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        tower::Service::<Request>::poll_ready(&mut self.0, context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let is_status =
            request.method() == http::Method::PATCH && request.uri().path().contains("/services/");
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = answer.await;
            if is_status {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            answer
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_goes_before_the_answer_to_its_write_comes_is_gone() {
    let cluster = Cluster::with_pool(&["10.0.0.1/32"]).await;
    let controller =
        tokio::spawn(run(Client::new(Slow(cluster.store.clone()), "default"), Settings::default(), |_| {}));
    cluster.create(&new_service("a")).await;
    cluster.until_shows("a", "10.0.0.1").await;
    cluster.delete("a").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    cluster.create(&new_service("b")).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(shown(&cluster.get("b").await), ["10.0.0.1"]);
    controller.abort();
}

#[tokio::test(start_paused = true)]
async fn nothing_at_all_is_written_to_pools_while_metallbs_controller_runs() {
    let mut cluster = Cluster::with_pool(&["10.0.0.1/32"]).await;
    let pod = json!({
        "metadata": {
            "name": "controller-1", "labels": {"app": "metallb", "component": "controller"},
        },
        "spec": {"nodeName": "node-a", "containers": [{"name": "controller", "image": "controller"}]},
    });
    cluster.send("POST", "/api/v1/namespaces/metallb-system/pods", &pod).await.unwrap();
    cluster.start();
    cluster.create(&new_service("a")).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(cluster.status_writes(), 0);
    // MetalLB's controller keeps these itself, and what one writes the other would undo.
    for (verb, resource) in [
        (Verb::Patch, "ipaddresspools/status"),
        (Verb::Create, "configurationstates"),
        (Verb::Patch, "configurationstates/status"),
    ] {
        assert_eq!(cluster.store.faults().writes(verb, resource), 0, "{resource}");
    }
    cluster.stop().await;
}
