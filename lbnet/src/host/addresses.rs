//! The addresses that this host needs for itself, and those of the gateways it sends its traffic to: none of them
//! can be a virtual address beside.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures::TryStreamExt;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteVia};

/// What is known of this host's addresses at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostAddresses {
    /// Its own, on all interfaces, but for loopback and link-local ones.
    pub own: BTreeSet<IpAddr>,
    /// The next hops of all its routes.
    pub gateways: BTreeSet<IpAddr>,
}

impl HostAddresses {
    /// Asks the kernel, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// The kernel cannot be asked, or does not answer.
    pub async fn read() -> io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        let connection = tokio::spawn(connection);
        let mut found = Self::default();
        let mut addresses = handle.address().get().execute();
        while let Some(message) = addresses.try_next().await.map_err(io::Error::other)? {
            let own = message.attributes.iter().filter_map(|attribute| match attribute {
                AddressAttribute::Address(address) | AddressAttribute::Local(address) => Some(*address),
                _ => None,
            });
            found.own.extend(own.filter(|address| is_of_lan(*address)));
        }
        let families =
            [RouteMessageBuilder::<Ipv4Addr>::new().build(), RouteMessageBuilder::<Ipv6Addr>::new().build()];
        for family in families {
            let mut routes = handle.route().get(family).execute();
            while let Some(route) = routes.try_next().await.map_err(io::Error::other)? {
                found.gateways.extend(next_hops(&route).filter(|address| is_of_lan(*address)));
            }
        }
        connection.abort();
        Ok(found)
    }
}

/// Whether an address could be one of a pool at all.
fn is_of_lan(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_unspecified() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unspecified() && !v6.is_unicast_link_local(),
    }
}

fn next_hops(route: &RouteMessage) -> impl Iterator<Item = IpAddr> + '_ {
    route.attributes.iter().flat_map(|attribute| match attribute {
        RouteAttribute::Gateway(gateway) => plain(gateway).into_iter().collect::<Vec<_>>(),
        RouteAttribute::Via(RouteVia::Inet(v4)) => vec![IpAddr::V4(*v4)],
        RouteAttribute::Via(RouteVia::Inet6(v6)) => vec![IpAddr::V6(*v6)],
        RouteAttribute::MultiPath(hops) => {
            let attributes = hops.iter().flat_map(|hop| &hop.attributes);
            let gateways = attributes.filter_map(|attribute| match attribute {
                RouteAttribute::Gateway(gateway) => plain(gateway),
                _ => None,
            });
            gateways.collect()
        }
        _ => Vec::new(),
    })
}

fn plain(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}
