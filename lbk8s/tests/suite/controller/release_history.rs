//! Sticky addresses and cool-down on the embedded store: what is remembered, written down, and read again.
#![cfg(all(feature = "controller", feature = "store"))]

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use lbk8s::objects::annotations::{COOL_DOWN, REMEMBERED, STICKY};
use lbk8s::store::{Fault, Verb};
use serde_json::{Value, json};

use crate::harness::cluster::{Cluster, POOLS};
use crate::harness::pure::annotate;
use crate::harness::{new_service, shown, with};

/// A cluster whose only pool has these addresses and this annotation.
async fn cluster(addresses: &str, key: &str, value: &str) -> Cluster {
    let cluster = Cluster::with_pool(&[addresses]).await;
    cluster.change_pool("default", &annotate(key, value)).await;
    let everything = json!({"metadata": {"name": "everything"}, "spec": {}});
    cluster.send("POST", ADVERTISEMENTS, &everything).await.unwrap();
    cluster
}

const ADVERTISEMENTS: &str = "/apis/metallb.io/v1beta1/namespaces/metallb-system/l2advertisements";

/// With Services `a`, `b` and `c` on the first three addresses of a sticky pool.
async fn served() -> Cluster {
    let mut cluster = cluster("10.0.0.1-10.0.0.9", STICKY, "1h").await;
    cluster.start();
    for (name, address) in [("a", "10.0.0.1"), ("b", "10.0.0.2"), ("c", "10.0.0.3")] {
        cluster.create(&new_service(name)).await;
        cluster.until_shows(name, address).await;
    }
    cluster
}

/// Which Services are remembered, by address.
fn remembered(pool: &Value) -> BTreeMap<String, Vec<String>> {
    let text = pool["metadata"]["annotations"][REMEMBERED].as_str().unwrap_or("{}");
    let notes: BTreeMap<String, Vec<Value>> = serde_json::from_str(text).unwrap();
    let services = |notes: &Vec<Value>| {
        notes.iter().map(|note| note["service"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    notes.iter().map(|(address, notes)| (address.clone(), services(notes))).collect()
}

async fn until_remembered(cluster: &Cluster, expected: &[(&str, &[&str])]) -> Value {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let expected: BTreeMap<String, Vec<String>> =
        expected.iter().map(|(address, names)| ((*address).to_owned(), owned(names))).collect();
    let what = format!("said to remember {expected:?}");
    cluster.until_pool("default", &what, |pool| remembered(pool) == expected).await
}

fn is_noted(pool: &Value) -> bool {
    pool["metadata"]["annotations"].get(REMEMBERED).is_some()
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_made_again_gets_its_address_back_and_nothing_more_is_remembered() {
    let cluster = served().await;
    cluster.delete("a").await;
    cluster.delete("b").await;
    until_remembered(&cluster, &[("10.0.0.1", &["default/a"]), ("10.0.0.2", &["default/b"])]).await;
    cluster.create(&new_service("b")).await;
    cluster.until_shows("b", "10.0.0.2").await;
    let events = cluster.events("b").await;
    let told = "Normal IPAllocated: Assigned 10.0.0.2 from pool \"default\": the address it had before";
    assert_eq!(events.last().map(String::as_str), Some(told));
    until_remembered(&cluster, &[("10.0.0.1", &["default/a"])]).await;
    // Another Service takes an address that nobody is to come back to.
    cluster.create(&new_service("d")).await;
    cluster.until_shows("d", "10.0.0.4").await;
    cluster.create(&new_service("a")).await;
    cluster.until_shows("a", "10.0.0.1").await;
    cluster.until_pool("default", "without a note", |pool| !is_noted(pool)).await;
    cluster.quiet().await;
    // Three for Services that came, three for those made again.
    assert_eq!(cluster.status_writes(), 6);
}

#[tokio::test(start_paused = true)]
async fn another_process_remembers_what_this_one_wrote_down() {
    let mut cluster = served().await;
    cluster.delete("a").await;
    cluster.delete("b").await;
    until_remembered(&cluster, &[("10.0.0.1", &["default/a"]), ("10.0.0.2", &["default/b"])]).await;
    cluster.quiet().await;
    let version = cluster.store.resource_version();
    for _ in 0..3 {
        cluster.stop().await;
        cluster.start();
        cluster.quiet().await;
    }
    assert_eq!(cluster.store.resource_version(), version, "a restart wrote something");
    cluster.create(&new_service("d")).await;
    cluster.until_shows("d", "10.0.0.4").await;
    cluster.stop().await;
    // One comes back while no controller runs.
    cluster.create(&new_service("b")).await;
    cluster.start();
    cluster.until_shows("b", "10.0.0.2").await;
    until_remembered(&cluster, &[("10.0.0.1", &["default/a"])]).await;
    cluster.create(&new_service("a")).await;
    cluster.until_shows("a", "10.0.0.1").await;
    cluster.until_pool("default", "without a note", |pool| !is_noted(pool)).await;
}

#[tokio::test(start_paused = true)]
async fn an_address_is_freed_when_its_service_goes_and_not_when_something_happened_before() {
    let cluster = served().await;
    // Nothing happens for a while, as in a cluster at night.
    cluster.quiet().await;
    let before = Timestamp::now();
    cluster.delete("b").await;
    let pool = until_remembered(&cluster, &[("10.0.0.2", &["default/b"])]).await;
    let text = pool["metadata"]["annotations"][REMEMBERED].as_str().unwrap();
    let notes: Value = serde_json::from_str(text).unwrap();
    let freed: Timestamp = notes["10.0.0.2"][0]["freed"].as_str().unwrap().parse().unwrap();
    assert!(freed.as_microsecond() >= before.as_microsecond(), "freed at {freed}, deleted after {before}");
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_not_sticky_any_more_forgets_and_is_written_once() {
    let cluster = served().await;
    cluster.delete("b").await;
    until_remembered(&cluster, &[("10.0.0.2", &["default/b"])]).await;
    cluster.quiet().await;
    let before = cluster.pool_writes();
    cluster.change_pool("default", &annotate(STICKY, Value::Null)).await;
    cluster.until_pool("default", "without a note", |pool| !is_noted(pool)).await;
    cluster.quiet().await;
    // The edit and the removal.
    assert_eq!(cluster.pool_writes() - before, 2);
    cluster.delete("a").await;
    cluster.create(&new_service("b")).await;
    cluster.until_shows("b", "10.0.0.1").await;
    cluster.quiet().await;
    assert_eq!(cluster.pool_writes() - before, 2);
}

#[tokio::test(start_paused = true)]
async fn a_write_of_the_memory_that_fails_is_made_again() {
    for (fault, times) in [
        (Fault::Refuse(409), 1),
        (Fault::Refuse(500), 3),
        (Fault::Refuse(503), 10),
        (Fault::Refuse(403), 3),
        (Fault::LoseAnswer, 2),
        (Fault::Delay(Duration::from_secs(3)), 2),
        (Fault::Delay(Duration::from_secs(15)), 2),
    ] {
        let cluster = served().await;
        cluster.store.faults().inject(Verb::Patch, "ipaddresspools", fault, times);
        cluster.delete("b").await;
        until_remembered(&cluster, &[("10.0.0.2", &["default/b"])]).await;
        // What changes while writes fail is written in the end.
        cluster.store.faults().inject(Verb::Patch, "ipaddresspools", fault, times);
        cluster.delete("a").await;
        cluster.create(&new_service("b")).await;
        cluster.until_shows("b", "10.0.0.2").await;
        cluster.quiet().await;
        until_remembered(&cluster, &[("10.0.0.1", &["default/a"])]).await;
        cluster.store.faults().inject(Verb::Patch, "ipaddresspools", fault, times);
        cluster.create(&new_service("a")).await;
        cluster.until_shows("a", "10.0.0.1").await;
        cluster.until_pool("default", "without a note", |pool| !is_noted(pool)).await;
        cluster.quiet().await;
        assert!(!is_noted(&cluster.pool("default").await), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_goes_while_its_memory_is_written_is_let_go() {
    let cluster = served().await;
    let slow = Fault::Delay(Duration::from_secs(2));
    cluster.store.faults().inject(Verb::Patch, "ipaddresspools", slow, 1);
    let pool = json!({
        "metadata": {"name": "other", "annotations": {STICKY: "1h"}}, "spec": {"addresses": ["10.1.0.1/32"]},
    });
    cluster.send("POST", POOLS, &pool).await.unwrap();
    let wish = json!({"spec": {"loadBalancerIP": "10.1.0.1"}});
    cluster.create(&with(new_service("d"), &wish)).await;
    cluster.until_shows("d", "10.1.0.1").await;
    cluster.delete("b").await;
    cluster.delete("d").await;
    cluster.delete_pool("default").await;
    let noted = |pool: &Value| remembered(pool).contains_key("10.1.0.1");
    cluster.until_pool("other", "written", noted).await;
    cluster.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_of_the_memory_is_passed_over_and_set_right_at_the_next_change() {
    let now = Timestamp::now();
    let good = json!([{"service": "default/b", "freed": now.to_string()}]);
    let mixed = json!({
        "10.0.0.2": good, "frog": good, "10.9.9.9": good,
        "10.0.0.3": [{"service": "no-namespace", "freed": now.to_string()}],
    });
    for (text, expected) in [
        ("", "10.0.0.1"),
        ("frog", "10.0.0.1"),
        ("[]", "10.0.0.1"),
        ("7", "10.0.0.1"),
        ("{\"10.0.0.2\": 7}", "10.0.0.1"),
        ("{\"10.0.0.2\": [{\"service\": \"default/b\"}]}", "10.0.0.1"),
        ("{\"10.0.0.2\": [{\"service\": \"default/b\", \"freed\": \"yesterday\"}]}", "10.0.0.1"),
        // Long over.
        ("{\"10.0.0.2\": [{\"service\": \"default/b\", \"freed\": \"2020-01-01T00:00:00Z\"}]}", "10.0.0.1"),
        (&mixed.to_string(), "10.0.0.2"),
    ] {
        let mut cluster = cluster("10.0.0.1-10.0.0.9", STICKY, "1h").await;
        cluster.change_pool("default", &annotate(REMEMBERED, text)).await;
        cluster.start();
        cluster.create(&new_service("b")).await;
        cluster.until_shows("b", expected).await;
        cluster.delete("b").await;
        until_remembered(&cluster, &[(expected, &["default/b"])]).await;
        assert!(cluster.events("default").await.is_empty(), "{text:?} is no fault of the operator's");
    }
}

#[tokio::test(start_paused = true)]
async fn many_deletions_at_once_are_few_writes() {
    const MANY: usize = 300;
    let mut cluster = cluster("10.0.0.0/16", STICKY, "1h").await;
    cluster.start();
    for number in 0..MANY {
        cluster.create(&new_service(&format!("s{number}"))).await;
    }
    cluster.quiet().await;
    let before = cluster.pool_writes();
    // A write takes as long as on a cluster, and the Services go all at once, with their namespace.
    let slow = Fault::Delay(Duration::from_millis(20));
    cluster.store.faults().inject(Verb::Patch, "ipaddresspools", slow, 1000);
    for number in 0..MANY {
        cluster.delete(&format!("s{number}")).await;
    }
    cluster.until_pool("default", "complete", |pool| remembered(pool).len() == MANY).await;
    cluster.quiet().await;
    let writes = cluster.pool_writes() - before;
    eprintln!("{MANY} deletions: {writes} writes");
    assert!(writes <= 10, "{writes} writes");
    assert_eq!(cluster.status_writes(), MANY as u64);
}

#[tokio::test(start_paused = true)]
async fn without_sticky_and_cool_down_no_pool_is_ever_written() {
    let mut cluster = Cluster::with_pool(&["10.0.0.1-10.0.0.9"]).await;
    cluster.start();
    for _ in 0..5 {
        cluster.create(&new_service("a")).await;
        cluster.until_shows("a", "10.0.0.1").await;
        cluster.delete("a").await;
    }
    cluster.quiet().await;
    assert_eq!(cluster.pool_writes(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_cools_down_is_the_last_to_be_given_and_is_given_before_anybody_waits() {
    let mut cluster = cluster("10.0.0.1-10.0.0.3", COOL_DOWN, "1h").await;
    cluster.start();
    for name in ["a", "b"] {
        cluster.create(&new_service(name)).await;
        cluster.until(name, "served", |object| !shown(object).is_empty()).await;
    }
    for name in ["b", "a"] {
        cluster.delete(name).await;
        cluster.quiet().await;
    }
    until_remembered(&cluster, &[("10.0.0.1", &["default/a"]), ("10.0.0.2", &["default/b"])]).await;
    cluster.stop().await;
    cluster.start();
    cluster.create(&new_service("c")).await;
    cluster.until_shows("c", "10.0.0.3").await;
    // Then those that rest, the one that was freed first before the other.
    for (name, address) in [("d", "10.0.0.2"), ("e", "10.0.0.1")] {
        cluster.create(&new_service(name)).await;
        cluster.until_shows(name, address).await;
    }
    cluster.quiet().await;
    // What was Services' that may come back is remembered on, though others have it now.
    let pool = cluster.pool("default").await;
    assert!(remembered(&pool).keys().all(|address| address == "10.0.0.1" || address == "10.0.0.2"));
    cluster.check_story(&[]);
}
