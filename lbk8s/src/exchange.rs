//! Hosts without a cluster, each with the same files: what is held on one of them is held on all.
//!
//! Every host gives addresses by itself, and from the same files all give the same. Where they do not, because one saw a
//! file later or was cut off, the older hold counts: [`merge`] works that out from what all hosts tell, the same on each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lbcore::ServiceKey;
use serde::{Deserialize, Serialize};

/// What a Service holds on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its addresses, in the order of its status.
    pub addresses: Vec<IpAddr>,
    /// The pool that is recorded beside them.
    pub pool: Option<String>,
    /// Since when, in milliseconds since the Unix epoch, by the clock of the host that gave them.
    pub since: i64,
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
/// Service has. Addresses may be shared by Services where some host holds them so.
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
        .collect();
    all.sort_by_key(|(hold, host, service)| (hold.since, *host, *service));
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
/// or with none. Services that this host does not have are nothing to it.
#[must_use]
pub fn changes(
    own: &Holds,
    services: &BTreeSet<ServiceKey>,
    merged: &Holds,
) -> BTreeMap<ServiceKey, Option<Hold>> {
    let differs = |service: &&ServiceKey| {
        let (has, is_to_have) = (own.get(*service), merged.get(*service));
        has.map(|hold| &hold.addresses) != is_to_have.map(|hold| &hold.addresses)
    };
    services.iter().filter(differs).map(|service| (service.clone(), merged.get(service).cloned())).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(name: u8) -> ServiceKey {
        ServiceKey::new("default", format!("s{name}"))
    }

    fn hold(last: u8, since: i64) -> Hold {
        Hold { addresses: vec![[10, 0, 0, last].into()], pool: None, since }
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
