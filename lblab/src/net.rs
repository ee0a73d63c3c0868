//! The netlink verbs on one network namespace.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use lbnet::MacAddr;
use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::packet_route::link::{BridgeStpState, InfoData, InfoVeth, LinkFlags, LinkMessage};
use rtnetlink::{Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder};

use crate::LabError;

/// An interface to be made.
#[derive(Debug, Clone)]
pub struct Nic {
    /// Its name, 15 bytes at most.
    pub name: String,
    /// Its hardware address.
    pub mac: MacAddr,
    /// Its IPv4 address.
    pub address: Ipv4Addr,
    /// The prefix length of its network.
    pub prefix: u8,
    /// Its IPv6 address, in a network of `/64`; none if it speaks IPv4 only.
    pub address6: Option<Ipv6Addr>,
}

impl Nic {
    /// An interface in a `/24`, with a hardware address made from its IPv4 address.
    #[must_use]
    pub fn new(name: &str, address: Ipv4Addr) -> Self {
        let [_, b, c, d] = address.octets();
        // A locally administered address (the bit of value 2) that shows whose it is.
        Self { name: name.to_owned(), mac: MacAddr(2, 0, 0, b, c, d), address, prefix: 24, address6: None }
    }

    /// The same with an IPv6 address made from its IPv4 address: `fd00:3::64` beside 192.168.3.100.
    #[must_use]
    pub fn dual_stack(self) -> Self {
        let [_, _, net, last] = self.address.octets();
        let address6 = Ipv6Addr::new(0xfd00, net.into(), 0, 0, 0, 0, 0, last.into());
        Self { address6: Some(address6), ..self }
    }
}

/// How long a link may take to get its carrier.
const CARRIER_PATIENCE: Duration = Duration::from_secs(5);

/// A namespace by way of a netlink socket in it. It can be used from any thread.
#[derive(Debug, Clone)]
pub struct Net(Handle);

impl Net {
    /// Opens the namespace of the calling thread, which must be inside a `LocalSet`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open() -> Result<Self, LabError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(LabError::io("opening a netlink socket"))?;
        tokio::task::spawn_local(connection);
        Ok(Self(handle))
    }

    /// The link's index.
    ///
    /// # Errors
    /// [`LabError::NoLink`].
    pub async fn index(&self, name: &str) -> Result<u32, LabError> {
        let mut links = self.0.link().get().match_name(name.to_owned()).execute();
        let link = links.try_next().await.ok().flatten();
        link.map(|link| link.header.index).ok_or_else(|| LabError::NoLink(name.to_owned()))
    }

    /// Makes a bridge whose ports forward as soon as they have a carrier.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn add_bridge(&self, nic: &Nic) -> Result<u32, LabError> {
        // Without an address of its own a bridge takes the lowest of its ports' and changes it with them.
        let bridge = LinkBridge::new(&nic.name)
            .address(nic.mac.octets().to_vec())
            .stp_state(BridgeStpState::Disabled)
            .forward_delay(0)
            .mcast_snooping(false);
        let request = self.0.link().add(bridge.build());
        request.execute().await.map_err(LabError::netlink(format!("making bridge {}", nic.name)))?;
        self.index(&nic.name).await
    }

    /// Makes a cable: `port` here, up and on `bridge`; the interface `nic` in the namespace `netns`, still down.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn add_veth(
        &self,
        port: &str,
        bridge: u32,
        nic: &Nic,
        netns: BorrowedFd<'_>,
    ) -> Result<u32, LabError> {
        let peer = LinkUnspec::new_with_name(&nic.name)
            .address(nic.mac.octets().to_vec())
            .setns_by_fd(netns.as_raw_fd())
            .build();
        let pair = LinkVeth::new(port, &nic.name)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .controller(bridge)
            .up();
        let request = self.0.link().add(pair.build());
        request.execute().await.map_err(LabError::netlink(format!("making the cable {port}")))?;
        self.index(port).await
    }

    /// Removes a link, both ends of it if it is a cable.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn delete(&self, link: u32) -> Result<(), LabError> {
        self.0.link().del(link).execute().await.map_err(LabError::netlink(format!("removing link {link}")))
    }

    /// Sets a link up.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn up(&self, link: u32) -> Result<(), LabError> {
        self.change(link, LinkUnspec::new_with_index(link).up().build()).await
    }

    /// Sets a link down; the other end of a cable loses its carrier.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn down(&self, link: u32) -> Result<(), LabError> {
        self.change(link, LinkUnspec::new_with_index(link).down().build()).await
    }

    /// Gives a link another hardware address.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn set_mac(&self, link: u32, mac: MacAddr) -> Result<(), LabError> {
        let address = mac.octets().to_vec();
        self.change(link, LinkUnspec::new_with_index(link).address(address).build()).await
    }

    /// Moves a link to a bridge, or to none. A cable keeps its carrier at both ends.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn attach(&self, link: u32, bridge: Option<u32>) -> Result<(), LabError> {
        let change = LinkUnspec::new_with_index(link);
        let change = match bridge {
            Some(bridge) => change.controller(bridge),
            None => change.nocontroller(),
        };
        self.change(link, change.build()).await
    }

    async fn change(&self, link: u32, change: LinkMessage) -> Result<(), LabError> {
        let changed = self.0.link().change(change).execute().await;
        changed.map_err(LabError::netlink(format!("changing link {link}")))
    }

    /// Waits until the kernel has seen the link's carrier; frames sent before are lost.
    ///
    /// # Errors
    /// [`LabError::NoCarrier`] if that takes too long, as it does for a link that is down.
    pub async fn carrier(&self, link: u32) -> Result<(), LabError> {
        let deadline = Instant::now() + CARRIER_PATIENCE;
        while Instant::now() < deadline {
            let mut found = self.0.link().get().match_index(link).execute();
            let message =
                found.try_next().await.map_err(LabError::netlink(format!("reading link {link}")))?;
            if message.is_some_and(|message| message.header.flags.contains(LinkFlags::Running)) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Err(LabError::NoCarrier(link, CARRIER_PATIENCE))
    }

    /// Gives a link an address.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn add_address(
        &self,
        link: u32,
        address: impl Into<IpAddr>,
        prefix: u8,
    ) -> Result<(), LabError> {
        let address = address.into();
        let mut request = self.0.address().add(link, address, prefix).replace();
        // It is in use at once: nobody else in the laboratory has it.
        request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        request.execute().await.map_err(LabError::netlink(format!("adding {address}/{prefix}")))
    }

    /// Takes an address from a link; nothing happens if it is not there.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn delete_address(&self, link: u32, address: impl Into<IpAddr>) -> Result<(), LabError> {
        let address = address.into();
        let doing = || LabError::netlink(format!("removing {address}"));
        let found = self.0.address().get().set_link_index_filter(link);
        let mut found = found.set_address_filter(address).execute();
        match found.try_next().await.map_err(doing())? {
            Some(message) => self.0.address().del(message).execute().await.map_err(doing()),
            None => Ok(()),
        }
    }

    /// Adds a route to `net` by way of `gateway`, both of the same family.
    ///
    /// # Errors
    /// What the kernel says.
    ///
    /// # Panics
    /// The families differ, or the prefix is longer than an address.
    pub async fn add_route(
        &self,
        net: impl Into<IpAddr>,
        prefix: u8,
        gateway: impl Into<IpAddr>,
    ) -> Result<(), LabError> {
        let (net, gateway) = (net.into(), gateway.into());
        let route = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(net, prefix)
            .and_then(|route| route.gateway(gateway))
            .expect("one family, and a prefix of it");
        let request = self.0.route().add(route.build());
        request.execute().await.map_err(LabError::netlink(format!("adding a route to {net}/{prefix}")))
    }

    /// Says that `net` is on the wire of `link`, without a router.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn add_link_route(&self, net: Ipv4Addr, prefix: u8, link: u32) -> Result<(), LabError> {
        let route =
            RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(net, prefix).output_interface(link);
        let request = self.0.route().add(route.build()).replace();
        request.execute().await.map_err(LabError::netlink(format!("adding a route to {net}/{prefix}")))
    }
}
