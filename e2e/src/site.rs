//! The hosts of a cluster, and the wires between them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use lblab::client::fetch;
use lblab::proxy::silence_kernel;
use lblab::{Bridge, Host, Lan, Nic, Port};
use lbnet::MacAddr;

use crate::Result;

/// The bridge's own address, where the API server listens.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 3, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 3, 100);

/// A segment with nodes n1, n2, … and a client `c` that is no part of the cluster.
#[derive(Debug)]
pub struct Site {
    lan: Lan,
    bridge: Bridge,
    /// The nodes, in the order of their numbers.
    pub nodes: Vec<Node>,
    /// Somebody outside.
    pub client: Host,
    /// The client's interface.
    pub client_nic: Nic,
    /// Another segment, and the client's interface there, if there is one.
    apart: Option<(Bridge, Nic, Port)>,
    /// A station `x` that is no part of the cluster, if there is one.
    stranger: Option<(Host, Nic, Port)>,
}

/// A node.
#[derive(Debug)]
pub struct Node {
    /// Its number, from 1.
    pub number: u8,
    /// Where its programs run.
    pub host: Rc<Host>,
    /// Its interface `eth0`.
    pub nic: Nic,
    port: Port,
    /// Its second interface, if it has one.
    second: Option<(Nic, Port)>,
}

impl Site {
    /// Builds it in the namespace of the calling thread.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn new(nodes: u8) -> Result<Self> {
        let lan = Lan::new().await?;
        let bridge = lan.bridge(&Nic::new("br0", SERVER).dual_stack()).await?;
        let mut site_nodes = Vec::new();
        for number in 1..=nodes {
            site_nodes.push(node(&lan, bridge, number).await?);
        }
        for node in &site_nodes {
            for other in site_nodes.iter().filter(|other| other.number != node.number) {
                let [v4, v6] = other.pod_addresses(0);
                node.host.net().add_route(v4, 24, other.nic.address).await?;
                node.host.net().add_route(v6, 64, other.address6()).await?;
            }
        }
        let client = Host::new("c").await?;
        let client_nic = Nic::new("eth0", CLIENT).dual_stack();
        lan.plug(&client, bridge, &client_nic).await?;
        Ok(Self { lan, bridge, nodes: site_nodes, client, client_nic, apart: None, stranger: None })
    }

    /// The node of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn node(&self, name: &str) -> Result<&Node> {
        let found = self.nodes.iter().find(|node| node.name() == name);
        found.ok_or_else(|| format!("there is no node {name}").into())
    }

    /// Gives each node a second interface, `eth1`, in the network 192.168.4.0/24: on the same wire, or `apart` on
    /// another one, where the client is too.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn plug_second_interfaces(&mut self, apart: bool) -> Result {
        let mut bridge = self.bridge;
        if apart && self.apart.is_none() {
            bridge = self.lan.bridge(&Nic::new("br1", Ipv4Addr::new(192, 168, 4, 1)).dual_stack()).await?;
            let nic = Nic::new("eth1", Ipv4Addr::new(192, 168, 4, 100)).dual_stack();
            let port = self.lan.plug(&self.client, bridge, &nic).await?;
            self.apart = Some((bridge, nic, port));
        }
        for node in self.nodes.iter_mut().filter(|node| node.second.is_none()) {
            let nic = Nic::new("eth1", Ipv4Addr::new(192, 168, 4, 10 + node.number)).dual_stack();
            let port = self.lan.plug(&node.host, bridge, &nic).await?;
            node.second = Some((nic, port));
        }
        Ok(())
    }

    /// Puts a station `x` on the wire that has this address, and asks for the client: so it is heard by everybody.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn plug_stranger(&mut self, address: Ipv4Addr) -> Result {
        let host = Host::new("x").await?;
        let nic = Nic::new("eth0", address);
        let port = self.lan.plug(&host, self.bridge, &nic).await?;
        // Nobody serves this port. The question of its kernel, who has the client's address, is broadcast.
        let _ = fetch(&host, SocketAddr::from((CLIENT, 9)), Duration::from_secs(1)).await;
        self.stranger = Some((host, nic, port));
        Ok(())
    }

    /// Takes the station away again.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn unplug_stranger(&mut self) -> Result {
        if let Some((_, _, port)) = self.stranger.take() {
            self.lan.unplug(port).await?;
        }
        Ok(())
    }

    /// Pulls the node's cable, or plugs it in again.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn cut(&self, node: &str, cut: bool) -> Result {
        let port = &self.node(node)?.port;
        let done = if cut { self.lan.cut(port).await } else { self.lan.heal(port).await };
        Ok(done?)
    }

    /// Loses all that a node sends and is sent on its first interface, or no more; the node notices nothing.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn mute(&self, node: &str, muted: bool) -> Result {
        Ok(self.lan.mute(&self.node(node)?.port, muted).await?)
    }

    /// The same on its second interface.
    ///
    /// # Errors
    /// It has none, or what the kernel says.
    pub async fn mute_second(&self, node: &str, muted: bool) -> Result {
        let (_, port) = self.node(node)?.second.as_ref().ok_or("it has no second interface")?;
        Ok(self.lan.mute(port, muted).await?)
    }

    /// Puts the wires as they were in the beginning.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn reset(&mut self) -> Result {
        self.unplug_stranger().await?;
        for node in &mut self.nodes {
            if let Some((_, port)) = node.second.take() {
                self.lan.unplug(port).await?;
            }
            self.lan.heal(&node.port).await?;
            self.lan.mute(&node.port, false).await?;
        }
        if let Some((bridge, _, port)) = self.apart.take() {
            self.lan.unplug(port).await?;
            self.lan.remove(bridge).await?;
        }
        Ok(())
    }

    /// The interfaces on which the client asks: one in each segment.
    pub fn client_nics(&self) -> impl Iterator<Item = &Nic> {
        [&self.client_nic].into_iter().chain(self.apart.as_ref().map(|(_, nic, _)| nic))
    }

    /// Whose a hardware address is: `n1/eth0`.
    #[must_use]
    pub fn whose(&self, mac: MacAddr) -> String {
        let interfaces = self.nodes.iter().flat_map(|node| {
            let second = node.second.as_ref().map(|(nic, _)| nic);
            [&node.nic].into_iter().chain(second).map(move |nic| (node.name(), nic))
        });
        let stranger = self.stranger.iter().map(|(host, nic, _)| (host.name(), nic));
        let mut own = interfaces.chain(stranger).filter(|(_, nic)| nic.mac == mac);
        own.next().map_or_else(|| format!("a stranger ({mac})"), |(node, nic)| format!("{node}/{}", nic.name))
    }
}

impl Node {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.host.name()
    }

    /// Its IPv6 address.
    #[must_use]
    pub fn address6(&self) -> Ipv6Addr {
        self.nic.address6.expect("every node has both families")
    }

    /// The addresses of one of its pods.
    #[must_use]
    pub fn pod_addresses(&self, pod: u8) -> [IpAddr; 2] {
        let v6 = Ipv6Addr::new(0xfd00, 0x244, self.number.into(), 0, 0, 0, 0, pod.into());
        [Ipv4Addr::new(10, 244, self.number, pod).into(), v6.into()]
    }
}

async fn node(lan: &Lan, bridge: Bridge, number: u8) -> Result<Node> {
    let host = Rc::new(Host::new(&format!("n{number}")).await?);
    // Before any address is on `lo`: the kernel must never answer for one.
    silence_kernel(&host).await?;
    for (key, value) in [
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        // What comes in by eth1 is answered by eth0.
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
    ] {
        host.sysctl(key, value).await?;
    }
    let nic = Nic::new("eth0", Ipv4Addr::new(192, 168, 3, 10 + number)).dual_stack();
    let port = lan.plug(&host, bridge, &nic).await?;
    Ok(Node { number, host, nic, port, second: None })
}
