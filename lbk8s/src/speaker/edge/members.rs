//! The other speakers: what they tell, what they are told, and how this one takes its leave.

use std::collections::BTreeSet;
use std::net::IpAddr;

use lbnet::MacAddr;
use lbnet::membership::Event;
use lbnet::membership::carrier::News;
use tokio::time::Instant;

use super::{HANDING_OVER, Running};
use crate::speaker::Change;
use crate::speaker::team::{self, Told};

impl Running {
    pub(super) fn take_note_of_time(&mut self) {
        // Of one that stood still only the time has passed, and not what others did in it.
        if self.together.is_there() && (!self.begun || self.together.may_answer()) {
            self.apply(Change::Time(self.start.elapsed()));
        }
    }

    pub(super) fn on_node(&mut self, name: &str, addresses: Option<&BTreeSet<IpAddr>>) {
        let before = match addresses {
            Some(addresses) => self.places.insert(name.to_owned(), addresses.clone()),
            None => self.places.remove(name),
        };
        if before.as_ref() != addresses {
            let others = self.places.iter().filter(|(name, _)| **name != self.settings.node);
            self.facts.set_nodes(others.flat_map(|(_, addresses)| addresses.iter().copied()).collect());
            if self.is_known() {
                self.together.set_peers(&self.places);
            }
        }
    }

    /// What other speakers tell, and what is known of them.
    pub(super) fn on_news(&mut self, news: News) {
        match news {
            News::Happened(Event::Up { name, restarted }) => {
                tracing::info!(member = name, restarted, "a speaker is heard");
                self.apply(Change::MemberUp(name));
            }
            News::Happened(Event::Down { name, why, silent }) => {
                tracing::warn!(member = name, ?why, ?silent, "a speaker is not heard any more");
                self.failovers.died(&name, silent);
                self.apply(Change::MemberDown(name));
            }
            News::Happened(Event::StoodStill(time)) => {
                tracing::warn!(
                    ?time,
                    "this process stood still: it answers nothing until it has heard the others"
                );
                self.together.wait_for_all();
                self.apply(Change::StoodStill);
            }
            News::Happened(Event::TakenForDead { by }) => {
                tracing::warn!(
                    by,
                    "others took this node for dead: it answers nothing until it has heard them"
                );
                self.together.wait_for_all();
                self.apply(Change::TakenForDead);
            }
            News::Happened(Event::Ready { missing }) => {
                tracing::info!(missing = missing.join(", "), "all other speakers were heard or waited for");
                self.together.ready();
                if self.begun {
                    self.go_on();
                }
            }
            News::Happened(Event::NameTaken { at }) => {
                let name = &self.settings.node;
                tracing::error!(%at, name, "another speaker calls itself by the name of this node; stop one of them");
            }
            News::Happened(Event::Segment { interface, heard }) => {
                if heard {
                    tracing::info!(interface, "heard by others there again");
                } else {
                    tracing::warn!(
                        interface,
                        "no other node hears this one there, and others hear each other"
                    );
                }
                self.facts.set_heard(interface, heard);
                self.know_own_facts();
            }
            News::Happened(Event::Table { .. }) => {}
            News::Records(name, records) => {
                self.memory.world_changed();
                let told = Told::read(&records);
                if let Some(facts) = &told.facts {
                    self.set_macs(&name, Some(facts.macs().collect()));
                    self.lans.set_other(&name, Some(facts));
                    self.know_lans();
                }
                let word = told.rebalance.clone();
                let before = self.words.insert(name.clone(), word.clone());
                // What stands there when it is heard first may be from long ago.
                let is_asked = word.is_some() && before.is_some_and(|before| before != word);
                let is_asked = is_asked && self.settings.rules.members_are_nodes;
                self.apply(Change::Member(name, Box::new(told)));
                if is_asked {
                    self.apply(Change::Rebalance);
                }
            }
            News::NotOpened(from, why) => {
                tracing::warn!(%from, %why, "a datagram on the port of speakers is not heard; do all have one key?");
            }
            News::Keys(error) => tracing::warn!(%error, "the keys that were read last stay in force"),
            News::KeysChanged => tracing::info!("other membership keys are in force"),
        }
    }

    /// The thread of members is to know who is on which LAN.
    pub(super) fn know_lans(&mut self) {
        if let Some(port) = self.together.port()
            && let Some(segments) = self.lans.changed(port)
        {
            self.together.set_segments(segments);
        }
    }

    /// Decides, and then answers: everything that others did is known.
    pub(super) fn go_on(&mut self) {
        self.apply(Change::Joined);
        self.together.go_on = true;
    }

    pub(super) fn set_macs(&mut self, name: &str, macs: Option<BTreeSet<MacAddr>>) {
        let before = match &macs {
            Some(macs) => self.members.insert(name.to_owned(), macs.clone()),
            None => self.members.remove(name),
        };
        if before.unwrap_or_default() != macs.unwrap_or_default() {
            self.layer2.set_members(self.members.values().flatten().copied().collect());
        }
    }

    /// Tells the others what has changed, once it is so on the wire.
    pub(super) fn share(&mut self) {
        if !self.together.is_there() {
            return;
        }
        let records = self.speaker.records_to_tell();
        self.together.set_ready(self.begun && !self.speaker.is_held_back());
        if !records.is_empty() {
            self.memory.touch();
        }
        self.together.changes.extend(records);
        if self.together.set_facts(self.facts.current()) {
            self.know_own_facts();
        }
        self.together.begin(&self.layer2);
    }

    pub(super) fn leave(&mut self) {
        self.leaving = Some(Instant::now());
        if self.together.is_there() {
            self.together.changes.push((team::LEAVING.to_owned(), Some(Vec::new())));
            self.apply(Change::Leave);
        }
    }

    /// Whether this speaker is to end, and nobody waits for it any more.
    pub(super) fn may_end(&self) -> bool {
        self.leaving.is_some_and(|since| {
            let is_handed_over = !self.speaker.waits_for_successors() && self.together.is_quiet();
            !self.together.is_there() || is_handed_over || since.elapsed() >= HANDING_OVER
        })
    }

    /// What this node is like is known here before it is told.
    pub(super) fn know_own_facts(&mut self) {
        if self.together.is_there()
            && let Some(facts) = self.facts.current()
        {
            let interfaces = facts.interfaces();
            self.apply(Change::OwnFacts(interfaces));
        }
    }
}
