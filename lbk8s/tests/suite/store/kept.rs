//! What was written is there after the process has ended, however it ended.

use std::fs;
use std::path::PathBuf;

use kube::Client;
use lbk8s::Store;
use lbk8s::store::{KeepError, Kinds};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::api::{
    CONFIG_MAPS, POOLS, Raw, SERVICES, config_map, load_balancer, name, pool, refused, version,
};

/// A folder of its own for each test, gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lbd-kept-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    /// The files as they are at this moment, as a killed process would leave them.
    fn killed(&self, name: &str) -> Self {
        let copy = Self::new(name);
        fs::create_dir_all(&copy.0).unwrap();
        for file in ["store.state", "store.changes"] {
            fs::copy(self.0.join(file), copy.0.join(file)).unwrap();
        }
        copy
    }

    fn open(&self) -> (Store, Vec<String>) {
        let (store, problems) = Store::kept_in(&self.0, Kinds::default()).unwrap();
        (store, problems.iter().map(ToString::to_string).collect())
    }

    fn store(&self) -> Store {
        let (store, problems) = self.open();
        assert_eq!(problems, Vec::<String>::new());
        store
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The store on a port: what is answered there is on disk.
async fn served(store: &Store) -> (Raw, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let store = store.clone();
    let server = tokio::spawn(async move { store.serve(listener).await });
    (Raw(Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap()), server)
}

fn without_version(mut object: Value) -> Value {
    object["metadata"]["resourceVersion"].take();
    object
}

#[tokio::test]
async fn whatever_was_answered_is_there_after_a_kill() {
    let folder = Folder::new("answered");
    let store = folder.store();
    let (api, server) = served(&store).await;
    for round in 0..20 {
        let created = api.post(CONFIG_MAPS, &config_map(&format!("m{round}"))).await.unwrap();
        let after = folder.killed("answered-copy");
        let found = Raw::of(&after.store()).get(&format!("{CONFIG_MAPS}/m{round}")).await.unwrap();
        assert_eq!(found, created);
    }
    let patched = api.merge(&format!("{CONFIG_MAPS}/m1"), json!({"data": {"b": "2"}})).await.unwrap();
    api.delete(&format!("{CONFIG_MAPS}/m2")).await.unwrap();
    let service = api.post(SERVICES, &load_balancer("web")).await.unwrap();
    let after = folder.killed("answered-copy");
    let (store, other) = (after.store(), Raw::of(&store));
    let copy = Raw::of(&store);
    assert_eq!(copy.get(&format!("{CONFIG_MAPS}/m1")).await.unwrap(), patched);
    refused(copy.get(&format!("{CONFIG_MAPS}/m2")).await, 404);
    assert_eq!(copy.get(&format!("{SERVICES}/web")).await.unwrap(), service);
    assert_eq!(copy.names(CONFIG_MAPS).await, other.names(CONFIG_MAPS).await);
    // Its cluster address is taken, and versions and identities go on.
    let next = copy.post(SERVICES, &load_balancer("next")).await.unwrap();
    assert_ne!(next["spec"]["clusterIP"], service["spec"]["clusterIP"]);
    assert!(version(&next).parse::<u64>().unwrap() > version(&service).parse().unwrap());
    assert!(
        next["metadata"]["creationTimestamp"].as_str() > service["metadata"]["creationTimestamp"].as_str()
    );
    server.abort();
}

#[tokio::test]
async fn what_lbd_says_anew_is_not_kept() {
    let folder = Folder::new("anew");
    let store = folder.store();
    let (api, server) = served(&store).await;
    api.post(SERVICES, &load_balancer("web")).await.unwrap();
    let ingress = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
    let path = format!("{SERVICES}/web");
    api.merge(&format!("{path}/status"), json!({"status": ingress})).await.unwrap();
    let noted = json!({"metadata": {"annotations": {"metallb.io/ip-allocated-from-pool": "p", "mine": "1"}}});
    let before = api.merge(&path, noted).await.unwrap();
    api.post(POOLS, &pool("p")).await.unwrap();
    api.merge(&format!("{POOLS}/p/status"), json!({"status": {"assignedIPv4": 1}})).await.unwrap();
    api.post("/api/v1/namespaces/default/events", &json!({"metadata": {"name": "e"}, "involvedObject": {}}))
        .await
        .unwrap();
    let after = folder.killed("anew-copy");
    let copy = Raw::of(&after.store());
    let web = copy.get(&path).await.unwrap();
    assert_eq!(web["status"], json!({"loadBalancer": {}}));
    assert_eq!(web["metadata"]["annotations"], json!({"mine": "1"}));
    assert_eq!((&web["metadata"]["uid"], &web["spec"]), (&before["metadata"]["uid"], &before["spec"]));
    assert_eq!(copy.get(&format!("{POOLS}/p")).await.unwrap().get("status"), None);
    assert_eq!(copy.names("/api/v1/events").await, Vec::<String>::new());
    server.abort();
}

#[tokio::test]
async fn a_whole_takes_the_place_of_many_changes() {
    let folder = Folder::new("whole");
    let store = folder.store();
    let (api, server) = served(&store).await;
    let mut map = config_map("big");
    let mut longest = 0;
    for round in 0..30 {
        map["data"]["a"] = json!(round.to_string().repeat(60_000));
        if round == 0 {
            api.post(CONFIG_MAPS, &map).await.unwrap();
        } else {
            api.merge(&format!("{CONFIG_MAPS}/big"), json!({"data": map["data"]})).await.unwrap();
        }
        longest = longest.max(fs::metadata(folder.0.join("store.changes")).unwrap().len());
    }
    assert!((100_000..1_200_000).contains(&longest), "{longest} bytes of changes");
    let after = folder.killed("whole-copy");
    let found = Raw::of(&after.store()).get(&format!("{CONFIG_MAPS}/big")).await.unwrap();
    assert_eq!(found["data"], map["data"]);
    server.abort();
}

#[tokio::test]
async fn an_unfinished_change_is_passed_over_and_a_damaged_one_set_aside() {
    let folder = Folder::new("damaged");
    let store = folder.store();
    let (api, server) = served(&store).await;
    let mut created = Vec::new();
    for map in ["a", "b", "c"] {
        created.push(api.post(CONFIG_MAPS, &config_map(map)).await.unwrap());
    }
    server.abort();
    let changes = fs::read(folder.0.join("store.changes")).unwrap();
    let lines: Vec<&[u8]> = changes.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), 3);
    // At whatever byte the process ended while it wrote the last one.
    for end in changes.len() - lines[2].len()..changes.len() {
        let torn = folder.killed("torn");
        fs::write(torn.0.join("store.changes"), &changes[..end]).unwrap();
        assert_eq!(Raw::of(&torn.store()).names(CONFIG_MAPS).await, ["a", "b"], "{end}");
    }
    let damaged = folder.killed("damaged-copy");
    let mut bytes = changes.clone();
    bytes[lines[0].len() + 20] ^= 1;
    fs::write(damaged.0.join("store.changes"), &bytes).unwrap();
    let (store, problems) = damaged.open();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].contains("line 2") && problems[0].contains("store.changes.unreadable"),
        "{problems:?}"
    );
    assert_eq!(fs::read(damaged.0.join("store.changes.unreadable")).unwrap(), bytes);
    let found = Raw::of(&store).get(CONFIG_MAPS).await.unwrap();
    let found: Vec<Value> = found["items"].as_array().unwrap().iter().cloned().map(without_version).collect();
    assert_eq!(found, [without_version(created.remove(0))]);
    // A damaged whole is set aside too, and what has changed since is still known.
    let damaged = folder.killed("damaged-whole");
    fs::write(damaged.0.join("store.state"), "lbd store 1 00000000\n[]").unwrap();
    let (store, problems) = damaged.open();
    assert!(problems[0].contains("store.state.unreadable"), "{problems:?}");
    assert_eq!(Raw::of(&store).names(CONFIG_MAPS).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_folder_belongs_to_one_process() {
    let folder = Folder::new("taken");
    let store = folder.store();
    let error = Store::kept_in(&folder.0, Kinds::default()).unwrap_err();
    assert!(matches!(error, KeepError::InUse(_)), "{error}");
    drop(store);
}

#[tokio::test]
async fn what_cannot_be_written_is_not_answered_as_if_it_were() {
    let folder = Folder::new("unwritable");
    fs::create_dir_all(&folder.0).unwrap();
    // A folder in the place of the file.
    fs::create_dir_all(folder.0.join("store.state")).unwrap();
    let (store, problems) = folder.open();
    assert!(problems.iter().any(|problem| problem.contains("store.state")), "{problems:?}");
    let (api, server) = served(&store).await;
    let refusal = refused(api.post(CONFIG_MAPS, &config_map("a")).await, 500);
    assert!(refusal.message.contains("not kept"), "{refusal:?}");
    // Who is in the process goes on.
    Raw::of(&store).post(CONFIG_MAPS, &config_map("b")).await.unwrap();
    // When the disk can be written again, all of it is.
    fs::remove_dir(folder.0.join("store.state")).unwrap();
    api.post(CONFIG_MAPS, &config_map("c")).await.unwrap();
    let after = folder.killed("unwritable-copy");
    let list = Raw::of(&after.store()).get(CONFIG_MAPS).await.unwrap();
    let names: Vec<String> = list["items"].as_array().unwrap().iter().map(name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    server.abort();
}
