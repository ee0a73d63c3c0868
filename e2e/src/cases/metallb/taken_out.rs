//! A cluster with all of MetalLB in it, taken over by the commands of `docs/migration/metallb.md`: ours is applied and waits,
//! then MetalLB's workloads and its webhook are deleted, and nothing else. And back again.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use serde_json::{Value, json};

use super::objects::{
    FOREIGN, NAMESPACE, account, controller_pod, definition, l2_status, owned, speaker_pod, webhook,
    webhook_service, workload,
};
use super::witness::{Shown, Witness, shown};
use super::{says, state_says};
use crate::Result;
use crate::cases::allowed;
use crate::cluster::{Before, Cluster};
use crate::object::{Object, advertisement, pool, service};
use crate::page::Page;
use crate::plane::Plane;
use crate::seen::addresses;
use crate::wait::until;
use crate::worlds::POOL;

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");
/// The definitions that ours take the place of.
const OURS: [&str; 4] = ["ipaddresspools", "l2advertisements", "servicel2statuses", "configurationstates"];
/// kube-proxy leaves the traffic of this one to the load balancer, so that nobody is reached by it.
const PROXIED: &str = "proxied";

pub(super) async fn taken_out(cluster: &mut Cluster) -> Result {
    cluster.stop_all()?;
    let mut before = Vec::new();
    let outcome = AssertUnwindSafe(migrate(cluster, &mut before)).catch_unwind().await;
    // Other cases are in a cluster without MetalLB, and with ours, whatever comes of this one.
    let running = cluster.last_words();
    cluster.stop_all()?;
    tidy(cluster, before).await?;
    match outcome {
        Ok(outcome) => outcome.map_err(|error| format!("{error}\n{running}").into()),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

async fn kubectl(cluster: &Cluster, arguments: &str) -> Result<String> {
    let Plane::Real(real) = &cluster.plane else { return Err("it runs on the real one only".into()) };
    crate::real::kubectl(real, &arguments.split(' ').collect::<Vec<_>>()).await
}

async fn migrate(cluster: &mut Cluster, before: &mut Vec<Before>) -> Result {
    metallb_alone(cluster, before).await?;
    let names = services(cluster).await?;
    let (held, pools) = (cluster.held().await?, pools(cluster).await?);
    let as_it_was = shown(&cluster.list("Service").await?);
    let witness = Witness::start(cluster.client()).await?;

    let mut page = Page::read(cluster, "migration/metallb.md")?;
    page.has("metallb.yaml", &manifest())?;
    page.run("Before").await?;
    page.run("Apply lbd first").await?;
    allowed(cluster).await?;
    cluster.start().await?;
    says(cluster, "controller", "lbd gives no addresses until it is gone").await?;
    state_says(cluster, "lbd answers for none until it is gone", 3).await?;
    cluster.unanswered("192.168.3.207".parse()?).await?;

    page.run("Take MetalLB's workloads away, and nothing else").await?;
    its_pods_end(cluster).await?;
    says(cluster, "controller", "nobody serves it").await?;
    let grown = json!({"addresses": [POOL, "fd00:3::f0/124", "192.168.3.219/32"]});
    let refused = cluster.change("IPAddressPool", "default", grown.clone()).await;
    let refused = refused.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("webhook"), "{refused}");
    page.run("Its webhook has to go").await?;
    cluster.create(&record_of_helm()).await?;
    let releases = page.run("Let Helm forget MetalLB").await?;
    assert!(!releases.contains("metallb "), "{releases}");

    for name in &names {
        for address in addresses(&cluster.get("Service", name).await?) {
            cluster.announcer(address).await?;
            if *name != PROXIED {
                cluster.reaches_port(address, if *name == "shared-2" { 81 } else { 80 }, "web").await?;
            }
        }
    }
    one_status_each(cluster, &names).await?;
    // Its condition is written beside each address that the test itself has written; and one is the marker's.
    let writes = 2 * u64::try_from(names.len())? + 1;
    cluster.laws_hold(&held, writes).await?;
    let events = witness.saw_nothing_but(cluster, &as_it_was).await?;
    assert!(events > 0, "the watch told nothing of them");
    let now = shown(&cluster.list("Service").await?);
    let there: Vec<&String> = as_it_was.keys().filter(|uid| now.contains_key(*uid)).collect();
    assert_eq!(there, as_it_was.keys().collect::<Vec<_>>(), "the same Services, by their identities");
    assert_eq!(self::pools(cluster).await?, pools, "pools and advertisements are as they were");

    let looked = page.run("Look").await?;
    assert!(looked.contains("192.168.3.207") && looked.contains("speaker-n3"), "{looked}");

    cluster.change("IPAddressPool", "default", grown).await?;
    cluster.create(&service("new").annotation("metallb.io/loadBalancerIPs", "192.168.3.219")).await?;
    cluster.shows("new", &["192.168.3.219"]).await?;
    and_back(cluster, &mut page, &as_it_was).await
}

/// The pools are lost and come back, and then MetalLB does.
async fn and_back(cluster: &mut Cluster, page: &mut Page, as_it_was: &Shown) -> Result {
    let pools = pools(cluster).await?.len();
    for pool in ["default", "reserved"] {
        cluster.delete("IPAddressPool", pool).await?;
    }
    page.run("If the pools are gone all the same").await?;
    cluster.caught_up().await?;
    page.run("Back again").await?;
    cluster.stop_all()?;
    page.is_done()?;
    for (kind, name) in [("Deployment", "controller"), ("DaemonSet", "speaker")] {
        cluster.get(kind, &format!("{NAMESPACE}/{name}")).await?;
        let ours = cluster.find(kind, &format!("{NAMESPACE}/lbd-{name}")).await?;
        assert!(ours.is_none(), "{ours:?}");
    }
    assert_eq!(self::pools(cluster).await?.len(), pools, "all pools and advertisements");
    let now = shown(&cluster.list("Service").await?);
    for (uid, service) in as_it_was {
        assert_eq!(now.get(uid), Some(service), "each Service has what it had");
    }
    Ok(())
}

/// What MetalLB's manifest is, as far as it was installed here.
fn manifest() -> String {
    let accounts = [account("controller"), account("speaker"), webhook_service(), webhook()];
    let workloads = [workload("Deployment", "controller"), workload("DaemonSet", "speaker")];
    let items: Vec<Value> = accounts.into_iter().chain(workloads).map(|object| object.0).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// What Helm remembers of a release.
fn record_of_helm() -> Object {
    let labels = json!({"owner": "helm", "name": "metallb", "status": "deployed", "version": "1"});
    Object(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1",
        "metadata": {"name": "sh.helm.release.v1.metallb.v1", "namespace": NAMESPACE, "labels": labels},
    }))
}

/// Takes ours away, and puts there what MetalLB's manifests install and what its programs write.
async fn metallb_alone(cluster: &mut Cluster, before: &mut Vec<Before>) -> Result {
    kubectl(cluster, &format!("delete -f {DEPLOY}/controller.yaml -f {DEPLOY}/speaker.yaml")).await?;
    for plural in OURS {
        before.push(cluster.without_rules(&format!("{plural}.metallb.io")).await?);
    }
    let foreign = FOREIGN.map(|[kind, plural, version]| definition(kind, plural, version));
    cluster.create_all(&foreign).await?;
    let dual = pool("default", &[POOL, "fd00:3::f0/124"]);
    let reserved = pool("reserved", &["192.168.3.210/31"]).spec("autoAssign", json!(false));
    for object in [dual, reserved, advertisement("all")] {
        until("the definition is served", async || cluster.create(&object).await.map(drop)).await?;
    }
    cluster.create_all(&[account("controller"), account("speaker"), webhook_service(), webhook()]).await?;
    let deployment = cluster.create(&workload("Deployment", "controller")).await?;
    let replicas = cluster.create(&owned(workload("ReplicaSet", "controller"), &deployment)).await?;
    cluster.create(&owned(controller_pod("n1"), &replicas)).await?;
    let daemons = cluster.create(&workload("DaemonSet", "speaker")).await?;
    for node in ["n1", "n2", "n3"] {
        cluster.create(&owned(speaker_pod(node), &daemons)).await?;
    }
    Ok(())
}

/// Makes Services with the addresses that MetalLB has given them, not in the order in which ours would; their names.
async fn services(cluster: &mut Cluster) -> Result<Vec<&'static str>> {
    cluster.pods("web", &["n1", "n2"]).await?;
    let ip = |address: &str| json!({"ip": address});
    let shared =
        |name: &str, port| service(name).annotation("metallb.io/allow-shared-ip", "key").port(port, "TCP");
    let both = service("dual").spec("ipFamilyPolicy", json!("RequireDualStack"));
    let worlds: Vec<(&str, Object, Value)> = vec![
        ("plain", service("plain"), json!([ip("192.168.3.207")])),
        ("local", service("local").local(), json!([ip("192.168.3.203")])),
        ("dual", both, json!([ip("192.168.3.205"), ip("fd00:3::f5")])),
        ("shared-1", shared("shared-1", 80), json!([ip("192.168.3.201")])),
        ("shared-2", shared("shared-2", 81), json!([ip("192.168.3.201")])),
        (PROXIED, service(PROXIED), json!([{"ip": "192.168.3.206", "ipMode": "Proxy"}])),
        (
            "asked",
            service("asked").annotation("metallb.universe.tf/loadBalancerIPs", "192.168.3.202"),
            json!([ip("192.168.3.202")]),
        ),
        (
            "reserved",
            service("reserved").annotation("metallb.io/address-pool", "reserved"),
            json!([ip("192.168.3.211")]),
        ),
    ];
    let second = cluster.get("Pod", &format!("{NAMESPACE}/speaker-n2")).await?;
    let mut names = Vec::new();
    for (name, object, ingress) in worlds {
        let from = if name == "reserved" { "reserved" } else { "default" };
        let object = object.annotation("metallb.io/ip-allocated-from-pool", from);
        cluster.create(&object.spec("selector", json!({"app": "web"}))).await?;
        cluster.patch_status("Service", name, json!({"loadBalancer": {"ingress": ingress}})).await?;
        cluster.create(&owned(l2_status(name), &second)).await?;
        let status = json!({"node": "n2", "serviceName": name, "serviceNamespace": "default"});
        cluster.patch_status("ServiceL2Status", &format!("{NAMESPACE}/l2-old-{name}"), status).await?;
        names.push(name);
    }
    Ok(names)
}

/// What pools and advertisements ask for, by kind and name.
async fn pools(cluster: &Cluster) -> Result<Vec<(Value, Value, Value)>> {
    let mut specs = Vec::new();
    for kind in ["IPAddressPool", "L2Advertisement"] {
        let objects = cluster.list(kind).await?.into_iter();
        specs.extend(objects.map(|mut it| (json!(kind), it["metadata"]["name"].take(), it["spec"].take())));
    }
    Ok(specs)
}

/// The part of kubelets: a pod that was told to end is gone. Whose owner goes is told so by Kubernetes itself.
pub(in crate::cases) async fn its_pods_end(cluster: &Cluster) -> Result {
    until("MetalLB's pods have ended", async || {
        let pods = cluster.list("Pod").await?.into_iter();
        let left: Vec<Value> = pods.filter(|pod| pod["metadata"]["labels"]["app"] == "metallb").collect();
        for pod in left.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_string()) {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            cluster.delete("Pod", &format!("{NAMESPACE}/{name}")).await?;
        }
        if left.is_empty() { Ok(()) } else { Err(format!("{} are left", left.len()).into()) }
    })
    .await
}

/// Waits until each Service has one `ServiceL2Status`, of ours.
async fn one_status_each(cluster: &mut Cluster, services: &[&str]) -> Result {
    until("each Service has one ServiceL2Status, of ours", async || {
        cluster.lives()?;
        let statuses = cluster.list("ServiceL2Status").await?;
        let of = |name: &str| statuses.iter().filter(|it| it["status"]["serviceName"] == name).count();
        let old = statuses.iter().filter_map(|it| it["metadata"]["name"].as_str());
        let old = old.filter(|name| name.starts_with("l2-old-")).count();
        if old == 0 && services.iter().all(|name| of(name) == 1) {
            Ok(())
        } else {
            Err(format!("{statuses:?}").into())
        }
    })
    .await
}

/// What `cluster.tidy()` does not know.
async fn tidy(cluster: &Cluster, before: Vec<Before>) -> Result {
    let ours = "-n metallb-system delete --ignore-not-found";
    for what in ["deployment,replicaset,serviceaccount controller", "daemonset,serviceaccount speaker"] {
        kubectl(cluster, &format!("{ours} {what}")).await?;
    }
    for [_, plural, _] in FOREIGN {
        kubectl(cluster, &format!("delete --ignore-not-found crd {plural}.metallb.io")).await?;
    }
    for definition in before {
        cluster.with_rules(definition).await?;
    }
    kubectl(cluster, &format!("apply -k {DEPLOY}")).await?;
    allowed(cluster).await
}
