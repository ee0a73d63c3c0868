//! Hosts without a cluster, each with the same files: what is held on one of them is held on all.
//!
//! Every host gives addresses by itself, and from the same files all give the same. Where they do not, because one saw a
//! file later or was cut off, the older hold counts: [`merge`] works that out from what all hosts tell, the same on each.
//!
//! A host that moves a Service by itself, because its files say so or because a station has the address, has a reason: what
//! it has left counts less than anything else, and it does not go back to it. So hosts whose files differ for a while keep
//! what each of them says, and agree when their files do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lbcore::ServiceKey;
use serde::{Deserialize, Serialize};

use crate::objects::facts::Taken;

/// What a Service holds on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its addresses, in the order of its status.
    pub addresses: Vec<IpAddr>,
    /// The pool that is recorded beside them.
    pub pool: Option<String>,
    /// Since when, in milliseconds since the Unix epoch, by the clock of the host that gave them.
    pub since: i64,
    /// What the Service had before on this host, and was moved away from.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub left: BTreeSet<IpAddr>,
}

impl Hold {
    fn has_any(&self, addresses: &BTreeSet<IpAddr>) -> bool {
        self.addresses.iter().any(|address| addresses.contains(address))
    }

    /// What becomes of the hold of a Service that shows these addresses from now on: one that had others was moved.
    #[must_use]
    pub fn moved(before: Option<&Self>, addresses: Vec<IpAddr>, pool: Option<String>, now: i64) -> Self {
        let had = before.iter().flat_map(|before| before.left.iter().chain(&before.addresses));
        let left = had.filter(|address| !addresses.contains(address)).copied().collect();
        let known = before.filter(|before| before.addresses == addresses).map(|before| before.since);
        Self { left, since: known.unwrap_or(now), addresses, pool }
    }
}

/// What is held on one host.
pub type Holds = BTreeMap<ServiceKey, Hold>;

const HOLD: &str = "hold/";

/// The records by which a host tells what has changed in what it holds.
#[must_use]
pub fn records(before: &Holds, now: &Holds) -> Vec<(String, Option<Vec<u8>>)> {
    let key = |service: &ServiceKey| format!("{HOLD}{service}");
    let gone =
        before.keys().filter(|service| !now.contains_key(*service)).map(|service| (key(service), None));
    let new = now.iter().filter(|(service, hold)| before.get(*service) != Some(hold));
    gone.chain(new.map(|(service, hold)| (key(service), serde_json::to_vec(hold).ok()))).collect()
}

/// Reads what a host tells. What cannot be read is passed over: it may be of a later version.
#[must_use]
pub fn read(records: &BTreeMap<String, Vec<u8>>) -> Holds {
    let hold = |(key, value): (&String, &Vec<u8>)| {
        Some((key.strip_prefix(HOLD)?.parse().ok()?, serde_json::from_slice(value).ok()?))
    };
    records.iter().filter_map(hold).collect()
}

/// What counts of all that hosts hold, by host: of each Service the oldest hold whose addresses no older one of another
/// Service has, and that no host has left if there is another. Addresses may be shared by Services where some host holds them so.
#[must_use]
pub fn merge(hosts: &BTreeMap<String, Holds>) -> Holds {
    let together = |address: &IpAddr, a: &ServiceKey, b: &ServiceKey| {
        hosts.values().any(|holds| {
            let has = |service| holds.get(service).is_some_and(|hold| hold.addresses.contains(address));
            has(a) && has(b)
        })
    };
    let mut all: Vec<(&Hold, &String, &ServiceKey)> = hosts
        .iter()
        .flat_map(|(host, holds)| holds.iter().map(move |(service, hold)| (hold, host, service)))
        .filter(|(hold, _, _)| !hold.addresses.is_empty())
        .collect();
    let is_left = |hold: &Hold, service: &ServiceKey| {
        hosts.values().filter_map(|holds| holds.get(service)).any(|other| hold.has_any(&other.left))
    };
    all.sort_by_key(|(hold, host, service)| (is_left(hold, service), hold.since, *host, *service));
    let mut merged = Holds::new();
    let mut users: BTreeMap<IpAddr, BTreeSet<&ServiceKey>> = BTreeMap::new();
    for (hold, _, service) in all {
        let is_free = |address: &IpAddr| {
            let users = users.get(address).into_iter().flatten();
            users.into_iter().all(|user| together(address, user, service))
        };
        if !merged.contains_key(service) && hold.addresses.iter().all(is_free) {
            for address in &hold.addresses {
                users.entry(*address).or_default().insert(service);
            }
            merged.insert(service.clone(), hold.clone());
        }
    }
    merged
}

/// What a host that holds `own` has to change so that it holds what counts: Services with the hold that they are to have,
/// or with none. Services that this host does not have, or that want no address there, are nothing to it; and to what it
/// has left it does not go back.
#[must_use]
pub fn changes(
    own: &Holds,
    services: &BTreeSet<ServiceKey>,
    merged: &Holds,
) -> BTreeMap<ServiceKey, Option<Hold>> {
    let differs = |service: &&ServiceKey| {
        let (has, is_to_have) = (own.get(*service), merged.get(*service));
        let addresses = |hold: Option<&Hold>| hold.map(|hold| hold.addresses.clone()).unwrap_or_default();
        let was_left = is_to_have.zip(has).is_some_and(|(hold, has)| hold.has_any(&has.left));
        addresses(has) != addresses(is_to_have) && !was_left
    };
    let is_to_have = |service: &ServiceKey| {
        let left = own.get(service).map(|hold| hold.left.clone()).unwrap_or_default();
        merged.get(service).map(|hold| Hold { left, ..hold.clone() })
    };
    services.iter().filter(differs).map(|service| (service.clone(), is_to_have(service))).collect()
}

/// What another host holds for Services that this one does not have, or that want no address here: it is given to nobody here,
/// if it counts. Who gave the same address to a Service before keeps it.
#[must_use]
pub fn held_elsewhere(theirs: &Holds, services: &BTreeSet<ServiceKey>, merged: &Holds) -> Vec<Taken> {
    let counts = |service: &ServiceKey, hold: &Hold| {
        merged.get(service).is_some_and(|merged| merged.addresses == hold.addresses)
    };
    let missing =
        theirs.iter().filter(|(service, hold)| !services.contains(*service) && counts(service, hold));
    let taken =
        missing.flat_map(|(service, hold)| hold.addresses.iter().map(|it| Taken::by_service(*it, service)));
    taken.collect()
}

/// Whether all hosts that hold something for a Service hold the same.
#[must_use]
pub fn agree<'a>(hosts: impl IntoIterator<Item = &'a Holds>, service: &ServiceKey) -> bool {
    let holds = hosts.into_iter().filter_map(|holds| holds.get(service));
    let mut holds = holds.filter(|hold| !hold.addresses.is_empty());
    let first = holds.next();
    holds.all(|hold| first.is_some_and(|first| first.addresses == hold.addresses))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(name: u8) -> ServiceKey {
        ServiceKey::new("default", format!("s{name}"))
    }

    fn hold(last: u8, since: i64) -> Hold {
        Hold { addresses: vec![[10, 0, 0, last].into()], pool: None, since, left: BTreeSet::new() }
    }

    /// A host, and of each Service the last number of its address, and since when it has it.
    type Host<'a> = (&'a str, &'a [(u8, u8, i64)]);

    fn hosts(all: &[Host<'_>]) -> BTreeMap<String, Holds> {
        let holds = |holds: &[(u8, u8, i64)]| {
            holds.iter().map(|(service, last, since)| (key(*service), hold(*last, *since))).collect()
        };
        all.iter().map(|(host, all)| ((*host).to_owned(), holds(all))).collect()
    }

    fn merged(all: &[Host<'_>]) -> Vec<(ServiceKey, u8)> {
        let last = |hold: &Hold| match hold.addresses[0] {
            IpAddr::V4(v4) => v4.octets()[3],
            IpAddr::V6(_) => unreachable!("all are IPv4"),
        };
        merge(&hosts(all)).into_iter().map(|(service, hold)| (service, last(&hold))).collect()
    }

    #[test]
    fn of_two_holds_the_older_counts() {
        assert_eq!(merged(&[("a", &[(1, 1, 5)]), ("b", &[(1, 2, 4)])]), [(key(1), 2)]);
        assert_eq!(
            merged(&[("a", &[(1, 1, 5)]), ("b", &[(1, 2, 5)])]),
            [(key(1), 1)],
            "then the host's name"
        );
    }

    #[test]
    fn an_address_goes_to_the_service_that_had_it_first() {
        // Each host saw the two files in another order.
        let a: &[_] = &[(1, 1, 10), (2, 2, 13)];
        let b: &[_] = &[(2, 1, 11), (1, 2, 12)];
        assert_eq!(merged(&[("a", a), ("b", b)]), [(key(1), 1), (key(2), 2)]);
        // The younger one has nothing else: its host gives it another.
        let holds = [("a", &[(1_u8, 1_u8, 10_i64)] as &[_]), ("b", &[(2, 1, 11)])];
        assert_eq!(merged(&holds), [(key(1), 1)]);
        let own = &hosts(&holds)["b"];
        let both = BTreeSet::from([key(1), key(2)]);
        let changes = changes(own, &both, &merge(&hosts(&holds)));
        assert_eq!(changes, BTreeMap::from([(key(1), Some(hold(1, 10))), (key(2), None)]));
    }

    #[test]
    fn what_only_another_host_has_is_avoided_and_what_a_service_had_before_here_is_not() {
        let all = hosts(&[("a", &[(1, 1, 10)]), ("b", &[(2, 1, 11), (3, 2, 12)])]);
        let (of_a, of_b) = (BTreeSet::from([key(1)]), BTreeSet::from([key(2), key(3)]));
        let merged = merge(&all);
        let third = Taken::by_service([10, 0, 0, 2].into(), &key(3));
        assert_eq!(held_elsewhere(&all["b"], &of_a, &merged), [third]);
        let first = Taken::by_service([10, 0, 0, 1].into(), &key(1));
        assert_eq!(held_elsewhere(&all["a"], &of_b, &merged), [first]);
        assert_eq!(held_elsewhere(&all["b"], &of_b, &merged), [], "it has them itself");
    }

    #[test]
    fn what_a_host_has_left_counts_less_and_nobody_goes_back_to_what_he_left() {
        let services = BTreeSet::from([key(1)]);
        let moved =
            |from: u8, to: u8, now: i64| Hold::moved(Some(&hold(from, 1)), hold(to, 0).addresses, None, now);
        let own = |hold: Hold| Holds::from([(key(1), hold)]);
        // One host's files say so, the other one has not seen them yet.
        let (a, b) = (own(moved(1, 2, 9)), own(hold(1, 1)));
        let both = BTreeMap::from([("a".to_owned(), a.clone()), ("b".to_owned(), b.clone())]);
        let counts = merge(&both);
        assert_eq!(counts[&key(1)].addresses, hold(2, 0).addresses);
        assert!(changes(&a, &services, &counts).is_empty());
        assert_eq!(
            changes(&b, &services, &counts)[&key(1)].as_ref().unwrap().addresses,
            hold(2, 0).addresses
        );
        assert!(!agree(both.values(), &key(1)));
        // The other one follows, and its own files send it back: both stay with what their files say.
        let b = own(Hold::moved(Some(&hold(2, 9)), hold(1, 0).addresses, None, 10));
        let counts = merge(&BTreeMap::from([("a".to_owned(), a.clone()), ("b".to_owned(), b.clone())]));
        assert!(changes(&a, &services, &counts).is_empty() && changes(&b, &services, &counts).is_empty());
        // Until they are the same.
        let b = own(Hold::moved(b.get(&key(1)), hold(2, 0).addresses, None, 11));
        let both = BTreeMap::from([("a".to_owned(), a.clone()), ("b".to_owned(), b.clone())]);
        let counts = merge(&both);
        assert!(changes(&a, &services, &counts).is_empty() && changes(&b, &services, &counts).is_empty());
        assert!(agree(both.values(), &key(1)));
    }

    #[test]
    fn who_wants_no_address_any_more_is_given_none() {
        let gave_up = Holds::from([(key(1), Hold::moved(Some(&hold(1, 1)), vec![], None, 9))]);
        let hosts = BTreeMap::from([
            ("a".to_owned(), gave_up.clone()),
            ("b".to_owned(), Holds::from([(key(1), hold(1, 1))])),
        ]);
        assert!(changes(&gave_up, &BTreeSet::from([key(1)]), &merge(&hosts)).is_empty());
    }

    #[test]
    fn what_is_shared_on_one_host_is_shared_on_all() {
        let shared: &[_] = &[(1, 1, 10), (2, 1, 11)];
        assert_eq!(merged(&[("a", shared), ("b", &[(2, 3, 12)])]), [(key(1), 1), (key(2), 1)]);
    }

    #[test]
    fn what_is_told_is_read_back() {
        let now = hosts(&[("a", &[(1, 1, 5), (2, 2, 6)])])["a"].clone();
        let told: BTreeMap<String, Vec<u8>> =
            records(&Holds::new(), &now).into_iter().map(|(key, value)| (key, value.unwrap())).collect();
        assert_eq!(read(&told), now);
        let later = hosts(&[("a", &[(2, 2, 6)])])["a"].clone();
        assert_eq!(records(&now, &later), [("hold/default/s1".to_owned(), None)]);
        assert_eq!(records(&later, &later), []);
        assert_eq!(
            read(&[("hold/x".to_owned(), b"{".to_vec()), ("facts".to_owned(), vec![])].into()),
            Holds::new()
        );
    }

    proptest! {
        #[test]
        fn all_hosts_come_to_the_same_and_it_is_at_rest(
            all in prop::collection::vec(prop::collection::btree_map(0..6_u8, (0..8_u8, 0..50_i64), 0..6), 1..4),
        ) {
            let hosts: BTreeMap<String, Holds> = all.iter().enumerate().map(|(host, holds)| {
                let holds = holds.iter().map(|(service, (last, since))| (key(*service), hold(*last, *since)));
                (format!("h{host}"), holds.collect())
            }).collect();
            let merged = merge(&hosts);
            // If all hold what counts, that is what counts.
            let settled = hosts.keys().map(|host| (host.clone(), merged.clone())).collect();
            prop_assert_eq!(&merge(&settled), &merged);
            let services: BTreeSet<ServiceKey> = (0..6).map(key).collect();
            prop_assert!(changes(&merged, &services, &merged).is_empty());
            // Nobody loses the oldest hold there is.
            let oldest = hosts.iter().flat_map(|(host, holds)| holds.iter().map(move |(key, hold)| (hold.since, host, key, hold)));
            if let Some((_, _, service, hold)) = oldest.min_by_key(|(since, host, key, _)| (*since, *host, *key)) {
                prop_assert_eq!(merged.get(service), Some(hold));
            }
        }
    }
}
