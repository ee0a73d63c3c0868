//! An API server that fails: faults injected into the store that our programs ask over HTTP. After each of them the
//! laws hold (`laws`), and no more was written than they are worth.

use std::time::{Duration, Instant};

use lbk8s::store::{Fault, Verb};
use serde_json::json;

use crate::Result;
use crate::case::{Case, case, note};
use crate::cluster::Cluster;
use crate::embedded::Embedded;
use crate::object::{advertisement, pool, service};
use crate::plane::{Kind, Plane};
use crate::wait::until_within;

use crate::worlds::{all_have_their_own, create_many, one_pool, served};

pub(super) fn cases() -> Vec<Case> {
    let cases = vec![
        case("one_status_write_for_each_address_and_none_at_a_restart", writes),
        case("every_first_write_is_a_conflict", async |cluster: &mut Cluster| {
            write_faults(cluster, Fault::Refuse(409)).await
        }),
        case("writes_are_refused_for_too_many_requests", async |cluster: &mut Cluster| {
            write_faults(cluster, Fault::Refuse(429)).await
        }),
        case("writes_are_refused_as_unavailable", async |cluster: &mut Cluster| {
            write_faults(cluster, Fault::Refuse(503)).await
        }),
        case("answers_to_writes_are_lost", async |cluster: &mut Cluster| {
            write_faults(cluster, Fault::LoseAnswer).await
        }),
        case("writes_are_slow", async |cluster: &mut Cluster| {
            write_faults(cluster, Fault::Delay(Duration::from_millis(700))).await
        }),
        case("watches_end_after_their_first_bytes", async |cluster: &mut Cluster| {
            watches(cluster, &[Fault::LoseAnswer; 12]).await
        }),
        case("watches_are_cut_at_any_byte", async |cluster: &mut Cluster| {
            watches(cluster, &[0, 1, 2, 9, 60, 299, 300, 301, 777, 1500, 2222].map(Fault::CutAfter)).await
        }),
        case("connections_stay_open_and_nobody_answers", half_open),
        case("lists_are_refused_at_the_start", lists),
        case("an_object_is_made_anew_under_its_name_while_nobody_watches", made_anew),
        case("the_history_is_gone_when_the_api_is_back", compacted),
        case("ten_thousand_services_at_the_start", ten_thousand),
    ];
    cases.into_iter().map(|case| case.only_on(Kind::Embedded)).collect()
}

const STATUS: &str = "services/status";

fn embedded(cluster: &mut Cluster) -> Result<&mut Embedded> {
    match &mut cluster.plane {
        Plane::Embedded(embedded) => Ok(embedded),
        Plane::Real(_) => Err("it runs on the store only".into()),
    }
}

/// Makes Services and waits until each has an address.
async fn many(cluster: &mut Cluster, count: usize) -> Result {
    for number in 0..count {
        cluster.create(&service(&format!("s{number}"))).await?;
    }
    for number in 0..count {
        cluster.address(&format!("s{number}")).await?;
    }
    Ok(())
}

async fn writes(cluster: &mut Cluster) -> Result {
    cluster.create(&pool("large", &["10.77.0.0/22"])).await?;
    many(cluster, 100).await?;
    assert_eq!(cluster.status_writes().await?, 100);
    let held = cluster.held().await?;
    cluster.restart_controller(&[]).await?;
    // One of the marker that shows that the controller has caught up.
    cluster.laws_hold(&held, 101).await
}

/// Each write may be made twice: the first time in vain.
async fn write_faults(cluster: &mut Cluster, fault: Fault) -> Result {
    cluster.create(&pool("large", &["10.77.0.0/22"])).await?;
    many(cluster, 20).await?;
    let held = cluster.held().await?;
    embedded(cluster)?.store().faults().inject(Verb::Patch, STATUS, fault, 40);
    for number in 20..60 {
        cluster.create(&service(&format!("s{number}"))).await?;
    }
    cluster.laws_hold(&held, 20 + 2 * 41).await
}

async fn watches(cluster: &mut Cluster, faults: &[Fault]) -> Result {
    cluster.stop_all()?;
    for resource in ["services", "nodes", "endpointslices", "ipaddresspools", "l2advertisements"] {
        for fault in faults {
            embedded(cluster)?.store().faults().inject(Verb::Watch, resource, *fault, 1);
        }
    }
    cluster.start().await?;
    cluster.create_all(&[pool("default", &["192.168.3.200-192.168.3.249"]), advertisement("all")]).await?;
    many(cluster, 20).await?;
    let held = cluster.held().await?;
    let address = served(cluster, "web", &["n1", "n2"]).await?;
    cluster.laws_hold(&held, 22).await?;
    cluster.serves(address, "web").await.map(drop)
}

async fn lists(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    let address = served(cluster, "web", &["n1", "n2"]).await?;
    let held = cluster.held().await?;
    cluster.stop_all()?;
    for resource in ["services", "nodes", "ipaddresspools"] {
        embedded(cluster)?.store().faults().inject(Verb::List, resource, Fault::Refuse(503), 6);
    }
    cluster.start().await?;
    served(cluster, "later", &["n1", "n2"]).await?;
    cluster.serves(address, "web").await?;
    cluster.laws_hold(&held, 3).await
}

/// Whoever asks while nobody answers waits in vain, and must not wait for ever: the API is back before he notices.
async fn half_open(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    let address = served(cluster, "web", &["n1", "n2"]).await?;
    let held = cluster.held().await?;
    // Each of the four programs watches more than this many kinds.
    embedded(cluster)?.play_dead(24).await?;
    embedded(cluster)?.serve().await?;
    let begun = Instant::now();
    cluster.create(&service("later").spec("selector", json!({"app": "web"}))).await?;
    let later = until_within(Duration::from_secs(75), "the new Service has an address", async || {
        cluster.lives()?;
        cluster.shown("later").await?.first().copied().ok_or("it has none".into())
    })
    .await?;
    until_within(Duration::from_secs(75), "it is answered for", async || {
        cluster.lives()?;
        if cluster.who_answers(later).await?.is_empty() { Err("nobody does".into()) } else { Ok(()) }
    })
    .await?;
    note(&format!("served {:.0?} after the API was back", begun.elapsed()));
    cluster.serves(later, "web").await?;
    cluster.serves(address, "web").await?;
    cluster.laws_hold(&held, 4).await
}

/// While the port is shut, the test itself still reaches the store.
async fn made_anew(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    let address = served(cluster, "web", &["n1", "n2"]).await?;
    many(cluster, 3).await?;
    let held = cluster.held().await?;
    embedded(cluster)?.stop_serving();
    cluster.delete("Service", "web").await?;
    cluster.create(&service("web").annotation("metallb.io/loadBalancerIPs", "192.168.3.209")).await?;
    cluster.delete("Service", "s1").await?;
    cluster.create(&service("s1").spec("type", json!("ClusterIP"))).await?;
    embedded(cluster)?.serve().await?;
    cluster.shows("web", &["192.168.3.209"]).await?;
    cluster.serves("192.168.3.209".parse()?, "web").await?;
    cluster.unanswered(address).await?;
    cluster.shows("s1", &[]).await?;
    cluster.laws_hold(&held, 6).await
}

async fn compacted(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    let address = served(cluster, "web", &["n1", "n2"]).await?;
    let held = cluster.held().await?;
    let node = cluster.announcer(address).await?;
    embedded(cluster)?.stop_serving();
    cluster.create(&service("later").spec("selector", json!({"app": "web"}))).await?;
    embedded(cluster)?.store().compact();
    embedded(cluster)?.serve().await?;
    let later = cluster.address("later").await?;
    cluster.serves(later, "web").await?;
    cluster.answered_by(address, &node).await?;
    cluster.laws_hold(&held, 3).await
}

/// A controller that starts where nearly all have what they need: it learns that, and writes for those that have not.
async fn ten_thousand(cluster: &mut Cluster) -> Result {
    const COUNT: usize = 10_000;
    cluster.create(&pool("large", &["10.77.0.0/18"])).await?;
    create_many(cluster, (10..COUNT).map(|number| format!("s{number}"))).await?;
    all_have_their_own(cluster, COUNT - 10).await?;
    cluster.stop("controller")?;
    create_many(cluster, (0..10).map(|number| format!("s{number}"))).await?;
    let (held, written) = (cluster.held().await?, cluster.status_writes().await?);
    let begun = Instant::now();
    cluster.start_controller(&[]).await?;
    all_have_their_own(cluster, COUNT).await?;
    note(&format!("{COUNT} Services: the new ones have theirs {:.1?} after the start", begun.elapsed()));
    // Ten, and one of the marker that shows that the controller has caught up.
    cluster.laws_hold(&held, written + 11).await
}
