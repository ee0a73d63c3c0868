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
        self.shared.responder().set_probed(address, true);
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
            self.announced += u64::from(sent);
            self.shared.announcer().spend(1);
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
        let own = self.monitor.table().interfaces().values().find(|it| it.mac == Some(mac));
        if let Some(own) = own.map(|own| own.index) {
            if self.ports.is_open(own) && self.segments.heard_each_other(own, interface) {
                self.place_all();
            }
            return;
        }
        let now = Instant::now();
        // Of two that ask at the same moment whether an address is free, the lower hardware address goes on. If both
        // gave it up, as RFC 5227 section 2.1.1 has it, it would be nobody's.
        let own = self.ports.mac(interface);
        if is_probe && (!self.probes.is_asking(address) || own.is_some_and(|own| own < mac)) {
            return;
        }
        if !held.is_answering() {
            if let Mode::Probing(_) = held.mode {
                held.tell(Probed::Taken(mac));
                self.withdraw(address);
            } else {
                self.shared.responder().set_probed(address, false);
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
