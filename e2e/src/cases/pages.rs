//! The ways to lbd that `docs/migration` has, by the commands that are written there: one from a `ConfigMap` of MetalLB
//! before v0.13, and one from kube-vip. (That from today's MetalLB is `metallb::taken_out`.)

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde_json::{Value, json};

use super::allowed;
use super::metallb::{account, controller_pod, its_pods_end, owned, speaker_pod, workload};
use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::object::{Object, config_map, service};
use crate::page::{Page, Shell};
use crate::plane::Kind;
use crate::wait::until;

pub(super) fn cases() -> Vec<Case> {
    let cases = vec![
        case("from_a_config_map_of_metallb_to_pools_and_back", async |cluster: &mut Cluster| {
            without_ours(cluster, |cluster| old_metallb(cluster).boxed_local()).await
        }),
        case("from_kube_vip_and_back", async |cluster: &mut Cluster| {
            without_ours(cluster, |cluster| kube_vip(cluster).boxed_local()).await
        }),
    ];
    cases.into_iter().map(|case| case.only_on(Kind::Real)).collect()
}

/// Plays a story that begins in a cluster without ours. The next case is in one that has it, whatever comes of this one.
async fn without_ours(
    cluster: &mut Cluster,
    story: impl FnOnce(&mut Cluster) -> LocalBoxFuture<'_, Result>,
) -> Result {
    cluster.stop_all()?;
    let workloads = "delete deployment/lbd-controller daemonset/lbd-speaker -n metallb-system";
    Shell::new(cluster)?.run(&format!("kubectl {workloads}")).await?;
    let outcome = AssertUnwindSafe(story(cluster)).catch_unwind().await;
    let running = cluster.last_words();
    cluster.stop_all()?;
    let foreign = "kubectl delete --ignore-not-found --wait=false";
    let shell = Shell::new(cluster)?;
    for what in [
        "deployment,replicaset,daemonset,serviceaccount -l app=metallb -n metallb-system",
        "deployment,daemonset,configmap,serviceaccount -l app=kube-vip -n kube-system",
    ] {
        shell.run(&format!("{foreign} {what}")).await?;
    }
    shell.run("kubectl apply -k deploy/").await?;
    allowed(cluster).await?;
    match outcome {
        Ok(outcome) => outcome.map_err(|error| format!("{error}\n{running}").into()),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Makes a Service with pods that holds an address already.
async fn held(cluster: &mut Cluster, object: Object, address: &str) -> Result {
    let name = object.0["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    cluster.create(&object.spec("selector", json!({"app": "web"}))).await?;
    let ingress = json!({"loadBalancer": {"ingress": [{"ip": address}]}});
    cluster.patch_status("Service", &name, ingress).await.map(drop)
}

/// Waits until each of these is answered for, and reached.
async fn all_served(cluster: &mut Cluster, addresses: &[&str]) -> Result {
    for address in addresses {
        cluster.serves(address.parse()?, "web").await?;
    }
    Ok(())
}

fn list(objects: impl IntoIterator<Item = Object>) -> String {
    let items: Vec<Value> = objects.into_iter().map(|object| object.0).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

const OLD: &str = "address-pools:
- name: default
  protocol: layer2
  addresses:
  - 192.168.3.200-192.168.3.209
- name: Second_Pool
  protocol: layer2
  auto-assign: false
  addresses:
  - 192.168.3.216/30
";

async fn old_metallb(cluster: &mut Cluster) -> Result {
    let workloads = || [workload("Deployment", "controller"), workload("DaemonSet", "speaker")];
    cluster.create_all(&[account("controller"), account("speaker")]).await?;
    cluster.create(&config_map("config", "config", OLD)).await?;
    let [controller, speaker] = workloads();
    let deployment = cluster.create(&controller).await?;
    let daemons = cluster.create(&speaker).await?;
    cluster.create(&owned(controller_pod("n1"), &deployment)).await?;
    cluster.create(&owned(speaker_pod("n2"), &daemons)).await?;
    cluster.pods("web", &["n1", "n2"]).await?;
    held(cluster, service("a"), "192.168.3.207").await?;
    let second = service("b").annotation("metallb.universe.tf/address-pool", "Second_Pool");
    held(cluster, second, "192.168.3.217").await?;
    let addresses = ["192.168.3.207", "192.168.3.217"];

    let mut page = Page::read(cluster, "migration/metallb-0.12.md")?;
    page.has("metallb.yaml", &list(workloads()))?;
    let plan = page.run("Before").await?;
    assert!(plan.contains("192.168.3.207") && plan.contains("192.168.3.217"), "{plan}");
    page.run("Apply lbd first").await?;
    allowed(cluster).await?;
    cluster.start().await?;
    page.run("Take MetalLB's workloads away").await?;
    its_pods_end(cluster).await?;
    all_served(cluster, &addresses).await?;
    page.run("Look").await?;
    page.run("Today's objects").await?;
    // Two Services that only the new pools can have given: both ways are in force.
    grows(cluster, "c").await?;
    all_served(cluster, &addresses).await?;
    page.run("Back to the ConfigMap").await?;
    grows(cluster, "d").await?;
    all_served(cluster, &addresses).await?;
    page.run("Back again").await?;
    page.is_done()?;
    cluster.get("DaemonSet", "metallb-system/speaker").await?;
    cluster.get("ConfigMap", "config").await.map(drop)
}

/// A new Service gets an address.
async fn grows(cluster: &mut Cluster, name: &str) -> Result {
    cluster.create(&service(name)).await?;
    cluster.address(name).await.map(drop)
}

fn of_kube_vip(kind: &str, name: &str) -> Object {
    let mut object = workload(kind, name);
    let labels = json!({"app": "kube-vip", "app.kubernetes.io/name": name});
    object.0["metadata"] = json!({"name": name, "namespace": "kube-system", "labels": labels});
    object.0["spec"]["selector"] = json!({"matchLabels": labels});
    object.0["spec"]["template"]["metadata"]["labels"] = labels;
    object
}

/// Addresses as kube-vip gives them and keeps them: in the specification, in the status, and on an interface of its node.
async fn kube_vip(cluster: &mut Cluster) -> Result {
    let objects = || {
        let mut ranges = config_map("kubevip", "range-global", "192.168.3.200-192.168.3.209");
        ranges.0["metadata"] =
            json!({"name": "kubevip", "namespace": "kube-system", "labels": {"app": "kube-vip"}});
        [
            of_kube_vip("Deployment", "kube-vip-cloud-provider"),
            of_kube_vip("DaemonSet", "kube-vip-ds"),
            ranges,
        ]
    };
    cluster.create_all(&objects()).await?;
    cluster.pods("web", &["n1", "n2"]).await?;
    let addresses = ["192.168.3.204", "192.168.3.202"];
    for (name, address) in ["a", "b"].into_iter().zip(addresses) {
        let mut object = service(name).annotation("kube-vip.io/loadbalancerIPs", address);
        object = object.annotation("kube-vip.io/vipHost", "n1").spec("loadBalancerIP", json!(address));
        object.0["metadata"]["finalizers"] = json!(["service.kubernetes.io/load-balancer-cleanup"]);
        held(cluster, object, address).await?;
    }

    let mut page = Page::read(cluster, "migration/kube-vip.md")?;
    page.has("kube-vip.yaml", &list(objects()))?;
    let plan = page.run("Before").await?;
    assert!(addresses.iter().all(|address| plan.contains(address)), "{plan}");
    page.run("lbd gives addresses, kube-vip answers").await?;
    allowed(cluster).await?;
    cluster.start().await?;
    cluster.caught_up().await?;
    cluster.unanswered(addresses[0].parse()?).await?;
    for name in ["a", "b"] {
        assert!(cluster.get("Service", name).await?["metadata"]["finalizers"].is_null(), "of {name}");
    }
    page.run("kube-vip goes, lbd answers").await?;
    all_served(cluster, &addresses).await?;
    until("the Services show who answers", async || {
        let looked = cluster.list("ServiceL2Status").await?.len();
        if looked == 2 { Ok(()) } else { Err(format!("{looked} do").into()) }
    })
    .await?;
    page.run("Look").await?;
    grows(cluster, "c").await?;
    page.run("Back again").await?;
    cluster.stop_all()?;
    page.is_done()?;
    cluster.shows("a", &[addresses[0]]).await?;
    cluster.get("DaemonSet", "kube-system/kube-vip-ds").await.map(drop)
}
