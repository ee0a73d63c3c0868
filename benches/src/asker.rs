//! Somebody who asks: the same for everybody who answers.

use std::io::{self, ErrorKind, Read};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use lblab::Nic;
use lbnet::filter::Protocol;
use lbnet::wire::Operation;
use lbnet::{ArpFrame, MacAddr, NdpFrame, Solicitation};
use socket2::Socket;

use crate::packet;

/// How long an answer is waited for.
pub const PATIENCE: Duration = Duration::from_millis(500);
/// How often [`Asker::first_answer`] asks.
const EVERY: Duration = Duration::from_millis(1);
/// Nobody answers who has not done so within this time.
const SILENCE: Duration = Duration::from_millis(20);

/// Asks by a socket that blocks: waiting for an answer costs no more than the kernel takes to wake a thread.
#[derive(Debug)]
pub struct Asker {
    socket: Socket,
    nic: Nic,
}

/// What an asker hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// An answer to a question of its own, for this address.
    Answer(IpAddr),
    /// An announcement of this address.
    Announcement(IpAddr),
    /// Anything else.
    Other,
}

impl Asker {
    /// An asker on an interface of this host that has an IPv4 address.
    ///
    /// # Errors
    /// There is no such interface, or what the kernel says.
    pub fn on_interface(name: &str) -> io::Result<Self> {
        let all = pnet_datalink::interfaces();
        let missing = |what: &str| io::Error::new(ErrorKind::NotFound, format!("{name}: {what}"));
        let found =
            all.iter().find(|it| it.name == name).ok_or_else(|| missing("there is no such interface"))?;
        let own = found.ips.iter().find_map(|it| match it.ip() {
            IpAddr::V4(own) => Some(own),
            IpAddr::V6(_) => None,
        });
        let own = own.ok_or_else(|| missing("it has no IPv4 address"))?;
        let mac = found.mac.ok_or_else(|| missing("it has no hardware address"))?;
        let nic = Nic { mac: MacAddr::from(mac.octets()), ..Nic::new(name, own) };
        Self::open(nic, found.index, Protocol::Arp)
    }

    /// An asker on the interface `nic` of the calling thread's namespace, which has this index.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open(nic: Nic, index: u32, protocol: Protocol) -> io::Result<Self> {
        Ok(Self { socket: packet::open(index, protocol, PATIENCE)?, nic })
    }

    /// The question who has `target`.
    #[must_use]
    pub fn question(&self, target: IpAddr) -> Vec<u8> {
        match target {
            IpAddr::V4(target) => {
                ArpFrame::request(self.nic.mac, self.nic.address, target).to_bytes().to_vec()
            }
            IpAddr::V6(target) => {
                let address = self.nic.address6.expect("the client is dual-stack");
                Solicitation::multicast(self.nic.mac, address, target).to_bytes()
            }
        }
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.socket.send(frame).map(drop)
    }

    /// The next frame; nothing if there is none for [`PATIENCE`].
    ///
    /// # Errors
    /// What the kernel says.
    pub fn hear(&self) -> io::Result<Option<Heard>> {
        let mut buffer = [0; 128];
        match (&self.socket).read(&mut buffer) {
            Ok(length) => Ok(Some(self.understand(&buffer[..length]))),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn understand(&self, frame: &[u8]) -> Heard {
        if let Ok(arp) = ArpFrame::parse(frame) {
            return match arp.operation {
                _ if arp.sender_ip == arp.target_ip => Heard::Announcement(arp.sender_ip.into()),
                Operation::Reply if arp.destination == self.nic.mac => Heard::Answer(arp.sender_ip.into()),
                _ => Heard::Other,
            };
        }
        match NdpFrame::parse(frame) {
            Ok(NdpFrame::Advertisement(told)) if !told.solicited => Heard::Announcement(told.target.into()),
            Ok(NdpFrame::Advertisement(told)) if told.destination == self.nic.mac => {
                Heard::Answer(told.target.into())
            }
            _ => Heard::Other,
        }
    }

    /// Asks for `target` every millisecond until somebody answers; the moment of the answer.
    ///
    /// # Errors
    /// Nobody answers within `patience`, or what the kernel says.
    pub fn first_answer(&self, target: IpAddr, patience: Duration) -> io::Result<Instant> {
        let question = self.question(target);
        let begun = Instant::now();
        while begun.elapsed() < patience {
            self.send(&question)?;
            if let Some(answered) = self.answered(target, EVERY)? {
                return Ok(answered);
            }
        }
        Err(io::Error::new(ErrorKind::TimedOut, format!("nobody answers for {target}")))
    }

    /// Waits until nobody answers for `target` any more.
    ///
    /// # Errors
    /// Somebody still does so after `patience`, or what the kernel says.
    pub fn last_answer(&self, target: IpAddr, patience: Duration) -> io::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < patience {
            self.send(&self.question(target))?;
            if self.answered(target, SILENCE)?.is_none() {
                return Ok(());
            }
        }
        Err(io::Error::new(ErrorKind::TimedOut, format!("somebody still answers for {target}")))
    }

    /// The moment of the next answer for `target`, if there is one within `time`.
    fn answered(&self, target: IpAddr, time: Duration) -> io::Result<Option<Instant>> {
        let begun = Instant::now();
        self.socket.set_read_timeout(Some(time))?;
        let mut answered = None;
        while answered.is_none() && begun.elapsed() < time {
            match self.hear()? {
                Some(Heard::Answer(address)) if address == target => answered = Some(Instant::now()),
                Some(_) => {}
                None => break,
            }
        }
        self.socket.set_read_timeout(Some(PATIENCE))?;
        Ok(answered)
    }

    /// Asks for `target` and waits for the answer; how long that took, or nothing if none came. Announcements that
    /// come in meanwhile are told.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn round_trip(
        &self,
        target: IpAddr,
        mut announced: impl FnMut(IpAddr),
    ) -> io::Result<Option<Duration>> {
        let question = self.question(target);
        let asked = Instant::now();
        self.send(&question)?;
        while asked.elapsed() < PATIENCE {
            match self.hear()? {
                Some(Heard::Answer(address)) if address == target => return Ok(Some(asked.elapsed())),
                Some(Heard::Announcement(address)) => announced(address),
                Some(_) => {}
                None => break,
            }
        }
        Ok(None)
    }
}
