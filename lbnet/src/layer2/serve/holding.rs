//! What is held: addresses that come, go, and are answered in one place or another.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use super::Loop;
use crate::host::kernel_answers;
use crate::interface::Unusable;
use crate::layer2::held::{Held, Mode};
use crate::layer2::{Event, Probed};
use crate::{Interface, Rule};

/// New addresses that are probed at a time; more are announced at once, so that a rush of them takes none of the
/// frames that announcements need.
const MOST_PROBED: usize = 50;

impl Loop {
    /// The address is ours from now on, or is ours by another rule.
    pub(super) fn take(&mut self, address: IpAddr, rule: Rule, is_new: bool) {
        let probes = is_new && self.probes.asking() < MOST_PROBED;
        match self.held.get_mut(&address) {
            None => {
                let mode = if probes { Mode::Waiting } else { Mode::Answering };
                self.held.insert(address, Held::new(rule, mode));
                self.place(address);
                if probes {
                    self.start_probe(address);
                }
            }
            Some(held) if held.is_settled() && held.rule == rule => {}
            // One that is being probed, or was found taken, stays so by its new rule too.
            Some(held) if !held.is_settled() && (is_new || !matches!(held.mode, Mode::Probing(_))) => {
                if matches!(held.mode, Mode::Probing(_)) {
                    held.tell(Probed::NotAsked);
                    held.mode = Mode::Waiting;
                }
                if held.rule != rule {
                    held.rule = rule;
                    self.place(address);
                }
            }
            Some(held) => {
                held.tell(Probed::NotAsked);
                held.rule = rule;
                self.answer(address);
            }
        }
    }

    /// Answers for an address that waits for the end of its probe, but does not announce it.
    pub(super) fn answer_quietly(&mut self, address: IpAddr) {
        let Some(held) = self.held.get_mut(&address).filter(|held| matches!(held.mode, Mode::Waiting)) else {
            return;
        };
        held.mode = Mode::Tentative;
        // Whoever asks the same from now on is answered, and has no claim.
        self.shared.responder().set_probed(address, false);
        self.shared.responder().set_tentative(address, true);
        self.place(address);
    }

    /// Answers from now on for an address that may have waited for that.
    pub(super) fn answer(&mut self, address: IpAddr) {
        self.probes.stop(address);
        self.shared.responder().set_probed(address, false);
        self.shared.responder().set_tentative(address, false);
        if let Some(held) = self.held.get_mut(&address) {
            if !held.is_settled() {
                held.mode = Mode::Answering;
                // It was heard of at these places, but not announced.
                held.at.clear();
            }
            self.place(address);
        }
    }

    pub(super) fn withdraw(&mut self, address: IpAddr) {
        let Some(mut held) = self.held.remove(&address) else { return };
        held.tell(Probed::NotAsked);
        self.probes.stop(address);
        self.conflicts.forget(address);
        self.shared.responder().remove(address);
        let now = Instant::now();
        for index in held.at {
            self.shared.announcer().withdraw((address, index));
            self.ports.ignore(index, address, now);
        }
        if let IpAddr::V6(address) = address {
            self.groups.ignore(address);
        }
    }

    pub(super) fn place_all(&mut self) {
        let addresses: Vec<IpAddr> = self.held.keys().copied().collect();
        for address in addresses {
            self.place(address);
        }
    }

    /// Answers for an address where its rule says, and announces it where that is new. One that is probed is only
    /// heard of there, or not announced.
    pub(super) fn place(&mut self, address: IpAddr) {
        let now = Instant::now();
        let Some(held) = self.held.get_mut(&address) else { return };
        let chosen = held.rule.choose(address, self.answering.iter(), self.down.iter(), &self.segments);
        let (is_answered, is_settled) = (held.is_answered(), held.is_settled());
        let before = std::mem::replace(&mut held.at, chosen.clone());
        let answered = if is_answered { chosen.clone() } else { BTreeSet::new() };
        self.shared.responder().set(address, answered);
        for index in before.difference(&chosen) {
            self.shared.announcer().withdraw((address, *index));
            self.ports.ignore(*index, address, now);
            // A link that is only down keeps its groups for when it is back.
            if let IpAddr::V6(address) = address
                && self.ports.is_open(*index)
            {
                self.groups.ignore_at(*index, address);
            }
        }
        for index in chosen.difference(&before) {
            // Questions come in before anybody is told to ask here.
            self.ports.hear(*index, address, now);
            if let IpAddr::V6(address) = address {
                self.groups.listen(*index, address);
            }
            if is_settled {
                let place = (address, *index);
                let asked = self.shared.responder().last_asked(address, *index);
                self.shared.announcer().claim(place, asked, now);
            }
        }
        if !is_settled {
            for index in &chosen {
                self.shared.announcer().withdraw((address, *index));
            }
        }
        self.ask_kernel(address);
        if is_settled && self.is_news(address, &chosen) {
            let interfaces = self.names(&chosen);
            let passed_over = if interfaces.is_empty() { self.passed_over() } else { Vec::new() };
            self.tell(Event::Placed { address, interfaces, passed_over });
        }
    }

    /// Whether it is not known yet that the address is answered at these places.
    pub(super) fn is_news(&mut self, address: IpAddr, chosen: &BTreeSet<u32>) -> bool {
        let told = self.held.get_mut(&address).map(|held| held.told.replace(chosen.clone()));
        told.is_some_and(|told| told.as_ref() != Some(chosen))
    }

    /// Finds out whether the kernel of this host answers for an address of ours too.
    pub(super) fn ask_kernel(&mut self, address: IpAddr) {
        let Some(held) = self.held.get_mut(&address) else { return };
        let table = self.monitor.table();
        let is_here = table.holders(address).next().is_some();
        let on = held.at.iter().filter_map(|index| table.interfaces().get(index));
        let kernel = kernel_answers(address, table, on, |name| self.arp_ignore.of(name));
        // Where the kernel has the address it answers ping, whether it answers ARP or not.
        self.shared.responder().set_echo(address, self.settings.echo && !is_here);
        let is_news = kernel.is_some() && kernel != held.kernel;
        held.kernel.clone_from(&kernel);
        if let Some(answer) = kernel.filter(|_| is_news) {
            self.tell(Event::KernelAnswers(answer));
        }
    }

    pub(super) fn passed_over(&self) -> Vec<(String, Unusable)> {
        let why =
            |it: &Interface| self.settings.interfaces.usable(it).err().map(|why| (it.name.clone(), why));
        self.monitor.table().interfaces().values().filter_map(why).collect()
    }
}
