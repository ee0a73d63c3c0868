//! What decides who answers for an address: its Services with their endpoints, its pool, and the configuration in force.

use std::net::IpAddr;

use lbcore::{Announced, Endpoints, Labels, Service, ServiceKey};

use super::{Speaker, WithoutSlices};
use crate::Problem;
use crate::objects::announced::AnnouncedService;
use crate::objects::endpoints::SliceView;

impl Speaker {
    /// An address with all that decides who answers for it; `None` if it was not given from a pool.
    pub(super) fn announced(&self, address: IpAddr) -> Option<Announced> {
        let users = self.users.of(&address).iter();
        let views: Vec<&AnnouncedService> = users.map(|key| &*self.services[key]).collect();
        let (pool, pool_labels) = self.pool_of(address, &views)?;
        let services = views.iter().map(|view| Service {
            key: view.key.clone(),
            labels: view.labels.clone(),
            local: view.local,
            spread: view.spread,
            endpoints: self.endpoints(&view.key),
        });
        // Of an address that its pool no longer has, the advertisements that chose the pool last are on record.
        let kept = views.iter().find_map(|view| view.kept.get(&address));
        let under = kept.and_then(|kept| kept.advertisements.clone());
        Some(Announced { address, pool, pool_labels, under, services: services.collect() })
    }

    /// The pool of an address with its labels: the one on record if it can be right, else the one whose ranges the
    /// address is in, else, when that pool is gone, its name alone.
    fn pool_of(&self, address: IpAddr, views: &[&AnnouncedService]) -> Option<(String, Labels)> {
        let kept = |view: &AnnouncedService| view.kept.get(&address).map(|kept| kept.pool.clone());
        let beside = |view: &AnnouncedService| view.recorded_pool.as_deref().map(str::to_owned);
        let recorded = views.iter().find_map(|view| kept(view).or_else(|| beside(view)));
        if let Some(name) = &recorded
            && let Some(labels) = self.config.recorded_pool(name, address)
        {
            return Some((name.clone(), labels));
        }
        let Some(name) = self.pools.pool_of(address) else {
            return recorded.map(|name| {
                let labels = self.labels_of.get(&name).cloned().unwrap_or_default();
                (name, labels)
            });
        };
        let labels = self.pools.pools().find(|spec| *spec.name == *name).map(|spec| spec.labels.clone());
        Some((name.to_string(), labels.unwrap_or_default()))
    }

    fn endpoints(&self, service: &ServiceKey) -> Endpoints {
        match self.slices_of.of(service) {
            [] if self.rules.without_slices == WithoutSlices::Served => {
                let failing = self.failing(service);
                if failing.is_empty() { Endpoints::Assumed } else { Endpoints::AssumedBut { failing } }
            }
            slices => SliceView::together(slices.iter().map(|key| &self.slices[key])),
        }
    }

    /// Puts pools and advertisements in force; false if they are what they were.
    pub(super) fn configure(&mut self) -> bool {
        let held = self
            .services
            .values()
            .flat_map(|view| view.addresses.iter().map(|address| (*address, view.recorded_pool.as_deref())));
        self.config.set_held(held);
        let (pools, advertisements) = (self.config.pools(), self.config.advertisements());
        let changed = pools != self.configured_pools || advertisements != self.advertisements;
        if changed {
            self.labels_of.extend(pools.iter().map(|pool| (pool.name.clone(), pool.labels.clone())));
            self.contradictions = self.pools.set_pools(pools.clone()).problems;
            self.configured_pools = pools;
            self.advertisements = advertisements;
        }
        changed
    }

    /// All that is wrong with the configuration.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let between = self.contradictions.iter().map(|problem| self.config.blame(problem));
        let own = self.config.problems().into_iter().chain(between);
        own.chain(self.leftovers.problems(self.rules.beside_metallb)).collect()
    }
}
