//! The cluster: nodes with a speaker each, and a client outside that asks.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Service};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use lblab::client::{Asking, who_has};
use lblab::proxy::{Proxy, run_echo_pod, run_pod, silence_kernel};
use lblab::watch::{Story, Watch};
use lblab::{Host, Lan, Nic, Port};
use nix::sys::signal::Signal;
use serde_json::json;

use super::objects::{self, ECHO, HTTP, VIP};
use crate::program::{Lbd, Served};
use crate::site::{Result, SERVER};

/// Whatever is waited for has happened within this time.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// After a failure all has to be as it was: the time in which a node that returns is greeted and heard by all.
const SETTLING: Duration = Duration::from_millis(1500);

/// A node.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) host: Host,
    pub(super) nic: Nic,
    port: Port,
    pub(super) speaker: Option<Lbd>,
    log: PathBuf,
}

/// The cluster. It ends with this value.
#[derive(Debug)]
pub(super) struct Cluster {
    lan: Lan,
    pub(super) nodes: Vec<Place>,
    pub(super) client: Host,
    pub(super) client_nic: Nic,
    pub(super) served: Served,
    pub(super) heartbeat: u64,
    folder: PathBuf,
    _controller: Lbd,
    _proxies: Vec<Proxy>,
}

impl Cluster {
    /// Starts it, and waits until one node answers for the Service.
    pub(super) async fn start(nodes: u8, heartbeat: u64) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("lbd-failover-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let lan = Lan::new().await?;
        let bridge = lan.bridge(&Nic::new("br0", SERVER)).await?;
        let served = Served::start().await?;
        let (mut places, mut proxies) = (Vec::new(), Vec::new());
        for number in 1..=nodes {
            let host = Host::new(&format!("n{number}")).await?;
            silence_kernel(&host).await?;
            let nic = Nic::new("eth0", Ipv4Addr::new(192, 168, 3, 10 + number));
            let port = lan.plug(&host, bridge, &nic).await?;
            proxies.push(serve(&host, number).await?);
            objects::node(&served.inside(), host.name(), nic.address).await?;
            let log = folder.join(format!("{}.log", host.name()));
            places.push(Place { host, nic, port, speaker: None, log });
        }
        let client = Host::new("c").await?;
        let client_nic = Nic::new("eth0", Ipv4Addr::new(192, 168, 3, 100));
        lan.plug(&client, bridge, &client_nic).await?;
        let names: Vec<&str> = places.iter().map(|place| place.host.name()).collect();
        objects::world(&served.inside(), &names).await?;
        let controller = served.controller()?;
        let mut cluster = Self {
            lan,
            nodes: places,
            client,
            client_nic,
            served,
            heartbeat,
            folder,
            _controller: controller,
            _proxies: proxies,
        };
        for at in 0..cluster.nodes.len() {
            cluster.start_speaker(at).await?;
        }
        cluster.settled().await?;
        Ok(cluster)
    }

    /// Starts the speaker of a node, with a log of its own.
    pub(super) async fn start_speaker(&mut self, at: usize) -> Result<()> {
        let heartbeat = self.heartbeat.to_string();
        let arguments = ["--heartbeat", &heartbeat];
        let place = &mut self.nodes[at];
        place.speaker = Some(self.served.speaker_logging(&place.host, &arguments, &place.log).await?);
        Ok(())
    }

    /// Starts all speakers anew, without any memory: one that has taken an address from a living node lately waits longer
    /// before it does so again.
    pub(super) async fn start_afresh(&mut self) -> Result<()> {
        for place in &mut self.nodes {
            if let Some(mut speaker) = place.speaker.take() {
                speaker.kill()?;
            }
        }
        for at in 0..self.nodes.len() {
            self.start_speaker(at).await?;
        }
        Ok(())
    }

    /// Waits until every speaker knows everything, has heard the others and is heard by them; who answers then.
    pub(super) async fn settled(&self) -> Result<usize> {
        let started = Instant::now();
        let knows = |place: &Place| {
            let log = std::fs::read_to_string(&place.log).unwrap_or_default();
            log.contains("everything is known") && log.contains("all other speakers were heard")
        };
        while !self.nodes.iter().all(knows) {
            if started.elapsed() > PATIENCE {
                return Err("the speakers do not come to know everything".into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(SETTLING).await;
        self.owner().await
    }

    /// Waits until one node alone answers; which.
    pub(super) async fn owner(&self) -> Result<usize> {
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

    /// Loses every frame to and from a node, or no more.
    pub(super) async fn cut(&self, at: usize, cut: bool) -> Result<()> {
        Ok(self.lan.mute(&self.nodes[at].port, cut).await?)
    }

    /// Sends a signal to the speaker of a node, if it has one.
    pub(super) fn signal(&self, at: usize, signal: Signal) -> Result<()> {
        self.nodes[at].speaker.as_ref().map_or(Ok(()), |speaker| speaker.signal(signal))
    }

    /// Asks for a node to be drained, or no more.
    pub(super) async fn drain(&self, at: usize, drained: bool) -> Result<()> {
        let value = drained.then_some("true");
        let patch = json!({"metadata": {"annotations": {"lbd.io/drain": value}}});
        let nodes: Api<Node> = Api::all(self.served.inside());
        nodes.patch(self.nodes[at].host.name(), &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Makes so many more Services, and waits until each has an address.
    pub(super) async fn more_services(&self, count: usize) -> Result<()> {
        let names: Vec<&str> = self.nodes.iter().map(|place| place.host.name()).collect();
        for number in 0..count {
            objects::service(&self.served.inside(), &format!("s{number}"), "others", &names).await?;
        }
        let started = Instant::now();
        while self.addresses().await?.len() <= count {
            if started.elapsed() > PATIENCE {
                return Err("not every Service has an address".into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// The addresses of all Services.
    async fn addresses(&self) -> Result<BTreeSet<IpAddr>> {
        let services: Api<Service> = Api::all(self.served.inside());
        let services = services.list(&ListParams::default()).await?.items.into_iter();
        let shown = services.filter_map(|service| service.status?.load_balancer?.ingress);
        Ok(shown.flatten().filter_map(|entry| entry.ip?.parse().ok()).collect())
    }

    /// How often the speakers have said something in their logs so far.
    pub(super) fn said(&self, what: &str) -> usize {
        let logs = self.nodes.iter().map(|place| std::fs::read_to_string(&place.log).unwrap_or_default());
        logs.map(|log| log.matches(what).count()).sum()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // What is left behind in the system's folder for such files does no harm.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The pods of a node, and its stand-in for kube-proxy.
async fn serve(host: &Host, number: u8) -> Result<Proxy> {
    let pod = Ipv4Addr::new(10, 244, number, 2);
    let (web, echo) = (SocketAddr::from((pod, 8080)), SocketAddr::from((pod, 8007)));
    run_pod(host, web, "here\n".to_owned()).await?;
    run_echo_pod(host, echo).await?;
    let mut proxy = Proxy::default();
    proxy.serve(host, (VIP, HTTP), vec![web]).await?;
    proxy.serve(host, (VIP, ECHO), vec![echo]).await?;
    Ok(proxy)
}

/// Waits until the story of a watch is like this.
pub(super) async fn until(watch: &Watch, wanted: impl Fn(&Story) -> bool) -> Result<()> {
    let started = Instant::now();
    loop {
        let story = watch.story();
        if wanted(&story) {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            return Err(format!("only {:?} answered", story.answerers()).into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
