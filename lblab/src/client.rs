//! Somebody outside the cluster: asks by ARP past the kernel's own cache, and fetches by HTTP through it.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lbnet::MacAddr;
use lbnet::whohas;
pub use lbnet::whohas::Asking;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::{Host, LabError, Nic};

/// Everybody who answered, with the time the first answer took.
pub type Answers = BTreeMap<MacAddr, Duration>;

/// Asks on the interface `nic` of `host` who has `target`, and hears all answers.
///
/// # Errors
/// What the kernel says.
pub async fn who_has(
    host: &Host,
    nic: &Nic,
    target: impl Into<IpAddr>,
    asking: Asking,
) -> Result<Answers, LabError> {
    let (target, name) = (target.into(), nic.name.clone());
    let doing = LabError::io(format!("asking for {target} on {}", host.name()));
    let asked = host.run(move || async move {
        let table = lbnet::host::interfaces().await?;
        let interface = table.interfaces().values().find(|it| it.name == name).cloned();
        let interface = interface.ok_or_else(|| io::Error::other(format!("there is no {name}")))?;
        whohas::who_has(&[interface], target, asking).await.map_err(io::Error::other)
    });
    let answers = asked.await?.map_err(doing)?;
    Ok(answers.into_iter().map(|answer| (answer.mac, answer.took)).collect())
}

/// Fetches `/` from `server` by HTTP; the body of the answer.
///
/// # Errors
/// What the kernel says, or that it took longer than `patience`.
pub async fn fetch(host: &Host, server: SocketAddr, patience: Duration) -> Result<String, LabError> {
    let doing = LabError::io(format!("fetching http://{server} on {}", host.name()));
    let exchange = move || async move {
        let exchange = async {
            let mut stream = TcpStream::connect(server).await?;
            stream.write_all(b"GET / HTTP/1.0\r\nConnection: close\r\n\r\n").await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok(answer)
        };
        timeout(patience, exchange).await.unwrap_or_else(|late| Err(io::Error::other(late)))
    };
    let answer: io::Result<String> = host.run(exchange).await?;
    let answer = answer.map_err(doing)?;
    Ok(answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.trim().to_owned()))
}

/// Sends one datagram to `server`; the answer.
///
/// # Errors
/// What the kernel says, or that no answer came within `patience`.
pub async fn ask_by_datagram(
    host: &Host,
    server: SocketAddr,
    patience: Duration,
) -> Result<String, LabError> {
    let doing = LabError::io(format!("asking {server} by UDP on {}", host.name()));
    let any: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
    let exchange = move || async move {
        let exchange = async {
            let socket = UdpSocket::bind(any).await?;
            socket.connect(server).await?;
            socket.send(b"who?").await?;
            let mut answer = [0; 1024];
            let length = socket.recv(&mut answer).await?;
            Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
        };
        timeout(patience, exchange).await.unwrap_or_else(|late| Err(io::Error::other(late)))
    };
    let answer: io::Result<String> = host.run(exchange).await?;
    answer.map_err(doing)
}
