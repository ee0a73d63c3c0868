//! How long nobody answers for an address when its owner fails or gives it up, seen from the client: by ARP every
//! millisecond, and by new TCP connections through the client kernel's own neighbour cache.
//!
//! A cluster of real processes in network namespaces: the store in this process, `lbd controller`, and `lbd speaker` on
//! each node, with a stand-in for kube-proxy beside it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use lbk8s::objects::metallb::{IPAddressPool, L2Advertisement};
use lblab::client::{Asking, who_has};
use lblab::proxy::{Proxy, run_pod, silence_kernel};
use lblab::watch::{Story, Watch};
use lblab::{Host, Lan, Nic, Port};
use nix::sys::signal::Signal;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::program::{Lbd, Served};
use crate::site::{Result, SERVER};
use crate::{Figure, median, percentile};

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Nodes with a speaker.
    pub nodes: u8,
    /// How often each is done.
    pub runs: usize,
    /// Milliseconds between heartbeats.
    pub heartbeat: u64,
}

/// The address of the Service.
const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 3, 200);
const PORT: u16 = 80;
/// A new owner has to be there within this time.
const PATIENCE: Duration = Duration::from_secs(20);
/// After a failure all has to be as it was: the time in which a node that returns is greeted and heard by all.
const SETTLING: Duration = Duration::from_millis(1500);

struct Place {
    host: Host,
    nic: Nic,
    port: Port,
    speaker: Option<Lbd>,
}

struct Cluster {
    lan: Lan,
    nodes: Vec<Place>,
    client: Host,
    client_nic: Nic,
    served: Served,
    heartbeat: u64,
    _controller: Lbd,
    _proxies: Vec<Proxy>,
}

/// Something that happens to the owner, and is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Killed,
    Cut,
    Frozen,
    Stopped,
    Drained,
}

impl Event {
    const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::Killed, "speaker killed (SIGKILL)", "median at most 500 ms, longest 1 s"),
        (Self::Cut, "link cut", "median at most 500 ms, longest 1 s"),
        (Self::Frozen, "speaker frozen (SIGSTOP)", "median at most 500 ms, longest 1 s"),
        (Self::Stopped, "speaker told to end (SIGTERM)", "none"),
        (Self::Drained, "node drained", "none"),
    ];

    fn is_planned(self) -> bool {
        matches!(self, Self::Stopped | Self::Drained)
    }
}

/// Measures all of it.
///
/// # Errors
/// The laboratory cannot be built, or nobody takes over.
pub async fn measure(plan: &Plan) -> Result<Vec<Figure>> {
    let mut cluster = Cluster::start(plan).await?;
    let mut figures = Vec::new();
    for (event, name, target) in Event::ALL {
        let (mut by_arp, mut by_tcp, mut both) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..plan.runs {
            let seen = cluster.once(event).await?;
            by_arp.push(seen.arp);
            by_tcp.push(seen.tcp);
            both.push(seen.both);
        }
        let nodes = plan.nodes;
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let figure = |what: &str, times: &[Duration], target| {
            let name = format!("{name}, {nodes} nodes: {what}, median of {}", plan.runs);
            let longest = ms(percentile(times.to_vec(), 100));
            Figure::new(name, ms(median(times.to_vec())), "ms", target).beside("the longest", longest)
        };
        figures.push(figure("no answer by ARP", &by_arp, target));
        figures.push(figure("no new TCP connection", &by_tcp, ""));
        if event.is_planned() {
            figures.push(figure("two answer", &both, "at most 100 ms"));
        }
    }
    Ok(figures)
}

/// What the client saw of one event.
struct Seen {
    arp: Duration,
    tcp: Duration,
    both: Duration,
}

impl Cluster {
    async fn start(plan: &Plan) -> Result<Self> {
        let lan = Lan::new().await?;
        let bridge = lan.bridge(&Nic::new("br0", SERVER)).await?;
        let served = Served::start().await?;
        let client = served.inside();
        let mut nodes = Vec::new();
        for number in 1..=plan.nodes {
            let host = Host::new(&format!("n{number}")).await?;
            silence_kernel(&host).await?;
            let nic = Nic::new("eth0", Ipv4Addr::new(192, 168, 3, 10 + number));
            let port = lan.plug(&host, bridge, &nic).await?;
            nodes.push(Place { host, nic, port, speaker: None });
        }
        let who = Host::new("c").await?;
        let client_nic = Nic::new("eth0", Ipv4Addr::new(192, 168, 3, 100));
        lan.plug(&who, bridge, &client_nic).await?;
        let mut proxies = Vec::new();
        for (place, number) in nodes.iter().zip(1..) {
            let pod = Ipv4Addr::new(10, 244, number, 2);
            run_pod(&place.host, (pod, 8080), "here\n".to_owned()).await?;
            let mut proxy = Proxy::default();
            proxy.serve(&place.host, (VIP, PORT), vec![SocketAddr::from((pod, 8080))]).await?;
            proxies.push(proxy);
        }
        objects(&client, &nodes).await?;
        let controller = served.controller()?;
        let heartbeat = plan.heartbeat;
        let mut cluster = Self {
            lan,
            nodes,
            client: who,
            client_nic,
            served,
            heartbeat,
            _controller: controller,
            _proxies: proxies,
        };
        for at in 0..cluster.nodes.len() {
            cluster.start_speaker(at).await?;
        }
        cluster.owner().await?;
        tokio::time::sleep(SETTLING).await;
        Ok(cluster)
    }

    async fn start_speaker(&mut self, at: usize) -> Result<()> {
        let heartbeat = self.heartbeat.to_string();
        let arguments = ["--heartbeat", &heartbeat];
        self.nodes[at].speaker = Some(self.served.speaker_on(&self.nodes[at].host, &arguments).await?);
        Ok(())
    }

    /// Waits until one node alone answers; which.
    async fn owner(&self) -> Result<usize> {
        let started = Instant::now();
        loop {
            let answers = who_has(&self.client, &self.client_nic, VIP, Asking::default()).await?;
            let macs: Vec<_> = answers.into_keys().collect();
            if let [mac] = macs[..]
                && let Some(at) = self.nodes.iter().position(|place| place.nic.mac == mac)
            {
                return Ok(at);
            }
            if started.elapsed() > PATIENCE {
                return Err(format!("{macs:?} answer").into());
            }
        }
    }

    async fn once(&mut self, event: Event) -> Result<Seen> {
        let owner = self.owner().await?;
        let watch = Watch::start(&self.client, &self.client_nic, VIP).await?;
        let connecting = connect(&self.client).await?;
        until(&watch, |story| story.answers.len() > 50).await?;
        self.happen(event, owner).await?;
        let mac = self.nodes[owner].nic.mac;
        until(&watch, |story| story.answers.iter().rev().take(50).all(|(_, by)| *by != mac)).await?;
        let story = watch.story();
        drop(watch);
        // Connections that were begun while nobody answered have their time.
        tokio::time::sleep(CONNECTING).await;
        let tcp = connecting.longest_gap();
        self.undo(event, owner).await?;
        tokio::time::sleep(SETTLING).await;
        let arp = story.longest_gap().map(|(gap, _)| gap).unwrap_or_default();
        Ok(Seen { arp, tcp, both: story.doubly_answered() })
    }

    async fn happen(&mut self, event: Event, owner: usize) -> Result<()> {
        let place = &mut self.nodes[owner];
        match event {
            Event::Killed => {
                if let Some(speaker) = &mut place.speaker {
                    speaker.kill()?;
                }
            }
            Event::Cut => self.lan.mute(&place.port, true).await?,
            Event::Frozen => signal(place, Signal::SIGSTOP)?,
            Event::Stopped => signal(place, Signal::SIGTERM)?,
            Event::Drained => self.drain(owner, true).await?,
        }
        Ok(())
    }

    async fn undo(&mut self, event: Event, owner: usize) -> Result<()> {
        let place = &mut self.nodes[owner];
        match event {
            Event::Killed | Event::Stopped => {
                place.speaker = None;
                self.start_speaker(owner).await?;
            }
            Event::Cut => self.lan.mute(&place.port, false).await?,
            Event::Frozen => signal(place, Signal::SIGCONT)?,
            Event::Drained => self.drain(owner, false).await?,
        }
        Ok(())
    }

    async fn drain(&self, node: usize, drained: bool) -> Result<()> {
        let value = drained.then_some("true");
        let patch = json!({"metadata": {"annotations": {"lbd.io/drain": value}}});
        let nodes: Api<Node> = Api::all(self.served.inside());
        nodes.patch(self.nodes[node].host.name(), &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }
}

fn signal(place: &Place, signal: Signal) -> Result<()> {
    place.speaker.as_ref().map_or(Ok(()), |speaker| speaker.signal(signal))
}

async fn until(watch: &Watch, wanted: impl Fn(&Story) -> bool) -> Result<()> {
    let started = Instant::now();
    while !wanted(&watch.story()) {
        if started.elapsed() > PATIENCE {
            return Err(format!("only {:?} answered", watch.story().answerers()).into());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// What a cluster has: nodes, a pool, an advertisement, and a Service that every node serves.
async fn objects(client: &Client, nodes: &[Place]) -> Result<()> {
    for place in nodes {
        let name = place.host.name().to_owned();
        let metadata = ObjectMeta {
            labels: Some([("kubernetes.io/hostname".to_owned(), name.clone())].into()),
            name: Some(name.clone()),
            ..ObjectMeta::default()
        };
        let api: Api<Node> = Api::all(client.clone());
        api.create(&PostParams::default(), &Node { metadata, ..Node::default() }).await?;
        let status = json!({"status": {"addresses": [{"type": "InternalIP", "address": place.nic.address}]}});
        api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
    }
    let endpoint = |place: &Place| json!({"addresses": ["127.0.0.1"], "conditions": {"ready": true}, "nodeName": place.host.name()});
    let endpoints: Vec<Value> = nodes.iter().map(endpoint).collect();
    let ours = lbk8s::CONFIG_NAMESPACE;
    create::<IPAddressPool>(
        client,
        ours,
        &json!({
            "metadata": {"name": "default"}, "spec": {"addresses": [format!("{VIP}/32")]},
        }),
    )
    .await?;
    create::<L2Advertisement>(client, ours, &json!({"metadata": {"name": "all"}, "spec": {}})).await?;
    create::<EndpointSlice>(
        client,
        "default",
        &json!({
            "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4", "endpoints": endpoints, "ports": [],
        }),
    )
    .await?;
    create::<Service>(
        client,
        "default",
        &json!({
            "metadata": {"name": "web"}, "spec": {"type": "LoadBalancer", "ports": [{"port": PORT}]},
        }),
    )
    .await
}

async fn create<K>(client: &Client, namespace: &str, object: &Value) -> Result<()>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), &serde_json::from_value(object.clone())?).await?;
    Ok(())
}

/// A connection that takes longer failed, for whoever waits for it.
const CONNECTING: Duration = Duration::from_millis(250);
/// How often a new connection is begun.
const CONNECTION_EVERY: Duration = Duration::from_millis(5);

/// New connections, begun all the time until it is dropped.
struct Connecting {
    made: std::sync::Arc<std::sync::Mutex<Vec<Instant>>>,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Connecting {
    /// The longest time in which no connection was begun that was made.
    fn longest_gap(&self) -> Duration {
        let mut made = self.made.lock().map(|made| made.clone()).unwrap_or_default();
        made.sort_unstable();
        made.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}

async fn connect(client: &Host) -> Result<Connecting> {
    let made = std::sync::Arc::<std::sync::Mutex<Vec<Instant>>>::default();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let noting = std::sync::Arc::clone(&made);
    let begin = move || async move {
        tokio::task::spawn_local(async move {
            let mut tick = tokio::time::interval(CONNECTION_EVERY);
            let end = tokio::time::sleep(PATIENCE * 3);
            tokio::pin!(end);
            loop {
                tokio::select! {
                    _ = &mut stopped => return,
                    () = &mut end => return,
                    _ = tick.tick() => {
                        let noting = std::sync::Arc::clone(&noting);
                        tokio::task::spawn_local(async move {
                            let begun = Instant::now();
                            let stream = tokio::time::timeout(CONNECTING, TcpStream::connect((VIP, PORT))).await;
                            if matches!(stream, Ok(Ok(_)))
                                && let Ok(mut made) = noting.lock()
                            {
                                made.push(begun);
                            }
                        });
                    }
                }
            }
        });
    };
    client.run(begin).await?;
    Ok(Connecting { made, _stop: stop })
}
