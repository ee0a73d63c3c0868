//! How long addresses of nodes that died were without an answer.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use lbcore::ownership::claims::Cause;
use serde::Serialize;
use tokio::time::Instant;

/// The upper ends of the classes in which durations are counted, in milliseconds.
const UP_TO: [u64; 10] = [50, 100, 200, 300, 400, 500, 750, 1000, 2000, 5000];

/// Durations, counted by class.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Durations {
    /// How many there were.
    pub count: u64,
    /// All together, in seconds.
    pub seconds: f64,
    /// The longest, in seconds.
    pub longest: f64,
    /// How many lasted up to so many seconds; what lasted longer is in `count` alone.
    pub up_to: Vec<(f64, u64)>,
}

impl Durations {
    fn add(&mut self, duration: Duration) {
        if self.up_to.is_empty() {
            self.up_to = UP_TO.map(|end| (Duration::from_millis(end).as_secs_f64(), 0)).to_vec();
        }
        let seconds = duration.as_secs_f64();
        self.count += 1;
        self.seconds += seconds;
        self.longest = self.longest.max(seconds);
        for (end, count) in &mut self.up_to {
            *count += u64::from(seconds <= *end);
        }
    }
}

/// Follows addresses from the death of their owner to this node's first answer.
#[derive(Debug, Default)]
pub(super) struct Failovers {
    /// When those that died were heard last.
    heard: BTreeMap<String, Instant>,
    /// Addresses that are about to be answered here, and when their owner was heard last.
    taken: BTreeMap<IpAddr, Instant>,
    durations: Durations,
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
