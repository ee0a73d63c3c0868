//! The stand-in for kube-proxy: takes connections to a virtual address on a node and passes them to pods.
//!
//! The address is put on `lo`, so that the node takes packets for it. The kernel must not answer ARP for it
//! all the same: that is the speaker's decision, on one node only.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::AbortHandle;

use crate::{Host, LabError};

/// The stand-in on one node.
#[derive(Debug, Default)]
pub struct Proxy {
    listeners: BTreeMap<SocketAddr, AbortHandle>,
}

/// Makes the kernel of a node silent about addresses on `lo`.
///
/// # Errors
/// The settings cannot be written.
pub async fn silence_kernel(host: &Host) -> Result<(), LabError> {
    // Answer only for addresses of the interface on which the question came in.
    host.sysctl("ipv4/conf/all/arp_ignore", "1").await?;
    // Never ask with such an address as the sender: that would teach it to neighbours.
    host.sysctl("ipv4/conf/all/arp_announce", "2").await
}

impl Proxy {
    /// Takes connections to `address` on `host` and passes each to the next of `backends`.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn serve(
        &mut self,
        host: &Host,
        address: impl Into<SocketAddr>,
        backends: Vec<SocketAddr>,
    ) -> Result<(), LabError> {
        let at = address.into();
        self.stop(at);
        own(host, at.ip()).await?;
        let doing = LabError::io(format!("listening on {at} of {}", host.name()));
        let handle = host.run(move || async move {
            let listener = TcpListener::bind(at).await?;
            let accept = async move {
                let mut turn = backends.into_iter().cycle();
                while let (Ok((client, _)), Some(backend)) = (listener.accept().await, turn.next()) {
                    tokio::task::spawn_local(pass(client, backend));
                }
            };
            Ok(tokio::task::spawn_local(accept).abort_handle())
        });
        self.listeners.insert(at, handle.await?.map_err(doing)?);
        Ok(())
    }

    /// Takes no more connections to `address`, on any port, and removes it from the node.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn forget(&mut self, host: &Host, address: impl Into<IpAddr>) -> Result<(), LabError> {
        let address = address.into();
        let ours = self.listeners.keys().copied().filter(|at| at.ip() == address);
        for at in ours.collect::<Vec<_>>() {
            self.stop(at);
        }
        host.net().delete_address(host.net().index("lo").await?, address).await
    }

    /// Takes no more connections to one port of an address; the address stays on the node.
    pub fn refuse(&mut self, at: impl Into<SocketAddr>) {
        self.stop(at.into());
    }

    fn stop(&mut self, at: SocketAddr) {
        if let Some(listener) = self.listeners.remove(&at) {
            listener.abort();
        }
    }
}

async fn pass(mut client: TcpStream, backend: SocketAddr) {
    if let Ok(mut backend) = TcpStream::connect(backend).await {
        // Either side may hang up when it likes.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut backend).await;
    }
}

/// Puts an address on `lo`, so that the host takes packets for it.
async fn own(host: &Host, address: IpAddr) -> Result<(), LabError> {
    let prefix = if address.is_ipv4() { 32 } else { 128 };
    host.net().add_address(host.net().index("lo").await?, address, prefix).await
}

/// Runs a pod on `host`: a web server at `address` that answers every request with `page`. It runs until the host
/// ends or it is aborted.
///
/// # Errors
/// What the kernel says.
pub async fn run_pod(
    host: &Host,
    address: impl Into<SocketAddr>,
    page: String,
) -> Result<AbortHandle, LabError> {
    let at = address.into();
    own(host, at.ip()).await?;
    let doing = LabError::io(format!("running a pod at {at} on {}", host.name()));
    let started = host.run(move || async move {
        let listener = TcpListener::bind(at).await?;
        let accept = async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::task::spawn_local(answer(client, page.clone()));
            }
        };
        Ok(tokio::task::spawn_local(accept).abort_handle())
    });
    started.await?.map_err(doing)
}

async fn answer(mut client: TcpStream, page: String) {
    let mut request = [0; 1024];
    let length = page.len();
    let head = format!("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n");
    // The client may hang up when it likes.
    if client.read(&mut request).await.is_ok() {
        let _ = client.write_all(format!("{head}{page}").as_bytes()).await;
    }
}

/// Runs a pod on `host` that answers every datagram to `address` with `page`. It runs until the host ends or it is
/// aborted.
///
/// # Errors
/// What the kernel says.
pub async fn run_datagram_pod(
    host: &Host,
    address: impl Into<SocketAddr>,
    page: String,
) -> Result<AbortHandle, LabError> {
    let at = address.into();
    own(host, at.ip()).await?;
    let doing = LabError::io(format!("running a pod at {at} on {}", host.name()));
    let started = host.run(move || async move {
        let socket = UdpSocket::bind(at).await?;
        let answer = async move {
            let mut question = [0; 1024];
            while let Ok((_, client)) = socket.recv_from(&mut question).await {
                // Who asks may have gone.
                let _ = socket.send_to(page.as_bytes(), client).await;
            }
        };
        Ok(tokio::task::spawn_local(answer).abort_handle())
    });
    started.await?.map_err(doing)
}

/// Runs a pod on `host` that says back whatever it is told, on each connection for as long as that lasts. It runs until
/// the host ends or it is aborted.
///
/// # Errors
/// What the kernel says.
pub async fn run_echo_pod(host: &Host, address: impl Into<SocketAddr>) -> Result<AbortHandle, LabError> {
    let at = address.into();
    own(host, at.ip()).await?;
    let doing = LabError::io(format!("running a pod at {at} on {}", host.name()));
    let started = host.run(move || async move {
        let listener = TcpListener::bind(at).await?;
        let accept = async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::task::spawn_local(echo(client));
            }
        };
        Ok(tokio::task::spawn_local(accept).abort_handle())
    });
    started.await?.map_err(doing)
}

async fn echo(mut client: TcpStream) {
    let (mut from, mut to) = client.split();
    // The client may hang up when it likes.
    let _ = tokio::io::copy(&mut from, &mut to).await;
}
