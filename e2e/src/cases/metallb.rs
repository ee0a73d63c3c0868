//! MetalLB beside us: its workloads while they run, what they leave behind, and its objects that we do not serve.

use serde_json::{Value, json};

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::object::{Object, service};
use crate::plane::Kind;
use crate::wait::until;

use crate::worlds::{one_pool, served};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("as_long_as_its_pods_run_nothing_is_given_and_nothing_answered", runs),
        case("beside_metallb_addresses_are_given_and_answered_all_the_same", beside),
        case("without_its_workloads_and_its_webhook_every_service_is_served_as_before", taken_out)
            .only_on(Kind::Real),
        case("objects_for_bgp_are_told_of_and_all_others_are_served", bgp).only_on(Kind::Real),
    ]
}

const NAMESPACE: &str = "metallb-system";

/// A pod of MetalLB's manifests that runs on a node.
fn pod(component: &str, node: &str) -> Object {
    Object(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": format!("{component}-of-metallb"), "namespace": NAMESPACE,
            "labels": {"app": "metallb", "component": component},
        },
        "spec": {"nodeName": node, "containers": [{"name": component, "image": "none"}]},
    }))
}

/// The name of that pod, for the API.
fn name(component: &str) -> String {
    format!("{NAMESPACE}/{component}-of-metallb")
}

/// A Service with pods, that MetalLB has given this address.
async fn given(cluster: &mut Cluster, name: &str, address: &str) -> Result {
    let held = service(name).annotation("metallb.io/ip-allocated-from-pool", "default");
    cluster.create(&held.spec("selector", json!({"app": "web"}))).await?;
    let status = json!({"loadBalancer": {"ingress": [{"ip": address}]}});
    cluster.patch_status("Service", name, status).await.map(drop)
}

/// Waits until a program of ours says this in its log.
async fn says(cluster: &mut Cluster, program: &str, words: &str) -> Result {
    until(&format!("{program} says {words:?}"), async || {
        cluster.lives()?;
        let log = cluster.log(program)?;
        if log.contains(words) { Ok(()) } else { Err(log.into()) }
    })
    .await
}

/// Waits until the `ConfigurationState` of a program of ours says this.
async fn state_says(cluster: &mut Cluster, words: &str, times: usize) -> Result {
    until(&format!("{times} ConfigurationStates say {words:?}"), async || {
        cluster.lives()?;
        let states = cluster.list("ConfigurationState").await?;
        let said = states.iter().filter(|state| state["status"].to_string().contains(words)).count();
        if said == times { Ok(()) } else { Err(format!("{said} do: {states:?}").into()) }
    })
    .await
}

async fn runs(cluster: &mut Cluster) -> Result {
    cluster.stop_all()?;
    cluster.create_all(&[pod("controller", "n1"), pod("speaker", "n2")]).await?;
    one_pool(cluster).await?;
    cluster.pods("web", &["n1", "n2"]).await?;
    given(cluster, "web", "192.168.3.205").await?;
    cluster.create(&service("new").spec("selector", json!({"app": "web"}))).await?;
    cluster.start().await?;
    says(cluster, "controller", "lbd gives no addresses until it is gone").await?;
    says(cluster, "speaker-n3", "everything is known").await?;
    // Each of the three speakers: the controller leaves its own to MetalLB's.
    state_says(cluster, "lbd answers for none until it is gone", 3).await?;
    assert!(cluster.shown("new").await?.is_empty());
    cluster.unanswered("192.168.3.205".parse()?).await?;
    cluster.delete("Pod", &name("speaker")).await?;
    cluster.serves("192.168.3.205".parse()?, "web").await?;
    assert!(cluster.shown("new").await?.is_empty());
    cluster.delete("Pod", &name("controller")).await?;
    cluster.shows("new", &["192.168.3.200"]).await?;
    cluster.serves("192.168.3.200".parse()?, "web").await?;
    cluster.shows("web", &["192.168.3.205"]).await
}

async fn beside(cluster: &mut Cluster) -> Result {
    cluster.stop_all()?;
    cluster.create_all(&[pod("controller", "n1"), pod("speaker", "n2")]).await?;
    one_pool(cluster).await?;
    cluster.start_controller(&["--beside-metallb"]).await?;
    cluster.start_speakers(&["--beside-metallb"]).await?;
    served(cluster, "web", &["n1", "n2"]).await?;
    says(cluster, "controller", "MetalLB's controller still runs").await
}

/// As `docs/migration.md` has it: MetalLB runs, with its webhook; ours comes; then its workloads and its webhook go.
async fn taken_out(cluster: &mut Cluster) -> Result {
    cluster.stop_all()?;
    one_pool(cluster).await?;
    cluster.create_all(&[pod("controller", "n1"), pod("speaker", "n2"), webhook()]).await?;
    cluster.pods("web", &["n1", "n2"]).await?;
    let held = [("a", "192.168.3.207"), ("b", "192.168.3.203"), ("c", "192.168.3.205")];
    for (name, address) in held {
        given(cluster, name, address).await?;
        cluster.create(&l2_status(name)).await?;
        let status = json!({"node": "n2", "serviceName": name, "serviceNamespace": "default"});
        cluster.patch_status("ServiceL2Status", &format!("{NAMESPACE}/l2-old-{name}"), status).await?;
    }
    let versions = versions(cluster).await?;
    cluster.start().await?;
    says(cluster, "controller", "lbd gives no addresses until it is gone").await?;
    let grown = json!({"addresses": ["192.168.3.200-192.168.3.219"]});
    let refused = cluster.change("IPAddressPool", "default", grown.clone()).await;
    let refused = refused.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("webhook"), "{refused}");
    for component in ["controller", "speaker"] {
        cluster.delete("Pod", &name(component)).await?;
    }
    says(cluster, "controller", "nobody serves it").await?;
    cluster.delete("ValidatingWebhookConfiguration", "metallb-webhook-configuration").await?;
    cluster.change("IPAddressPool", "default", grown).await?;
    for (name, address) in held {
        cluster.serves(address.parse()?, "web").await?;
        cluster.shows(name, &[address]).await?;
    }
    cluster.create(&service("new").annotation("metallb.io/loadBalancerIPs", "192.168.3.219")).await?;
    cluster.shows("new", &["192.168.3.219"]).await?;
    assert_eq!(self::versions(cluster).await?.len(), versions.len() + 1);
    one_status_each(cluster, &held.map(|(name, _)| name)).await
}

/// The identities of the Services that there are.
async fn versions(cluster: &Cluster) -> Result<Vec<Value>> {
    Ok(cluster.list("Service").await?.into_iter().map(|service| service["metadata"]["uid"].clone()).collect())
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

/// As MetalLB's speaker on the second node has written it.
fn l2_status(service: &str) -> Object {
    let labels = json!({
        "metallb.io/node": "n2",
        "metallb.io/service-name": service,
        "metallb.io/service-namespace": "default",
    });
    Object(json!({
        "apiVersion": "metallb.io/v1beta1",
        "kind": "ServiceL2Status",
        "metadata": {"name": format!("l2-old-{service}"), "namespace": NAMESPACE, "labels": labels},
    }))
}

/// The configuration of MetalLB's webhook for pools. Nobody serves it here.
pub(super) fn webhook() -> Object {
    let rule = json!({
        "apiGroups": ["metallb.io"], "apiVersions": ["v1beta1"], "operations": ["CREATE", "UPDATE"],
        "resources": ["ipaddresspools"],
    });
    let served_by = json!({
        "namespace": NAMESPACE, "name": "metallb-webhook-service",
        "path": "/validate-metallb-io-v1beta1-ipaddresspool",
    });
    Object(json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "metallb-webhook-configuration"},
        "webhooks": [{
            "name": "ipaddresspoolvalidationwebhook.metallb.io",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "clientConfig": {"service": served_by},
            "rules": [rule],
        }],
    }))
}

/// The definition of a kind of MetalLB's for BGP, as far as anybody here looks at it.
fn definition(kind: &str, plural: &str, version: &str) -> Object {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    Object(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.metallb.io")},
        "spec": {
            "group": "metallb.io",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
            "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    }))
}

async fn bgp(cluster: &mut Cluster) -> Result {
    let definitions = [
        definition("BGPPeer", "bgppeers", "v1beta2"),
        definition("BGPAdvertisement", "bgpadvertisements", "v1beta1"),
    ];
    cluster.create_all(&definitions).await?;
    let outcome = bgp_is_told_of(cluster).await;
    // Other cases are in a cluster without them.
    for definition in &definitions {
        let name = definition.0["metadata"]["name"].as_str().unwrap_or_default();
        cluster.delete("CustomResourceDefinition", name).await?;
    }
    outcome
}

async fn bgp_is_told_of(cluster: &mut Cluster) -> Result {
    let object = |kind: &str, version: &str, name: &str, spec: Value| {
        let metadata = json!({"name": name, "namespace": NAMESPACE});
        Object(
            json!({"apiVersion": format!("metallb.io/{version}"), "kind": kind, "metadata": metadata, "spec": spec}),
        )
    };
    let peer = object(
        "BGPPeer",
        "v1beta2",
        "tor",
        json!({"myASN": 64500, "peerASN": 64501, "peerAddress": "10.0.0.1"}),
    );
    let routes = object("BGPAdvertisement", "v1beta1", "routes", json!({"ipAddressPools": ["default"]}));
    for object in [peer, routes] {
        until("the kind is served", async || cluster.create(&object).await.map(drop)).await?;
    }
    one_pool(cluster).await?;
    // One that runs looks for kinds that were not there every half minute.
    cluster.restart_controller(&[]).await?;
    for about in ["BGPPeer metallb-system/tor", "BGPAdvertisement metallb-system/routes"] {
        says(cluster, "controller", about).await?;
    }
    says(cluster, "controller", "lbd serves layer 2 only").await?;
    served(cluster, "web", &["n1", "n2"]).await.map(drop)
}
