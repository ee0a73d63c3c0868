//! Interfaces followed by netlink: a table that is right within milliseconds of a change.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use futures::channel::mpsc::UnboundedReceiver;
use futures::{FutureExt, StreamExt, TryStreamExt};
use ipnet::Ipv4Net;
use pnet_base::MacAddr;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::sys::SocketAddr;
use rtnetlink::{Handle, MulticastGroup};

use super::Interface;

type Messages = UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>;

/// The interfaces of the network namespace in which it was opened.
pub(crate) struct Monitor {
    handle: Handle,
    messages: Messages,
    interfaces: BTreeMap<u32, Interface>,
}

/// What a netlink message did to the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// An interface is new or differs from before.
    Set(u32),
    /// An interface is gone; another may come with the same index.
    Gone(u32),
    /// Messages were lost: the table is to be read afresh, by [`Monitor::reread`].
    Lost,
}

impl Monitor {
    /// Subscribes in the namespace of the calling thread, which must be inside a runtime, and reads the table.
    pub(crate) async fn open() -> io::Result<Self> {
        // The subscription comes first: what changes while the table is read is told afterwards.
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr];
        let (connection, handle, messages) = rtnetlink::new_multicast_connection(&groups)?;
        tokio::spawn(connection);
        let mut monitor = Self { handle, messages, interfaces: BTreeMap::new() };
        monitor.read().await?;
        Ok(monitor)
    }

    /// The interfaces, by index.
    pub(crate) fn interfaces(&self) -> &BTreeMap<u32, Interface> {
        &self.interfaces
    }

    /// Waits until the table changes. Messages that change nothing are passed over. Nothing is lost when the
    /// future is dropped.
    ///
    /// # Errors
    /// The connection to the kernel is gone; a new monitor is needed.
    pub(crate) async fn changed(&mut self) -> io::Result<Change> {
        loop {
            let Some((message, _)) = self.messages.next().await else {
                return Err(io::Error::other("the kernel closed the netlink connection"));
            };
            match message.payload {
                NetlinkPayload::Overrun(_) => return Ok(Change::Lost),
                NetlinkPayload::InnerMessage(message) => {
                    if let Some(change) = self.apply(&message) {
                        return Ok(change);
                    }
                }
                _ => {}
            }
        }
    }

    /// Reads the table afresh after messages were lost.
    ///
    /// # Errors
    /// The connection to the kernel is gone; a new monitor is needed.
    pub(crate) async fn reread(&mut self) -> io::Result<()> {
        // The loss is reported ahead of older messages that survived it; they must not be put on top of a
        // fresh table. Answers share the queue with them, so an answered request is a barrier.
        self.read().await?;
        while self.messages.next().now_or_never().flatten().is_some() {}
        self.read().await
    }

    async fn read(&mut self) -> io::Result<()> {
        let links: Vec<LinkMessage> =
            self.handle.link().get().execute().try_collect().await.map_err(io::Error::other)?;
        let mut request = self.handle.address().get();
        request.message_mut().header.family = AddressFamily::Inet;
        let addresses: Vec<AddressMessage> =
            request.execute().try_collect().await.map_err(io::Error::other)?;
        self.interfaces.clear();
        for link in links {
            self.apply(&RouteNetlinkMessage::NewLink(link));
        }
        for address in addresses {
            self.apply(&RouteNetlinkMessage::NewAddress(address));
        }
        Ok(())
    }

    fn apply(&mut self, message: &RouteNetlinkMessage) -> Option<Change> {
        match message {
            RouteNetlinkMessage::NewLink(message) => {
                let mut link = link(message)?;
                let index = link.index;
                if let Some(before) = self.interfaces.get(&index) {
                    link.addresses.clone_from(&before.addresses);
                    if link == *before {
                        return None;
                    }
                }
                self.interfaces.insert(index, link);
                Some(Change::Set(index))
            }
            RouteNetlinkMessage::DelLink(message) => {
                let index = link(message)?.index;
                self.interfaces.remove(&index).map(|_| Change::Gone(index))
            }
            RouteNetlinkMessage::NewAddress(message) => {
                let (index, net) = address(message)?;
                let addresses = &mut self.interfaces.get_mut(&index)?.addresses;
                if addresses.contains(&net) {
                    return None;
                }
                addresses.push(net);
                Some(Change::Set(index))
            }
            RouteNetlinkMessage::DelAddress(message) => {
                let (index, net) = address(message)?;
                let addresses = &mut self.interfaces.get_mut(&index)?.addresses;
                let before = addresses.len();
                addresses.retain(|address| *address != net);
                (addresses.len() < before).then_some(Change::Set(index))
            }
            _ => None,
        }
    }
}

fn link(message: &LinkMessage) -> Option<Interface> {
    let header = &message.header;
    // A bridge tells of its ports in messages of its own family, a DelLink among them when a port leaves it.
    if header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let mut link = Interface {
        index: header.index,
        name: String::new(),
        mac: None,
        up: header.flags.contains(LinkFlags::Up),
        running: header.flags.contains(LinkFlags::Running),
        loopback: header.flags.contains(LinkFlags::Loopback),
        noarp: header.flags.contains(LinkFlags::Noarp),
        controller: None,
        addresses: Vec::new(),
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(bytes) if header.link_layer_type == LinkLayerType::Ether => {
                link.mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(MacAddr::from);
            }
            LinkAttribute::Controller(index) => link.controller = Some(*index),
            _ => {}
        }
    }
    Some(link)
}

fn address(message: &AddressMessage) -> Option<(u32, Ipv4Net)> {
    let (mut local, mut peer) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            // On a point-to-point link IFA_ADDRESS is the far end and IFA_LOCAL is ours.
            AddressAttribute::Local(IpAddr::V4(ip)) => local = Some(*ip),
            AddressAttribute::Address(IpAddr::V4(ip)) => peer = Some(*ip),
            _ => {}
        }
    }
    let net = Ipv4Net::new(local.or(peer)?, message.header.prefix_len).ok()?;
    Some((message.header.index, net))
}
