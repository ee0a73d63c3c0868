//! What holds after any interleaving of writers and watchers.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;
use kube::runtime::watcher::Config;
use lbk8s::Store;
use lbk8s::store::{Fault, Kinds, Verb};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::api::{CONFIG_MAPS, Raw, Told, config_map, in_time, name, version};
use super::mirror::{Mirror, State, listed};

#[derive(Debug, Clone, Copy)]
enum Write {
    Create(u8),
    /// Gives the object a label of this value.
    Update(u8, bool),
    Delete(u8),
    Pause,
}

#[derive(Debug, Clone)]
struct Watcher {
    /// How many times it lets others go first.
    starts: usize,
    streaming: bool,
    bookmarks: bool,
    pages: Option<u32>,
    selecting: bool,
}

#[derive(Debug, Clone)]
struct Site {
    writers: Vec<Vec<Write>>,
    watchers: Vec<Watcher>,
    cuts: u32,
    /// After how many turns history is forgotten.
    compactions: Vec<usize>,
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        3 => (0..6_u8).prop_map(Write::Create),
        4 => (0..6_u8, any::<bool>()).prop_map(|(which, label)| Write::Update(which, label)),
        2 => (0..6_u8).prop_map(Write::Delete),
        2 => Just(Write::Pause),
    ]
}

fn watcher() -> impl Strategy<Value = Watcher> {
    let pages = prop_oneof![Just(None), (1..4_u32).prop_map(Some)];
    (0..60_usize, any::<bool>(), any::<bool>(), pages, any::<bool>()).prop_map(
        |(starts, streaming, bookmarks, pages, selecting)| Watcher {
            starts,
            streaming,
            // A streaming list needs them.
            bookmarks: bookmarks || streaming,
            pages,
            selecting,
        },
    )
}

fn site() -> impl Strategy<Value = Site> {
    (
        prop::collection::vec(prop::collection::vec(write(), 0..25), 1..4),
        prop::collection::vec(watcher(), 1..4),
        0..6_u32,
        prop::collection::vec(0..60_usize, 0..3),
    )
        .prop_map(|(writers, watchers, cuts, compactions)| Site { writers, watchers, cuts, compactions })
}

async fn run(api: &Raw, write: Write) {
    let own = |which: u8| format!("{CONFIG_MAPS}/c{which}");
    // Writers meet each other: what one has made another may have deleted.
    let _ = match write {
        Write::Create(which) => api.post(CONFIG_MAPS, &config_map(&format!("c{which}"))).await,
        Write::Update(which, label) => {
            api.merge(&own(which), json!({"metadata": {"labels": {"on": label.to_string()}}})).await
        }
        Write::Delete(which) => api.delete(&own(which)).await,
        Write::Pause => Ok(Value::Null),
    };
    tokio::task::yield_now().await;
}

async fn turns(count: usize) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

const SELECTOR: &str = "on=true";

/// Follows until it knows what a list says at the end, which `end` tells.
async fn follow(store: Store, plan: Watcher, mut end: tokio::sync::watch::Receiver<Option<[State; 2]>>) {
    turns(plan.starts).await;
    let mut config = Config::default();
    config.page_size = plan.pages.or(config.page_size);
    config = if plan.streaming { config.streaming_lists() } else { config };
    config = if plan.bookmarks { config } else { config.disable_bookmarks() };
    config = if plan.selecting { config.labels(SELECTOR) } else { config };
    let api: Api<ConfigMap> = Api::default_namespaced(store.client());
    let mut mirror = Mirror::new(api, config);
    let wanted = loop {
        tokio::select! {
            biased;
            changed = end.changed() => {
                changed.unwrap();
                let [all, selected] = end.borrow().clone().unwrap();
                break if plan.selecting { selected } else { all };
            }
            () = mirror.step() => {}
        }
    };
    mirror.until(&wanted).await;
    assert!(mirror.lists > 0);
}

async fn check(site: Site) {
    let store = Store::with_bookmarks(Kinds::default(), Duration::from_millis(3));
    store.faults().inject(Verb::Watch, "configmaps", Fault::LoseAnswer, site.cuts);
    let (tell, end) = tokio::sync::watch::channel(None);
    let (mut busy, mut watchers) = (tokio::task::JoinSet::new(), tokio::task::JoinSet::new());
    for plan in site.watchers {
        watchers.spawn(follow(store.clone(), plan, end.clone()));
    }
    for writes in site.writers {
        let api = Raw::of(&store);
        busy.spawn(async move {
            for write in writes {
                run(&api, write).await;
            }
        });
    }
    for after in site.compactions {
        let store = store.clone();
        busy.spawn(async move {
            turns(after).await;
            store.compact();
        });
    }
    busy.join_all().await;
    // One more of each, so that the state before is not the end already.
    let api = Raw::of(&store);
    let mut last = config_map("last");
    last["metadata"]["labels"] = json!({"on": "true"});
    api.post(CONFIG_MAPS, &last).await.unwrap();
    let typed: Api<ConfigMap> = Api::default_namespaced(store.client());
    let all = listed(&typed, &ListParams::default()).await;
    let selected = listed(&typed, &ListParams::default().labels(SELECTOR)).await;
    tell.send(Some([all, selected])).unwrap();
    in_time("all watchers", watchers.join_all()).await;
}

/// From any list on, the events of a watch are a history that leads to every later list.
async fn replay(writes: Vec<Write>, from: usize, selecting: bool) {
    let store = Store::default();
    let api = Raw::of(&store);
    let query = if selecting { "labelSelector=on%3Dtrue" } else { "" };
    let path = format!("{CONFIG_MAPS}?{query}");
    let (before, after) = writes.split_at(from.min(writes.len()));
    for write in before {
        run(&api, *write).await;
    }
    let list = api.get(&path).await.unwrap();
    let mut state: BTreeMap<String, Value> =
        list["items"].as_array().unwrap().iter().map(|object| (name(object), object.clone())).collect();
    for write in after {
        run(&api, *write).await;
    }
    let wanted = api.get(&path).await.unwrap()["items"].clone();
    let mut marker = config_map("marker");
    marker["metadata"]["labels"] = json!({"on": "true"});
    api.post(CONFIG_MAPS, &marker).await.unwrap();

    let mut watch = api.watch(CONFIG_MAPS, &format!("{query}&resourceVersion={}", version(&list))).await;
    let mut seen: u64 = version(&list).parse().unwrap();
    loop {
        let told = watch.change().await;
        assert!(told.version() > seen, "{told:?} comes behind {seen}");
        seen = told.version();
        let before = match &told {
            Told::Added(object) if name(object) == "marker" => break,
            Told::Added(object) | Told::Modified(object) => state.insert(name(object), object.clone()),
            Told::Deleted(object) => state.remove(&name(object)),
            other => panic!("{other:?}"),
        };
        assert_eq!(before.is_none(), matches!(told, Told::Added(_)), "{told:?} after {before:?}");
    }
    assert_eq!(Value::Array(state.into_values().collect()), wanted);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_watcher_ends_with_the_state_of_a_list(site in site()) {
        runtime().block_on(check(site));
    }

    #[test]
    fn the_events_behind_a_list_lead_to_every_later_list(
        writes in prop::collection::vec(write(), 0..40), from in 0..40_usize, selecting in any::<bool>(),
    ) {
        runtime().block_on(replay(writes, from, selecting));
    }
}
