//! Interfaces followed by netlink: a table that is right within milliseconds of a change.

use std::io;

use futures::channel::mpsc::UnboundedReceiver;
use futures::{FutureExt, StreamExt, TryStreamExt};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::sys::SocketAddr;
use rtnetlink::{Handle, MulticastGroup};

use super::table::{Change, Table};

type Messages = UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>;

/// The interfaces of the network namespace in which it was opened.
pub(crate) struct Monitor {
    handle: Handle,
    messages: Messages,
    table: Table,
}

/// What the kernel told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// The table has changed.
    Changed(Change),
    /// Messages were lost: the table is to be read afresh, by [`Monitor::reread`].
    Lost,
}

impl Monitor {
    /// Subscribes in the namespace of the calling thread, which must be inside a runtime, and reads the table.
    pub(crate) async fn open() -> io::Result<Self> {
        // The subscription comes first: what changes while the table is read is told afterwards.
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let (connection, handle, messages) = rtnetlink::new_multicast_connection(&groups)?;
        tokio::spawn(connection);
        let mut monitor = Self { handle, messages, table: Table::default() };
        monitor.read().await?;
        Ok(monitor)
    }

    /// The interfaces as they are now.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// Waits until the table changes. Messages that change nothing are passed over. Nothing is lost when the
    /// future is dropped.
    ///
    /// # Errors
    /// The connection to the kernel is gone; a new monitor is needed.
    pub(crate) async fn changed(&mut self) -> io::Result<Told> {
        loop {
            let Some((message, _)) = self.messages.next().await else {
                return Err(io::Error::other("the kernel closed the netlink connection"));
            };
            match message.payload {
                NetlinkPayload::Overrun(_) => return Ok(Told::Lost),
                NetlinkPayload::InnerMessage(message) => {
                    if let Some(change) = self.table.apply(&message) {
                        return Ok(Told::Changed(change));
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
        let addresses: Vec<AddressMessage> =
            self.handle.address().get().execute().try_collect().await.map_err(io::Error::other)?;
        self.table = Table::default();
        for link in links {
            self.table.apply(&RouteNetlinkMessage::NewLink(link));
        }
        for address in addresses {
            self.table.apply(&RouteNetlinkMessage::NewAddress(address));
        }
        Ok(())
    }
}
