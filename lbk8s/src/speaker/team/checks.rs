//! Which Services a node does not serve, as it finds out by itself.

use std::collections::BTreeSet;
use std::net::IpAddr;

use lbcore::ServiceKey;

use super::Speaker;

impl Speaker {
    /// This node does not serve these Services, by its own check.
    pub(in crate::speaker) fn set_failing(&mut self, failing: &BTreeSet<ServiceKey>) -> BTreeSet<IpAddr> {
        let me = self.node.clone();
        self.note_failing(&me, failing)
    }

    pub(super) fn note_failing(&mut self, node: &str, failing: &BTreeSet<ServiceKey>) -> BTreeSet<IpAddr> {
        let Some(team) = &mut self.team else { return BTreeSet::new() };
        let before = if failing.is_empty() {
            team.failing.remove(node)
        } else {
            team.failing.insert(node.to_owned(), failing.clone())
        };
        let before = before.unwrap_or_default();
        let changed = before.symmetric_difference(failing);
        changed.flat_map(|service| self.addresses_of(service)).copied().collect()
    }

    /// The nodes that do not serve a Service, by their own checks.
    pub(in crate::speaker) fn failing(&self, service: &ServiceKey) -> BTreeSet<String> {
        let all = self.team.iter().flat_map(|team| &team.failing);
        all.filter(|(_, failing)| failing.contains(service)).map(|(node, _)| node.clone()).collect()
    }
}
