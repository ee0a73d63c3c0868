//! Somebody who asks: the same for everybody who answers.

use std::io::{self, ErrorKind, Read};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use lblab::Nic;
use lbnet::filter::Protocol;
use lbnet::wire::Operation;
use lbnet::{ArpFrame, NdpFrame, Solicitation};
use socket2::Socket;

use crate::packet;

/// How long an answer is waited for.
pub const PATIENCE: Duration = Duration::from_millis(500);

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
