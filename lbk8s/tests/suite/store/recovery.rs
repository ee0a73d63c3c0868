//! Watchers of kube-runtime come through whatever happens to them, and know what a list says.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;
use kube::runtime::watcher::{Config, Error};
use lbk8s::Store;
use lbk8s::store::{Fault, Kinds, Verb};
use serde_json::json;

use super::api::{CONFIG_MAPS, Raw, config_map};
use super::mirror::{Mirror, listed};

type ConfigMaps = Api<ConfigMap>;

async fn site() -> (Store, Raw, ConfigMaps) {
    let store = Store::with_bookmarks(Kinds::default(), Duration::from_millis(5));
    let api = Raw::of(&store);
    for number in 0..5 {
        api.post(CONFIG_MAPS, &config_map(&format!("c{number}"))).await.unwrap();
    }
    let typed = Api::default_namespaced(store.client());
    (store, api, typed)
}

async fn some_writes(api: &Raw, round: usize) {
    let own = |name: &str| format!("{CONFIG_MAPS}/{name}");
    api.merge(&own("c0"), json!({"data": {"round": round.to_string()}})).await.unwrap();
    api.post(CONFIG_MAPS, &config_map("short")).await.unwrap();
    api.post(CONFIG_MAPS, &config_map(&format!("r{round}"))).await.unwrap();
    api.merge(&own("c1"), json!({"data": {"round": round.to_string()}})).await.unwrap();
    api.delete(&own("short")).await.unwrap();
}

#[tokio::test]
async fn a_watch_that_is_cut_again_and_again_loses_and_repeats_nothing() {
    for config in
        [Config::default(), Config::default().streaming_lists(), Config::default().disable_bookmarks()]
    {
        let (store, api, typed) = site().await;
        // A streaming list that is cut begins again, as it should; this is about what comes behind it.
        let mut mirror = Mirror::new(typed.clone(), config);
        mirror.until_that(|mirror| mirror.state.len() == 5).await;
        let begin = store.resource_version();
        store.faults().inject(Verb::Watch, "configmaps", Fault::LoseAnswer, 30);
        for round in 0..20 {
            some_writes(&api, round).await;
            if round % 3 == 0 {
                mirror.step().await;
            }
        }
        mirror.until(&listed(&typed, &ListParams::default()).await).await;
        let every: Vec<u64> = (begin + 1..=store.resource_version()).collect();
        assert_eq!(mirror.told, every);
        assert_eq!((mirror.lists, mirror.errors.len()), (1, 0));
    }
}

#[tokio::test]
async fn a_watcher_that_is_told_410_lists_again_and_knows_what_vanished() {
    for config in [Config::default().disable_bookmarks(), Config::default().streaming_lists()] {
        let (store, api, typed) = site().await;
        let mut mirror = Mirror::new(typed.clone(), config);
        mirror.until_that(|mirror| mirror.state.len() == 5).await;
        some_writes(&api, 0).await;
        api.delete(&format!("{CONFIG_MAPS}/c4")).await.unwrap();
        store.compact();
        mirror.until(&listed(&typed, &ListParams::default()).await).await;
        assert_eq!(mirror.lists, 2);
        assert!(matches!(&mirror.errors[..], [Error::WatchError(status)] if status.code == 410));
    }
}

#[tokio::test]
async fn a_refused_watch_is_tried_again_from_where_it_was() {
    for code in [429, 500, 503] {
        let (store, api, typed) = site().await;
        store.faults().inject(Verb::Watch, "configmaps", Fault::Refuse(code), 3);
        let mut mirror = Mirror::new(typed.clone(), Config::default());
        mirror.until_that(|mirror| mirror.state.len() == 5).await;
        some_writes(&api, 0).await;
        mirror.until(&listed(&typed, &ListParams::default()).await).await;
        assert_eq!((mirror.lists, mirror.errors.len()), (1, 3));
    }
}

#[tokio::test]
async fn a_refused_list_is_tried_again() {
    let (store, _, typed) = site().await;
    store.faults().inject(Verb::List, "configmaps", Fault::Refuse(503), 2);
    let mut mirror = Mirror::new(typed.clone(), Config::default());
    mirror.until_that(|mirror| !mirror.state.is_empty()).await;
    assert_eq!(mirror.state, listed(&typed, &ListParams::default()).await);
    assert_eq!((mirror.lists, mirror.errors.len()), (3, 2));
}

#[tokio::test]
async fn a_page_that_has_expired_makes_the_watcher_list_again() {
    let (store, api, typed) = site().await;
    let mut mirror = Mirror::new(typed.clone(), Config::default().page_size(2));
    // The first object of the first page: the second page has not been asked for yet.
    mirror.step().await;
    mirror.step().await;
    some_writes(&api, 0).await;
    api.delete(&format!("{CONFIG_MAPS}/c0")).await.unwrap();
    store.compact();
    mirror.until(&listed(&typed, &ListParams::default()).await).await;
    assert!(
        matches!(&mirror.errors[..], [Error::InitialListFailed(kube::Error::Api(status))] if status.code == 410)
    );
    assert_eq!(mirror.lists, 2);
}

#[tokio::test]
async fn writes_between_pages_reach_the_watcher() {
    for page_size in 1..=6 {
        let (_store, api, typed) = site().await;
        let mut mirror = Mirror::new(typed.clone(), Config::default().page_size(page_size));
        for round in 0..4 {
            mirror.step().await;
            some_writes(&api, round).await;
        }
        api.delete(&format!("{CONFIG_MAPS}/c0")).await.unwrap();
        api.delete(&format!("{CONFIG_MAPS}/c3")).await.unwrap();
        mirror.until(&listed(&typed, &ListParams::default()).await).await;
        assert_eq!(mirror.lists, 1, "pages of {page_size}");
    }
}

#[tokio::test]
async fn a_watch_that_times_out_goes_on_behind_its_bookmark() {
    tokio::time::pause();
    let (store, api, typed) = site().await;
    let mut mirror = Mirror::new(typed.clone(), Config::default().timeout(1));
    mirror.until_that(|mirror| mirror.state.len() == 5).await;
    let begin = store.resource_version();
    for round in 0..10 {
        some_writes(&api, round).await;
        // Longer than a watch lives.
        tokio::time::advance(Duration::from_millis(700)).await;
        mirror.step().await;
    }
    mirror.until(&listed(&typed, &ListParams::default()).await).await;
    assert_eq!(mirror.told, (begin + 1..=store.resource_version()).collect::<Vec<u64>>());
    assert_eq!(mirror.lists, 1);
}
