//! Reachable from outside, by one node.

use crate::Result;
use crate::cluster::Cluster;
use crate::object::{advertisement, pool, service};
use crate::suite::{Case, case};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("a_service_is_answered_by_one_node_and_reached", cluster_policy),
        case("with_policy_local_only_a_node_with_a_pod_answers", local_policy),
    ]
}

async fn cluster_policy(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("default", &["192.168.3.200-192.168.3.209"]), advertisement("all")]).await?;
    cluster.pods("web", &["n1", "n2"]).await?;
    cluster.create(&service("web")).await?;
    let address = cluster.address("web").await?;
    cluster.serves(address, "web").await.map(drop)
}

async fn local_policy(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("default", &["192.168.3.200-192.168.3.209"]), advertisement("all")]).await?;
    for node in ["n1", "n2", "n3"] {
        let app = format!("web-{node}");
        cluster.pods(&app, &[node]).await?;
        cluster.create(&service(&app).local()).await?;
        let address = cluster.address(&app).await?;
        cluster.answered_by(address, node).await?;
        cluster.reaches(address, &app).await?;
    }
    Ok(())
}
