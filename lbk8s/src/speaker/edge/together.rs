//! What is told to the other speakers, and when.
//!
//! What changes on the wire is told after it is so: a claim once it is answered, and that one is given up once it is
//! answered no more.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use lbnet::Layer2;
use lbnet::membership::Segment;
use lbnet::membership::carrier::{Carrier, Snapshot};
use lbnet::membership::message::Change;

use super::LAST_WORD;
use crate::objects::facts::NodeFactsFields;
use crate::speaker::team::{FACTS, READY};

/// The way to the other speakers, if there is one.
pub(super) struct Together {
    carrier: Option<Carrier>,
    /// Everybody was heard or waited for.
    pub(super) joined: bool,
    /// How often that was said.
    readies: u64,
    /// It is told that this speaker takes addresses over.
    is_ready: bool,
    /// Answering may go on, once all that was decided is so on the wire.
    pub(super) go_on: bool,
    /// What is to be told next.
    pub(super) changes: Vec<Change>,
    facts: Option<NodeFactsFields>,
    /// What is told as soon as the wire has obeyed. One lot at a time: of two changes of a record the later one counts.
    waiting: Option<(Vec<Change>, bool)>,
    pub(super) obeyed: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl Together {
    pub(super) fn new(carrier: Option<Carrier>) -> Self {
        Self {
            carrier,
            joined: false,
            readies: 0,
            is_ready: false,
            go_on: false,
            changes: Vec::new(),
            facts: None,
            waiting: None,
            obeyed: FuturesUnordered::new(),
        }
    }

    pub(super) fn is_there(&self) -> bool {
        self.carrier.is_some()
    }

    /// The port of speakers, if they listen to each other.
    pub(super) fn port(&self) -> Option<u16> {
        self.carrier.as_ref().map(Carrier::port)
    }

    /// Who is on which LAN of this node.
    pub(super) fn set_segments(&self, segments: BTreeMap<String, Segment>) {
        if let Some(carrier) = &self.carrier {
            carrier.set_segments(segments);
        }
    }

    /// Where the speakers of nodes may be.
    pub(super) fn set_peers(&self, places: &BTreeMap<String, BTreeSet<IpAddr>>) {
        let Some(carrier) = &self.carrier else { return };
        let at = |addresses: &BTreeSet<IpAddr>| {
            addresses.iter().map(|address| SocketAddr::new(*address, carrier.port())).collect()
        };
        carrier.set_peers(places.iter().map(|(name, addresses)| (name.clone(), at(addresses))).collect());
    }

    /// Everybody was heard or waited for.
    pub(super) fn ready(&mut self) {
        self.joined = true;
        self.readies += 1;
    }

    /// Others may have taken over what this node has: what was about to go on does not.
    pub(super) fn wait_for_all(&mut self) {
        (self.joined, self.go_on) = (false, false);
        if let Some((_, go_on)) = &mut self.waiting {
            *go_on = false;
        }
    }

    /// Whether this process has not stood still.
    pub(super) fn may_answer(&self) -> bool {
        self.carrier.as_ref().is_some_and(Carrier::may_answer)
    }

    /// What the thread of members knows, if there is one.
    pub(super) fn snapshot(&self) -> Option<impl Future<Output = Snapshot> + Send + use<>> {
        self.carrier.as_ref().map(Carrier::snapshot)
    }

    /// Whether this speaker takes addresses over.
    pub(super) fn set_ready(&mut self, is_ready: bool) {
        if std::mem::replace(&mut self.is_ready, is_ready) != is_ready {
            self.changes.push((READY.to_owned(), is_ready.then(Vec::new)));
        }
    }

    pub(super) fn expect<'a>(&self, names: impl Iterator<Item = &'a String>) {
        if let Some(carrier) = &self.carrier {
            carrier.expect(names.cloned().collect());
        }
    }

    /// What this node is like now; whether that is news.
    pub(super) fn set_facts(&mut self, facts: Option<&NodeFactsFields>) -> bool {
        let Some(facts) = facts.filter(|facts| self.facts.as_ref() != Some(*facts)) else { return false };
        self.changes.push((FACTS.to_owned(), serde_json::to_vec(facts).ok()));
        self.facts = Some(facts.clone());
        true
    }

    /// Begins to tell what has changed, unless the wire has yet to obey to what was said before.
    pub(super) fn begin(&mut self, layer2: &Layer2) {
        if self.waiting.is_none() && (self.go_on || !self.changes.is_empty()) {
            let go_on = std::mem::take(&mut self.go_on);
            self.waiting = Some((std::mem::take(&mut self.changes), go_on));
            self.obeyed.push(layer2.obeyed().boxed());
        }
    }

    /// The wire has obeyed.
    pub(super) fn tell(&mut self) {
        let (Some(carrier), Some((changes, go_on))) = (&self.carrier, self.waiting.take()) else { return };
        carrier.publish(changes);
        if go_on {
            carrier.go_on(self.readies);
        }
    }

    /// Whether there is nothing left to tell.
    pub(super) fn is_quiet(&self) -> bool {
        self.waiting.is_none() && self.changes.is_empty()
    }

    /// Leaves the others, once they know all that was told.
    pub(super) async fn say_goodbye(&mut self) {
        let Some(carrier) = &self.carrier else { return };
        // One that has gone cannot hear it.
        let _ = tokio::time::timeout(LAST_WORD, carrier.heard_by_all()).await;
        carrier.leave().await;
    }
}
