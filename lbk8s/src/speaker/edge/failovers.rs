//! How long addresses of nodes that died were without an answer.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use lbcore::ownership::claims::Cause;
use tokio::time::Instant;

use crate::durations::Durations;

/// The upper ends of the classes in which durations are counted.
const UP_TO: [Duration; 10] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(300),
    Duration::from_millis(400),
    Duration::from_millis(500),
    Duration::from_millis(750),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// Follows addresses from the death of their owner to this node's first answer.
#[derive(Debug)]
pub(super) struct Failovers {
    /// When those that died were heard last.
    heard: BTreeMap<String, Instant>,
    /// Addresses that are about to be answered here, and when their owner was heard last.
    taken: BTreeMap<IpAddr, Instant>,
    durations: Durations,
}

impl Default for Failovers {
    fn default() -> Self {
        Self { heard: BTreeMap::new(), taken: BTreeMap::new(), durations: Durations::up_to(&UP_TO) }
    }
}

impl Failovers {
    /// A node is not heard any more, and has not been for so long.
    pub(super) fn died(&mut self, node: &str, silent: Duration) {
        let now = Instant::now();
        self.heard.insert(node.to_owned(), now.checked_sub(silent).unwrap_or(now));
    }

    /// This node takes an address over.
    pub(super) fn took(&mut self, address: IpAddr, why: &Cause) {
        if let Cause::Died { node } = why
            && let Some(heard) = self.heard.get(node)
        {
            self.taken.insert(address, *heard);
        }
    }

    /// This node has ceased to answer for an address, whether it ever did.
    pub(super) fn withdrawn(&mut self, address: IpAddr) {
        self.taken.remove(&address);
    }

    /// An address is answered, and the LAN is told.
    pub(super) fn placed(&mut self, address: IpAddr) {
        if let Some(heard) = self.taken.remove(&address) {
            self.durations.add(heard.elapsed());
        }
    }

    pub(super) fn durations(&self) -> &Durations {
        &self.durations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_the_last_word_of_the_dead_one_to_the_first_answer() {
        let address = IpAddr::from([10, 0, 0, 1]);
        let mut failovers = Failovers::default();
        failovers.placed(address);
        assert_eq!(failovers.durations().count, 0, "that was no failover");
        failovers.died("a", Duration::from_millis(420));
        failovers.took(address, &Cause::Outranked { node: "a".to_owned() });
        failovers.placed(address);
        assert_eq!(failovers.durations().count, 0, "nor was that");
        failovers.took(address, &Cause::Died { node: "a".to_owned() });
        failovers.placed(address);
        failovers.placed(address);
        let durations = failovers.durations();
        assert_eq!(durations.count, 1);
        assert!((0.42..5.0).contains(&durations.seconds), "{durations:?}");
        let up_to = |end: f64| durations.up_to.iter().find(|(it, _)| (it - end).abs() < 1e-9).unwrap().1;
        assert_eq!((up_to(0.4), up_to(5.0)), (0, 1));
    }
}
