//! The controller on the embedded store: the walkthrough from end to end, and what it writes.
#![cfg(all(feature = "controller", feature = "store"))]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use lbk8s::manifest::apply::Applier;
use lbk8s::manifest::load;
use lbk8s::store::{Fault, Verb};
use serde_json::{Value, json};

use crate::harness::cluster::{Cluster, POOLS, SERVICES};
use crate::harness::{condition, new_service, shown, with};

const FOUR: [&str; 1] = ["192.168.3.251-192.168.3.254"];

fn pinned(name: &str, address: &str) -> Value {
    with(new_service(name), &json!({"spec": {"loadBalancerIP": address}}))
}

fn apply(cluster: &Cluster, applier: &mut Applier, files: &[&str]) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/walkthrough");
    let paths: Vec<PathBuf> = files.iter().map(|file| PathBuf::from(folder).join(file)).collect();
    let manifests = load(&paths);
    assert!(manifests.errors.is_empty(), "{:?}", manifests.errors);
    let outcome = applier.apply(&cluster.store, &manifests);
    assert_eq!(outcome.faults, []);
}

#[tokio::test(start_paused = true)]
async fn the_walkthrough_goes_as_it_is_told_with_events_and_conditions() {
    for pool in ["pool-configmap.yaml", "pool-crd.yaml"] {
        let mut cluster = Cluster::with_pool(&[]).await;
        let mut applier = Applier::default();
        cluster.start();
        apply(&cluster, &mut applier, &[pool]);
        apply(&cluster, &mut applier, &[pool, "gateways.yaml"]);
        cluster.quiet().await;
        let addresses = cluster.addresses().await;
        assert_eq!(addresses["istio-ingressgateway"].as_deref(), Some("192.168.3.251"));
        assert_eq!(addresses["istio-eastwestgateway"].as_deref(), Some("192.168.3.252"));
        apply(&cluster, &mut applier, &[pool, "gateways.yaml", "nginx.yaml"]);
        let nginx = cluster.until_shows("nginx", "192.168.3.253").await;
        assert_eq!(condition(&nginx), "True/Assigned: 192.168.3.253 from pool \"default\"");
        cluster.create(&pinned("fourth", "192.168.3.254")).await;
        cluster.until_shows("fourth", "192.168.3.254").await;
        cluster.create(&new_service("fifth")).await;
        let why = "no free IPv4 address: pool \"default\" has all 4 in use";
        let pending = format!("False/PoolExhausted: {why}");
        cluster.until("fifth", "pending", |fifth| condition(fifth) == pending).await;
        apply(&cluster, &mut applier, &[pool, "gateways.yaml"]);
        cluster.until_shows("fifth", "192.168.3.253").await;
        cluster.quiet().await;
        let assigned =
            |address, why| format!("Normal IPAllocated: Assigned {address} from pool \"default\": {why}");
        assert_eq!(cluster.events("nginx").await, [assigned("192.168.3.253", "the lowest free address")]);
        assert_eq!(cluster.events("fourth").await, [assigned("192.168.3.254", "the address asked for")]);
        assert_eq!(
            cluster.events("fifth").await,
            [
                format!("Warning AllocationFailed: {why}"),
                assigned("192.168.3.253", "the lowest free address")
            ]
        );
        // Five that got an address, and one that was first told that there is none.
        assert_eq!(cluster.status_writes(), 6);
        cluster.check_story(&[]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_allocation_is_one_write_and_neither_a_restart_nor_a_new_list_is_any() {
    let mut cluster = Cluster::with_pool(&["10.0.0.0/28"]).await;
    cluster.start();
    for number in 0..20 {
        cluster.create(&new_service(&format!("s{number}"))).await;
    }
    cluster.create(&pinned("taken", "10.0.0.3")).await;
    cluster.create(&pinned("outside", "172.16.0.1")).await;
    cluster.create(&pinned("unclear", "frog")).await;
    cluster.quiet().await;
    assert_eq!(cluster.status_writes(), 23);
    let version = cluster.store.resource_version();
    for _ in 0..3 {
        cluster.stop().await;
        cluster.start();
        cluster.quiet().await;
    }
    assert_eq!((cluster.status_writes(), cluster.store.resource_version()), (23, version), "restarts");
    for _ in 0..3 {
        // The next watch resumes from before the only change that is left, and is told 410.
        cluster
            .send("POST", "/api/v1/namespaces", &json!({"metadata": {"generateName": "n"}}))
            .await
            .unwrap();
        cluster.store.compact();
        cluster.store.faults().inject(Verb::Watch, "services", Fault::Refuse(410), 1);
        cluster.quiet().await;
    }
    assert_eq!(cluster.status_writes(), 23, "new lists");
    cluster.check_story(&[]);
}

#[tokio::test(start_paused = true)]
async fn a_service_made_again_under_its_name_is_a_new_one_and_doubles_nothing() {
    let mut cluster = Cluster::with_pool(&FOUR).await;
    cluster.start();
    cluster.create(&new_service("a")).await;
    cluster.until_shows("a", "192.168.3.251").await;
    for round in 0..5 {
        // Without a pause in between, then with time to notice.
        cluster.delete("a").await;
        if round % 2 == 1 {
            cluster.quiet().await;
        }
        cluster.create(&new_service("a")).await;
        cluster.create(&new_service(&format!("b{round}"))).await;
        cluster.quiet().await;
    }
    // Of six Services four have an address, and each address has one of them.
    let held: Vec<String> = cluster.addresses().await.into_values().flatten().collect();
    assert_eq!((held.len(), held.iter().collect::<BTreeSet<_>>().len()), (4, 4));
    cluster.check_story(&[]);
    let object = cluster.get("a").await;
    assert_eq!(shown(&object).is_empty(), condition(&object).starts_with("False/"));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_old_one_told_late_takes_nothing_from_the_new_one() {
    let mut cluster = Cluster::with_pool(&["10.0.0.1/32"]).await;
    cluster.start();
    cluster.quiet().await;
    // The first write takes long, and the watch of Services ends after it told of "a" and takes long to come back.
    let faults = cluster.store.faults();
    faults.inject(Verb::Patch, "services/status", Fault::Delay(std::time::Duration::from_secs(2)), 1);
    faults.inject(Verb::Watch, "services", Fault::LoseAnswer, 1);
    faults.inject(Verb::Watch, "services", Fault::Delay(std::time::Duration::from_secs(8)), 1);
    // The watch that is open now ends by itself, every 50 seconds.
    tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    cluster.create(&new_service("a")).await;
    // Time for the write to begin, and not to end.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(cluster.status_writes(), 0);
    cluster.delete("a").await;
    cluster.create(&new_service("b")).await;
    cluster.create(&new_service("a")).await;
    cluster.quiet().await;
    cluster.check_story(&[]);
}

#[tokio::test(start_paused = true)]
async fn another_writer_between_our_read_and_our_write_loses_nothing() {
    let mut cluster = Cluster::with_pool(&FOUR).await;
    cluster.create(&new_service("a")).await;
    let slow = Fault::Delay(std::time::Duration::from_secs(2));
    cluster.store.faults().inject(Verb::Patch, "services/status", slow, 1);
    cluster.start();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let theirs = json!({"type": "example.com/Ready", "status": "True", "reason": "R", "message": "m",
        "lastTransitionTime": "2023-05-05T05:05:05Z"});
    let patch = json!({"status": {"conditions": [theirs]}});
    cluster.send("PATCH", &format!("{SERVICES}/a/status"), &patch).await.unwrap();
    cluster.change("a", &json!({"spec": {"loadBalancerIP": "192.168.3.254"}})).await;
    let object = cluster.until_shows("a", "192.168.3.254").await;
    assert_eq!(object["status"]["conditions"][0], theirs);
    assert!(condition(&object).starts_with("True/Assigned: 192.168.3.254 "));
    cluster.quiet().await;
    // Theirs and ours.
    assert_eq!(cluster.status_writes(), 2);
    cluster.check_story(&[]);
}

#[tokio::test(start_paused = true)]
async fn a_status_that_somebody_cleared_is_written_again() {
    let mut cluster = Cluster::with_pool(&FOUR).await;
    cluster.start();
    cluster.create(&new_service("a")).await;
    cluster.until_shows("a", "192.168.3.251").await;
    cluster.send("PATCH", &format!("{SERVICES}/a/status"), &json!({"status": null})).await.unwrap();
    let object = cluster.until_shows("a", "192.168.3.251").await;
    assert!(condition(&object).starts_with("True/Assigned"));
    cluster.quiet().await;
    assert_eq!(cluster.status_writes(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_problem_is_one_event_on_the_object_at_fault() {
    let mut cluster = Cluster::with_pool(&FOUR).await;
    cluster.start();
    let bad = json!({"metadata": {"name": "bad"}, "spec": {"addresses": ["10.0.0.9-10.0.0.1"]}});
    cluster.send("POST", POOLS, &bad).await.unwrap();
    cluster.quiet().await;
    cluster
        .send("PATCH", &format!("{POOLS}/bad"), &json!({"metadata": {"labels": {"x": "y"}}}))
        .await
        .unwrap();
    cluster.create(&new_service("a")).await;
    cluster.quiet().await;
    let events = cluster.events("bad").await;
    let start = "Warning ConfigurationError: spec.addresses[0]: \"10.0.0.9-10.0.0.1\": ";
    assert!(events.len() == 1 && events[0].starts_with(start), "{events:?}");
}

#[tokio::test]
async fn two_thousand_services_at_once_each_get_an_address_by_one_write() {
    let mut cluster = Cluster::with_pool(&["10.0.0.0/16"]).await;
    let started = Instant::now();
    for number in 0..2000 {
        cluster.create(&new_service(&format!("s{number:04}"))).await;
    }
    let created = started.elapsed();
    let started = Instant::now();
    cluster.start();
    let mut left: Vec<String> = (0..2000).map(|number| format!("s{number:04}")).collect();
    while let Some(name) = left.pop() {
        cluster.until(&name, "served", |object| !shown(object).is_empty()).await;
    }
    eprintln!("2,000 services: created in {created:?}, all with an address after {:?}", started.elapsed());
    let first = started.elapsed();
    cluster.stop().await;
    let started = Instant::now();
    cluster.start();
    cluster.create(&new_service("last")).await;
    cluster.until_shows("last", "10.0.7.208").await;
    eprintln!("after a restart the next one has its address in {:?} (all: {first:?})", started.elapsed());
    assert_eq!(cluster.status_writes(), 2001);
    cluster.check_story(&[]);
    let addresses: BTreeSet<String> = cluster.addresses().await.into_values().flatten().collect();
    assert_eq!(addresses.len(), 2001);
}
