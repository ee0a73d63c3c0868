//! What Services show, which lags behind what they hold: an address goes to the next one's status only when
//! the one before has ceased to show it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use lbcore::{Allocator, ServiceKey};

use crate::several::Several;

/// The addresses in the status of Services, and who waits for one to leave.
#[derive(Debug, Default)]
pub(super) struct Shown {
    by_service: Several<ServiceKey, IpAddr>,
    by_address: Several<IpAddr, ServiceKey>,
    waiting: Several<IpAddr, ServiceKey>,
}

impl Shown {
    /// A Service shows these addresses now. Returns those who waited for one that it shows no more.
    pub(super) fn set(&mut self, service: &ServiceKey, addresses: &[IpAddr]) -> BTreeSet<ServiceKey> {
        let before = self.by_service.set(service.clone(), addresses.to_vec());
        for address in addresses {
            self.by_address.insert(*address, service.clone());
        }
        let mut woken = BTreeSet::new();
        for address in before.iter().filter(|address| !addresses.contains(address)) {
            self.by_address.remove(address, service);
            woken.extend(self.waiting.take(address));
        }
        woken
    }

    /// Whether a Service shows an address.
    pub(super) fn shows(&self, service: &ServiceKey, address: IpAddr) -> bool {
        self.by_service.of(service).contains(&address)
    }

    /// Whether a Service has to wait before it shows what it holds: another one still shows an address of it,
    /// though it holds it no more. It is named by [`Shown::set`] when that is over.
    pub(super) fn must_wait(&mut self, service: &ServiceKey, held: &[IpAddr], allocator: &Allocator) -> bool {
        let own = self.by_service.of(service);
        let new = held.iter().filter(|address| !own.contains(address));
        let mut waits = false;
        for address in new {
            let users = allocator.users(*address);
            if self.by_address.of(address).iter().any(|other| !users.contains(other)) {
                self.waiting.insert(*address, service.clone());
                waits = true;
            }
        }
        waits
    }
}
