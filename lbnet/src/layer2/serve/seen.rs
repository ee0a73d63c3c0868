//! What all of it looks like at one moment.

use std::collections::BTreeMap;

use super::Loop;
use crate::Counters;
use crate::layer2::snapshot::{AddressCounters, Conflict, InterfaceSnapshot, Snapshot};

impl Loop {
    pub(super) fn snapshot(&self, counters: &BTreeMap<u32, Counters>) -> Snapshot {
        let counted = self.held.iter().filter(|(_, held)| held.is_answered()).map(|(address, held)| {
            // Locked for each by itself: whoever is asked meanwhile does not wait.
            let answered = self.shared.responder().answered(*address);
            (*address, AddressCounters { answered, announced: held.announced })
        });
        let answering = self.held.iter().filter(|(_, held)| held.is_answered());
        let interfaces = self.ports.iter().map(|(index, name, mac, filters)| {
            let counters = counters.get(&index).cloned().unwrap_or_default();
            let groups = self.groups.count(index);
            (name.to_owned(), InterfaceSnapshot { mac, counters, filters, groups })
        });
        let conflicts = self.conflicts.seen().map(|(address, mac, sighting)| Conflict {
            address,
            mac,
            interface: self.name(sighting.interface),
            first: sighting.first,
            last: sighting.last,
            frames: sighting.frames,
        });
        let taken = self.held.keys().filter_map(|address| Some((*address, self.probes.taken_by(*address)?)));
        Snapshot {
            addresses: answering.map(|(address, held)| (*address, self.names(&held.at))).collect(),
            taken: taken.collect(),
            interfaces: interfaces.collect(),
            conflicts: conflicts.collect(),
            kernel_answers: self.held.values().filter_map(|held| held.kernel.clone()).collect(),
            announced: self.announced,
            counted: counted.collect(),
        }
    }
}
