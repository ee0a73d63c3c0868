//! Other stations with an address of ours: probes before the first use, and claims after that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use pnet_base::MacAddr;

use super::Loop;
use crate::filter::Protocol;
use crate::layer2::held::Mode;
use crate::layer2::{Event, Probed};
use crate::responder::Claim;
use crate::wire::{ArpFrame, Solicitation};

impl Loop {
    pub(super) fn start_probe(&mut self, address: IpAddr) {
        let nowhere = self.held.get(&address).is_none_or(|held| held.at.is_empty());
        if nowhere {
            // Nobody can be asked, and nobody could be answered.
            return self.is_free(address);
        }
        self.probes.start(address, Instant::now());
    }

    pub(super) fn ask(&mut self, address: IpAddr) {
        let Some(held) = self.held.get(&address) else { return };
        self.shared.responder().set_probed(address, !held.is_answered());
        let mut is_asked = false;
        for index in held.at.clone() {
            let Some(mac) = self.ports.mac(index) else { continue };
            let sent = match address {
                IpAddr::V4(v4) => {
                    let frame = ArpFrame::request(mac, Ipv4Addr::UNSPECIFIED, v4);
                    self.ports.send(index, Protocol::Arp, &frame.to_bytes())
                }
                IpAddr::V6(v6) => {
                    let frame = Solicitation::multicast(mac, Ipv6Addr::UNSPECIFIED, v6);
                    self.ports.send(index, Protocol::Ipv6, &frame.to_bytes())
                }
            };
            is_asked |= sent;
            self.announced += u64::from(sent);
            self.shared.announcer().spend(1);
        }
        if !is_asked {
            self.not_asked(address);
        }
    }

    /// No interface took the question: nothing is known of the address.
    fn not_asked(&mut self, address: IpAddr) {
        match self.held.get_mut(&address) {
            Some(held) if matches!(held.mode, Mode::Probing(_)) => {
                held.tell(Probed::NotAsked);
                self.withdraw(address);
            }
            _ => self.probes.postpone(address, Instant::now()),
        }
    }

    pub(super) fn is_free(&mut self, address: IpAddr) {
        let Some(held) = self.held.get_mut(&address) else { return };
        if let Mode::Probing(_) = held.mode {
            let probed = if held.at.is_empty() { Probed::NotAsked } else { Probed::Free };
            held.tell(probed);
            self.withdraw(address);
        } else {
            self.answer(address);
        }
    }

    pub(super) fn on_claim(&mut self, claim: Claim) {
        let Claim { address, mac, interface, is_probe } = claim;
        // It may have been heard before the link went down, and say nothing about what it is plugged into now.
        if !self.ports.is_open(interface) {
            return;
        }
        let Some(held) = self.held.get_mut(&address) else { return };
        // A frame of ours that came back by another interface: both are in one segment.
        let own = self.monitor.table().interfaces().values().filter(|it| it.mac == Some(mac));
        let own: Vec<u32> = own.map(|own| own.index).collect();
        if !own.is_empty() {
            // A bond has the hardware address of one of its parts, and a VLAN that of its interface: which of them
            // spoke is the one that answers for the address.
            let spoke = own.iter().find(|own| self.ports.is_open(**own) && held.at.contains(*own));
            if spoke.is_some_and(|spoke| self.segments.heard_each_other(*spoke, interface)) {
                self.place_all();
            }
            return;
        }
        if self.conflicts.is_member(mac) {
            return;
        }
        let now = Instant::now();
        // Of two that ask at the same moment whether an address is free, the lower hardware address goes on. If both
        // gave it up, as RFC 5227 section 2.1.1 has it, it would be nobody's.
        let own = self.ports.mac(interface);
        let lost = !held.is_answered() && self.probes.is_asking(address) && own.is_none_or(|own| own > mac);
        if is_probe && !lost {
            return;
        }
        if !held.is_settled() {
            if let Mode::Probing(_) = held.mode {
                held.tell(Probed::Taken(mac));
                self.withdraw(address);
            } else {
                self.shared.responder().set_probed(address, false);
                self.conflicts.heard_again(claim, now);
                if held.is_answered() {
                    held.mode = Mode::Waiting;
                    self.place(address);
                }
                if self.probes.heard(address, mac, now) {
                    let interface = self.name(interface);
                    self.tell(Event::Taken { address, mac, interface });
                }
            }
            return;
        }
        let reaction = self.conflicts.heard(claim, now);
        if reaction.report {
            let (interface, policy) = (self.name(interface), self.settings.conflicts);
            self.tell(Event::Conflict { address, mac, interface, policy });
        }
        if reaction.defend {
            self.defend((address, interface), now);
        }
        if reaction.give_way {
            self.give_way(address, mac, now);
        }
    }

    /// Answers no more for an address until nobody else has it.
    pub(super) fn give_way(&mut self, address: IpAddr, to: MacAddr, now: Instant) {
        if let Some(held) = self.held.get_mut(&address) {
            held.mode = Mode::Waiting;
            held.told = None;
            self.probes.taken(address, to, now);
            self.place(address);
        }
    }
}
