//! What MetalLB's suite does not ask.

mod outages;

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::json;

use crate::Result;
use crate::case::{Case, case, note};
use crate::cluster::Cluster;
use crate::object::{advertisement, pool, service};
use crate::plane::{Kind, Plane};
use crate::seen::addresses;
use crate::wait::until;

use crate::worlds::{all_have_their_own, create_many, labelled, node, one_pool, served};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("many_addresses_are_spread_over_the_nodes_each_answered_by_one", spread),
        case("a_controller_killed_again_and_again_gives_no_address_twice", killed_under_load),
        case("while_the_api_is_away_for_a_minute_everything_announced_is_served", outages::away),
        case("while_the_api_server_is_frozen_everything_announced_is_served", outages::frozen)
            .only_on(Kind::Real),
        case("a_node_that_was_cut_off_follows_what_changed_meanwhile", cut_off),
        case("with_etcd_killed_and_back_everything_goes_on", outages::etcd_killed).only_on(Kind::Real),
        case("two_controllers_without_a_lease_give_no_address_twice_at_rest", two_controllers),
        case("a_second_controller_waits_for_the_lease_and_takes_over", second_controller),
        case("five_thousand_services_created_at_once", five_thousand),
    ]
}

async fn spread(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("default", &["192.168.3.128-192.168.3.249"]), advertisement("all")]).await?;
    cluster.pods("web", &["n1", "n2"]).await?;
    let mut answering = BTreeMap::<String, u32>::new();
    for number in 0..30 {
        cluster.create(&service(&format!("s{number}")).spec("selector", json!({"app": "web"}))).await?;
    }
    for number in 0..30 {
        let address = cluster.address(&format!("s{number}")).await?;
        *answering.entry(cluster.serves(address, "web").await?).or_default() += 1;
    }
    note(&format!("30 addresses: {answering:?}"));
    // By the same hash on every run: a third each, give or take.
    assert!(answering.len() == 3 && answering.values().all(|count| *count >= 4), "{answering:?}");
    Ok(())
}

async fn killed_under_load(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    let address = served(cluster, "web", &["n1", "n2"]).await?;
    cluster.create(&pool("large", &["10.77.0.0/22"])).await?;
    let mut held = cluster.held().await?;
    for round in 0..3 {
        create_many(cluster, (0..50).map(|number| format!("s{round}-{number}"))).await?;
        let given = some_of_round(cluster, round).await?;
        create_many(cluster, (50..100).map(|number| format!("s{round}-{number}"))).await?;
        // At whatever it is doing now.
        cluster.kill("controller")?;
        let now = cluster.held().await?;
        now.keeps(&held);
        note(&format!(
            "round {round}: killed with {} addresses given, {given} when it was at work",
            now.addresses()
        ));
        held = now;
        cluster.start_controller(&[]).await?;
    }
    all_have_their_own(cluster, 301).await?;
    // One for each of them, and one of the marker; and at each kill so many were on the way, of which nobody knows
    // whether they came to anything.
    cluster.laws_hold(&held, 302 + 3 * 16).await?;
    cluster.serves(address, "web").await.map(drop)
}

/// Waits until some Services of this round have addresses; how many have.
async fn some_of_round(cluster: &mut Cluster, round: u32) -> Result<usize> {
    until(&format!("Services of round {round} have addresses"), async || {
        cluster.lives()?;
        let services = cluster.list("Service").await?;
        let own = services.iter().filter(|service| {
            let name = service["metadata"]["name"].as_str().unwrap_or_default();
            name.starts_with(&format!("s{round}-")) && !addresses(service).is_empty()
        });
        match own.count() {
            0 => Err("none has".into()),
            some => Ok(some),
        }
    })
    .await
}

async fn cut_off(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    cluster.pods("web", &["n2"]).await?;
    let of_n1 = json!([{"weight": 100, "preference": {"matchLabels": {"kubernetes.io/hostname": "n1"}}}]);
    cluster.change("L2Advertisement", "all", json!({"preferredNodeSelectors": of_n1})).await?;
    let web = |name: &str| service(name).spec("selector", json!({"app": "web"}));
    cluster.create_all(&[web("gone"), web("stays")]).await?;
    let (gone, stays) = (cluster.address("gone").await?, cluster.address("stays").await?);
    cluster.answered_by(gone, "n1").await?;
    cluster.answered_by(stays, "n1").await?;
    let held = cluster.held().await?;
    cluster.site.cut("n1", true).await?;
    cluster.delete("Service", "gone").await?;
    // Another Service has the number now, and what n1 knew is wrong.
    let pinned = web("new").annotation("metallb.io/loadBalancerIPs", &gone.to_string());
    cluster.create(&pinned.label("on", "n3")).await?;
    let third =
        advertisement("n3").spec("serviceSelectors", labelled("on", "n3")).spec("nodeSelectors", node("n3"));
    let others =
        json!({"serviceSelectors": [{"matchExpressions": [{"key": "on", "operator": "DoesNotExist"}]}]});
    cluster.change("L2Advertisement", "all", others).await?;
    cluster.create(&third).await?;
    cluster.shows("new", &[&gone.to_string()]).await?;
    cluster.answered_by(gone, "n3").await?;
    cluster.site.cut("n1", false).await?;
    // Until it has heard of the changes, n1 may believe that it has both.
    cluster.speakers_caught_up().await?;
    cluster.answered_by(gone, "n3").await?;
    cluster.reaches(gone, "web").await?;
    cluster.serves(stays, "web").await?;
    // Three that it keeps, three of the barrier, and one of the marker.
    cluster.laws_hold(&held, 7).await
}

async fn two_controllers(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    let address = served(cluster, "web", &["n1", "n2"]).await?;
    let held = cluster.held().await?;
    cluster.create(&pool("large", &["10.77.0.0/22"])).await?;
    cluster.restart_controller(&["--without-lease"]).await?;
    cluster.start_controller_as("controller-2", &["--without-lease", "--pod-name", "second"]).await?;
    create_many(cluster, (0..300).map(|number| format!("s{number}"))).await?;
    let created = Instant::now();
    all_have_their_own(cluster, 301).await?;
    let healed = created.elapsed();
    let told = |log: String| log.matches("by another controller").count();
    let doubles = told(cluster.log("controller")?) + told(cluster.log("controller-2")?);
    note(&format!(
        "{doubles} doubles were seen and undone, the last one {healed:.1?} after the last Service came"
    ));
    // Each may try each of them, and what both have given is given anew by one.
    cluster.laws_hold(&held, 3 * 302).await?;
    cluster.serves(address, "web").await.map(drop)
}

async fn second_controller(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    let address = served(cluster, "web", &["n1", "n2"]).await?;
    cluster.start_controller_as("controller-2", &["--pod-name", "second"]).await?;
    create_many(cluster, (0..3).map(|number| format!("s{number}"))).await?;
    all_have_their_own(cluster, 4).await?;
    assert!(
        !cluster.log("controller-2")?.contains("assigned"),
        "it gives while the other one holds the Lease"
    );
    cluster.kill("controller")?;
    cluster.create(&service("later").spec("selector", json!({"app": "web"}))).await?;
    let later = cluster.address("later").await?;
    cluster.serves(later, "web").await?;
    cluster.shows("web", &[&address.to_string()]).await
}

async fn five_thousand(cluster: &mut Cluster) -> Result {
    const COUNT: usize = 5000;
    const SAMPLE: usize = 10;
    one_pool(cluster).await?;
    cluster
        .create(&pool("large", &["10.77.0.0/18"]).spec("serviceAllocation", json!({"priority": 1})))
        .await?;
    cluster.pods("web", &["n1", "n2"]).await?;
    let begun = Instant::now();
    // Among the others, ten that are reached: they have the addresses of this LAN.
    for part in 0..SAMPLE {
        let size = COUNT / SAMPLE;
        let sample = service(&format!("sample-{part}")).spec("selector", json!({"app": "web"}));
        cluster.create(&sample.annotation("metallb.io/address-pool", "default")).await?;
        create_many(cluster, (part * size + 1..(part + 1) * size).map(|number| format!("s{number}"))).await?;
    }
    let created = begun.elapsed();
    all_have_their_own(cluster, COUNT).await?;
    let all = begun.elapsed();
    for part in 0..SAMPLE {
        let address = cluster.address(&format!("sample-{part}")).await?;
        cluster.serves(address, "web").await?;
    }
    let memory = cluster.peak_memory("controller")? / 1024;
    if let Plane::Real(real) = &mut cluster.plane {
        note(&format!("MiB at most: {:?}", real.peak_memory()?));
    }
    note(&format!("{COUNT} Services: created in {created:.1?}, all assigned after {all:.1?}; {memory} MiB"));
    Ok(())
}
