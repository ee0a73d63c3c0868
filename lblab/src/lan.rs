//! Bridges in the process's own namespace, and the cables that join hosts to them.

use crate::{Host, LabError, Net, Nic};

/// The namespace in which the bridges are: that of the thread that made it.
#[derive(Debug)]
pub struct Lan {
    net: Net,
}

/// A bridge.
#[derive(Debug, Clone, Copy)]
pub struct Bridge(u32);

/// A cable between a bridge and a host.
#[derive(Debug, Clone)]
pub struct Port {
    link: u32,
    bridge: u32,
    host: Net,
    nic: u32,
}

impl Lan {
    /// A LAN without anything on it. To be called inside a `LocalSet`.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn new() -> Result<Self, LabError> {
        // A port that has lost its bridge must not answer for the bridge's address. Without the setting only
        // Lan::mute is less than perfect.
        let _ = std::fs::write("/proc/sys/net/ipv4/conf/all/arp_ignore", "1");
        let net = Net::open()?;
        net.up(net.index("lo").await?).await?;
        Ok(Self { net })
    }

    /// Makes a bridge; this namespace has the interface `nic` on it.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn bridge(&self, nic: &Nic) -> Result<Bridge, LabError> {
        let index = self.net.add_bridge(nic).await?;
        self.net.up(index).await?;
        give_addresses(&self.net, index, nic).await?;
        Ok(Bridge(index))
    }

    /// Removes a bridge that nothing is plugged into any more.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn remove(&self, bridge: Bridge) -> Result<(), LabError> {
        self.net.delete(bridge.0).await
    }

    /// Gives the host an interface on the bridge and waits until frames pass.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn plug(&self, host: &Host, bridge: Bridge, nic: &Nic) -> Result<Port, LabError> {
        if nic.address6.is_some() {
            // No second's wait until the link-local address may be used. Without the settings it is only later.
            for key in ["ipv6/conf/all/accept_dad", "ipv6/conf/default/accept_dad"] {
                let _ = host.sysctl(key, "0").await;
            }
        }
        let name = format!("{}-{}", host.name(), nic.name);
        let link = self.net.add_veth(&name, bridge.0, nic, host.netns()).await?;
        // A port says nothing of its own, so that nothing at all comes to a host that is muted. Without the setting it
        // looks for routers now and then.
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
        let index = host.net().index(&nic.name).await?;
        host.net().up(index).await?;
        give_addresses(host.net(), index, nic).await?;
        let port = Port { link, bridge: bridge.0, host: host.net().clone(), nic: index };
        self.carrier(&port).await?;
        Ok(port)
    }

    /// Takes the interface from the host.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn unplug(&self, port: Port) -> Result<(), LabError> {
        self.net.delete(port.link).await
    }

    /// Pulls the cable: the host loses its carrier.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn cut(&self, port: &Port) -> Result<(), LabError> {
        self.net.down(port.link).await
    }

    /// Plugs the cable in again and waits until frames pass.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn heal(&self, port: &Port) -> Result<(), LabError> {
        self.net.up(port.link).await?;
        self.carrier(port).await
    }

    /// Loses every frame, or no more: the host keeps its carrier and notices nothing. No frame comes to it either.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn mute(&self, port: &Port, muted: bool) -> Result<(), LabError> {
        self.net.attach(port.link, (!muted).then_some(port.bridge)).await
    }

    /// Plugs the cable into another bridge; the host keeps its carrier and notices nothing.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn move_to(&self, port: &Port, bridge: Bridge) -> Result<(), LabError> {
        self.net.attach(port.link, Some(bridge.0)).await
    }

    async fn carrier(&self, port: &Port) -> Result<(), LabError> {
        self.net.carrier(port.link).await?;
        port.host.carrier(port.nic).await
    }
}

async fn give_addresses(net: &Net, link: u32, nic: &Nic) -> Result<(), LabError> {
    net.add_address(link, nic.address, nic.prefix).await?;
    if let Some(address6) = nic.address6 {
        net.add_address(link, address6, 64).await?;
    }
    Ok(())
}
