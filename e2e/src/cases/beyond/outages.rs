//! The API server is away, dumb, or without its store, for a minute: longer than a Lease lasts, and than a watch does.
//! What is announced stays so.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Result;
use crate::case::note;
use crate::cluster::Cluster;
use crate::object::service;
use crate::plane::Plane;
use crate::real::ControlPlane;
use crate::wait::until_within;
use crate::worlds::{one_pool, served};

const MINUTE: Duration = Duration::from_mins(1);
/// Who asks an API server that says nothing notices within a minute; then it is asked again.
const NOTICED: Duration = Duration::from_mins(2);

/// A Service that is announced, and by whom.
async fn announced(cluster: &mut Cluster) -> Result<(IpAddr, String)> {
    one_pool(cluster).await?;
    let address = served(cluster, "web", &["n1", "n2"]).await?;
    let owner = cluster.announced("web").await?;
    Ok((address, owner))
}

/// For a minute the owner answers alone and the client reaches a pod, each time it is looked.
async fn served_for_a_minute(cluster: &mut Cluster, address: IpAddr, owner: &str) -> Result {
    let (begun, mut fetched) = (Instant::now(), 0);
    while begun.elapsed() < MINUTE {
        cluster.answered_by(address, owner).await?;
        cluster.reaches(address, "web").await?;
        fetched += 1;
    }
    note(&format!("fetched {fetched} times"));
    Ok(())
}

/// Waits until a Service that is made after the trouble is made and served.
async fn a_later_one_is_served(cluster: &mut Cluster) -> Result {
    let back = Instant::now();
    let later = service("later").spec("selector", json!({"app": "web"}));
    until_within(NOTICED, "a Service can be made again", async || {
        match cluster.find("Service", "later").await? {
            Some(_) => Ok(()),
            None => cluster.create(&later).await.map(drop),
        }
    })
    .await?;
    let address = until_within(NOTICED, "the new Service has an address", async || {
        cluster.lives()?;
        cluster.shown("later").await?.first().copied().ok_or("it has none".into())
    })
    .await?;
    note(&format!("a new Service has its address {:.1?} after that", back.elapsed()));
    // Kubernetes' own programs take their time too: its endpoint slices, its rules on the nodes.
    until_within(NOTICED, "the new Service is reached", async || {
        cluster.lives()?;
        cluster.fetch(address, 80).await
    })
    .await?;
    cluster.serves(address, "web").await.map(drop)
}

/// After the trouble: a new Service is served, nobody has lost anything, and the owner is the same.
async fn goes_on(cluster: &mut Cluster, address: IpAddr, owner: &str, writes: u64) -> Result {
    let held = cluster.held().await?;
    assert_eq!(held.of_service("web"), [address], "it keeps its address");
    a_later_one_is_served(cluster).await?;
    cluster.laws_hold(&held, writes).await?;
    cluster.answered_by(address, owner).await
}

pub(super) async fn away(cluster: &mut Cluster) -> Result {
    let (address, owner) = announced(cluster).await?;
    cluster.plane.stop_serving()?;
    served_for_a_minute(cluster, address, &owner).await?;
    cluster.plane.serve().await?;
    // One for each of the two, and one of the marker; one more may have been tried in vain.
    goes_on(cluster, address, &owner, 4).await
}

fn real(cluster: &mut Cluster) -> Result<&mut ControlPlane> {
    match &mut cluster.plane {
        Plane::Real(real) => Ok(real),
        Plane::Embedded(_) => Err("it runs on the real one only".into()),
    }
}

pub(super) async fn frozen(cluster: &mut Cluster) -> Result {
    let (address, owner) = announced(cluster).await?;
    real(cluster)?.freeze(true)?;
    let outcome = served_for_a_minute(cluster, address, &owner).await;
    // The next case needs it in any event.
    real(cluster)?.freeze(false)?;
    outcome?;
    until_within(NOTICED, "the API server answers again", async || cluster.held().await.map(drop)).await?;
    goes_on(cluster, address, &owner, 4).await
}

pub(super) async fn etcd_killed(cluster: &mut Cluster) -> Result {
    let (address, owner) = announced(cluster).await?;
    real(cluster)?.kill_etcd()?;
    served_for_a_minute(cluster, address, &owner).await?;
    real(cluster)?.restore_etcd().await?;
    until_within(NOTICED, "the API server reads again", async || cluster.held().await.map(drop)).await?;
    goes_on(cluster, address, &owner, 4).await
}
