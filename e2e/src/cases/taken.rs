//! Addresses that somebody else on the LAN has: a station that is no part of the cluster, and answers by ARP as the
//! kernel of any host does.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::wait::until;

use crate::worlds::{one_pool, served};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("a_new_service_gets_the_next_address_where_a_station_has_the_first", before),
        case("a_service_keeps_its_address_when_a_station_takes_it_and_both_are_told_of", later),
    ]
}

/// The first of the pool.
const FIRST: Ipv4Addr = Ipv4Addr::new(192, 168, 3, 200);
const STRANGER: &str = "x/eth0";

async fn before(cluster: &mut Cluster) -> Result {
    cluster.site.plug_stranger(FIRST).await?;
    cluster.answered_by(FIRST.into(), STRANGER).await?;
    one_pool(cluster).await?;
    cluster.pods("web", &["n1", "n2"]).await?;
    cluster.create(&crate::object::service("web")).await?;
    cluster.shows("web", &["192.168.3.201"]).await?;
    let note = cluster.event("web", "ClearAssignment", "192.168.3.200 is the address of the station").await?;
    assert!(note.contains("02:00:00:a8:03:c8"), "{note}");
    cluster.serves("192.168.3.201".parse()?, "web").await?;
    cluster.answered_by(FIRST.into(), STRANGER).await?;
    // What was found is remembered for the next one too.
    cluster.create(&crate::object::service("second")).await?;
    cluster.shows("second", &["192.168.3.202"]).await
}

async fn later(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    let address = served(cluster, "web", &["n1", "n2"]).await?;
    assert_eq!(address, FIRST);
    // Before that it is still asked whether somebody has it, and a claim would not be a conflict.
    let owner = cluster.announced("web").await?;
    cluster.site.plug_stranger(FIRST).await?;
    cluster.event("web", "addressConflict", "192.168.3.200 conflicts: the station 02:00:00:a8:03:c8").await?;
    both_answer(cluster, &owner).await?;
    cluster.caught_up().await?;
    cluster.shows("web", &["192.168.3.200"]).await?;
    // It was there before they started: they do not ask whether it is free.
    cluster.stop_all()?;
    cluster.start().await?;
    both_answer(cluster, &owner).await?;
    cluster.caught_up().await?;
    cluster.shows("web", &["192.168.3.200"]).await?;
    cluster.site.unplug_stranger().await?;
    cluster.answered_by(address, &owner).await?;
    cluster.reaches(address, "web").await.map(drop)
}

/// Waits until the owner and the stranger answer for the first address, and nobody else.
async fn both_answer(cluster: &mut Cluster, owner: &str) -> Result {
    let both = BTreeSet::from([format!("{owner}/eth0"), STRANGER.to_owned()]);
    until("the owner and the stranger answer", async || {
        cluster.lives()?;
        let answering = cluster.who_answers(FIRST.into()).await?;
        if answering == both { Ok(()) } else { Err(format!("{answering:?} answer").into()) }
    })
    .await
}
