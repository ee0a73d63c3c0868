//! What the stations of the LAN may believe: who has which address.
//!
//! Beside each node there is a station that asks for every address at any time. It believes whom it was told of last; as
//! long as several answer, it may believe any of them, also after that one has ceased to.

use std::collections::BTreeMap;

use lblab::simulated::Place;
use lblab::simulated::members::{Members, Running, name};

use super::speakers::{Cluster, Speaking, address};

/// A set of nodes: one bit each.
type Nodes = u64;

#[derive(Default)]
pub(crate) struct Lan {
    /// By the place of the station and the number of the Service: whom it may believe to have the address.
    believed: BTreeMap<(Place, usize), Nodes>,
    /// Whom each station could reach last.
    reached: BTreeMap<Place, Nodes>,
    /// Under which epoch each node claimed what it answered for.
    epochs: BTreeMap<(Place, usize), u64>,
    /// By place: how many of the announcements of the process with this session were seen.
    seen: Vec<(u64, usize)>,
}

fn places(nodes: Nodes) -> Vec<Place> {
    (0..64).filter(|place| nodes >> place & 1 == 1).collect()
}

impl Lan {
    /// Whether something was announced since the last look: what comes after what matters then.
    pub(crate) fn is_told(&self, members: &Members<Speaking>) -> bool {
        for (place, running) in members.nodes.iter().enumerate() {
            if let Some(running) = running
                && running.process.announced.len() > self.seen(place, running)
            {
                return true;
            }
        }
        false
    }

    /// The Services of which a process has told the LAN since the last look.
    fn news<'a>(&self, place: Place, running: &'a Running<Speaking>) -> impl Iterator<Item = usize> + 'a {
        running.process.announced.iter().skip(self.seen(place, running)).copied()
    }

    /// How many of the announcements of a process were seen.
    fn seen(&self, place: Place, running: &Running<Speaking>) -> usize {
        match self.seen.get(place) {
            Some((session, seen)) if *session == running.member.session() => *seen,
            _ => 0,
        }
    }

    /// Something was announced; or, if all are looked at, may have been asked and answered.
    pub(crate) fn look(&mut self, members: &Members<Speaking>, services: usize, all: bool) {
        let mut announced: BTreeMap<usize, Nodes> = BTreeMap::new();
        self.seen.resize(members.nodes.len(), (0, 0));
        for (place, running) in members.nodes.iter().enumerate() {
            let Some(running) = running else { continue };
            for service in self.news(place, running) {
                *announced.entry(service).or_default() |= 1 << place;
                self.epochs
                    .extend(running.process.epochs.get(&service).map(|epoch| ((place, service), *epoch)));
            }
            self.seen[place] = (running.member.session(), running.process.announced.len());
        }
        let looked_at: Vec<usize> =
            if all { (0..services).collect() } else { announced.keys().copied().collect() };
        let answering = |service: usize| {
            let answering = Cluster::answering(members, address(service));
            answering.into_iter().fold(0, |nodes, place| nodes | 1 << place)
        };
        let answering: Vec<(usize, Nodes)> =
            looked_at.into_iter().map(|service| (service, answering(service))).collect();
        let places = 0..members.nodes.len();
        for station in places.clone() {
            let hears = |node: &Place| {
                !members.network.is_cut(station, *node) && !members.network.is_cut(*node, station)
            };
            let reach = places.clone().filter(hears).fold(0, |nodes, place| nodes | 1 << place);
            let before = if all { self.reached.insert(station, reach).unwrap_or(reach) } else { reach };
            for (service, answering) in &answering {
                let believed = self.believed.entry((station, *service)).or_default();
                let told = announced.get(service).copied().unwrap_or_default() & reach;
                if told != 0 {
                    *believed = told;
                }
                if reach & !before != 0 {
                    // Of one that died where nobody else was, nobody can know when the others are there again.
                    *believed &= answering;
                }
                *believed |= answering & reach;
            }
        }
    }

    /// With all ways open, every station believes the one that answers. It may believe others only of whose claims that
    /// one has never heard: they were given up before their table came. Returns how many such there are.
    pub(crate) fn at_rest(&self, members: &Members<Speaking>) -> usize {
        let mut unheard = 0;
        for ((station, service), believed) in &self.believed {
            let address = address(*service);
            let answering = Cluster::answering(members, address);
            let [owner] = answering[..] else { panic!("{answering:?} answer for {address} at rest") };
            assert!(believed >> owner & 1 == 1, "the station beside {station} does not believe {owner}");
            let heard = members.nodes[owner].as_ref().map(|running| &running.process.heard);
            for other in places(believed & !(1 << owner)) {
                let of_owner = heard.and_then(|heard| heard.get(&(name(other), *service)));
                assert!(
                    of_owner < self.epochs.get(&(other, *service)),
                    "{owner} answers for {address} and knows that {other} did, and the station beside {station} may \
                     believe {other}"
                );
                unheard += 1;
            }
        }
        unheard
    }
}
