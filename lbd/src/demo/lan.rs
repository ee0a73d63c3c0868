//! The LAN of the demo: a bridge, three nodes, one client.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use lblab::proxy::silence_kernel;
use lblab::{Bridge, Host, LabError, Lan, Nic, Port};

/// The demo's own interface on the bridge, where the store listens.
pub(super) const STORE: Ipv4Addr = Ipv4Addr::new(192, 168, 3, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 3, 100);
const NODES: u8 = 3;

/// The hosts and what joins them.
#[derive(Debug)]
pub(super) struct DemoLan {
    pub(super) lan: Lan,
    pub(super) nodes: Vec<Node>,
    pub(super) client: Host,
    pub(super) client_nic: Nic,
    pub(super) took: Duration,
}

/// A node of the cluster.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) host: Host,
    pub(super) nic: Nic,
    pub(super) port: Port,
    /// Its number, from 1; its pods are in 10.244.NUMBER.0/24.
    pub(super) number: u8,
}

impl Node {
    pub(super) fn name(&self) -> &str {
        self.host.name()
    }

    pub(super) fn pod_address(&self, pod: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 244, self.number, pod)
    }
}

impl DemoLan {
    pub(super) async fn build() -> Result<Self, LabError> {
        let started = Instant::now();
        let lan = Lan::new().await?;
        let bridge = lan.bridge(&Nic::new("br0", STORE)).await?;
        let mut nodes = Vec::new();
        for number in 1..=NODES {
            nodes.push(node(&lan, bridge, number).await?);
        }
        for node in &nodes {
            for other in nodes.iter().filter(|other| other.number != node.number) {
                node.host.net().add_route(other.pod_address(0), 24, other.nic.address).await?;
            }
        }
        let client = Host::new("c").await?;
        let client_nic = Nic::new("eth0", CLIENT);
        lan.plug(&client, bridge, &client_nic).await?;
        Ok(Self { lan, nodes, client, client_nic, took: started.elapsed() })
    }
}

async fn node(lan: &Lan, bridge: Bridge, number: u8) -> Result<Node, LabError> {
    let host = Host::new(&format!("n{number}")).await?;
    // Before any address is on `lo`: the kernel must never answer for one.
    silence_kernel(&host).await?;
    let nic = Nic::new("eth0", Ipv4Addr::new(192, 168, 3, 10 + number));
    let port = lan.plug(&host, bridge, &nic).await?;
    Ok(Node { host, nic, port, number })
}
