//! Blocking packet sockets, opened past the library that is measured.

use std::io;
use std::os::fd::IntoRawFd;
use std::time::Duration;

use lbnet::filter::{Filter, Protocol};
use pnet_datalink::{ChannelType, Config, NetworkInterface};
use socket2::{Domain, SockFilter, Socket, Type};

/// Opens a blocking packet socket on the interface with this index of the calling thread's namespace. It hears every
/// question and answer of the protocol; reading gives up after `patience`.
///
/// # Errors
/// What the kernel says.
pub fn open(index: u32, protocol: Protocol, patience: Duration) -> io::Result<Socket> {
    let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
    let filter = Filter::open(protocol);
    let program = filter.program().iter().map(|it| SockFilter::new(it.code, it.yes, it.no, it.k));
    socket.attach_filter(&program.collect::<Vec<_>>())?;
    let interface = NetworkInterface {
        name: String::new(),
        description: String::new(),
        index,
        mac: None,
        ips: Vec::new(),
        flags: 0,
    };
    let config = Config {
        // The channel closes the descriptor that it is given, so it gets one of its own.
        socket_fd: Some(socket.try_clone()?.into_raw_fd()),
        channel_type: ChannelType::Layer3(protocol.ethertype()),
        promiscuous: false,
        read_buffer_size: 0,
        write_buffer_size: 0,
        ..Config::default()
    };
    // It binds the socket, and makes it non-blocking.
    drop(pnet_datalink::channel(&interface, config)?);
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(patience))?;
    Ok(socket)
}
