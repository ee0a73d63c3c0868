//! The nodes that an advertisement prefers.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::object::{Object, advertisement, pool, service};

use crate::worlds::{FAIL_BACK, POOL, labelled, node, restart_speakers};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("the_label_is_preferred_and_without_it_any_node_answers", prefer),
        case("preferences_that_match_nothing_change_nothing", no_match),
        case("when_the_preferred_node_fails_another_one_answers", fail_over),
        case("a_preferred_node_that_returns_gets_the_address_back_after_a_while", returns),
        case("fail_back_a_preferred_node_that_returns_reclaims_the_address_at_once", reclaims),
        case("a_change_of_the_preference_is_followed", change),
        case("selectors_are_hard_and_preferences_are_soft", hard_and_soft),
        case("preferences_of_nodes_that_are_not_selected_do_not_count", disjoint),
        case("weights_add_up_over_advertisements", sum),
        case("the_preferences_of_an_advertisement_count_for_its_services_only", scoped),
    ]
}

/// A preference for one node.
fn prefers(name: &str, weight: u32) -> Value {
    json!({"weight": weight, "preference": {"matchLabels": {"kubernetes.io/hostname": name}}})
}

fn preferring(name: &str, preferences: &[Value]) -> Object {
    advertisement(name).spec("preferredNodeSelectors", json!(preferences))
}

async fn service_of_one_pod(cluster: &mut Cluster) -> Result<IpAddr> {
    cluster.create(&pool("default", &[POOL])).await?;
    cluster.pods("web", &["n1"]).await?;
    cluster.create(&service("web")).await?;
    cluster.address("web").await
}

async fn prefer(cluster: &mut Cluster) -> Result {
    let address = service_of_one_pod(cluster).await?;
    cluster.label_node("n2", "fast", Some("yes")).await?;
    let preference = json!({"weight": 50, "preference": {"matchLabels": {"fast": "yes"}}});
    cluster.create(&preferring("fast", &[preference])).await?;
    cluster.answered_by(address, "n2").await?;
    cluster.reaches(address, "web").await?;
    cluster.label_node("n2", "fast", None).await?;
    cluster.label_node("n3", "fast", Some("yes")).await?;
    cluster.answered_by(address, "n3").await?;
    cluster.label_node("n3", "fast", None).await?;
    cluster.serves(address, "web").await.map(drop)
}

async fn no_match(cluster: &mut Cluster) -> Result {
    let address = service_of_one_pod(cluster).await?;
    // Not every pool: the barrier is to be announced by an advertisement of its own.
    cluster.create(&advertisement("all").spec("ipAddressPools", json!(["default"]))).await?;
    let node = cluster.serves(address, "web").await?;
    let idle = json!({"weight": 100, "preference": {"matchLabels": {"fast": "no"}}});
    cluster.change("L2Advertisement", "all", json!({"preferredNodeSelectors": [idle]})).await?;
    cluster.speakers_caught_up().await?;
    cluster.answered_by(address, &node).await
}

/// n2 is preferred, and fails: another node announces. The address, and that node.
async fn preferred_node_fails(cluster: &mut Cluster) -> Result<(IpAddr, String)> {
    let address = service_of_one_pod(cluster).await?;
    cluster.create(&preferring("n2", &[prefers("n2", 100)])).await?;
    cluster.answered_by(address, "n2").await?;
    cluster.network_unavailable("n2", true).await?;
    let other = cluster.answered_by_one_of(address, &["n1", "n3"]).await?;
    cluster.reaches(address, "web").await?;
    Ok((address, other))
}

async fn fail_over(cluster: &mut Cluster) -> Result {
    preferred_node_fails(cluster).await.map(drop)
}

async fn returns(cluster: &mut Cluster) -> Result {
    // By default for half a minute.
    restart_speakers(cluster, &["--failback-delay", "5"]).await?;
    let (address, other) = preferred_node_fails(cluster).await?;
    cluster.network_unavailable("n2", false).await?;
    cluster.caught_up().await?;
    cluster.answered_by(address, &other).await?;
    cluster.answered_by(address, "n2").await?;
    cluster.reaches(address, "web").await.map(drop)
}

async fn reclaims(cluster: &mut Cluster) -> Result {
    restart_speakers(cluster, &FAIL_BACK).await?;
    let (address, _) = preferred_node_fails(cluster).await?;
    cluster.network_unavailable("n2", false).await?;
    cluster.answered_by(address, "n2").await
}

async fn change(cluster: &mut Cluster) -> Result {
    let address = service_of_one_pod(cluster).await?;
    cluster.create(&preferring("one", &[prefers("n1", 10)])).await?;
    for name in ["n1", "n2", "n3"] {
        let preferences = json!({"preferredNodeSelectors": [prefers(name, 10)]});
        cluster.change("L2Advertisement", "one", preferences).await?;
        cluster.answered_by(address, name).await?;
        cluster.reaches(address, "web").await?;
    }
    Ok(())
}

async fn hard_and_soft(cluster: &mut Cluster) -> Result {
    let address = service_of_one_pod(cluster).await?;
    let two = json!([{"matchExpressions": [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": ["n2", "n3"]},
    ]}]);
    // n1 is preferred most, and not selected.
    let preferences = [prefers("n1", 100), prefers("n3", 10)];
    cluster.create(&preferring("two", &preferences).spec("nodeSelectors", two)).await?;
    cluster.answered_by(address, "n3").await?;
    cluster.network_unavailable("n3", true).await?;
    cluster.answered_by(address, "n2").await?;
    cluster.reaches(address, "web").await.map(drop)
}

async fn disjoint(cluster: &mut Cluster) -> Result {
    let address = service_of_one_pod(cluster).await?;
    // What an advertisement prefers counts among the nodes that it selects itself.
    cluster.create(&preferring("a", &[prefers("n2", 100)]).spec("nodeSelectors", node("n1"))).await?;
    cluster.create(&preferring("b", &[prefers("n2", 1)]).spec("nodeSelectors", node("n2"))).await?;
    cluster.create(&preferring("c", &[prefers("n3", 2)]).spec("nodeSelectors", node("n3"))).await?;
    cluster.answered_by(address, "n3").await?;
    cluster.reaches(address, "web").await.map(drop)
}

async fn sum(cluster: &mut Cluster) -> Result {
    let address = service_of_one_pod(cluster).await?;
    cluster.create(&preferring("a", &[prefers("n1", 50), prefers("n2", 30)])).await?;
    cluster.answered_by(address, "n1").await?;
    cluster.create(&preferring("b", &[prefers("n2", 30)])).await?;
    cluster.answered_by(address, "n2").await?;
    cluster.reaches(address, "web").await?;
    cluster.delete("L2Advertisement", "b").await?;
    cluster.answered_by(address, "n1").await
}

async fn scoped(cluster: &mut Cluster) -> Result {
    let address = service_of_one_pod(cluster).await?;
    cluster.create(&preferring("all", &[prefers("n1", 50)])).await?;
    let gold = preferring("gold", &[prefers("n2", 100)]).spec("serviceSelectors", labelled("tier", "gold"));
    cluster.create(&gold).await?;
    let web = json!({"app": "web"});
    cluster.create(&service("gold").label("tier", "gold").spec("selector", web)).await?;
    let of_gold = cluster.address("gold").await?;
    cluster.answered_by(of_gold, "n2").await?;
    cluster.answered_by(address, "n1").await?;
    cluster.reaches(of_gold, "web").await?;
    cluster.reaches(address, "web").await.map(drop)
}
