//! Lists in pages.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use lbk8s::Store;
use serde_json::{Value, json};

use super::api::{CONFIG_MAPS, NAMESPACES, Raw, config_map, names, namespace, refused, service, version};

async fn site(count: usize) -> (Store, Raw) {
    let store = Store::default();
    let api = Raw::of(&store);
    for number in 0..count {
        api.post(CONFIG_MAPS, &config_map(&format!("c{number}"))).await.unwrap();
    }
    (store, api)
}

fn token(page: &Value) -> String {
    page["metadata"]["continue"].as_str().unwrap().replace('/', "%2F")
}

#[tokio::test]
async fn pages_make_up_the_list() {
    let (store, _) = site(7).await;
    let api: Api<ConfigMap> = Api::default_namespaced(store.client());
    for limit in 1..=8 {
        let mut params = ListParams::default().limit(limit);
        let (mut names, mut pages) = (Vec::new(), 0);
        loop {
            let page = api.list(&params).await.unwrap();
            pages += 1;
            assert!(page.items.len() <= usize::try_from(limit).unwrap());
            let next = page.metadata.continue_.clone().unwrap_or_default();
            names.extend(page.items.iter().map(ResourceExt::name_any));
            if next.is_empty() {
                break;
            }
            params = ListParams::default().limit(limit).continue_token(&next);
        }
        assert_eq!(names, ["c0", "c1", "c2", "c3", "c4", "c5", "c6"]);
        assert_eq!(pages, 7_u32.div_ceil(limit));
    }
}

#[tokio::test]
async fn pages_run_over_namespaces_and_through_selectors() {
    let store = Store::default();
    let api = Raw::of(&store);
    for place in ["x", "y"] {
        api.post(NAMESPACES, &namespace(place)).await.unwrap();
        for name in ["a", "b", "c"] {
            let mut object = service(name);
            object["metadata"]["labels"] = json!({"odd": (name != "b").to_string()});
            api.post(&format!("{NAMESPACES}/{place}/services"), &object).await.unwrap();
        }
    }
    let query = "/api/v1/services?limit=3&labelSelector=odd%3Dtrue";
    let first = api.get(query).await.unwrap();
    assert_eq!(names(&first), ["a", "c", "a"]);
    let second = api.get(&format!("{query}&continue={}", token(&first))).await.unwrap();
    assert_eq!(names(&second), ["c"]);
    assert_eq!(second["metadata"]["continue"], Value::Null);
}

#[tokio::test]
async fn every_page_is_of_the_version_of_the_first() {
    let (_store, api) = site(6).await;
    let own = |name: &str| format!("{CONFIG_MAPS}/{name}");
    let before = api.get(CONFIG_MAPS).await.unwrap();
    let first = api.get(&format!("{CONFIG_MAPS}?limit=2")).await.unwrap();
    // The last of this page, one behind it and a new one: none of it happened in the list's version.
    api.delete(&own("c1")).await.unwrap();
    api.delete(&own("c2")).await.unwrap();
    api.merge(&own("c3"), json!({"data": {"a": "2"}})).await.unwrap();
    api.post(CONFIG_MAPS, &config_map("c33")).await.unwrap();
    let query = format!("{CONFIG_MAPS}?limit=20&continue={}", token(&first));
    let second = api.get(&query).await.unwrap();
    assert_eq!(version(&second), version(&first));
    assert_eq!(names(&second), ["c2", "c3", "c4", "c5"]);
    let both = [&first["items"], &second["items"]].map(|items| items.as_array().unwrap().clone()).concat();
    assert_eq!(Value::Array(both), before["items"]);
}

#[tokio::test]
async fn a_watch_from_a_paged_list_never_goes_back_in_time() {
    let (_store, api) = site(3).await;
    let first = api.get(&format!("{CONFIG_MAPS}?limit=1")).await.unwrap();
    for text in ["2", "3"] {
        api.merge(&format!("{CONFIG_MAPS}/c2"), json!({"data": {"a": text}})).await.unwrap();
    }
    let second = api.get(&format!("{CONFIG_MAPS}?continue={}", token(&first))).await.unwrap();
    let mut told = vec![second["items"][1]["data"]["a"].as_str().unwrap().to_owned()];
    let mut watch = api.watch(CONFIG_MAPS, &format!("resourceVersion={}", version(&second))).await;
    while told.last().is_none_or(|text| text != "3") || told.len() < 2 {
        told.push(watch.change().await.object()["data"]["a"].as_str().unwrap().to_owned());
    }
    assert!(told.is_sorted(), "what a reader saw: {told:?}");
}

#[tokio::test]
async fn a_token_that_is_too_old_has_expired() {
    let (store, api) = site(3).await;
    let first = api.get(&format!("{CONFIG_MAPS}?limit=1")).await.unwrap();
    api.post(CONFIG_MAPS, &config_map("later")).await.unwrap();
    store.compact();
    let status = refused(api.get(&format!("{CONFIG_MAPS}?limit=1&continue={}", token(&first))).await, 410);
    assert_eq!(status.reason, "Expired");
}

#[tokio::test]
async fn a_token_that_is_none_is_a_bad_request() {
    let (_store, api) = site(1).await;
    refused(api.get(&format!("{CONFIG_MAPS}?limit=1&continue=frog")).await, 400);
}

#[tokio::test]
async fn a_list_may_be_of_an_exact_version() {
    let (store, api) = site(2).await;
    let before = api.get(CONFIG_MAPS).await.unwrap();
    api.delete(&format!("{CONFIG_MAPS}/c0")).await.unwrap();
    api.post(CONFIG_MAPS, &config_map("c2")).await.unwrap();
    let exact = |version: &str| format!("{CONFIG_MAPS}?resourceVersionMatch=Exact&resourceVersion={version}");
    assert_eq!(api.get(&exact(&version(&before))).await.unwrap(), before);
    assert_eq!(api.names(&exact(&api.version(CONFIG_MAPS).await)).await, ["c1", "c2"]);
    refused(api.get(&exact(&(store.resource_version() + 1).to_string())).await, 504);
    store.compact();
    refused(api.get(&exact(&version(&before))).await, 410);
}
