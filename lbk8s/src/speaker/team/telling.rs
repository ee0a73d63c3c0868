//! What this speaker tells the others, as it changes.

use std::net::IpAddr;
use std::time::Duration;

use lbcore::ServiceKey;
use lbcore::ownership::claims::Table;

use super::told::{CEDED, CLAIM, DRAINED, FAILING, HELD, OFFER, Record, claim};
use super::{Speaker, Team};

/// The records of what was claimed before a restart.
pub(in crate::speaker) fn held(table: &Table) -> Vec<Record> {
    table.iter().map(|(address, epoch)| (format!("{HELD}{address}"), Some(claim(*epoch, None)))).collect()
}

/// Everybody who can be heard has heard of it within this time.
const CEDED_FOR: Duration = Duration::from_secs(10);

impl Team {
    /// The records that have changed since the last call.
    pub(super) fn changed_records(&mut self, me: &str) -> Vec<Record> {
        let changed = self.claims.changed_own();
        let mut records = self.ceded_records(&changed);
        let claims = changed.into_iter().map(|(address, epoch)| {
            let cause =
                self.causes.get(&address).filter(|(of, _)| Some(*of) == epoch).map(|(_, cause)| cause);
            (format!("{CLAIM}{address}"), epoch.map(|epoch| claim(epoch, cause)))
        });
        records.extend(claims);
        if self.joined {
            // From now on its claims speak for themselves.
            let held = std::mem::take(&mut self.held).into_iter();
            records.extend(held.map(|address| (format!("{HELD}{address}"), None)));
        }
        let offers = self.claims.own_offers();
        let gone = self.offers.keys().filter(|address| !offers.contains_key(*address));
        records.extend(gone.map(|address| (format!("{OFFER}{address}"), None)));
        let new = offers.iter().filter(|(address, to)| self.offers.get(*address) != Some(to));
        records.extend(new.map(|(address, to)| (format!("{OFFER}{address}"), Some(to.clone().into_bytes()))));
        self.offers = offers;
        let failing = self.failing.get(me).cloned().unwrap_or_default();
        let key = |service: &ServiceKey| format!("{FAILING}{service}");
        records.extend(self.told_failing.difference(&failing).map(|service| (key(service), None)));
        records
            .extend(failing.difference(&self.told_failing).map(|service| (key(service), Some(Vec::new()))));
        self.told_failing = failing;
        records
    }

    /// What this speaker has given up is on record for a while: the next owner may not have heard yet that it was claimed, and
    /// is to have the last word with the LAN all the same.
    fn ceded_records(&mut self, changed: &[(IpAddr, Option<u64>)]) -> Vec<Record> {
        let key = |address: &IpAddr| format!("{CEDED}{address}");
        let over: Vec<IpAddr> =
            self.ceded.iter().filter(|(_, until)| **until <= self.now).map(|(address, _)| *address).collect();
        let mut records: Vec<Record> = over.iter().map(|address| (key(address), None)).collect();
        for address in over {
            self.ceded.remove(&address);
        }
        for (address, _) in changed.iter().filter(|(_, epoch)| epoch.is_none()) {
            self.cessions += 1;
            self.ceded.insert(*address, self.now + CEDED_FOR);
            records.push((key(address), Some(claim(self.cessions, None))));
        }
        records
    }

    /// This speaker claimed this before it was restarted.
    pub(in crate::speaker) fn restore(&mut self, table: Table) {
        self.held.extend(table.keys());
        self.claims.restore(table);
    }
}

impl Speaker {
    /// What is to be told to the other speakers since the last call.
    pub fn records_to_tell(&mut self) -> Vec<Record> {
        let is_drained = self.rules.members_are_nodes
            && self.nodes.iter().any(|node| node.name == self.node && node.drained);
        let Some(team) = &mut self.team else { return Vec::new() };
        let mut records = team.changed_records(&self.node);
        if std::mem::replace(&mut team.told_drained, is_drained) != is_drained {
            records.push((DRAINED.to_owned(), is_drained.then(Vec::new)));
        }
        records
    }
}
