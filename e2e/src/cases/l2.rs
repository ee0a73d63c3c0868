//! Announced by one node, and reachable from outside.

use std::net::IpAddr;

use serde_json::json;

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::object::{advertisement, pool, service};
use crate::plane::Kind;
use crate::wait::until;

use crate::worlds::{FAIL_BACK, POOL, one_pool, restart_speakers, served};

const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("with_policy_cluster_one_node_answers_and_all_pods_are_reached", policy_cluster),
        case("with_policy_local_only_a_node_with_a_pod_answers_and_its_pods_are_reached", policy_local),
        case("with_policy_local_the_address_follows_the_pod", local_follows),
        case("without_a_serving_pod_nobody_answers", no_pod),
        case("tcp_and_udp_on_one_address", mixed).only_on(Kind::Real),
        case("the_status_names_the_node_that_answers_and_goes_with_the_service", status),
        case("the_status_of_a_node_that_never_returns_is_replaced", status_is_replaced),
        case("a_service_that_moves_while_speakers_start_has_a_status", moves_at_the_start),
        case("a_node_without_network_is_left", network_unavailable),
        case("a_node_without_network_does_not_get_the_address_back_when_it_returns", network_stays),
        case("fail_back_a_node_without_network_reclaims_the_address", network_reclaims),
        case("an_excluded_node_is_left", excluded),
        case("an_excluded_node_does_not_get_the_address_back_when_it_returns", exclude_stays),
        case("fail_back_an_excluded_node_reclaims_the_address", exclude_reclaims),
        case("with_ignore_exclude_lb_the_label_is_ignored", exclude_ignored),
        case("a_pool_of_a_range", async |cluster: &mut Cluster| {
            one_of(cluster, "192.168.3.240-192.168.3.243").await
        }),
        case("a_pool_of_a_cidr", async |cluster: &mut Cluster| one_of(cluster, "192.168.3.240/30").await),
        case(
            "services_that_share_an_ipv4_address_are_announced_by_one_node",
            async |cluster: &mut Cluster| shared(cluster, "192.168.3.200", "IPv4").await,
        ),
        case(
            "services_that_share_an_ipv6_address_are_announced_by_one_node",
            async |cluster: &mut Cluster| shared(cluster, "fd00:3::f0", "IPv6").await,
        ),
    ]
}

async fn policy_cluster(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    let address = served(cluster, "web", &["n1", "n2", "n3"]).await?;
    for pod in ["web-n1", "web-n2", "web-n3"] {
        cluster.reaches(address, pod).await?;
    }
    cluster.serves(address, "web").await.map(drop)
}

async fn policy_local(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    for node in ["n1", "n2", "n3"] {
        let app = format!("web-{node}");
        cluster.pods(&app, &[node]).await?;
        cluster.create(&service(&app).local()).await?;
        let address = cluster.address(&app).await?;
        cluster.answered_by(address, node).await?;
        cluster.reaches(address, &app).await?;
    }
    cluster.pods("both", &["n1", "n3"]).await?;
    cluster.create(&service("both").local()).await?;
    let address = cluster.address("both").await?;
    let node = cluster.answered_by_one_of(address, &["n1", "n3"]).await?;
    let first = cluster.reaches(address, "both").await?;
    for _ in 0..10 {
        assert_eq!(cluster.fetch(address, 80).await?, first, "only the pods of {node} answer");
    }
    assert_eq!(first, format!("both-{node}"));
    Ok(())
}

async fn local_follows(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    cluster.pods("web", &["n1"]).await?;
    cluster.create(&service("web").local()).await?;
    let address = cluster.address("web").await?;
    cluster.answered_by(address, "n1").await?;
    cluster.pods("web", &["n2"]).await?;
    cluster.pod_ready("web-n1", false).await?;
    cluster.answered_by(address, "n2").await?;
    cluster.reaches(address, "web-n2").await?;
    cluster.end_pod("web-n2").await?;
    cluster.unanswered(address).await?;
    cluster.pod_ready("web-n1", true).await?;
    cluster.answered_by(address, "n1").await?;
    cluster.reaches(address, "web-n1").await.map(drop)
}

async fn no_pod(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    cluster.create(&service("web")).await?;
    let address = cluster.address("web").await?;
    cluster.event("web", "announceFailed", "no serving endpoint").await?;
    cluster.unanswered(address).await?;
    cluster.pods("web", &["n1"]).await?;
    cluster.serves(address, "web").await?;
    cluster.pod_ready("web-n1", false).await?;
    cluster.unanswered(address).await
}

async fn mixed(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    cluster.pods("web", &["n1", "n2"]).await?;
    let port = |name: &str, port: u16, protocol: &str| json!({"name": name, "port": port, "targetPort": 8080, "protocol": protocol});
    let ports = json!([port("http", 80, "TCP"), port("questions", 80, "UDP")]);
    cluster.create(&service("web").spec("ports", ports)).await?;
    let address = cluster.address("web").await?;
    cluster.serves(address, "web").await?;
    cluster.reaches_by_datagram(address, 80, "web").await.map(drop)
}

async fn status(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    let address = served(cluster, "web", &["n1"]).await?;
    let node = cluster.announcer(address).await?;
    until(&format!("one ServiceL2Status names {node}"), async || {
        let statuses = cluster.list("ServiceL2Status").await?;
        let [status] = statuses.as_slice() else { return Err(format!("{} of them", statuses.len()).into()) };
        let labels = &status["metadata"]["labels"];
        let right = status["status"]["node"] == node.as_str()
            && status["status"]["serviceName"] == "web"
            && status["status"]["serviceNamespace"] == "default"
            && labels["metallb.io/node"] == node.as_str()
            && labels["metallb.io/service-name"] == "web"
            && labels["metallb.io/service-namespace"] == "default";
        if right { Ok(()) } else { Err(status.to_string().into()) }
    })
    .await?;
    cluster.delete("Service", "web").await?;
    until("no ServiceL2Status is left", async || {
        let statuses = cluster.list("ServiceL2Status").await?;
        if statuses.is_empty() { Ok(()) } else { Err(format!("{statuses:?}").into()) }
    })
    .await
}

async fn status_is_replaced(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    let address = served(cluster, "web", &["n1", "n2", "n3"]).await?;
    let first = cluster.announcer(address).await?;
    until("it has a status", async || {
        let statuses = cluster.list("ServiceL2Status").await?;
        if statuses.len() == 1 { Ok(()) } else { Err(format!("{statuses:?}").into()) }
    })
    .await?;
    cluster.kill(&format!("speaker-{first}"))?;
    cluster.network_unavailable(&first, true).await?;
    let second = another(cluster, address, &first).await?;
    until(&format!("one status, which names {second}"), async || {
        let statuses = cluster.list("ServiceL2Status").await?;
        let right = statuses.len() == 1 && statuses[0]["status"]["node"] == second.as_str();
        if right { Ok(()) } else { Err(format!("{statuses:?}").into()) }
    })
    .await
}

/// A race: it fails now and then.
async fn moves_at_the_start(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    served(cluster, "web", &["n1", "n2"]).await?;
    cluster.stop_all()?;
    cluster.start().await?;
    cluster.speakers_are_back().await?;
    cluster.announced("web").await.map(drop)
}

/// A Service is announced, and its node reports that it has no network: another one takes over. Both nodes.
async fn leave_a_node_without_network(cluster: &mut Cluster) -> Result<(IpAddr, String, String)> {
    one_pool(cluster).await?;
    let address = served(cluster, "web", &["n1", "n2", "n3"]).await?;
    let first = cluster.announcer(address).await?;
    cluster.network_unavailable(&first, true).await?;
    let second = another(cluster, address, &first).await?;
    Ok((address, first, second))
}

/// The same with the label.
async fn leave_an_excluded_node(cluster: &mut Cluster) -> Result<(IpAddr, String, String)> {
    one_pool(cluster).await?;
    let address = served(cluster, "web", &["n1", "n2", "n3"]).await?;
    let first = cluster.announcer(address).await?;
    cluster.label_node(&first, EXCLUDE, Some("")).await?;
    let second = another(cluster, address, &first).await?;
    Ok((address, first, second))
}

/// Waits until another node than `first` announces, and the address is reached there; which one.
async fn another(cluster: &mut Cluster, address: IpAddr, first: &str) -> Result<String> {
    let others: Vec<&str> = ["n1", "n2", "n3"].into_iter().filter(|node| *node != first).collect();
    let second = cluster.answered_by_one_of(address, &others).await?;
    cluster.reaches(address, "web").await?;
    Ok(second)
}

async fn network_unavailable(cluster: &mut Cluster) -> Result {
    let (address, first, second) = leave_a_node_without_network(cluster).await?;
    // With the second one gone too there is one left.
    cluster.network_unavailable(&second, true).await?;
    let third = another(cluster, address, &second).await?;
    assert_ne!(third, first);
    cluster.network_unavailable(&third, true).await?;
    cluster.unanswered(address).await?;
    cluster.network_unavailable(&first, false).await?;
    cluster.answered_by(address, &first).await?;
    cluster.reaches(address, "web").await.map(drop)
}

async fn network_stays(cluster: &mut Cluster) -> Result {
    let (address, first, second) = leave_a_node_without_network(cluster).await?;
    cluster.network_unavailable(&first, false).await?;
    cluster.caught_up().await?;
    cluster.answered_by(address, &second).await
}

async fn network_reclaims(cluster: &mut Cluster) -> Result {
    restart_speakers(cluster, &FAIL_BACK).await?;
    let (address, first, _) = leave_a_node_without_network(cluster).await?;
    cluster.network_unavailable(&first, false).await?;
    cluster.answered_by(address, &first).await
}

async fn excluded(cluster: &mut Cluster) -> Result {
    let (address, first, second) = leave_an_excluded_node(cluster).await?;
    cluster.label_node(&second, EXCLUDE, Some("yes")).await?;
    let third = another(cluster, address, &second).await?;
    assert_ne!(third, first);
    cluster.label_node(&third, EXCLUDE, Some("false")).await?;
    cluster.unanswered(address).await?;
    cluster.label_node(&first, EXCLUDE, None).await?;
    cluster.answered_by(address, &first).await?;
    cluster.reaches(address, "web").await.map(drop)
}

async fn exclude_stays(cluster: &mut Cluster) -> Result {
    let (address, first, second) = leave_an_excluded_node(cluster).await?;
    cluster.label_node(&first, EXCLUDE, None).await?;
    cluster.caught_up().await?;
    cluster.answered_by(address, &second).await
}

async fn exclude_reclaims(cluster: &mut Cluster) -> Result {
    restart_speakers(cluster, &FAIL_BACK).await?;
    let (address, first, _) = leave_an_excluded_node(cluster).await?;
    cluster.label_node(&first, EXCLUDE, None).await?;
    cluster.answered_by(address, &first).await
}

async fn exclude_ignored(cluster: &mut Cluster) -> Result {
    for node in ["n1", "n2", "n3"] {
        cluster.stop(&format!("speaker-{node}"))?;
        cluster.label_node(node, EXCLUDE, Some("")).await?;
    }
    cluster.start_speakers(&["--ignore-exclude-lb"]).await?;
    one_pool(cluster).await?;
    served(cluster, "web", &["n1"]).await.map(drop)
}

async fn one_of(cluster: &mut Cluster, addresses: &str) -> Result {
    cluster.create_all(&[pool("default", &[addresses]), advertisement("all")]).await?;
    let address = served(cluster, "web", &["n1", "n2"]).await?;
    assert_eq!(address, IpAddr::from([192, 168, 3, 240]));
    Ok(())
}

async fn shared(cluster: &mut Cluster, address: &str, family: &str) -> Result {
    let addresses = if family == "IPv4" { POOL } else { "fd00:3::f0/124" };
    cluster.create_all(&[pool("default", &[addresses]), advertisement("all")]).await?;
    for (name, port, node) in [("first", 80, "n1"), ("second", 81, "n2"), ("third", 82, "n3")] {
        cluster.pods(name, &[node]).await?;
        let shared = service(name).annotation("metallb.io/allow-shared-ip", "key").port(port, "TCP");
        cluster.create(&shared.spec("ipFamilies", json!([family]))).await?;
        cluster.shows(name, &[address]).await?;
    }
    let address = address.parse()?;
    cluster.announcer(address).await?;
    for (name, port) in [("first", 80), ("second", 81), ("third", 82)] {
        cluster.reaches_port(address, port, name).await?;
    }
    Ok(())
}
