//! The neighbours that this host knows: its cache of addresses and hardware addresses.

use std::io;
use std::net::IpAddr;

use futures::TryStreamExt;
use pnet_base::MacAddr;
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};

/// An entry of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// Its address.
    pub address: IpAddr,
    /// Its hardware address, as far as this host knows.
    pub mac: MacAddr,
    /// The interface it is on, by index.
    pub interface: u32,
}

/// Asks the kernel for the neighbours known in the network namespace of the calling thread. Needs a tokio runtime.
///
/// # Errors
/// The kernel cannot be asked, or does not answer.
pub async fn neighbours() -> io::Result<Vec<Neighbour>> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let connection = tokio::spawn(connection);
    let found = handle.neighbours().get().execute().try_collect::<Vec<NeighbourMessage>>().await;
    connection.abort();
    Ok(found.map_err(io::Error::other)?.iter().filter_map(neighbour).collect())
}

fn neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    let (mut address, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => address = Some(IpAddr::V4(*v4)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => address = Some(IpAddr::V6(*v6)),
            // An entry that is still being asked for has none.
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(MacAddr::from);
            }
            _ => {}
        }
    }
    Some(Neighbour { address: address?, mac: mac?, interface: message.header.ifindex })
}
