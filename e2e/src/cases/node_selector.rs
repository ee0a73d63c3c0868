//! The nodes that an advertisement chooses.

use serde_json::json;

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::object::{advertisement, pool, service};

use crate::worlds::{POOL, labelled, node};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("one_node", one_node),
        case("several_selectors", several),
        case("a_node_that_gets_the_label_later_answers", later),
    ]
}

/// A Service with a pod, announced by nobody yet; its address.
async fn service_of_one_pod(cluster: &mut Cluster) -> Result<std::net::IpAddr> {
    cluster.create(&pool("default", &[POOL])).await?;
    cluster.pods("web", &["n1"]).await?;
    cluster.create(&service("web")).await?;
    cluster.address("web").await
}

async fn one_node(cluster: &mut Cluster) -> Result {
    let address = service_of_one_pod(cluster).await?;
    cluster.create(&advertisement("one").spec("nodeSelectors", node("n1"))).await?;
    for name in ["n1", "n2", "n3"] {
        cluster.change("L2Advertisement", "one", json!({"nodeSelectors": node(name)})).await?;
        cluster.answered_by(address, name).await?;
        cluster.reaches(address, "web").await?;
    }
    Ok(())
}

async fn several(cluster: &mut Cluster) -> Result {
    let address = service_of_one_pod(cluster).await?;
    let two = json!([
        {"matchLabels": {"kubernetes.io/hostname": "n1"}},
        {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n2"]}]},
    ]);
    cluster.create(&advertisement("two").spec("nodeSelectors", two)).await?;
    let first = cluster.answered_by_one_of(address, &["n1", "n2"]).await?;
    cluster.reaches(address, "web").await?;
    // Each of the two is chosen: without the first the second answers.
    cluster.network_unavailable(&first, true).await?;
    cluster.answered_by(address, if first == "n1" { "n2" } else { "n1" }).await?;
    cluster.network_unavailable("n1", true).await?;
    cluster.network_unavailable("n2", true).await?;
    cluster.unanswered(address).await
}

async fn later(cluster: &mut Cluster) -> Result {
    let address = service_of_one_pod(cluster).await?;
    cluster.create(&advertisement("labelled").spec("nodeSelectors", labelled("zone", "a"))).await?;
    cluster.event("web", "announceFailed", "").await?;
    cluster.unanswered(address).await?;
    cluster.label_node("n3", "zone", Some("a")).await?;
    cluster.answered_by(address, "n3").await?;
    cluster.reaches(address, "web").await?;
    cluster.label_node("n3", "zone", None).await?;
    cluster.unanswered(address).await
}
