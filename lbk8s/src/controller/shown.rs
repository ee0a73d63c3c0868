//! What Services show, which lags behind what they hold: an address goes to the next one's status only when
//! the one before has ceased to show it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lbcore::{Allocator, ServiceKey};

/// The addresses in the status of Services, and who waits for one to leave.
#[derive(Debug, Default)]
pub(super) struct Shown {
    by_service: BTreeMap<ServiceKey, BTreeSet<IpAddr>>,
    by_address: BTreeMap<IpAddr, BTreeSet<ServiceKey>>,
    waiting: BTreeMap<IpAddr, BTreeSet<ServiceKey>>,
}

impl Shown {
    /// A Service shows these addresses now. Returns those who waited for one that it shows no more.
    pub(super) fn set(&mut self, service: &ServiceKey, addresses: BTreeSet<IpAddr>) -> BTreeSet<ServiceKey> {
        let before = self.by_service.remove(service).unwrap_or_default();
        for address in &addresses {
            self.by_address.entry(*address).or_default().insert(service.clone());
        }
        let mut woken = BTreeSet::new();
        for address in before.difference(&addresses) {
            if let Some(services) = self.by_address.get_mut(address) {
                services.remove(service);
                if services.is_empty() {
                    self.by_address.remove(address);
                }
            }
            woken.extend(self.waiting.remove(address).unwrap_or_default());
        }
        if !addresses.is_empty() {
            self.by_service.insert(service.clone(), addresses);
        }
        woken
    }

    /// Whether a Service shows an address.
    pub(super) fn shows(&self, service: &ServiceKey, address: IpAddr) -> bool {
        self.by_service.get(service).is_some_and(|addresses| addresses.contains(&address))
    }

    /// Whether a Service has to wait before it shows what it holds: another one still shows an address of it,
    /// though it holds it no more. It is named by [`Shown::set`] when that is over.
    pub(super) fn must_wait(&mut self, service: &ServiceKey, held: &[IpAddr], allocator: &Allocator) -> bool {
        let own = self.by_service.get(service);
        let new = held.iter().filter(|address| !own.is_some_and(|own| own.contains(address)));
        let mut waits = false;
        for address in new {
            let users = allocator.users(*address);
            let showing = self.by_address.get(address);
            if showing.is_some_and(|showing| showing.iter().any(|other| !users.contains(other))) {
                self.waiting.entry(*address).or_default().insert(service.clone());
                waits = true;
            }
        }
        waits
    }
}
