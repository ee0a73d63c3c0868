//! The socket of a member.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// An address as it is written: IPv4 is IPv4.
pub(super) fn plain(from: SocketAddr) -> SocketAddr {
    SocketAddr::new(from.ip().to_canonical(), from.port())
}

/// One socket for both families; for IPv4 alone, where the kernel has no IPv6.
pub(super) fn bind(port: u16) -> io::Result<(UdpSocket, std::net::UdpSocket, bool)> {
    let open = |domain, at: SocketAddr| -> io::Result<_> {
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        if at.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&at.into())?;
        let raw = std::net::UdpSocket::from(socket);
        Ok((UdpSocket::from_std(raw.try_clone()?)?, raw))
    };
    let both = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0);
    match open(Domain::IPV6, both.into()) {
        Ok((socket, raw)) => Ok((socket, raw, true)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        Err(_) => {
            let only = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
            let (socket, raw) = open(Domain::IPV4, only.into())?;
            Ok((socket, raw, false))
        }
    }
}
