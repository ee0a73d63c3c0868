//! The socket of a member: datagrams that go out and come in by a known interface.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, RawFd};

use nix::cmsg_space;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// What may wait in it: of a thousand members that answer at once none is lost. The kernel grants less if it is told to
/// (`net.core.rmem_max`).
const ROOM: usize = 4 << 20;

/// A datagram that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Came {
    pub(super) length: usize,
    pub(super) from: SocketAddr,
    /// The index of the interface by which it came.
    pub(super) via: Option<u32>,
}

/// One socket for both families; for IPv4 alone, where the kernel has no IPv6.
#[derive(Debug)]
pub(super) struct MemberSocket {
    socket: UdpSocket,
    is_ipv6: bool,
}

impl MemberSocket {
    pub(super) fn bind(port: u16) -> io::Result<Self> {
        let open = |domain, at: SocketAddr| -> io::Result<UdpSocket> {
            let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
            if at.is_ipv6() {
                socket.set_only_v6(false)?;
                // Of IPv4 that comes by this socket it tells the interface too.
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            } else {
                setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
            }
            // Less does as well, most of the time.
            let _ = socket.set_recv_buffer_size(ROOM);
            socket.set_nonblocking(true)?;
            socket.bind(&at.into())?;
            UdpSocket::from_std(socket.into())
        };
        let both = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0);
        match open(Domain::IPV6, both.into()) {
            Ok(socket) => Ok(Self { socket, is_ipv6: true }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
            Err(_) => {
                let only = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
                Ok(Self { socket: open(Domain::IPV4, only.into())?, is_ipv6: false })
            }
        }
    }

    /// Waits until something may have come.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Takes what has come, if anything has.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Came> {
        let socket = self.socket.as_raw_fd();
        self.socket.try_io(Interest::READABLE, || receive(socket, buffer))
    }

    /// Throws away what waits, and not more than so much of it; how much it was. The reactor knows nothing of what came
    /// while this process stood still, so it is not asked.
    pub(super) fn discard(&self, most: usize) -> usize {
        let (socket, mut buffer) = (self.socket.as_raw_fd(), [0; 1]);
        (0..most).take_while(|_| receive(socket, &mut buffer).is_ok()).count()
    }

    /// Sends a datagram, by the interface of this index if it is to go by one.
    pub(super) fn send(&self, bytes: &[u8], to: SocketAddr, via: Option<u32>) -> io::Result<()> {
        let to = SockaddrStorage::from(self.reachable(to));
        let index = via.unwrap_or_default();
        let no_address = in_addr { s_addr: 0 };
        let v4 = in_pktinfo {
            ipi_ifindex: index.try_into().unwrap_or_default(),
            ipi_spec_dst: no_address,
            ipi_addr: no_address,
        };
        let v6 = in6_pktinfo { ipi6_addr: in6_addr { s6_addr: [0; 16] }, ipi6_ifindex: index };
        // What goes to an IPv4 address is of IPv4, by a socket of IPv6 too (Linux, `ip_cmsg_send`).
        let by = match to.as_sockaddr_in6().filter(|to| to.ip().to_ipv4_mapped().is_none()) {
            Some(_) => [ControlMessage::Ipv6PacketInfo(&v6)],
            None => [ControlMessage::Ipv4PacketInfo(&v4)],
        };
        let by = if via.is_some() { &by[..] } else { &[] };
        let (socket, bytes) = (self.socket.as_raw_fd(), [IoSlice::new(bytes)]);
        self.socket.try_io(Interest::WRITABLE, || {
            sendmsg(socket, &bytes, by, MsgFlags::empty(), Some(&to))?;
            Ok(())
        })
    }

    /// An address in the family of the socket.
    fn reachable(&self, to: SocketAddr) -> SocketAddr {
        match to {
            SocketAddr::V4(v4) if self.is_ipv6 => {
                SocketAddr::V6(SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0))
            }
            other => other,
        }
    }
}

fn receive(socket: RawFd, buffer: &mut [u8]) -> io::Result<Came> {
    let mut room = cmsg_space!(in6_pktinfo);
    let mut into = [IoSliceMut::new(buffer)];
    let came = recvmsg::<SockaddrStorage>(socket, &mut into, Some(&mut room), MsgFlags::empty())?;
    let nobody = || io::Error::other("a datagram from nobody");
    let from = came.address.ok_or_else(nobody)?;
    let from = match (from.as_sockaddr_in(), from.as_sockaddr_in6()) {
        (Some(from), _) => SocketAddr::from((from.ip(), from.port())),
        // As it is written: IPv4 is IPv4.
        (_, Some(from)) => SocketAddr::new(from.ip().to_canonical(), from.port()),
        (None, None) => return Err(nobody()),
    };
    let index = |message| match message {
        ControlMessageOwned::Ipv6PacketInfo(told) => Some(told.ipi6_ifindex),
        ControlMessageOwned::Ipv4PacketInfo(told) => told.ipi_ifindex.try_into().ok(),
        _ => None,
    };
    let via = came.cmsgs()?.find_map(index).filter(|index| *index != 0);
    Ok(Came { length: came.bytes, from, via })
}
