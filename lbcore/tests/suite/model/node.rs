//! A node of the model: the claims as they are, and around them what a speaker keeps beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use lbcore::ownership::claims::{Claims, Failback, PATIENCE, Table, Verdict};
use lbcore::ownership::{Endpoints, Service};
use lbcore::{Advertisement, Announced, Labels, Node as Candidate, Ownership, ServiceKey, elect};

/// The number of a node; its name is a letter.
pub(crate) type Place = usize;

/// Time goes by in steps of this.
pub(crate) const TICK: Duration = PATIENCE.checked_div(2).unwrap();

pub(crate) fn name(place: Place) -> String {
    char::from(b'a' + u8::try_from(place).unwrap()).to_string()
}

fn place(name: &str) -> Place {
    usize::from(name.as_bytes()[0] - b'a')
}

pub(crate) fn address(number: usize) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0001 + u32::try_from(number).unwrap()).into()
}

/// What a node tells of itself: a table as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Said {
    pub(crate) claims: Table,
    pub(crate) ready: bool,
    pub(crate) leaving: bool,
}

/// What a node is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Input {
    /// Another one is heard.
    Up(Place),
    /// Another one is not heard any more.
    Down(Place),
    /// Another one says this.
    Hear(Place, Said),
    /// A node is drained, or is not any more.
    Drained(Place, bool),
    /// It is to end.
    Leave,
    /// It has heard everybody, or waited for it.
    Joined,
    /// It stood still.
    StoodStill,
    /// So many ticks have passed.
    Time(u32),
}

/// What a node is in the model.
#[derive(Debug)]
pub(crate) struct Node {
    me: Place,
    addresses: usize,
    claims: Claims,
    pub(crate) alive: BTreeSet<Place>,
    ready: BTreeSet<Place>,
    leaving: BTreeSet<Place>,
    drained: BTreeSet<Place>,
    /// The table of each other one, as it was heard last.
    known: BTreeMap<Place, Said>,
    pub(crate) joined: bool,
    ever_joined: bool,
    now: u32,
    /// The highest epoch that was heard of or used for each address.
    highest: Table,
}

/// What a node did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Did {
    /// It told the LAN of these addresses.
    pub(crate) announced: BTreeSet<IpAddr>,
    /// It took these.
    pub(crate) taken: BTreeSet<IpAddr>,
}

impl Node {
    pub(crate) fn new(me: Place, nodes: usize, addresses: usize) -> Self {
        Self {
            me,
            addresses,
            claims: Claims::new(name(me), Failback::default()),
            alive: BTreeSet::new(),
            ready: BTreeSet::new(),
            leaving: BTreeSet::new(),
            drained: BTreeSet::new(),
            known: (0..nodes).filter(|other| *other != me).map(|other| (other, Said::default())).collect(),
            joined: false,
            ever_joined: false,
            now: 0,
            highest: Table::new(),
        }
    }

    /// What it tells the others.
    pub(crate) fn said(&self) -> Said {
        Said { claims: self.claims.own(), ready: self.ever_joined, leaving: self.leaving.contains(&self.me) }
    }

    fn all(&self) -> BTreeSet<IpAddr> {
        (0..self.addresses).map(address).collect()
    }

    /// Takes in what it is told, and decides again about all that this touches.
    ///
    /// # Errors
    /// It broke a law that can be seen on this node alone; which.
    pub(crate) fn apply(&mut self, input: Input) -> Result<Did, String> {
        let mut did = Did::default();
        let before = self.claims.own();
        let (other, theirs) = match &input {
            Input::Down(other) | Input::Hear(other, _) if self.alive.contains(other) => {
                (Some(*other), self.known[other].claims.clone())
            }
            _ => Default::default(),
        };
        let (mut touched, again) = match input {
            Input::Up(other) => {
                self.alive.insert(other);
                let known = self.known[&other].clone();
                let (_, again) = self.hear(other, known);
                (self.all(), again)
            }
            Input::Down(other) => {
                self.alive.remove(&other);
                self.ready.remove(&other);
                self.leaving.remove(&other);
                let (_, had) = self.claims.set_gone(&name(other));
                (self.all(), had)
            }
            Input::Hear(other, said) => {
                self.known.insert(other, said.clone());
                self.hear(other, said)
            }
            Input::Drained(other, drained) => {
                put(&mut self.drained, other, drained);
                (self.all(), BTreeSet::new())
            }
            Input::Leave => {
                self.leaving.insert(self.me);
                (self.all(), BTreeSet::new())
            }
            Input::Joined => {
                self.joined = true;
                let again = if self.ever_joined { self.all() } else { BTreeSet::new() };
                self.ever_joined = true;
                (self.all(), again)
            }
            Input::StoodStill => {
                self.joined = false;
                Default::default()
            }
            Input::Time(now) => {
                self.now = now;
                Default::default()
            }
        };
        if self.joined {
            touched.extend(self.claims.due(TICK * self.now));
            for address in touched {
                if self.settle(address)? {
                    did.taken.insert(address);
                }
            }
        }
        let own = self.claims.own();
        did.announced.extend(did.taken.union(&again));
        did.announced.retain(|address| own.contains_key(address) && self.joined);
        for address in theirs.keys().filter(|it| before.contains_key(*it) && own.contains_key(*it)) {
            let goes_on = other.is_some_and(|it| self.alive.contains(&it))
                && other.is_some_and(|it| self.known[&it].claims.contains_key(address));
            if self.joined && !goes_on && !did.announced.contains(address) {
                let me = name(self.me);
                return Err(format!(
                    "{other:?} answers for {address} no more, and {me} has not the last word"
                ));
            }
        }
        for (address, epoch) in &own {
            let highest = self.highest.entry(*address).or_default();
            if before.get(address) != Some(epoch) && epoch <= highest {
                let me = name(self.me);
                return Err(format!("{me} claims {address} under epoch {epoch}, and has heard of {highest}"));
            }
            *highest = (*highest).max(*epoch);
        }
        Ok(did)
    }

    /// Another one says this; what it touches, and what that one has given up.
    fn hear(&mut self, other: Place, said: Said) -> (BTreeSet<IpAddr>, BTreeSet<IpAddr>) {
        for (address, epoch) in &said.claims {
            let highest = self.highest.entry(*address).or_default();
            *highest = (*highest).max(*epoch);
        }
        let (mut touched, given_up) = self.claims.set(&name(other), said.claims);
        let changed = put(&mut self.ready, other, said.ready) | put(&mut self.leaving, other, said.leaving);
        if changed {
            touched = self.all();
        }
        (touched, given_up)
    }

    fn ownership(&self, address: IpAddr) -> Ownership {
        let node = |place: Place| Candidate {
            name: name(place),
            silent: place != self.me && !(self.alive.contains(&place) && self.ready.contains(&place)),
            last_choice: self.drained.contains(&place),
            leaving: self.leaving.contains(&place),
            ..Candidate::default()
        };
        let nodes: Vec<Candidate> = (0..=self.known.len()).map(node).collect();
        let service = Service {
            key: ServiceKey::new("default", "web"),
            labels: Labels::new(),
            local: false,
            spread: false,
            endpoints: Endpoints::Assumed,
        };
        let announced = Announced {
            address,
            pool: "default".to_owned(),
            pool_labels: Labels::new(),
            under: None,
            services: vec![service],
        };
        elect(&announced, &[Advertisement::default()], &nodes)
    }

    /// Decides about an address; whether this node has taken it.
    fn settle(&mut self, address: IpAddr) -> Result<bool, String> {
        let ownership = self.ownership(address);
        let standing = |name: &str| {
            let candidate = ownership.candidates.iter().find(|candidate| candidate.node == name);
            candidate.map(|candidate| candidate.standing)
        };
        let best = ownership.candidates.first().map(|best| best.standing);
        let holder = |claims: &Claims| claims.holder(address).map(|(node, _)| node.to_owned());
        let (me, before) = (name(self.me), holder(&self.claims));
        let verdict = self.claims.settle(address, &ownership, &[], TICK * self.now);
        let after = holder(&self.claims);
        if let Some(before) = before.filter(|it| best.is_some() && standing(it) == best)
            && after.as_ref() != Some(&before)
        {
            return Err(format!(
                "{me} lets {address} go from {before}, which lives and is as good as any, to {after:?}"
            ));
        }
        if matches!(verdict, Verdict::Ours { .. }) != self.claims.own().contains_key(&address) {
            return Err(format!(
                "{me} claims what it does not answer for, or the other way round: {verdict:?}"
            ));
        }
        Ok(matches!(verdict, Verdict::Ours { taken: Some(_) }))
    }

    /// Who answers for an address or is to, as this node sees it.
    pub(crate) fn owner(&self, number: usize) -> Option<Place> {
        self.claims.owner(address(number)).map(place)
    }
}

/// Puts a node in or takes it out; whether that is news.
fn put(places: &mut BTreeSet<Place>, place: Place, is_in: bool) -> bool {
    if is_in { places.insert(place) } else { places.remove(&place) }
}
