//! How much memory `lbd controller` and `lbd speaker` take as processes, and what a restart writes.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, Resource};
use lbk8s::CONFIG_NAMESPACE;
use lbk8s::objects::facts::NodeFacts;
use lbk8s::objects::metallb::ServiceL2Status;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cluster::{Load, Seen, names};
use crate::program::Served;
use crate::site::{Result, Site};
use crate::{Figure, Target};

const SERVICES: usize = 10_000;
/// How long it may take until everything is answered for, and what comes after that.
const DEADLINE: Duration = Duration::from_mins(3);
const REST: Duration = Duration::from_secs(3);

/// Measures, without services and with many, each with an endpoint, all answered for by the one node.
///
/// # Errors
/// The store refuses something, or one of the processes does not do its work.
pub async fn measure(site: &Site) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (count, target) in [(0, Target::AtMost(20.0)), (SERVICES, Target::AtMost(80.0))] {
        let served = Served::start().await?;
        let inside = served.inside();
        prepare(&inside, site, count).await?;
        let load = Load::new(&inside, CONFIG_NAMESPACE);
        let mut seen = Seen::start(load.services().clone()).await?;
        let mut controller = served.controller()?;
        let mut speaker = served.speaker(site).await?;
        seen.until("the addresses", |seen| seen.with_address() == count).await?;
        until_there::<NodeFacts>(Api::all(inside.clone()), 1).await?;
        until_there::<ServiceL2Status>(Api::all(inside.clone()), count).await?;
        tokio::time::sleep(REST).await;
        for (role, process) in [("controller", &mut controller), ("speaker", &mut speaker)] {
            let name = format!("peak memory of lbd {role}, {count} services");
            figures.push(Figure::new(name, process.peak_bytes()? / 1e6, "MB", target));
        }
        if count == 0 {
            continue;
        }
        drop(controller);
        let before = served.status_writes();
        let mut controller = served.controller()?;
        // It gives an address only when it knows what all others hold.
        load.create("figures-late").await?;
        seen.until("an address after the restart", |seen| seen.has_address("figures-late")).await?;
        tokio::time::sleep(REST).await;
        let peak = controller.peak_bytes()? / 1e6;
        let name = format!("peak memory of lbd controller, restarted with {count} services");
        figures.push(Figure::new(name, peak, "MB", target));
        #[expect(clippy::cast_precision_loss, reason = "the count is small")]
        let written = (served.status_writes() - before) as f64 - 1.0;
        let name = format!("status writes of a restart with {count} services");
        figures.push(Figure::new(name, written, "", Target::Exactly(0.0)));
    }
    Ok(figures)
}

/// Makes the node, the pool and the services, each with an endpoint on the node.
async fn prepare(client: &Client, site: &Site, services: usize) -> Result<()> {
    let node = site.node.name();
    let status = json!({
        "addresses": [{"type": "InternalIP", "address": site.node_nic.address}],
        "conditions": [{"type": "Ready", "status": "True"}],
    });
    make::<Node>(&Api::all(client.clone()), json!({"metadata": {"name": node}, "status": status})).await?;
    let load = Load::new(client, CONFIG_NAMESPACE);
    load.advertise().await?;
    load.make_pool().await?;
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), "default");
    for name in names("present", services) {
        load.create(&name).await?;
        let ready = json!({"ready": true, "serving": true, "terminating": false});
        let endpoint = json!({"addresses": ["10.244.0.1"], "nodeName": node, "conditions": ready});
        let slice = json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": [endpoint],
            "ports": [{"port": 8080, "protocol": "TCP"}],
        });
        make(&slices, slice).await?;
    }
    Ok(())
}

async fn make<K>(api: &Api<K>, object: Value) -> Result<()>
where
    K: Resource + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    Ok(())
}

/// Waits until there are so many.
async fn until_there<K>(api: Api<K>, count: usize) -> Result<()>
where
    K: Resource + Clone + std::fmt::Debug + DeserializeOwned,
{
    let started = Instant::now();
    loop {
        let there = api.list(&ListParams::default()).await?.items.len();
        if there >= count {
            return Ok(());
        }
        if started.elapsed() > DEADLINE {
            return Err(format!("{there} instead of {count} objects of {}", api.resource_url()).into());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
