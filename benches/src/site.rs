//! Two hosts and a cable: a node that answers and a client that asks.

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use lblab::{Host, Lan, Nic};
use lbnet::filter::Protocol;
use lbnet::layer2::InterfaceSnapshot;
use lbnet::{Layer2, Profile, Rule, Settings};

use crate::asker::Asker;

/// What a measurement comes to.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The name of the thread that answers in `lbnet`.
pub const OURS: &str = "layer2";

/// The address of this process's own namespace, where API servers listen.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 3, 1);

/// How long the filters may take to follow.
const PATIENCE: Duration = Duration::from_secs(20);

/// A node and a client on one bridge, both with IPv4 and IPv6.
#[derive(Debug)]
pub struct Site {
    /// Who answers.
    pub node: Host,
    /// Its interface.
    pub node_nic: Nic,
    /// The index of that.
    pub node_index: u32,
    client: Host,
    client_nic: Nic,
    client_index: u32,
}

impl Site {
    /// Builds both. One process has one site, for the bridge is in its own namespace.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn new() -> Result<Self> {
        let nic = |last| Nic::new("eth0", Ipv4Addr::new(192, 168, 3, last)).dual_stack();
        let (node_nic, client_nic) = (nic(11), nic(100));
        let lan = Lan::new().await?;
        let bridge = lan.bridge(&Nic::new("br0", SERVER)).await?;
        let (node, client) = (Host::new("n").await?, Host::new("c").await?);
        lan.plug(&node, bridge, &node_nic).await?;
        lan.plug(&client, bridge, &client_nic).await?;
        let node_index = node.net().index(&node_nic.name).await?;
        let client_index = client.net().index(&client_nic.name).await?;
        Ok(Self { node, node_nic, node_index, client, client_nic, client_index })
    }

    /// Lets an asker do `work` on the client, whose thread it blocks.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn ask<T: Send + 'static>(
        &self,
        protocol: Protocol,
        work: impl FnOnce(&Asker) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (nic, index) = (self.client_nic.clone(), self.client_index);
        Ok(self.client.run(move || async move { work(&Asker::open(nic, index, protocol)?) }).await??)
    }

    /// An asker on the client, to be used from any thread.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn asker(&self, protocol: Protocol) -> Result<Asker> {
        let (nic, index) = (self.client_nic.clone(), self.client_index);
        Ok(self.client.run(move || async move { Asker::open(nic, index, protocol) }).await??)
    }

    /// Starts answering on the node, for nothing yet.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn start(&self, profile: Profile) -> Result<Layer2> {
        let settings = Settings { profile, ..Settings::default() };
        let (layer2, _) = self.node.run(|| async { Layer2::start(settings) }).await??;
        Ok(layer2)
    }

    /// Starts answering on the node for these addresses, and waits until the kernel's filters follow.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn answering(&self, addresses: impl IntoIterator<Item = IpAddr>) -> Result<Layer2> {
        let layer2 = self.start(Profile::default()).await?;
        for address in addresses {
            layer2.announce(address, Rule::any());
        }
        self.settled(&layer2).await?;
        Ok(layer2)
    }

    /// Waits until the filters follow the addresses, exactly or as well as they can; what is known of the node's
    /// interface then.
    ///
    /// # Errors
    /// They do not.
    pub async fn settled(&self, layer2: &Layer2) -> Result<InterfaceSnapshot> {
        let (begun, mut before) = (Instant::now(), None);
        while begun.elapsed() < PATIENCE {
            let snapshot = layer2.snapshot().await.interfaces.remove(&self.node_nic.name);
            // Twice the same, further apart than changes are gathered for.
            if let Some(now) = snapshot {
                let filters = now.filters.clone();
                if before.replace(filters.clone()) == Some(filters) {
                    return Ok(now);
                }
            }
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        Err("the filters do not follow the addresses".into())
    }
}
