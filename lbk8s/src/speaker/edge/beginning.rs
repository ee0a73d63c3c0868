//! The start: until enough is known to decide, from the API server or from the process before this one.

use std::collections::BTreeSet;
use std::time::Duration;

use lbnet::MacAddr;
use tokio::time::Instant;

use super::{Running, statuses};
use crate::speaker::Change;
use crate::speaker::last_known::LastKnown;

/// How long the API server is waited for, if the process before this one left what it knew.
const WITHOUT_SERVER: Duration = Duration::from_secs(1);
/// The same for one that can be reached, and is slow to tell of everything.
const SLOW_SERVER: Duration = Duration::from_secs(5);

/// How long a speaker that knows everything waits until other nodes can know of it.
const PATIENCE: Duration = Duration::from_secs(3);

impl Running {
    /// Whether enough is known to decide: from the API server, or, if that does not answer, from the process before.
    pub(super) fn is_known(&self) -> bool {
        let waited = self.start.elapsed();
        // One that is slow is waited for longer than one that cannot be reached.
        let is_away = waited >= SLOW_SERVER || (waited >= WITHOUT_SERVER && self.progress.is_failing());
        self.progress.is_done() || (self.memory.is_recalled() && is_away)
    }

    /// When the API server has been waited for long enough, if what was known before can do instead.
    pub(super) fn due_from_disk(&self) -> Option<Instant> {
        if self.begun || !self.memory.is_recalled() || self.is_known() {
            return None;
        }
        let ends = [WITHOUT_SERVER, SLOW_SERVER].map(|after| self.start + after);
        ends.into_iter().find(|at| *at > Instant::now())
    }

    pub(super) fn known(&self) -> LastKnown {
        let macs = |all: &BTreeSet<MacAddr>| all.iter().map(ToString::to_string).collect();
        LastKnown {
            macs: self.members.iter().map(|(node, all)| (node.clone(), macs(all))).collect(),
            ..self.speaker.last_known(&self.memory.configuration, &self.places)
        }
    }

    pub(super) fn write_down(&mut self) {
        if self.begun {
            let known = self.known();
            self.memory.begin(known);
        } else {
            self.memory.later();
        }
    }

    /// Begins to answer when everything is known, and when the other nodes can know of this one: to those that do not,
    /// its answers are a stranger's. If that cannot be told, it is not waited for.
    pub(super) fn begin_if_ready(&mut self) {
        if self.begun && self.from_disk && self.progress.is_done() {
            tracing::info!("the API server has told everything");
            self.from_disk = false;
            self.clear_statuses();
        }
        if self.begun || !self.is_known() {
            return;
        }
        if self.patience.is_none() {
            self.apply(Change::Listed);
            self.together.set_peers(&self.places);
            // Whether a node has a speaker is not known before it is heard: when all start at once, none has told of itself.
            self.together.expect(self.places.keys());
        }
        let patience = *self.patience.get_or_insert_with(|| Instant::now() + PATIENCE);
        // Those that listen to each other know of each other by themselves.
        let (is_known, is_joined) = if self.together.is_there() {
            (self.facts.current().is_some() && self.speaker.knows_all_heard(), self.together.joined)
        } else {
            (self.facts.are_told(), true)
        };
        let has_adopted = self
            .adopted
            .as_ref()
            .is_some_and(|all| all.iter().all(|address| self.speaker.keys_of(*address).next().is_some()));
        if is_joined && ((is_known && has_adopted) || Instant::now() >= patience) {
            self.begun = true;
            self.from_disk = !self.progress.is_done();
            self.patience = None;
            if self.from_disk {
                let waits = self.progress.unsynced().collect::<Vec<_>>().join(", ");
                tracing::warn!(waits, "the API server does not answer: going on with what was known last");
            }
            self.begin();
            self.apply(Change::Taken(self.settings.node.clone(), BTreeSet::new()));
        }
    }

    fn begin(&mut self) {
        self.apply(Change::Synced);
        if self.together.is_there() {
            self.go_on();
        }
        if !self.from_disk {
            self.clear_statuses();
        }
        self.say_state();
        if self.speaker.is_node() {
            tracing::info!("everything is known; announcing");
        } else {
            let nodes = self.speaker.nodes().collect::<Vec<&str>>().join(", ");
            tracing::warn!(
                nodes,
                "there is no Node of this name; this speaker owns no address until there is one"
            );
        }
    }

    /// What this node wrote before and is not its own any more is to go.
    fn clear_statuses(&mut self) {
        let keys = self.speaker.owned().flat_map(|address| self.speaker.keys_of(address).collect::<Vec<_>>());
        let names: BTreeSet<String> =
            keys.map(|key| statuses::name(key, self.speaker.owns_second_family_alone(key))).collect();
        for name in std::mem::take(&mut self.before).difference(&names) {
            self.statuses.want(name.clone(), None);
        }
    }
}
