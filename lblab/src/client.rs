//! Somebody outside the cluster: asks by ARP past the kernel's own cache, and fetches by HTTP through it.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use lbnet::wire::Operation;
use lbnet::{ArpFrame, MacAddr, socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{Host, LabError, Nic};

/// How often and how long to ask.
#[derive(Debug, Clone, Copy)]
pub struct Asking {
    /// Questions asked.
    pub questions: u32,
    /// The pause after each, in which answers are heard.
    pub pause: Duration,
}

impl Default for Asking {
    /// Three questions, 50 ms apart: long enough for a second answer to show.
    fn default() -> Self {
        Self { questions: 3, pause: Duration::from_millis(50) }
    }
}

/// Everybody who answered, with the time the first answer took.
pub type Answers = BTreeMap<MacAddr, Duration>;

/// Asks on the interface `nic` of `host` who has `target`, and hears all answers.
///
/// # Errors
/// What the kernel says.
pub async fn who_has(host: &Host, nic: &Nic, target: Ipv4Addr, asking: Asking) -> Result<Answers, LabError> {
    let index = host.net().index(&nic.name).await?;
    let request = ArpFrame::request(nic.mac, nic.address, target);
    let doing = LabError::io(format!("asking for {target} on {}", host.name()));
    host.run(move || ask(index, request, asking)).await?.map_err(doing)
}

async fn ask(index: u32, request: ArpFrame, asking: Asking) -> io::Result<Answers> {
    let index = NonZeroU32::new(index).ok_or_else(|| io::Error::other("index 0"))?;
    let socket = socket::ArpSocket::open(index, socket::Hear::Everything).map_err(io::Error::other)?;
    let mut answers = Answers::new();
    for _ in 0..asking.questions {
        let asked = Instant::now();
        socket.send(&request.to_bytes())?;
        let hear = async {
            let mut buffer = [0; 128];
            loop {
                let Ok(frame) = ArpFrame::parse(socket.recv(&mut buffer).await?) else { continue };
                let ours = frame.operation == Operation::Reply && frame.sender_ip == request.target_ip;
                // Announcements are replies too, but nobody asked for them.
                if ours && frame.destination == request.source {
                    answers.entry(frame.sender_mac).or_insert_with(|| asked.elapsed());
                }
            }
        };
        let heard: Result<io::Result<()>, _> = timeout(asking.pause, hear).await;
        if let Ok(Err(error)) = heard {
            return Err(error);
        }
    }
    Ok(answers)
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
