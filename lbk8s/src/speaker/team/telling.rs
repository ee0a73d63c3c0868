//! What this speaker tells the others, as it changes.

use std::net::IpAddr;

use lbcore::ServiceKey;
use lbcore::ownership::claims::Table;

use super::told::{CLAIM, DRAINED, FAILING, HELD, OFFER, Record, claim};
use super::{Speaker, Team};

impl Team {
    /// The records that have changed since the last call.
    pub(super) fn changed_records(&mut self, me: &str) -> Vec<Record> {
        let claims = self.claims.changed_own().into_iter().map(|(address, epoch)| {
            let cause =
                self.causes.get(&address).filter(|(of, _)| Some(*of) == epoch).map(|(_, cause)| cause);
            (format!("{CLAIM}{address}"), epoch.map(|epoch| claim(epoch, cause)))
        });
        let mut records: Vec<Record> = claims.collect();
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

    /// This speaker claimed this before it was restarted; the records that tell the others.
    pub(in crate::speaker) fn restore(&mut self, table: Table) -> Vec<Record> {
        self.held.extend(table.keys());
        let record =
            |(address, epoch): (&IpAddr, &u64)| (format!("{HELD}{address}"), Some(claim(*epoch, None)));
        let records = table.iter().map(record).collect();
        self.claims.restore(table);
        records
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
