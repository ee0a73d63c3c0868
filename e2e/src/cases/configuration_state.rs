//! What is wrong with the configuration, and where that is said. MetalLB's own cases are about BGP, but for the first
//! and the last; these are the same lines for layer 2.

use serde_json::json;

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::object::{advertisement, pool, service};
use crate::wait::until;

use crate::worlds::{POOL, one_pool, served};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("one_bad_pool_is_told_of_and_the_others_are_in_force", bad_pool),
        case("a_bad_advertisement_is_told_of_and_the_others_are_in_force", bad_advertisement),
        case("a_corrected_pool_is_in_force_at_once", corrected),
        case("an_edit_that_breaks_a_pool_leaves_its_last_good_form_in_force", broken_later),
        case("all_valid", all_valid),
        case("invalid_is_said_by_the_controller_and_by_each_speaker", invalid),
        case("it_becomes_valid_when_the_last_bad_object_is_removed", recovers),
        case("it_says_invalid_again_after_the_object_is_made_anew", again),
        case("it_is_written_again_after_a_deletion", deleted),
    ]
}

/// The definitions refuse what one object can show, so that what is wrong here is between two: an overlap.
fn overlapping() -> crate::object::Object {
    pool("overlapping", &["192.168.3.205-192.168.3.215"])
}

/// Waits until something is said about an object of the configuration in an event.
async fn told(cluster: &mut Cluster, kind: &str, name: &str) -> Result {
    until(&format!("an event about {kind} {name}"), async || {
        cluster.lives()?;
        let events = cluster.list("Event").await?;
        let about = |event: &&serde_json::Value| {
            event["regarding"]["kind"] == kind && event["regarding"]["name"] == name
        };
        let notes: Vec<String> = events.iter().filter(about).map(|event| event["note"].to_string()).collect();
        if notes.is_empty() { Err(format!("there is none among {}", events.len()).into()) } else { Ok(()) }
    })
    .await
}

async fn bad_pool(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    cluster.caught_up().await?;
    cluster.create(&overlapping()).await?;
    told(cluster, "IPAddressPool", "overlapping").await?;
    served(cluster, "web", &["n1"]).await?;
    cluster.create(&pool("later", &["192.168.3.220-192.168.3.229"])).await?;
    cluster.create(&service("later").annotation("metallb.io/address-pool", "later")).await?;
    cluster.shows("later", &["192.168.3.220"]).await
}

async fn bad_advertisement(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    let bad = json!([{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "a"]}]}]);
    let made = cluster.create(&advertisement("bad").spec("nodeSelectors", bad)).await;
    // Either the definition refuses it, or it stands and does no harm.
    let address = served(cluster, "web", &["n1"]).await?;
    drop(made);
    cluster.serves(address, "web").await.map(drop)
}

async fn corrected(cluster: &mut Cluster) -> Result {
    cluster.create(&pool("default", &[POOL])).await?;
    cluster.caught_up().await?;
    cluster.create(&overlapping()).await?;
    told(cluster, "IPAddressPool", "overlapping").await?;
    cluster.create(&service("web").annotation("metallb.io/address-pool", "overlapping")).await?;
    cluster.pending("web", "overlapping").await?;
    cluster
        .change("IPAddressPool", "overlapping", json!({"addresses": ["192.168.3.210-192.168.3.215"]}))
        .await?;
    cluster.shows("web", &["192.168.3.210"]).await
}

async fn broken_later(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    cluster.create(&pool("other", &["192.168.3.220-192.168.3.229"])).await?;
    cluster.pods("web", &["n1"]).await?;
    cluster.create(&service("web").annotation("metallb.io/address-pool", "other")).await?;
    cluster.shows("web", &["192.168.3.220"]).await?;
    cluster.change("IPAddressPool", "other", json!({"addresses": [POOL]})).await?;
    told(cluster, "IPAddressPool", "other").await?;
    cluster.shows("web", &["192.168.3.220"]).await?;
    cluster.serves("192.168.3.220".parse()?, "web").await.map(drop)
}

/// Waits until the state of a component says this.
async fn says(cluster: &mut Cluster, component: &str, result: &str) -> Result {
    until(&format!("{component} says {result}"), async || {
        let state = cluster.get("ConfigurationState", component).await?;
        if state["status"]["result"] == result { Ok(()) } else { Err(state["status"].to_string().into()) }
    })
    .await
}

async fn all_valid(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    for component in ["controller", "speaker-n1", "speaker-n2", "speaker-n3"] {
        says(cluster, component, "Valid").await?;
    }
    Ok(())
}

async fn invalid(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    cluster.caught_up().await?;
    cluster.create(&overlapping()).await?;
    for component in ["controller", "speaker-n1", "speaker-n2", "speaker-n3"] {
        says(cluster, component, "Invalid").await?;
    }
    let summary =
        cluster.get("ConfigurationState", "controller").await?["status"]["errorSummary"].to_string();
    assert!(summary.contains("overlapping"), "{summary}");
    Ok(())
}

async fn recovers(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    cluster.caught_up().await?;
    cluster.create(&overlapping()).await?;
    says(cluster, "controller", "Invalid").await?;
    cluster.delete("IPAddressPool", "overlapping").await?;
    says(cluster, "controller", "Valid").await
}

async fn again(cluster: &mut Cluster) -> Result {
    recovers(cluster).await?;
    cluster.create(&overlapping()).await?;
    says(cluster, "controller", "Invalid").await
}

async fn deleted(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    says(cluster, "controller", "Valid").await?;
    cluster.delete("ConfigurationState", "controller").await?;
    says(cluster, "controller", "Valid").await
}
