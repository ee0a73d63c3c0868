//! An API server that fails: faults injected into the store that our programs ask over HTTP. After each of them no
//! address is held by two, nobody has lost one, and everybody has one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use lbk8s::store::{Fault, Verb};
use serde_json::json;

use crate::Result;
use crate::case::{Case, case, note};
use crate::cluster::Cluster;
use crate::embedded::Embedded;
use crate::object::{advertisement, pool, service};
use crate::plane::{Kind, Plane};

use crate::worlds::served;

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
        case("watches_end_after_their_first_bytes", watches),
        case("lists_are_refused_at_the_start", lists),
        case("an_object_is_made_anew_under_its_name_while_nobody_watches", made_anew),
        case("the_history_is_gone_when_the_api_is_back", compacted),
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

/// Makes Services and waits until each has an address, and no two the same; what each has.
async fn many(cluster: &mut Cluster, count: usize) -> Result<BTreeMap<String, IpAddr>> {
    let mut held = BTreeMap::new();
    for number in 0..count {
        cluster.create(&service(&format!("s{number}"))).await?;
    }
    for number in 0..count {
        let name = format!("s{number}");
        held.insert(name.clone(), cluster.address(&name).await?);
    }
    let distinct: std::collections::BTreeSet<IpAddr> = held.values().copied().collect();
    assert_eq!(distinct.len(), count, "{held:?}");
    Ok(held)
}

/// Each has what it had.
async fn unchanged(cluster: &mut Cluster, held: &BTreeMap<String, IpAddr>) -> Result {
    cluster.caught_up().await?;
    for (name, address) in held {
        assert_eq!(cluster.shown(name).await?, [*address], "{name}");
    }
    Ok(())
}

async fn writes(cluster: &mut Cluster) -> Result {
    cluster.create(&pool("large", &["10.77.0.0/22"])).await?;
    let held = many(cluster, 100).await?;
    let written = embedded(cluster)?.store().faults().writes(Verb::Patch, STATUS);
    assert_eq!(written, 100);
    cluster.restart_controller(&[]).await?;
    unchanged(cluster, &held).await?;
    // One of the marker that shows that the controller has caught up.
    assert_eq!(embedded(cluster)?.store().faults().writes(Verb::Patch, STATUS), 101);
    Ok(())
}

async fn write_faults(cluster: &mut Cluster, fault: Fault) -> Result {
    cluster.create(&pool("large", &["10.77.0.0/22"])).await?;
    embedded(cluster)?.store().faults().inject(Verb::Patch, STATUS, fault, 40);
    let held = many(cluster, 40).await?;
    let written = embedded(cluster)?.store().faults().writes(Verb::Patch, STATUS);
    note(&format!("40 addresses, {fault:?} for each first write: {written} writes"));
    assert!(written <= 80, "{written} writes for 40 addresses");
    unchanged(cluster, &held).await
}

async fn watches(cluster: &mut Cluster) -> Result {
    for name in ["controller", "speaker-n1", "speaker-n2", "speaker-n3"] {
        cluster.stop(name)?;
    }
    for resource in ["services", "nodes", "endpointslices", "ipaddresspools", "l2advertisements"] {
        embedded(cluster)?.store().faults().inject(Verb::Watch, resource, Fault::LoseAnswer, 12);
    }
    cluster.start().await?;
    cluster.create_all(&[pool("default", &["192.168.3.200-192.168.3.249"]), advertisement("all")]).await?;
    let held = many(cluster, 20).await?;
    let address = served(cluster, "web", &["n1", "n2"]).await?;
    unchanged(cluster, &held).await?;
    cluster.serves(address, "web").await.map(drop)
}

async fn lists(cluster: &mut Cluster) -> Result {
    for name in ["controller", "speaker-n1", "speaker-n2", "speaker-n3"] {
        cluster.stop(name)?;
    }
    for resource in ["services", "nodes", "ipaddresspools"] {
        embedded(cluster)?.store().faults().inject(Verb::List, resource, Fault::Refuse(503), 6);
    }
    cluster.start().await?;
    cluster.create_all(&[pool("default", &["192.168.3.200-192.168.3.209"]), advertisement("all")]).await?;
    served(cluster, "web", &["n1", "n2"]).await.map(drop)
}

/// While the port is shut, the test itself still reaches the store.
async fn made_anew(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("default", &["192.168.3.200-192.168.3.209"]), advertisement("all")]).await?;
    let address = served(cluster, "web", &["n1", "n2"]).await?;
    let held = many(cluster, 3).await?;
    embedded(cluster)?.stop_serving();
    cluster.delete("Service", "web").await?;
    cluster.create(&service("web").annotation("metallb.io/loadBalancerIPs", "192.168.3.209")).await?;
    cluster.delete("Service", "s1").await?;
    cluster.create(&service("s1").spec("type", json!("ClusterIP"))).await?;
    embedded(cluster)?.serve().await?;
    cluster.shows("web", &["192.168.3.209"]).await?;
    cluster.serves("192.168.3.209".parse()?, "web").await?;
    cluster.unanswered(address).await?;
    let others: BTreeMap<String, IpAddr> = held.into_iter().filter(|(name, _)| name != "s1").collect();
    unchanged(cluster, &others).await?;
    cluster.shows("s1", &[]).await
}

async fn compacted(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("default", &["192.168.3.200-192.168.3.209"]), advertisement("all")]).await?;
    let address = served(cluster, "web", &["n1", "n2"]).await?;
    let node = cluster.announcer(address).await?;
    embedded(cluster)?.stop_serving();
    cluster.create(&service("later").spec("selector", json!({"app": "web"}))).await?;
    embedded(cluster)?.store().compact();
    embedded(cluster)?.serve().await?;
    let later = cluster.address("later").await?;
    cluster.serves(later, "web").await?;
    cluster.answered_by(address, &node).await
}
