//! The sockets: one for frames on each interface and protocol, and those that join multicast groups.

pub mod groups;

use std::io::{self, Read};
use std::num::NonZeroU32;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::time::Duration;

use pnet_datalink::{ChannelType, NetworkInterface};
use socket2::{Domain, SockFilter, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

use crate::filter::{Filter, Instruction, Protocol};

/// A packet socket, bound to an interface. It survives that the link goes down and comes back, but not the
/// removal of the interface: then it hears nothing any more, and only netlink tells.
///
/// tokio's own way to wait for any descriptor cannot be used without unsafe code (tokio issue 8587). The
/// datagram type lends its place in the reactor, which looks at no address family.
#[derive(Debug)]
pub struct FrameSocket(UnixDatagram);

/// Why a packet socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The process may not open packet sockets.
    #[error(
        "may not open packet sockets; run as root, or give the process the capability NET_RAW \
         (in Kubernetes: securityContext.capabilities.add: [NET_RAW] and user 0)"
    )]
    NotPermitted(#[source] io::Error),
    /// The interface is not there (any more).
    #[error("there is no such interface")]
    NoInterface(#[source] io::Error),
    /// Anything else the kernel said.
    #[error("the kernel refused a packet socket: {0}")]
    Kernel(#[source] io::Error),
}

impl OpenError {
    fn from_kernel(error: io::Error) -> Self {
        const ENODEV: i32 = 19;
        match error.raw_os_error() {
            _ if error.kind() == io::ErrorKind::PermissionDenied => Self::NotPermitted(error),
            Some(ENODEV) => Self::NoInterface(error),
            _ => Self::Kernel(error),
        }
    }
}

/// Whether this process may open packet sockets at all.
///
/// # Errors
/// [`OpenError::NotPermitted`] if not.
pub fn permitted() -> Result<(), OpenError> {
    Socket::new(Domain::PACKET, Type::RAW, None).map(std::mem::drop).map_err(OpenError::from_kernel)
}

impl FrameSocket {
    /// Opens a socket for a protocol on the interface with this index. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`OpenError`]; a link that is down is none.
    pub fn open(index: NonZeroU32, protocol: Protocol, hear: &Filter) -> Result<Self, OpenError> {
        Self::open_io(index, protocol, hear).map_err(OpenError::from_kernel)
    }

    fn open_io(index: NonZeroU32, protocol: Protocol, hear: &Filter) -> io::Result<Self> {
        let datagram = std::os::unix::net::UnixDatagram::from(OwnedFd::from(bound(index, protocol, hear)?));
        UnixDatagram::from_std(datagram).map(Self)
    }

    /// Hears by another filter from now on. What came in before stays; nothing is lost between the two.
    ///
    /// # Errors
    /// What the kernel says, and the filter stays what it was: a program that is too long for the host's
    /// `net.core.optmem_max` gets `ENOMEM`.
    pub fn hear(&self, filter: &Filter) -> io::Result<()> {
        attach(&SockRef::from(&self.0), filter)
    }

    /// Waits for the next frame; one that is longer than the buffer is cut to it.
    ///
    /// # Errors
    /// What the kernel says. A link that goes down is reported once; the socket goes on after that.
    pub async fn recv<'b>(&self, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
        // A link that goes down makes the socket ready for its error only, which READABLE alone passes over.
        let interest = Interest::READABLE | Interest::ERROR;
        let length = self.0.async_io(interest, || (&*SockRef::from(&self.0)).read(buffer)).await?;
        Ok(&buffer[..length])
    }

    /// Sends a whole Ethernet frame without waiting.
    ///
    /// # Errors
    /// What the kernel says; the frame is not sent then. `WouldBlock`: its queue is full.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        // Not by way of tokio: for it a socket whose link went down once is closed for writing for good.
        send(&SockRef::from(&self.0), frame)
    }
}

/// The same for a thread that does nothing else: it waits in the kernel itself. A frame is read a microsecond or two
/// earlier than by way of a reactor, which is a fifth of what an answer takes.
#[derive(Debug)]
pub struct BlockingSocket(Socket);

impl BlockingSocket {
    /// Opens a socket for a protocol on the interface with this index.
    ///
    /// # Errors
    /// [`OpenError`]; a link that is down is none.
    pub fn open(index: NonZeroU32, protocol: Protocol, hear: &Filter) -> Result<Self, OpenError> {
        let open = || -> io::Result<Self> {
            let socket = bound(index, protocol, hear)?;
            socket.set_nonblocking(false)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            Ok(Self(socket))
        };
        open().map_err(OpenError::from_kernel)
    }

    /// Hears by another filter from now on: [`FrameSocket::hear`].
    ///
    /// # Errors
    /// What the kernel says, and the filter stays what it was.
    pub fn hear(&self, filter: &Filter) -> io::Result<()> {
        attach(&self.0, filter)
    }

    /// Hears everything of its protocol from now on.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn hear_all(&self) -> io::Result<()> {
        self.0.detach_filter()
    }

    /// Waits for the next frame; one that is longer than the buffer is cut to it. Nothing after a while without one,
    /// so that a thread can see whether it is still wanted.
    ///
    /// # Errors
    /// What the kernel says. A link that goes down is reported once; the socket goes on after that.
    pub fn recv<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Option<&'b [u8]>> {
        match (&self.0).read(buffer) {
            Ok(length) => Ok(Some(&buffer[..length])),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends a whole Ethernet frame without waiting: [`FrameSocket::send`].
    ///
    /// # Errors
    /// What the kernel says; the frame is not sent then.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        send(&self.0, frame)
    }
}

/// How long a thread waits for a frame before it looks whether it is still wanted.
const PATIENCE: Duration = Duration::from_millis(500);

fn attach(socket: &Socket, filter: &Filter) -> io::Result<()> {
    socket.attach_filter(&program(filter))
}

fn send(socket: &Socket, frame: &[u8]) -> io::Result<()> {
    const MSG_DONTWAIT: i32 = 0x40;
    let send = || socket.send_with_flags(frame, MSG_DONTWAIT).map(std::mem::drop);
    match send() {
        // An old "link is down" that nobody has read yet is reported here, though the link may be back.
        Err(error) if error.kind() == io::ErrorKind::NetworkDown => send(),
        result => result,
    }
}

/// A socket with its filter on its interface, which does not wait.
fn bound(index: NonZeroU32, protocol: Protocol, hear: &Filter) -> io::Result<Socket> {
    // With protocol 0 the socket hears nothing before its filter and its interface are in place.
    let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
    attach(&socket, hear)?;
    bind(&socket, index, protocol)?;
    Ok(socket)
}

/// Binds by way of pnet, which can build a link-layer address without unsafe code here, and makes the socket
/// non-blocking.
fn bind(socket: &Socket, index: NonZeroU32, protocol: Protocol) -> io::Result<()> {
    let interface = NetworkInterface {
        name: String::new(),
        description: String::new(),
        index: index.get(),
        mac: None,
        ips: Vec::new(),
        flags: 0,
    };
    let config = pnet_datalink::Config {
        // The channel closes the descriptor it is given, also on error, so it gets one of its own.
        socket_fd: Some(socket.try_clone()?.into_raw_fd()),
        // `Layer3` names the protocol to bind to; with a raw socket whole frames are delivered all the same.
        channel_type: ChannelType::Layer3(protocol.ethertype()),
        promiscuous: false,
        read_buffer_size: 0,
        write_buffer_size: 0,
        ..pnet_datalink::Config::default()
    };
    pnet_datalink::channel(&interface, config).map(std::mem::drop)
}

fn program(filter: &Filter) -> Vec<SockFilter> {
    let instruction = |it: &Instruction| SockFilter::new(it.code, it.yes, it.no, it.k);
    filter.program().iter().map(instruction).collect()
}
