//! Others who write the status of our Services: a second controller, MetalLB's, a person.

use std::net::IpAddr;
use std::sync::Arc;

use lbcore::allocator::Claim;
use lbcore::{Request, ServiceKey};

use super::{Controller, Notice};

impl Controller {
    /// Somebody else wrote addresses into the status of a Service: a second controller, or a person.
    pub(super) fn on_foreign(&mut self, key: &ServiceKey, request: Arc<Request>, shown: &[IpAddr]) {
        let view = &self.services[key];
        let claim = Claim {
            request,
            addresses: shown.to_vec(),
            recorded_pool: view.pool_on_record().map(str::to_owned),
            recorded_pools: view.recorded_pools(),
        };
        let status = &self.shown;
        let (decision, lost) = self.allocator.claim(claim, |key, address| status.shows(key, address));
        for decision in &lost {
            let both = shown.iter().filter(|address| self.shown.shows(&decision.key, **address));
            for address in both.copied().collect::<Vec<_>>() {
                self.tell_double(&decision.key, address, key.clone());
            }
        }
        self.enqueue(&lost);
        let holds = decision.addresses();
        for address in shown.iter().filter(|address| !holds.contains(address)) {
            if let Some(other) = self.allocator.users(*address).into_iter().find(|other| other != key) {
                self.tell_double(key, *address, other);
            }
        }
    }

    fn tell_double(&mut self, loser: &ServiceKey, address: IpAddr, kept_by: ServiceKey) {
        // Who writes it again and again is told of as a rival.
        if self.doubles.insert(loser.clone(), address) == Some(address) {
            return;
        }
        self.lost.insert(loser.clone(), address);
        if let Some(view) = self.services.get(loser) {
            let service = view.object.clone();
            self.notices.push(Notice::Double { service, address, kept_by });
        }
    }

    /// Somebody took what we had written out of a Service's status.
    pub(super) fn on_undone(&mut self, key: &ServiceKey) {
        if self.rivals.undone(key, self.now)
            && let Some(view) = self.services.get(key)
        {
            let (service, writer) = (view.object.clone(), view.other_writer.clone());
            self.notices.push(Notice::Rival { service, writer });
        }
    }
}
