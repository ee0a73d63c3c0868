//! Telling the LAN where the addresses are.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::{AT_A_TIME, Loop};
use crate::announcer::Due;
use crate::filter::Protocol;
use crate::responder::{Asker, Port};
use crate::wire::{Advertisement, ArpFrame, Operation};

/// The pause between two lots of announcements.
const BREATH: Duration = Duration::from_millis(1);

/// Neighbours that asked for an address within this time are told of a change each by itself: longer than most
/// caches keep what they do not use.
const RECENTLY: Duration = Duration::from_mins(10);

impl Loop {
    pub(super) fn announce_due(&mut self, now: Instant) {
        if self.breathing.is_some_and(|until| until > now) || !self.settings.permit.holds(now) {
            return;
        }
        let due = self.shared.announcer().due(now, AT_A_TIME);
        self.shared.set_first_words(self.shared.announcer().has_first_words());
        self.breathing = (due.len() == AT_A_TIME).then_some(now + BREATH);
        for Due { place, first } in due {
            // The process may have stood still since the one before; what is lost is made good by the next round.
            if self.settings.permit.holds(Instant::now()) {
                self.send_round(place, first, now);
            }
        }
    }

    /// Announces out of turn, because somebody else claims the address.
    pub(super) fn defend(&mut self, place: (IpAddr, u32), now: Instant) {
        if !self.settings.permit.holds(now) {
            return;
        }
        // Whoever makes thousands of addresses need a defence does not get the frames of all others for it.
        if self.shared.announcer().affords(place, now) {
            let frames = self.send_round(place, false, now);
            self.shared.announcer().spend(frames);
        }
    }

    /// Announces an address from the beginning, wherever it is answered.
    pub(super) fn announce_again(&mut self, address: IpAddr) {
        let now = Instant::now();
        let Some(held) = self.held.get(&address).filter(|held| held.is_settled()) else { return };
        for index in held.at.clone() {
            let place = (address, index);
            let asked = self.shared.responder().last_asked(address, index);
            self.shared.announcer().withdraw(place);
            self.shared.announcer().claim(place, asked, now);
        }
    }

    /// Sends one round of announcements; how many of its frames went to everybody. Those to askers are paid for here.
    pub(super) fn send_round(
        &mut self,
        (address, index): (IpAddr, u32),
        to_askers: bool,
        now: Instant,
    ) -> u32 {
        let Some(mac) = self.ports.mac(index) else { return 0 };
        let port = Port { index, mac };
        // A frame that the kernel does not take is made good by the next round.
        let broadcast = self.tell_everybody(port, address);
        let told = if to_askers { self.tell_askers(port, address, now) } else { 0 };
        self.shared.announcer().spend(told);
        self.count_announced(address, broadcast + told);
        broadcast
    }

    /// Counts frames that tell of an address.
    pub(super) fn count_announced(&mut self, address: IpAddr, frames: u32) {
        self.announced += u64::from(frames);
        if let Some(held) = self.held.get_mut(&address) {
            held.announced += u64::from(frames);
        }
    }

    pub(super) fn tell_everybody(&self, Port { index, mac }: Port, address: IpAddr) -> u32 {
        match address {
            IpAddr::V4(v4) => {
                let forms = [Operation::Request, Operation::Reply].into_iter();
                let frames = forms.map(|form| ArpFrame::gratuitous(form, mac, v4).to_bytes());
                frames.map(|frame| u32::from(self.ports.send(index, Protocol::Arp, &frame))).sum()
            }
            IpAddr::V6(v6) => {
                let frame = Advertisement::unsolicited(mac, v6).to_bytes();
                self.ports.send(index, Protocol::Ipv6, &frame).into()
            }
        }
    }

    /// Tells those who asked lately, each by itself: some routers pass over what is broadcast.
    pub(super) fn tell_askers(&self, Port { index, mac }: Port, address: IpAddr, now: Instant) -> u32 {
        let recently = |asker: &&Asker| now.saturating_duration_since(asker.at) < RECENTLY;
        // Copied, so that nobody's answer waits while frames are sent.
        let askers: Vec<Asker> =
            self.shared.responder().askers(address, index).filter(recently).copied().collect();
        let mut told = 0;
        for asker in askers {
            told += u32::from(match (address, asker.ip) {
                (IpAddr::V4(address), IpAddr::V4(ip)) => {
                    let asked = ArpFrame::request(asker.mac, ip, address);
                    self.ports.send(index, Protocol::Arp, &asked.reply_from(mac).to_bytes())
                }
                (IpAddr::V6(address), IpAddr::V6(ip)) => {
                    let told = Advertisement::unsolicited(mac, address).told_to(asker.mac, ip);
                    self.ports.send(index, Protocol::Ipv6, &told.to_bytes())
                }
                _ => false,
            });
        }
        told
    }
}
