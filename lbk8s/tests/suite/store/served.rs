//! The store on a TCP port, with a client built as in production.

use std::net::SocketAddr;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::Config as WatcherConfig;
use kube::{Api, Client, Config};
use lbk8s::Store;
use lbk8s::store::{Fault, Verb};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::api::{CONFIG_MAPS, Raw, config_map, in_time, refused, service, version};
use super::mirror::{Mirror, listed};

struct Served {
    store: Store,
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Served {
    async fn new() -> Self {
        Self::on(Store::default(), SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    async fn on(store: Store, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = store.clone();
        let server = tokio::spawn(async move { shared.serve(listener).await });
        Self { store, address, server }
    }

    fn client(&self) -> Client {
        Client::try_from(Config::new(format!("http://{}", self.address).parse().unwrap())).unwrap()
    }

    /// Ends the server with all its connections, and starts it again on the same port.
    async fn restart(self) -> Self {
        self.server.abort();
        let _ = self.server.await;
        Self::on(self.store, self.address).await
    }
}

#[tokio::test]
async fn the_api_works_over_tcp() {
    let served = Served::new().await;
    let api: Api<ConfigMap> = Api::default_namespaced(served.client());
    let object = serde_json::from_value(config_map("a")).unwrap();
    let mut created = api.create(&PostParams::default(), &object).await.unwrap();
    created.data = Some([("b".to_owned(), "2".to_owned())].into());
    let updated = api.replace("a", &PostParams::default(), &created).await.unwrap();
    let patch = Patch::Merge(json!({"data": {"c": "3"}}));
    let patched = api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert!(patched.metadata.resource_version > updated.metadata.resource_version);
    assert_eq!(api.get("a").await.unwrap(), patched);
    assert_eq!(api.list(&ListParams::default()).await.unwrap().items, [patched]);
    assert!(api.replace("a", &PostParams::default(), &created).await.is_err(), "the version is old");
    api.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(api.get_opt("a").await.unwrap(), None);
    let raw = Raw(served.client());
    refused(raw.post("/api/v1/namespaces/nowhere/services", &service("a")).await, 404);
}

#[tokio::test]
async fn events_arrive_over_tcp_as_they_happen() {
    let served = Served::new().await;
    let (one, other) = (Raw(served.client()), Raw(served.client()));
    let mut watch = one.watch(CONFIG_MAPS, "resourceVersion=0").await;
    for round in 0..50 {
        other.post(CONFIG_MAPS, &config_map("a")).await.unwrap();
        assert_eq!(watch.change().await.short(), "ADDED a", "{round}");
        other.delete(&format!("{CONFIG_MAPS}/a")).await.unwrap();
        assert_eq!(watch.change().await.short(), "DELETED a", "{round}");
    }
}

#[tokio::test]
async fn a_watcher_comes_back_to_a_restarted_port_and_has_lost_nothing() {
    let mut served = Served::new().await;
    let writer = Raw::of(&served.store);
    writer.post(CONFIG_MAPS, &config_map("a")).await.unwrap();
    let api: Api<ConfigMap> = Api::default_namespaced(served.client());
    let mut mirror = Mirror::new(api.clone(), WatcherConfig::default());
    mirror.until_that(|mirror| mirror.state.len() == 1).await;
    let begin = served.store.resource_version();
    for round in 0..3 {
        served = served.restart().await;
        writer.post(CONFIG_MAPS, &config_map("short")).await.unwrap();
        writer.delete(&format!("{CONFIG_MAPS}/short")).await.unwrap();
        writer.post(CONFIG_MAPS, &config_map(&format!("r{round}"))).await.unwrap();
        let inside: Api<ConfigMap> = Api::default_namespaced(served.store.client());
        mirror.until(&listed(&inside, &ListParams::default()).await).await;
    }
    assert_eq!(mirror.told, (begin + 1..=served.store.resource_version()).collect::<Vec<u64>>());
    assert_eq!(mirror.lists, 1);
}

#[tokio::test]
async fn a_client_with_retries_rides_out_an_overloaded_server() {
    let served = Served::new().await;
    let raw = Raw(served.client());
    for code in [429, 503] {
        served.store.faults().inject(Verb::Create, "configmaps", Fault::Refuse(code), 2);
        raw.post(CONFIG_MAPS, &config_map(&format!("c{code}"))).await.unwrap();
    }
    assert_eq!(served.store.faults().writes(Verb::Create, "configmaps"), 2);
    // Whoever tries again after a lost answer learns that it is there.
    served.store.faults().inject(Verb::Create, "configmaps", Fault::LoseAnswer, 1);
    refused(raw.post(CONFIG_MAPS, &config_map("lost")).await, 409);
    assert_eq!(served.store.faults().writes(Verb::Create, "configmaps"), 3);
}

#[tokio::test]
async fn many_watches_and_writers_share_the_port() {
    let served = Served::new().await;
    let mut watches = Vec::new();
    for _ in 0..30 {
        watches.push(Raw(served.client()).watch(CONFIG_MAPS, "resourceVersion=0").await);
    }
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..5 {
        let raw = Raw(served.client());
        writers.spawn(async move {
            for number in 0..10 {
                raw.post(CONFIG_MAPS, &config_map(&format!("w{writer}-{number}"))).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    let last = version(&Raw::of(&served.store).get(CONFIG_MAPS).await.unwrap());
    for mut watch in watches {
        let mut versions = Vec::new();
        while versions.last() != Some(&last.parse::<u64>().unwrap()) {
            versions.push(watch.change().await.version());
        }
        assert_eq!(versions.len(), 50);
    }
}

#[tokio::test]
async fn a_connection_that_speaks_nonsense_disturbs_nobody() {
    let served = Served::new().await;
    let raw = Raw(served.client());
    let mut watch = raw.watch(CONFIG_MAPS, "resourceVersion=0").await;
    for nonsense in ["", "\r\n\r\n", "GET", "frog\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\n{"]
    {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(nonsense.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = in_time("the end of the connection", stream.read_to_end(&mut answer)).await;
    }
    raw.post(CONFIG_MAPS, &config_map("a")).await.unwrap();
    assert_eq!(watch.change().await.short(), "ADDED a");
}
