//! Asking without end who has an address: who answered, and for how long nobody did.

use std::io;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lbnet::filter::{Filter, Protocol};
use lbnet::socket::FrameSocket;
use lbnet::wire::Operation;
use lbnet::{ArpFrame, MacAddr};
use tokio::sync::oneshot;

use crate::{Host, LabError, Nic};

/// A question every millisecond, at most for this long.
const LONGEST: Duration = Duration::from_mins(2);

/// What was heard so far.
#[derive(Debug, Default)]
struct Heard {
    asked: u64,
    answers: Vec<(Instant, MacAddr)>,
}

/// Somebody who asks until it is dropped.
#[derive(Debug)]
pub struct Watch {
    heard: Arc<Mutex<Heard>>,
    _stop: oneshot::Sender<()>,
}

/// What a watch came to.
#[derive(Debug, Clone)]
pub struct Story {
    /// Questions asked.
    pub asked: u64,
    /// Every answer: when, and by whom.
    pub answers: Vec<(Instant, MacAddr)>,
}

impl Story {
    /// The longest time without an answer, and who answered after it.
    #[must_use]
    pub fn longest_gap(&self) -> Option<(Duration, MacAddr)> {
        let gaps = self.answers.windows(2).map(|pair| (pair[1].0 - pair[0].0, pair[1].1));
        gaps.max_by_key(|(gap, _)| *gap)
    }

    /// How long more than one station answered: from the first answer of the last one to come to the last answer of any
    /// other.
    #[must_use]
    pub fn doubly_answered(&self) -> Duration {
        let Some((_, last)) = self.answers.last() else { return Duration::ZERO };
        let first = self.answers.iter().find(|(_, mac)| mac == last).map(|(at, _)| *at);
        let others = self.answers.iter().rfind(|(_, mac)| mac != last).map(|(at, _)| *at);
        first.zip(others).map(|(first, other)| other.saturating_duration_since(first)).unwrap_or_default()
    }

    /// Who answered, in the order of their first answers.
    #[must_use]
    pub fn answerers(&self) -> Vec<MacAddr> {
        let mut seen: Vec<MacAddr> = Vec::new();
        for (_, mac) in &self.answers {
            if !seen.contains(mac) {
                seen.push(*mac);
            }
        }
        seen
    }
}

impl Watch {
    /// Asks from the interface `nic` of `host` who has `target`, every millisecond.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn start(host: &Host, nic: &Nic, target: Ipv4Addr) -> Result<Self, LabError> {
        let index = host.net().index(&nic.name).await?;
        let doing = LabError::io(format!("asking for {target} on {}", host.name()));
        let heard = Arc::<Mutex<Heard>>::default();
        let (stop, mut stopped) = oneshot::channel::<()>();
        let question = ArpFrame::request(nic.mac, nic.address, target).to_bytes();
        let (noting, own) = (Arc::clone(&heard), nic.mac);
        let begin = move || async move {
            let index =
                NonZeroU32::new(index).ok_or_else(|| io::Error::other("an interface has no index"))?;
            let socket = FrameSocket::open(index, Protocol::Arp, &Filter::open(Protocol::Arp))
                .map_err(io::Error::other)?;
            tokio::task::spawn_local(async move {
                let note =
                    |of: &dyn Fn(&mut Heard)| of(&mut noting.lock().unwrap_or_else(PoisonError::into_inner));
                let mut tick = tokio::time::interval(Duration::from_millis(1));
                tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
                let end = tokio::time::sleep(LONGEST);
                tokio::pin!(end);
                let mut buffer = [0; 128];
                loop {
                    tokio::select! {
                        _ = &mut stopped => return,
                        () = &mut end => return,
                        _ = tick.tick() => {
                            if socket.send(&question).is_ok() {
                                note(&|heard| heard.asked += 1);
                            }
                        }
                        frame = socket.recv(&mut buffer) => {
                            let Some(frame) = frame.ok().and_then(|bytes| ArpFrame::parse(bytes).ok()) else { continue };
                            let is_answer = frame.operation == Operation::Reply
                                && frame.sender_ip == target
                                && frame.destination == own;
                            if is_answer {
                                note(&|heard| heard.answers.push((Instant::now(), frame.sender_mac)));
                            }
                        }
                    }
                }
            });
            Ok::<_, io::Error>(())
        };
        host.run(begin).await?.map_err(doing)?;
        Ok(Self { heard, _stop: stop })
    }

    /// What was heard until now.
    #[must_use]
    pub fn story(&self) -> Story {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        Story { asked: heard.asked, answers: heard.answers.clone() }
    }
}
