//! Metrics of the controller and the speakers.

use std::net::{IpAddr, SocketAddr};

use kube::{Client, Config};

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::site::SERVER;
use crate::wait::until;
use crate::worlds::{one_pool, pools_known, served};

const NODES: [&str; 3] = ["n1", "n2", "n3"];

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("with_and_without_a_service_the_controller_tells_of_its_pools", controller),
        case("with_and_without_a_service_a_speaker_tells_what_it_announces", speaker),
    ]
}

/// Waits until a process has each of these lines among its metrics.
async fn tells(at: impl Into<IpAddr>, port: u16, lines: &[&str]) -> Result {
    let at = SocketAddr::new(at.into(), port);
    let client = Client::try_from(Config::new(format!("http://{at}").parse()?))?;
    until(&format!("{at} tells {lines:?}"), async || {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        let text = client.request_text(request).await?;
        match lines.iter().find(|line| !text.lines().any(|it| it == **line)) {
            None => Ok(()),
            Some(missing) => Err(format!("no {missing:?} in {text}").into()),
        }
    })
    .await
}

async fn controller(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    pools_known(cluster, &["default"]).await?;
    let used = |count: u8| {
        format!("lbd_controller_pool_used_addresses{{pool=\"default\",family=\"ipv4\"}} {count}.0")
    };
    let total = "lbd_controller_pool_addresses{pool=\"default\",family=\"ipv4\"} 10.0";
    let served_by = |count: u8| format!("lbd_controller_services{{state=\"served\"}} {count}.0");
    tells(SERVER, 7949, &[total, &used(0), &served_by(0)]).await?;
    served(cluster, "web", &NODES).await?;
    tells(SERVER, 7949, &[total, &used(1), &served_by(1)]).await?;
    cluster.delete("Service", "web").await?;
    tells(SERVER, 7949, &[total, &used(0), &served_by(0)]).await
}

async fn speaker(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    let address = served(cluster, "web", &NODES).await?;
    let owner = cluster.announcer(address).await?;
    let all = |count: u8| format!("lbd_speaker_addresses {count}");
    let here = |count: u8| format!("lbd_speaker_owned_addresses {count}");
    for node in &cluster.site.nodes {
        let own = u8::from(node.name() == owner);
        tells(node.nic.address, 7948, &[&all(1), &here(own)]).await?;
    }
    cluster.delete("Service", "web").await?;
    for node in &cluster.site.nodes {
        tells(node.nic.address, 7948, &[&all(0), &here(0)]).await?;
    }
    Ok(())
}
