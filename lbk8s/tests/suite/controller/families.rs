//! A Service that prefers both families, on the embedded store: each real change is one write, and nothing flaps.
#![cfg(all(feature = "controller", feature = "store"))]

use lbk8s::objects::annotations::{EXCLUDE, RELEASE};
use serde_json::{Value, json};

use crate::harness::cluster::{Cluster, POOLS};
use crate::harness::pure::annotate;
use crate::harness::{condition, new_service, shown, with};

fn both(name: &str, policy: &str) -> Value {
    with(new_service(name), &json!({"spec": {"ipFamilyPolicy": policy}}))
}

fn addresses(addresses: &[&str]) -> Value {
    json!({"spec": {"addresses": addresses}})
}

/// Waits until the Service shows these and nothing more happens; the writes that it took.
async fn settled(cluster: &Cluster, before: u64, expected: &[&str]) -> u64 {
    cluster.until("a", &format!("at {expected:?}"), |object| shown(object) == expected).await;
    cluster.quiet().await;
    assert_eq!(shown(&cluster.get("a").await), expected);
    cluster.status_writes() - before
}

async fn check_restart(cluster: &mut Cluster) {
    let version = cluster.store.resource_version();
    cluster.stop().await;
    cluster.start();
    cluster.quiet().await;
    assert_eq!(cluster.store.resource_version(), version, "a restart wrote something");
}

#[tokio::test(start_paused = true)]
async fn the_second_family_comes_with_the_pool_and_goes_when_that_is_confirmed() {
    const FOUR: &str = "10.0.0.1-10.0.0.9";
    const SIX: &str = "fd00::1-fd00::9";
    let mut cluster = Cluster::with_pool(&[FOUR]).await;
    cluster.start();
    cluster.create(&both("a", "PreferDualStack")).await;
    assert_eq!(settled(&cluster, 0, &["10.0.0.1"]).await, 1);
    let why = "10.0.0.1 from pool \"default\"; no free IPv6 address: pool \"default\" has none";
    let lacking = format!("True/PoolExhausted: {why}");
    assert_eq!(condition(&cluster.get("a").await), lacking);
    for _ in 0..3 {
        check_restart(&mut cluster).await;
        let before = cluster.status_writes();
        cluster.change_pool("default", &addresses(&[FOUR, SIX])).await;
        assert_eq!(settled(&cluster, before, &["10.0.0.1", "fd00::1"]).await, 1, "gained");
        let says = "True/Assigned: 10.0.0.1 from pool \"default\", fd00::1 from pool \"default\"";
        assert_eq!(condition(&cluster.get("a").await), says);
        check_restart(&mut cluster).await;
        // The pool loses it: it is kept, and that is said.
        let before = cluster.status_writes();
        cluster.change_pool("default", &addresses(&[FOUR])).await;
        let told = |object: &Value| condition(object).starts_with("True/AddressNotInPool: fd00::1 is kept ");
        cluster.until("a", "told that it keeps fd00::1", told).await;
        assert_eq!(settled(&cluster, before, &["10.0.0.1", "fd00::1"]).await, 1, "kept");
        check_restart(&mut cluster).await;
        let before = cluster.status_writes();
        cluster.change_pool("default", &annotate(RELEASE, "fd00::/64")).await;
        assert_eq!(settled(&cluster, before, &["10.0.0.1"]).await, 1, "released");
        assert_eq!(condition(&cluster.get("a").await), lacking);
        check_restart(&mut cluster).await;
        let before = cluster.status_writes();
        cluster.change_pool("default", &annotate(RELEASE, Value::Null)).await;
        assert_eq!(settled(&cluster, before, &["10.0.0.1"]).await, 0, "the confirmation is taken back");
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_family_that_comes_and_goes_elsewhere_moves_nothing() {
    let mut cluster = Cluster::with_pool(&["10.0.0.1-10.0.0.9"]).await;
    cluster.start();
    cluster.create(&both("a", "PreferDualStack")).await;
    settled(&cluster, 0, &["10.0.0.1"]).await;
    let six = json!({"metadata": {"name": "six"}, "spec": {"addresses": ["fd00::1-fd00::9"]}});
    for _ in 0..3 {
        cluster.send("POST", POOLS, &six).await.unwrap();
        cluster.quiet().await;
        assert_eq!(shown(&cluster.get("a").await), ["10.0.0.1"]);
        check_restart(&mut cluster).await;
        cluster.delete_pool("six").await;
        cluster.quiet().await;
        assert_eq!(shown(&cluster.get("a").await), ["10.0.0.1"]);
        check_restart(&mut cluster).await;
    }
    // What it lacks is told each time that this is something else, and not once more.
    assert_eq!(cluster.status_writes(), 1 + 2 * 3);
}

#[tokio::test(start_paused = true)]
async fn addresses_of_two_pools_stay_and_neither_is_lost_with_the_others_pool() {
    let mut cluster = Cluster::with_pool(&["10.0.0.1-10.0.0.9"]).await;
    let six = json!({"metadata": {"name": "six"}, "spec": {"addresses": ["fd00::1-fd00::9"]}});
    cluster.send("POST", POOLS, &six).await.unwrap();
    cluster.start();
    cluster.create(&both("a", "PreferDualStack")).await;
    assert_eq!(settled(&cluster, 0, &["10.0.0.1", "fd00::1"]).await, 1);
    check_restart(&mut cluster).await;
    let mut writes = cluster.status_writes();
    for (pool, patch) in [
        ("six", annotate(EXCLUDE, "fd00::1")),
        ("six", annotate(EXCLUDE, Value::Null)),
        ("default", annotate(EXCLUDE, "10.0.0.1")),
        ("default", annotate(EXCLUDE, Value::Null)),
    ] {
        cluster.change_pool(pool, &patch).await;
        assert_eq!(settled(&cluster, writes, &["10.0.0.1", "fd00::1"]).await, 1, "{patch}");
        check_restart(&mut cluster).await;
        writes = cluster.status_writes();
    }
    cluster.check_story(&[]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_requires_both_keeps_both_until_released_and_then_waits_for_both() {
    const BOTH: [&str; 2] = ["10.0.0.1-10.0.0.9", "fd00::1-fd00::9"];
    let mut cluster = Cluster::with_pool(&BOTH).await;
    cluster.start();
    cluster.create(&both("a", "RequireDualStack")).await;
    assert_eq!(settled(&cluster, 0, &["10.0.0.1", "fd00::1"]).await, 1);
    cluster.change_pool("default", &addresses(&BOTH[..1])).await;
    let told = |object: &Value| condition(object).starts_with("True/AddressNotInPool: fd00::1 is kept ");
    cluster.until("a", "told that it keeps fd00::1", told).await;
    assert_eq!(settled(&cluster, 0, &["10.0.0.1", "fd00::1"]).await, 2);
    cluster.change_pool("default", &annotate(RELEASE, "all")).await;
    // What is left to it is not taken.
    assert_eq!(settled(&cluster, 0, &["10.0.0.1"]).await, 3);
    assert!(condition(&cluster.get("a").await).starts_with("True/PoolExhausted: "));
    check_restart(&mut cluster).await;
    cluster.change_pool("default", &addresses(&BOTH)).await;
    assert_eq!(settled(&cluster, 0, &["10.0.0.1", "fd00::1"]).await, 4);
}
