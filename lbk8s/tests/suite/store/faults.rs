//! Injected faults do what they say, and writes are counted.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use lbk8s::Store;
use lbk8s::store::{Fault, Verb};
use serde_json::json;
use tokio::time::Instant;

use super::api::{CONFIG_MAPS, POOLS, Raw, config_map, pool, refused};

fn config_maps(client: Client) -> Api<ConfigMap> {
    Api::default_namespaced(client)
}

fn code<T: std::fmt::Debug>(answer: kube::Result<T>) -> u16 {
    match answer {
        Err(kube::Error::Api(status)) => status.code,
        other => panic!("a refusal was expected: {other:?}"),
    }
}

#[tokio::test]
async fn a_refused_request_does_nothing() {
    let store = Store::default();
    let api = config_maps(store.client());
    let object: ConfigMap = serde_json::from_value(config_map("a")).unwrap();
    for refusal in [409, 429, 500, 503] {
        store.faults().inject(Verb::Create, "configmaps", Fault::Refuse(refusal), 2);
        for _ in 0..2 {
            assert_eq!(code(api.create(&PostParams::default(), &object).await), refusal);
        }
    }
    assert_eq!(api.list(&ListParams::default()).await.unwrap().items.len(), 0);
    assert_eq!(store.faults().writes(Verb::Create, "configmaps"), 0);
    api.create(&PostParams::default(), &object).await.unwrap();
}

#[tokio::test]
async fn a_fault_strikes_its_verb_and_resource_only() {
    let store = Store::default();
    let api = Raw::of(&store);
    api.post(POOLS, &pool("a")).await.unwrap();
    let own = format!("{POOLS}/a");
    store.faults().inject(Verb::Patch, "ipaddresspools/status", Fault::Refuse(503), 1);
    api.get(&own).await.unwrap();
    api.get(POOLS).await.unwrap();
    api.merge(&own, json!({"metadata": {"labels": {"x": "y"}}})).await.unwrap();
    api.post(CONFIG_MAPS, &config_map("a")).await.unwrap();
    refused(api.merge(&format!("{own}/status"), json!({"status": {"assignedIPv4": 1}})).await, 503);
    api.merge(&format!("{own}/status"), json!({"status": {"assignedIPv4": 1}})).await.unwrap();
    for verb in [Verb::Get, Verb::List, Verb::Delete, Verb::Update] {
        store.faults().inject(verb, "ipaddresspools", Fault::Refuse(429), 1);
    }
    refused(api.get(&own).await, 429);
    refused(api.get(POOLS).await, 429);
    refused(api.put(&own, &pool("a")).await, 429);
    refused(api.delete(&own).await, 429);
    api.delete(&own).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_delayed_request_is_served_after_its_time() {
    let store = Store::default();
    let api = Raw::of(&store);
    store.faults().inject(Verb::Create, "configmaps", Fault::Delay(Duration::from_secs(3)), 1);
    let begin = Instant::now();
    api.post(CONFIG_MAPS, &config_map("a")).await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), 3);
    api.post(CONFIG_MAPS, &config_map("b")).await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn requests_overtake_a_delayed_one() {
    let store = Store::default();
    let api = Raw::of(&store);
    store.faults().inject(Verb::Create, "configmaps", Fault::Delay(Duration::from_secs(3)), 1);
    let (slow, fast) = (config_map("a"), config_map("a"));
    let slow = api.post(CONFIG_MAPS, &slow);
    let fast = async {
        tokio::task::yield_now().await;
        api.post(CONFIG_MAPS, &fast).await
    };
    let (slow, fast) = tokio::join!(slow, fast);
    fast.unwrap();
    refused(slow, 409);
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_has_happened() {
    let store = Store::default();
    let api = config_maps(store.client());
    for verb in [Verb::Create, Verb::Update, Verb::Patch, Verb::Delete] {
        store.faults().inject(verb, "configmaps", Fault::LoseAnswer, 1);
    }
    let mut object: ConfigMap = serde_json::from_value(config_map("a")).unwrap();
    assert_eq!(code(api.create(&PostParams::default(), &object).await), 504);
    assert_eq!(code(api.create(&PostParams::default(), &object).await), 409);
    object.data = Some([("b".to_owned(), "2".to_owned())].into());
    assert_eq!(code(api.replace("a", &PostParams::default(), &object).await), 504);
    assert_eq!(api.get("a").await.unwrap().data, object.data);
    let patch = Patch::Merge(json!({"data": {"c": "3"}}));
    assert_eq!(code(api.patch("a", &PatchParams::default(), &patch).await), 504);
    assert_eq!(api.get("a").await.unwrap().data.unwrap().len(), 2);
    assert_eq!(code(api.delete("a", &DeleteParams::default()).await), 504);
    assert_eq!(code(api.get("a").await), 404);
}

#[tokio::test]
async fn a_watch_that_loses_its_answer_ends_early() {
    let store = Store::default();
    let api = Raw::of(&store);
    for name in ["a", "b", "c"] {
        api.post(CONFIG_MAPS, &config_map(name)).await.unwrap();
    }
    store.faults().inject(Verb::Watch, "configmaps", Fault::LoseAnswer, 1);
    let mut watch = api.watch(CONFIG_MAPS, "resourceVersion=0").await;
    assert_eq!(watch.next().await.unwrap().short(), "ADDED a");
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn writes_are_counted_once_and_refused_ones_never() {
    let store = Store::default();
    let api = Raw::of(&store);
    let own = format!("{POOLS}/a");
    let status = format!("{own}/status");
    let created = api.post(POOLS, &pool("a")).await.unwrap();
    refused(api.post(POOLS, &pool("a")).await, 409);
    for label in ["1", "2"] {
        api.merge(&own, json!({"metadata": {"labels": {"x": label}}})).await.unwrap();
    }
    for count in 1..=3 {
        api.merge(&status, json!({"status": {"assignedIPv4": count}})).await.unwrap();
    }
    refused(api.put(&own, &created).await, 409);
    let read = api.get(&own).await.unwrap();
    let mut next = read.clone();
    next["spec"]["autoAssign"] = json!(false);
    api.put(&own, &next).await.unwrap();
    store.faults().inject(Verb::Patch, "ipaddresspools/status", Fault::LoseAnswer, 1);
    refused(api.merge(&status, json!({"status": {"assignedIPv4": 9}})).await, 504);
    api.delete(&own).await.unwrap();
    refused(api.delete(&own).await, 404);
    let counts = [
        (Verb::Create, "ipaddresspools", 1),
        (Verb::Patch, "ipaddresspools", 2),
        (Verb::Patch, "ipaddresspools/status", 4),
        (Verb::Update, "ipaddresspools", 1),
        (Verb::Update, "ipaddresspools/status", 0),
        (Verb::Delete, "ipaddresspools", 1),
        (Verb::Create, "services", 0),
    ];
    for (verb, resource, expected) in counts {
        assert_eq!(store.faults().writes(verb, resource), expected, "{verb:?} {resource}");
    }
}

#[tokio::test]
async fn a_read_whose_answer_is_lost_times_out() {
    let store = Store::default();
    let api = Raw::of(&store);
    api.post(CONFIG_MAPS, &config_map("a")).await.unwrap();
    for (verb, path) in [(Verb::Get, format!("{CONFIG_MAPS}/a")), (Verb::List, CONFIG_MAPS.to_owned())] {
        store.faults().inject(verb, "configmaps", Fault::LoseAnswer, 1);
        refused(api.get(&path).await, 504);
        api.get(&path).await.unwrap();
    }
}

#[tokio::test]
async fn a_write_that_changes_nothing_counts_and_a_dry_run_does_not() {
    let store = Store::default();
    let api = Raw::of(&store);
    let own = format!("{CONFIG_MAPS}/a");
    api.post(CONFIG_MAPS, &config_map("a")).await.unwrap();
    api.merge(&own, json!({})).await.unwrap();
    api.merge(&format!("{own}?dryRun=All"), json!({"data": {"b": "2"}})).await.unwrap();
    assert_eq!(store.faults().writes(Verb::Patch, "configmaps"), 1);
}
