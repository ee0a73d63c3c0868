//! Kept addresses on the embedded store: how often is written and told, also when writes fail.
#![cfg(all(feature = "controller", feature = "store"))]

use std::time::Duration;

use lbcore::LostAddresses;
use lbk8s::controller::Settings;
use lbk8s::objects::annotations::{EXCLUDE, RELEASE, STATE};
use lbk8s::store::{Fault, Verb};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::cluster::{Cluster, POOLS};
use crate::harness::pure::{annotate, kept};
use crate::harness::{condition, new_service, shown};

const STATUS: &str = "services/status";
const ADVERTISEMENTS: &str = "/apis/metallb.io/v1beta1/namespaces/metallb-system/l2advertisements";
const NAMESPACE: &str = "/api/v1/namespaces/default";

/// Service `a` on 10.0.0.1 of a pool that is advertised by name and by label, after one write and one event.
async fn served() -> Cluster {
    let mut cluster = Cluster::with_pool(&["10.0.0.1-10.0.0.9"]).await;
    cluster.change_pool("default", &json!({"metadata": {"labels": {"site": "web"}}})).await;
    for (name, spec) in [
        ("by-name", json!({"ipAddressPools": ["default"]})),
        ("by-label", json!({"ipAddressPoolSelectors": [{"matchLabels": {"site": "web"}}]})),
        ("of-another", json!({"ipAddressPools": ["other"]})),
    ] {
        let object = json!({"metadata": {"name": name}, "spec": spec});
        cluster.send("POST", ADVERTISEMENTS, &object).await.unwrap();
    }
    cluster.start();
    cluster.create(&new_service("a")).await;
    cluster.until_shows("a", "10.0.0.1").await;
    cluster.quiet().await;
    assert_eq!((cluster.status_writes(), cluster.events("a").await.len()), (1, 1));
    cluster
}

async fn until_kept(cluster: &Cluster, reason: &str) -> Value {
    let says = format!("True/{reason}: 10.0.0.1 is kept although ");
    cluster.until("a", "told that it is kept", |object| condition(object).starts_with(&says)).await
}

async fn check_restart(cluster: &mut Cluster) {
    cluster.quiet().await;
    let version = cluster.store.resource_version();
    cluster.stop().await;
    cluster.start();
    cluster.quiet().await;
    assert_eq!(cluster.store.resource_version(), version, "a restart wrote something");
}

#[tokio::test(start_paused = true)]
async fn a_lost_address_is_one_write_and_one_event_and_so_is_its_end() {
    for (edit, reason) in [
        (Some(json!({"spec": {"addresses": ["10.0.0.7-10.0.0.9"]}})), "AddressNotInPool"),
        (Some(annotate(EXCLUDE, "10.0.0.1")), "AddressExcluded"),
        (Some(annotate(STATE, "draining")), "PoolDraining"),
        (None, "PoolGone"),
    ] {
        let mut cluster = served().await;
        match &edit {
            Some(edit) => cluster.change_pool("default", edit).await,
            None => cluster.delete_pool("default").await,
        }
        let object = until_kept(&cluster, reason).await;
        assert_eq!(shown(&object), ["10.0.0.1"]);
        let record = json!({"10.0.0.1": {"pool": "default", "advertisements": ["by-label", "by-name"]}});
        assert_eq!(kept(&object), if reason == "PoolDraining" { Value::Null } else { record });
        cluster.quiet().await;
        assert_eq!((cluster.status_writes(), cluster.events("a").await.len()), (2, 2), "{reason}");
        check_restart(&mut cluster).await;
        // What goes on elsewhere is no reason to write.
        cluster.create(&json!({"metadata": {"name": "x"}, "spec": {"ports": [{"port": 1}]}})).await;
        cluster
            .send(
                "POST",
                ADVERTISEMENTS,
                &json!({"metadata": {"name": "z"}, "spec": {"ipAddressPools": ["z"]}}),
            )
            .await
            .unwrap();
        cluster.send("PATCH", NAMESPACE, &annotate(RELEASE, "10.0.0.2")).await.unwrap();
        cluster.quiet().await;
        check_restart(&mut cluster).await;
        assert_eq!((cluster.status_writes(), cluster.events("a").await.len()), (2, 2), "{reason}");
        // Where it goes to, and the word for it.
        let other = json!({"metadata": {"name": "other"}, "spec": {"addresses": ["10.1.0.1/32"]}});
        cluster.send("POST", POOLS, &other).await.unwrap();
        if edit.is_some() {
            cluster.change_pool("default", &json!({"spec": {"autoAssign": false}})).await;
        }
        cluster.quiet().await;
        cluster.send("PATCH", NAMESPACE, &annotate(RELEASE, "10.0.0.0/30")).await.unwrap();
        let object = cluster.until_shows("a", "10.1.0.1").await;
        assert_eq!(condition(&object), "True/Assigned: 10.1.0.1 from pool \"other\"");
        assert_eq!(kept(&object), Value::Null);
        cluster.quiet().await;
        let events = cluster.events("a").await;
        let told = "Normal IPAllocated: Assigned 10.1.0.1 from pool \"other\": the lowest free address";
        assert_eq!((cluster.status_writes(), events.len(), events[3].as_str()), (3, 4, told), "{reason}");
        let lost =
            "Warning ClearAssignment: 10.0.0.1 is not this Service's any more: 10.1.0.1 from pool \"other\"";
        assert_eq!(events[2], lost, "{reason}");
        check_restart(&mut cluster).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_told_once_however_often_its_write_fails() {
    for (fault, times) in [
        (Fault::Refuse(409), 5),
        (Fault::Refuse(500), 5),
        (Fault::Refuse(503), 5),
        (Fault::Refuse(403), 5),
        (Fault::LoseAnswer, 1),
        (Fault::LoseAnswer, 5),
        (Fault::Delay(Duration::from_secs(3)), 1),
        (Fault::Delay(Duration::from_secs(15)), 1),
    ] {
        let cluster = served().await;
        cluster.store.faults().inject(Verb::Patch, STATUS, fault, times);
        cluster.delete_pool("default").await;
        until_kept(&cluster, "PoolGone").await;
        cluster.quiet().await;
        let events = cluster.events("a").await;
        assert_eq!(events.len(), 2, "{fault:?}: {events:#?}");
        assert_eq!(cluster.status_writes(), 2, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_write_of_a_loss_fails_the_server_is_not_kept_busy() {
    let cluster = served().await;
    cluster.store.faults().inject(Verb::Patch, STATUS, Fault::Refuse(500), 100);
    let started = Instant::now();
    cluster.delete_pool("default").await;
    until_kept(&cluster, "PoolGone").await;
    let took = started.elapsed();
    assert!(took > Duration::from_secs(5), "100 attempts for one Service within {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_loss_of_many_is_one_write_each() {
    let mut cluster = Cluster::with_pool(&["10.0.0.1-10.0.0.100"]).await;
    cluster.start();
    for number in 0..100 {
        cluster.create(&new_service(&format!("s{number}"))).await;
    }
    cluster.quiet().await;
    assert_eq!(cluster.status_writes(), 100);
    cluster.change_pool("default", &json!({"spec": {"addresses": ["10.0.0.61-10.0.0.100"]}})).await;
    cluster.quiet().await;
    assert_eq!(cluster.status_writes(), 160);
    check_restart(&mut cluster).await;
    cluster.delete_pool("default").await;
    cluster.quiet().await;
    // All say something else now: the one half loses its address, the other half its pool.
    assert_eq!(cluster.status_writes(), 260);
    check_restart(&mut cluster).await;
    cluster.check_story(&[]);
}

#[tokio::test(start_paused = true)]
async fn taken_away_is_taken_at_once_and_told_once() {
    let mut cluster = served().await;
    cluster.stop().await;
    cluster.start_with(Settings { lost_addresses: LostAddresses::TakeAway, ..Settings::default() });
    cluster.quiet().await;
    assert_eq!(cluster.status_writes(), 1);
    cluster.change_pool("default", &json!({"spec": {"addresses": ["10.0.0.7-10.0.0.9"]}})).await;
    cluster.until_shows("a", "10.0.0.7").await;
    cluster.delete_pool("default").await;
    let waits = |object: &Value| condition(object).starts_with("False/NoPools: ");
    let object = cluster.until("a", "told to wait", waits).await;
    assert_eq!((shown(&object), kept(&object)), (vec![], Value::Null));
    cluster.quiet().await;
    let events = cluster.events("a").await;
    let cleared: Vec<&String> = events.iter().filter(|it| it.contains("ClearAssignment")).collect();
    assert_eq!((cluster.status_writes(), events.len(), cleared.len()), (3, 5, 2), "{events:#?}");
}

#[tokio::test(start_paused = true)]
async fn heartbeats_and_labels_of_nodes_cause_no_writes() {
    let mut cluster = served().await;
    let path = "/api/v1/nodes";
    let status = |beat: u32, address: &str| {
        json!({"status": {
            "addresses": [{"type": "InternalIP", "address": address}],
            "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": format!("2025-01-01T00:00:{beat:02}Z")}],
        }})
    };
    for name in ["n1", "n2"] {
        cluster.send("POST", path, &json!({"metadata": {"name": name}})).await.unwrap();
    }
    for beat in 0..20 {
        for (name, address) in [("n1", "10.0.0.1"), ("n2", "10.0.0.2")] {
            cluster.send("PATCH", &format!("{path}/{name}/status"), &status(beat, address)).await.unwrap();
        }
    }
    let says =
        "True/AddressOfNode: 10.0.0.1 from pool \"default\"; 10.0.0.1 is also the address of node n1: ";
    cluster.until("a", "told whose its address is", |object| condition(object).starts_with(says)).await;
    cluster.quiet().await;
    assert_eq!((cluster.status_writes(), cluster.events("a").await.len()), (2, 2));
    cluster.create(&new_service("b")).await;
    cluster.until_shows("b", "10.0.0.3").await;
    check_restart(&mut cluster).await;
    assert_eq!(cluster.status_writes(), 3);
}
