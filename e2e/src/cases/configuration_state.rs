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
        case("each_of_two_overlapping_pools_takes_its_error_with_it", one_by_one),
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

/// It was written under MetalLB's definition, which takes it: ours sees the fault, and leaves what is there.
async fn bad_advertisement(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    let before = cluster.without_rules("l2advertisements.metallb.io").await?;
    let nowhere = json!([{"matchExpressions": [{"key": "zone", "operator": "In"}]}]);
    let bad = advertisement("bad").spec("nodeSelectors", nowhere);
    let made = until("a definition without rules takes it", async || cluster.create(&bad).await).await;
    cluster.with_rules(before).await?;
    made?;
    told(cluster, "L2Advertisement", "bad").await?;
    for component in COMPONENTS {
        says(cluster, component, "Invalid").await?;
        assert!(summary(cluster, component).await?.contains("L2Advertisement metallb-system/bad"));
    }
    served(cluster, "web", &["n1"]).await?;
    cluster.delete("L2Advertisement", "bad").await?;
    for component in COMPONENTS {
        says(cluster, component, "Valid").await?;
    }
    Ok(())
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

const COMPONENTS: [&str; 4] = ["controller", "speaker-n1", "speaker-n2", "speaker-n3"];

/// What a component says is wrong.
async fn summary(cluster: &Cluster, component: &str) -> Result<String> {
    Ok(cluster.get("ConfigurationState", component).await?["status"]["errorSummary"].to_string())
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
    for component in COMPONENTS {
        says(cluster, component, "Valid").await?;
    }
    Ok(())
}

async fn invalid(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    cluster.caught_up().await?;
    cluster.create(&overlapping()).await?;
    for component in COMPONENTS {
        says(cluster, component, "Invalid").await?;
    }
    let summary = summary(cluster, "controller").await?;
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

/// Two are at fault, and each of them takes its own line with it.
async fn one_by_one(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    cluster.caught_up().await?;
    cluster.create_all(&[overlapping(), pool("second", &["192.168.3.200-192.168.3.203"])]).await?;
    for component in COMPONENTS {
        blames(cluster, component, &["overlapping", "second"]).await?;
    }
    cluster.delete("IPAddressPool", "overlapping").await?;
    for component in COMPONENTS {
        blames(cluster, component, &["second"]).await?;
    }
    cluster.delete("IPAddressPool", "second").await?;
    for component in COMPONENTS {
        blames(cluster, component, &[]).await?;
    }
    Ok(())
}

/// Waits until a component blames these of the two pools, and no other.
async fn blames(cluster: &mut Cluster, component: &str, pools: &[&str]) -> Result {
    let result = if pools.is_empty() { "Valid" } else { "Invalid" };
    until(&format!("{component} blames {pools:?}"), async || {
        let status = cluster.get("ConfigurationState", component).await?["status"].take();
        let errors = status["errorSummary"].as_str().unwrap_or_default();
        let blamed = |pool: &str| errors.contains(&format!("IPAddressPool metallb-system/{pool}"));
        let right =
            ["default", "overlapping", "second"].iter().all(|pool| blamed(pool) == pools.contains(pool));
        if right && status["result"] == result { Ok(()) } else { Err(status.to_string().into()) }
    })
    .await
}

async fn again(cluster: &mut Cluster) -> Result {
    recovers(cluster).await?;
    cluster.create(&overlapping()).await?;
    says(cluster, "controller", "Invalid").await
}

async fn deleted(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    for component in ["controller", "speaker-n1"] {
        says(cluster, component, "Valid").await?;
        // The deleted one is gone after this: what is found then was made anew.
        cluster.delete("ConfigurationState", component).await?;
        says(cluster, component, "Valid").await?;
    }
    Ok(())
}
