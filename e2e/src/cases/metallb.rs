//! MetalLB beside us: its workloads while they run, what they leave behind, and its objects that we do not serve.

mod bgp;
mod objects;
mod taken_out;
mod witness;

use serde_json::json;

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::object::service;
use crate::plane::Kind;
use crate::wait::until;
use crate::worlds::{one_pool, served};
use objects::NAMESPACE;
pub(super) use objects::{account, controller_pod, owned, speaker_pod, webhook, workload};
pub(super) use taken_out::its_pods_end;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("as_long_as_its_pods_run_nothing_is_given_and_nothing_answered", runs),
        case("beside_metallb_addresses_are_given_and_answered_all_the_same", beside),
        case("without_its_workloads_and_its_webhook_every_service_is_served_as_before", taken_out::taken_out)
            .only_on(Kind::Real),
        case("objects_for_bgp_are_told_of_and_all_others_are_served", bgp::told_of).only_on(Kind::Real),
    ]
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
    cluster.create_all(&[controller_pod("n1"), speaker_pod("n2")]).await?;
    one_pool(cluster).await?;
    cluster.pods("web", &["n1", "n2"]).await?;
    let held = service("web").annotation("metallb.io/ip-allocated-from-pool", "default");
    cluster.create(&held).await?;
    let status = json!({"loadBalancer": {"ingress": [{"ip": "192.168.3.205"}]}});
    cluster.patch_status("Service", "web", status).await?;
    cluster.create(&service("new").spec("selector", json!({"app": "web"}))).await?;
    cluster.start().await?;
    says(cluster, "controller", "lbd gives no addresses until it is gone").await?;
    says(cluster, "speaker-n3", "everything is known").await?;
    // Each of the three speakers: the controller leaves its own to MetalLB's.
    state_says(cluster, "lbd answers for none until it is gone", 3).await?;
    assert!(cluster.shown("new").await?.is_empty());
    cluster.unanswered("192.168.3.205".parse()?).await?;
    cluster.delete("Pod", &format!("{NAMESPACE}/speaker-n2")).await?;
    cluster.serves("192.168.3.205".parse()?, "web").await?;
    assert!(cluster.shown("new").await?.is_empty());
    cluster.delete("Pod", &format!("{NAMESPACE}/controller")).await?;
    cluster.shows("new", &["192.168.3.200"]).await?;
    cluster.serves("192.168.3.200".parse()?, "web").await?;
    cluster.shows("web", &["192.168.3.205"]).await
}

async fn beside(cluster: &mut Cluster) -> Result {
    cluster.stop_all()?;
    cluster.create_all(&[controller_pod("n1"), speaker_pod("n2")]).await?;
    one_pool(cluster).await?;
    cluster.start_controller(&["--beside-metallb"]).await?;
    cluster.start_speakers(&["--beside-metallb"]).await?;
    served(cluster, "web", &["n1", "n2"]).await?;
    says(cluster, "controller", "MetalLB's controller still runs").await
}
