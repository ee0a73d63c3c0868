//! Watches: where they begin, what they tell, how they end.

use std::time::Duration;

use lbk8s::Store;
use lbk8s::store::Kinds;
use serde_json::json;
use tokio::time::Instant;

use super::api::{
    CONFIG_MAPS, NAMESPACES, POOLS, Raw, SERVICES, Told, config_map, namespace, pool, service, version,
};

/// A store with bookmarks as often as a test could wish, and two config maps.
async fn site() -> (Store, Raw) {
    let store = Store::with_bookmarks(Kinds::default(), Duration::from_millis(5));
    let api = Raw::of(&store);
    for name in ["a", "b"] {
        api.post(CONFIG_MAPS, &config_map(name)).await.unwrap();
    }
    (store, api)
}

#[tokio::test]
async fn a_watch_from_nothing_begins_with_what_is_there() {
    let (_store, api) = site().await;
    for query in ["", "resourceVersion=0", "resourceVersion="] {
        let mut watch = api.watch(CONFIG_MAPS, query).await;
        api.post(CONFIG_MAPS, &config_map("c")).await.unwrap();
        assert_eq!(watch.until("ADDED c").await, ["ADDED a", "ADDED b", "ADDED c"], "{query:?}");
        api.delete(&format!("{CONFIG_MAPS}/c")).await.unwrap();
        assert_eq!(watch.until("DELETED c").await, ["DELETED c"], "{query:?}");
    }
}

#[tokio::test]
async fn a_watch_from_a_list_tells_all_that_came_after_in_order() {
    let (_store, api) = site().await;
    let from = api.version(CONFIG_MAPS).await;
    let mut versions: Vec<u64> = vec![from.parse().unwrap()];
    for number in 0..100 {
        let patch = json!({"data": {"n": number.to_string()}});
        versions
            .push(version(&api.merge(&format!("{CONFIG_MAPS}/a"), patch).await.unwrap()).parse().unwrap());
    }
    let mut watch = api.watch(CONFIG_MAPS, &format!("resourceVersion={from}")).await;
    for version in &versions[1..] {
        let told = watch.change().await;
        assert_eq!((told.short().as_str(), told.version()), ("MODIFIED a", *version));
    }
}

#[tokio::test]
async fn a_watch_is_of_one_kind_and_one_namespace() {
    let store = Store::default();
    let api = Raw::of(&store);
    api.post(NAMESPACES, &namespace("shop")).await.unwrap();
    let from = format!("resourceVersion={}", store.resource_version());
    let mut here = api.watch(SERVICES, &from).await;
    let mut everywhere = api.watch("/api/v1/services", &from).await;
    api.post(POOLS, &pool("p")).await.unwrap();
    api.post(&format!("{NAMESPACES}/shop/services"), &service("there")).await.unwrap();
    api.post(SERVICES, &service("here")).await.unwrap();
    assert_eq!(here.until("ADDED here").await, ["ADDED here"]);
    assert_eq!(everywhere.until("ADDED here").await, ["ADDED there", "ADDED here"]);
}

#[tokio::test]
async fn a_streaming_list_says_where_it_ends() {
    let (store, api) = site().await;
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    for query in [query.to_owned(), format!("{query}&resourceVersion=0")] {
        let mut watch = api.watch(CONFIG_MAPS, &query).await;
        assert_eq!(watch.next().await.unwrap().short(), "ADDED a");
        assert_eq!(watch.next().await.unwrap().short(), "ADDED b");
        let end = watch.next().await.unwrap();
        assert_eq!(end.short(), "INITIAL EVENTS END");
        assert_eq!(end.version(), store.resource_version());
        // The next bookmarks are ordinary ones.
        assert_eq!(watch.next().await.unwrap().short(), "BOOKMARK");
    }
}

#[tokio::test]
async fn bookmarks_move_a_quiet_watch_past_the_changes_of_others() {
    let (store, api) = site().await;
    let from = api.version(CONFIG_MAPS).await;
    let query = "allowWatchBookmarks=true&resourceVersion=";
    let mut watch = api.watch(CONFIG_MAPS, &format!("{query}{from}")).await;
    let other = api.post(SERVICES, &service("a")).await.unwrap();
    let bookmark = loop {
        match watch.next().await.unwrap() {
            Told::Bookmark { version: at, .. } if at == version(&other) => break at,
            Told::Bookmark { version: at, .. } => assert_eq!(at, from),
            told => panic!("{told:?}"),
        }
    };
    store.compact();
    // From the bookmark a watch goes on; from the list it is too late.
    let mut resumed = api.watch(CONFIG_MAPS, &format!("{query}{bookmark}")).await;
    let mut late = api.watch(CONFIG_MAPS, &format!("{query}{from}")).await;
    api.post(CONFIG_MAPS, &config_map("c")).await.unwrap();
    assert_eq!(resumed.change().await.short(), "ADDED c");
    assert_eq!(late.change().await.short(), "ERROR 410 Expired");
}

#[tokio::test]
async fn nobody_gets_bookmarks_who_did_not_ask() {
    let (_store, api) = site().await;
    let mut quiet = api.watch(CONFIG_MAPS, "resourceVersion=0").await;
    let mut told = api.watch(CONFIG_MAPS, "resourceVersion=0&allowWatchBookmarks=true").await;
    while !matches!(told.next().await, Some(Told::Bookmark { .. })) {}
    api.post(CONFIG_MAPS, &config_map("c")).await.unwrap();
    let mut heard = Vec::new();
    while heard.last().is_none_or(|last| last != "ADDED c") {
        heard.push(quiet.next().await.unwrap().short());
    }
    assert_eq!(heard, ["ADDED a", "ADDED b", "ADDED c"]);
}

#[tokio::test]
async fn a_bookmark_never_runs_ahead_of_the_changes() {
    let (_store, api) = site().await;
    let mut watch = api.watch(CONFIG_MAPS, "resourceVersion=0&allowWatchBookmarks=true").await;
    let mut last = 0;
    let mut changes = 0;
    let (mut number, mut bookmarks) = (0, 0);
    while bookmarks < 20 {
        number += 1;
        api.merge(&format!("{CONFIG_MAPS}/a"), json!({"data": {"n": number.to_string()}})).await.unwrap();
        loop {
            let told = watch.next().await.unwrap();
            let bookmark = matches!(told, Told::Bookmark { .. });
            // Initial objects come in the order of their names.
            assert!(changes < 2 || if bookmark { told.version() >= last } else { told.version() > last });
            last = last.max(told.version());
            if bookmark {
                bookmarks += 1;
                break;
            }
            changes += 1;
        }
    }
    assert!(changes >= 2);
}

#[tokio::test]
async fn a_watch_from_a_forgotten_version_is_told_410_in_the_stream() {
    let (store, api) = site().await;
    let from = api.version(CONFIG_MAPS).await;
    api.delete(&format!("{CONFIG_MAPS}/a")).await.unwrap();
    store.compact();
    let mut watch = api.watch(CONFIG_MAPS, &format!("resourceVersion={from}")).await;
    assert_eq!(watch.next().await.unwrap().short(), "ERROR 410 Expired");
    assert_eq!(watch.next().await, None, "the stream ends with it");
    // What is asked for from the beginning, or from now, is never too old.
    let mut anew = api.watch(CONFIG_MAPS, "resourceVersion=0").await;
    let mut now = api.watch(CONFIG_MAPS, &format!("resourceVersion={}", store.resource_version())).await;
    api.post(CONFIG_MAPS, &config_map("c")).await.unwrap();
    assert_eq!(anew.until("ADDED c").await, ["ADDED b", "ADDED c"]);
    assert_eq!(now.change().await.short(), "ADDED c");
}

#[tokio::test]
async fn a_watch_that_has_told_everything_outlives_a_compaction() {
    let (store, api) = site().await;
    let mut watch = api.watch(CONFIG_MAPS, "resourceVersion=0").await;
    assert_eq!(watch.until("ADDED b").await, ["ADDED a", "ADDED b"]);
    store.compact();
    api.delete(&format!("{CONFIG_MAPS}/a")).await.unwrap();
    assert_eq!(watch.change().await.short(), "DELETED a");
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_at_its_timeout() {
    let store = Store::default();
    let api = Raw::of(&store);
    let begin = Instant::now();
    let mut watch = api.watch(SERVICES, "resourceVersion=0&timeoutSeconds=7").await;
    assert_eq!(watch.next().await, None);
    assert_eq!(begin.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_watch_says_where_it_is_before_it_ends() {
    let store = Store::default();
    let api = Raw::of(&store);
    let mut watch = api.watch(SERVICES, "resourceVersion=0&timeoutSeconds=7&allowWatchBookmarks=true").await;
    api.post(POOLS, &pool("a")).await.unwrap();
    let told = watch.next().await.unwrap();
    assert_eq!((told.short().as_str(), told.version()), ("BOOKMARK", store.resource_version()));
    assert_eq!(watch.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn steady_changes_do_not_hold_a_watch_open() {
    let store = Store::default();
    let api = Raw::of(&store);
    api.post(CONFIG_MAPS, &config_map("a")).await.unwrap();
    let mut watch = api.watch(CONFIG_MAPS, "resourceVersion=0&timeoutSeconds=2").await;
    let mut number = 0;
    while watch.next().await.is_some() {
        number += 1;
        assert!(number < 1000, "the watch has no end");
        tokio::time::advance(Duration::from_millis(100)).await;
        api.merge(&format!("{CONFIG_MAPS}/a"), json!({"data": {"n": number.to_string()}})).await.unwrap();
    }
}

#[tokio::test]
async fn every_watcher_is_told_the_same() {
    let (_store, api) = site().await;
    let from = format!("resourceVersion={}", api.version(CONFIG_MAPS).await);
    let mut watches = Vec::new();
    for _ in 0..20 {
        watches.push(api.watch(CONFIG_MAPS, &from).await);
    }
    for number in 0..20 {
        api.merge(&format!("{CONFIG_MAPS}/a"), json!({"data": {"n": number.to_string()}})).await.unwrap();
    }
    api.delete(&format!("{CONFIG_MAPS}/a")).await.unwrap();
    for mut watch in watches {
        assert_eq!(watch.until("DELETED a").await.len(), 21);
    }
}

#[tokio::test]
async fn a_version_of_an_earlier_process_is_too_old() {
    let earlier = Store::default();
    let api = Raw::of(&earlier);
    for name in ["a", "b"] {
        api.post(CONFIG_MAPS, &config_map(name)).await.unwrap();
    }
    // Nobody is as fast as to start a process again within this time.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let later = Store::default();
    assert!(later.resource_version() > earlier.resource_version());
    let from = format!("resourceVersion={}", earlier.resource_version());
    let mut watch = Raw::of(&later).watch(CONFIG_MAPS, &from).await;
    assert_eq!(watch.next().await.unwrap().short(), "ERROR 410 Expired");
}
