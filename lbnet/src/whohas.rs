//! Asking the LAN who has an address, past the caches of this host: everybody who answers, not only the first.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use pnet_base::MacAddr;
use tokio::time::timeout;

use crate::Interface;
use crate::filter::{Filter, Protocol};
use crate::socket::{FrameSocket, OpenError};
use crate::wire::{ARP_FRAME_LEN, ArpFrame, LONGEST_NDP_FRAME, NdpFrame, Operation, Solicitation};

/// How often and how long to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// A station that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The interface that heard it, by name.
    pub interface: String,
    /// Its hardware address.
    pub mac: MacAddr,
    /// How long its first answer took.
    pub took: Duration,
    /// How many of the questions it answered. More than were asked, if it answered one twice.
    pub answers: u32,
}

/// Why the LAN could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// A socket could not be opened.
    #[error("{interface}: {error}")]
    Open {
        /// The interface.
        interface: String,
        /// Why.
        #[source]
        error: OpenError,
    },
    /// Sending or hearing failed.
    #[error("{interface}: {error}")]
    Io {
        /// The interface.
        interface: String,
        /// What the kernel said.
        #[source]
        error: io::Error,
    },
    /// It has no hardware address, or no index.
    #[error("{0}: not an Ethernet interface")]
    NotEthernet(String),
}

/// Asks on all of these interfaces at the same time who has `target`, and hears all answers, each station once for
/// each interface, the fastest first. Needs a tokio runtime.
///
/// The question names an address of the interface as its sender, in the subnet of `target` if it has one there;
/// without any it is a probe. This host does not hear its own questions: what it answers for itself does not show.
///
/// # Errors
/// [`AskError`] if an interface cannot be asked on.
pub async fn who_has(
    interfaces: &[Interface],
    target: IpAddr,
    asking: Asking,
) -> Result<Vec<Answer>, AskError> {
    let asked = interfaces.iter().map(|interface| ask(interface, target, asking));
    let mut answers: Vec<Answer> = try_join_all(asked).await?.into_iter().flatten().collect();
    answers.sort_by_key(|answer| (answer.took, answer.mac));
    Ok(answers)
}

async fn ask(interface: &Interface, target: IpAddr, asking: Asking) -> Result<Vec<Answer>, AskError> {
    let name = || interface.name.clone();
    let (Some(mac), Some(index)) = (interface.mac, NonZeroU32::new(interface.index)) else {
        return Err(AskError::NotEthernet(name()));
    };
    let question = Question::new(interface, mac, target);
    let protocol = if target.is_ipv4() { Protocol::Arp } else { Protocol::Ipv6 };
    let socket = FrameSocket::open(index, protocol, &Filter::open(protocol))
        .map_err(|error| AskError::Open { interface: name(), error })?;
    let io = |error| AskError::Io { interface: name(), error };
    let mut heard: BTreeMap<MacAddr, (Duration, u32)> = BTreeMap::new();
    for _ in 0..asking.questions {
        let asked = Instant::now();
        socket.send(&question.frame).map_err(io)?;
        let hear = async {
            let mut buffer = [0; LONGEST_NDP_FRAME];
            loop {
                if let Some(mac) = question.answered_by(socket.recv(&mut buffer).await?) {
                    heard.entry(mac).or_insert_with(|| (asked.elapsed(), 0)).1 += 1;
                }
            }
        };
        let heard: Result<io::Result<()>, _> = timeout(asking.pause, hear).await;
        if let Ok(Err(error)) = heard {
            return Err(io(error));
        }
    }
    let answer = |(mac, (took, answers))| Answer { interface: name(), mac, took, answers };
    Ok(heard.into_iter().map(answer).collect())
}

/// A question, and what answers it.
struct Question {
    frame: Vec<u8>,
    mac: MacAddr,
    target: IpAddr,
    /// It comes from an address, so that its answers come to us alone.
    has_sender: bool,
}

impl Question {
    fn new(interface: &Interface, mac: MacAddr, target: IpAddr) -> Self {
        let sender = sender(interface, target);
        let frame = match target {
            IpAddr::V4(target) => {
                let sender = sender.and_then(as_v4).unwrap_or(Ipv4Addr::UNSPECIFIED);
                let frame: [u8; ARP_FRAME_LEN] = ArpFrame::request(mac, sender, target).to_bytes();
                frame.to_vec()
            }
            IpAddr::V6(target) => {
                let sender = sender.and_then(as_v6).unwrap_or(Ipv6Addr::UNSPECIFIED);
                Solicitation::multicast(mac, sender, target).to_bytes()
            }
        };
        Self { frame, mac, target, has_sender: sender.is_some() }
    }

    /// Who answers the question by this frame, if it is an answer to it. Announcements are none: nobody asked for
    /// them.
    fn answered_by(&self, frame: &[u8]) -> Option<MacAddr> {
        match self.target {
            IpAddr::V4(target) => {
                let answer = ArpFrame::parse(frame).ok()?;
                let ours = answer.operation == Operation::Reply && answer.sender_ip == target;
                // RFC 3927 section 2.5 has replies about link-local addresses broadcast.
                let to_us = answer.destination == self.mac
                    || answer.destination.is_broadcast() && answer.target_mac == self.mac;
                (ours && to_us).then_some(answer.sender_mac)
            }
            IpAddr::V6(target) => {
                let NdpFrame::Advertisement(answer) = NdpFrame::parse(frame).ok()? else { return None };
                let ours = answer.target == target && answer.solicited == self.has_sender;
                ours.then(|| answer.target_mac.unwrap_or(answer.source))
            }
        }
    }
}

/// The address that questions for `target` come from: in its subnet if there is one, else any of its family.
fn sender(interface: &Interface, target: IpAddr) -> Option<IpAddr> {
    // The interface's own address is never asked for: whoever answers would be told that it is ours.
    let of_family = interface.addresses.iter().filter(|net| net.addr().is_ipv4() == target.is_ipv4());
    let mut candidates: Vec<_> = of_family.filter(|net| net.addr() != target).collect();
    candidates.sort_by_key(|net| !net.contains(&target));
    candidates.first().map(|net| net.addr())
}

fn as_v4(address: IpAddr) -> Option<Ipv4Addr> {
    if let IpAddr::V4(v4) = address { Some(v4) } else { None }
}

fn as_v6(address: IpAddr) -> Option<Ipv6Addr> {
    if let IpAddr::V6(v6) = address { Some(v6) } else { None }
}
