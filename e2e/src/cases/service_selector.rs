//! The Services that an advertisement chooses.

use serde_json::json;

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::object::{advertisement, pool, service};

use crate::worlds::{POOL, labelled, node};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("pool_and_service_must_both_be_chosen", pool_and_service),
        case("one_node_answers_where_two_advertisements_choose_the_service", two_advertisements),
        case("nobody_answers_where_service_and_node_match_different_advertisements", across),
        case("any_of_several_selectors_is_enough", any),
    ]
}

/// A Service with these labels and a pod; its address.
async fn labelled_service(
    cluster: &mut Cluster,
    name: &str,
    labels: &[(&str, &str)],
) -> Result<std::net::IpAddr> {
    cluster.pods(name, &["n1"]).await?;
    let plain = service(name);
    cluster.create(&labels.iter().fold(plain, |service, (key, value)| service.label(key, value))).await?;
    cluster.address(name).await
}

async fn pool_and_service(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("default", &[POOL]), pool("other", &["192.168.3.220-192.168.3.229"])]).await?;
    let chosen = advertisement("gold")
        .spec("ipAddressPools", json!(["default"]))
        .spec("serviceSelectors", labelled("tier", "gold"));
    cluster.create(&chosen).await?;
    let both = labelled_service(cluster, "both", &[("tier", "gold")]).await?;
    let plain = labelled_service(cluster, "plain", &[]).await?;
    cluster.pods("elsewhere", &["n1"]).await?;
    let elsewhere = service("elsewhere").label("tier", "gold").annotation("metallb.io/address-pool", "other");
    cluster.create(&elsewhere).await?;
    let elsewhere = cluster.address("elsewhere").await?;
    cluster.serves(both, "both").await?;
    cluster.event("plain", "announceFailed", "no L2Advertisement").await?;
    cluster.event("elsewhere", "announceFailed", "no L2Advertisement").await?;
    cluster.unanswered(plain).await?;
    cluster.unanswered(elsewhere).await?;
    // A label that comes later is seen.
    cluster.patch("Service", "plain", json!({"metadata": {"labels": {"tier": "gold"}}})).await?;
    cluster.serves(plain, "plain").await.map(drop)
}

async fn two_advertisements(cluster: &mut Cluster) -> Result {
    cluster.create(&pool("default", &[POOL])).await?;
    for name in ["gold", "fast"] {
        let one = advertisement(name).spec("serviceSelectors", labelled(name, "yes"));
        cluster.create(&one.spec("nodeSelectors", node(if name == "gold" { "n1" } else { "n2" }))).await?;
    }
    let address = labelled_service(cluster, "web", &[("gold", "yes"), ("fast", "yes")]).await?;
    cluster.answered_by_one_of(address, &["n1", "n2"]).await?;
    cluster.reaches(address, "web").await?;
    cluster.patch("Service", "web", json!({"metadata": {"labels": {"gold": null}}})).await?;
    cluster.answered_by(address, "n2").await
}

async fn across(cluster: &mut Cluster) -> Result {
    cluster.create(&pool("default", &[POOL])).await?;
    let nowhere = advertisement("a")
        .spec("serviceSelectors", labelled("tier", "gold"))
        .spec("nodeSelectors", labelled("zone", "none"));
    let others = advertisement("b")
        .spec("serviceSelectors", labelled("tier", "silver"))
        .spec("nodeSelectors", node("n1"));
    cluster.create_all(&[nowhere, others]).await?;
    let address = labelled_service(cluster, "web", &[("tier", "gold")]).await?;
    cluster.event("web", "announceFailed", "").await?;
    cluster.unanswered(address).await?;
    cluster.patch("Service", "web", json!({"metadata": {"labels": {"tier": "silver"}}})).await?;
    cluster.answered_by(address, "n1").await?;
    cluster.reaches(address, "web").await.map(drop)
}

async fn any(cluster: &mut Cluster) -> Result {
    let selectors = json!([{"matchLabels": {"tier": "gold"}}, {"matchLabels": {"fast": "yes"}}]);
    cluster
        .create_all(&[pool("default", &[POOL]), advertisement("or").spec("serviceSelectors", selectors)])
        .await?;
    let gold = labelled_service(cluster, "gold", &[("tier", "gold")]).await?;
    let fast = labelled_service(cluster, "fast", &[("fast", "yes")]).await?;
    let neither = labelled_service(cluster, "neither", &[("tier", "silver")]).await?;
    cluster.serves(gold, "gold").await?;
    cluster.serves(fast, "fast").await?;
    cluster.event("neither", "announceFailed", "no L2Advertisement").await?;
    cluster.unanswered(neither).await
}
