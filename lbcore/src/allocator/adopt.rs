//! Taking over what services hold already.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::held::Held;
use super::services::{Entry, ServiceId};
use super::{Allocator, Decision};
use crate::{Family, Grant, Request};

/// What a service showed in its status when this process first saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The service's wish.
    pub request: Arc<Request>,
    /// The addresses in `status.loadBalancer.ingress`.
    pub addresses: Vec<IpAddr>,
    /// The pool recorded beside them (`metallb.io/ip-allocated-from-pool`). An address that is in no pool is
    /// adopted only with such a record: otherwise somebody else gave it.
    pub recorded_pool: Option<String>,
    /// The pools of single addresses, where they are recorded; of several addresses the record above is that of
    /// the first.
    pub recorded_pools: BTreeMap<IpAddr, String>,
}

impl Allocator {
    /// Takes over what services hold already, before anything new is given, then decides for each.
    ///
    /// Of two services that claim one address and may not share it, the older keeps it.
    pub fn adopt(&mut self, mut claims: Vec<Claim>) -> Vec<Decision> {
        claims.sort_by(|a, b| {
            let created = |claim: &Claim| claim.request.created;
            created(a).cmp(&created(b)).then_with(|| a.request.key.cmp(&b.request.key))
        });
        self.services.reserve(claims.len());
        let mut ids = Vec::with_capacity(claims.len());
        let mut surplus: Vec<(ServiceId, Vec<Held>)> = Vec::new();
        for claim in &claims {
            let (held, more) = self.claimed(claim);
            let request = &claim.request;
            let hash = self.services.hash(&request.key);
            let id = self.services.find(hash, &request.key).unwrap_or_else(|| {
                // It may have asked for another pool while nobody looked, or its pool was split around its
                // address. The two cannot be told apart, so the address is kept, and the decision says where
                // it is.
                let entry = Entry { fulfilled_for: request.pool.clone(), ..Entry::new(request.clone()) };
                self.services.insert(hash, entry)
            });
            self.hold(id, &held.into());
            surplus.extend((!more.is_empty()).then_some((id, more)));
            ids.push(id);
        }
        // What a service has beyond its wish stays with it while the wish is open, unless it is another's.
        for (id, more) in surplus {
            let entry = self.services.get(id);
            let free = more.into_iter().filter(|held| self.shareable(held.address, &entry.request).is_ok());
            let held: Vec<Held> = entry.held.as_slice().iter().copied().chain(free).collect();
            self.hold(id, &held.into());
        }
        let decide = |(claim, id): (Claim, ServiceId)| self.decide_known(id, claim.request);
        claims.into_iter().zip(ids).map(decide).collect()
    }

    /// The addresses of a claim that the service may use: those that its wish has room for, and those beyond.
    pub(super) fn claimed(&mut self, claim: &Claim) -> (Vec<Held>, Vec<Held>) {
        let request = &claim.request;
        let (mut held, mut more): (Vec<Held>, Vec<Held>) = (Vec::new(), Vec::new());
        for &address in &claim.addresses {
            let family = Family::of(address);
            let twice = held.iter().chain(&more).any(|held| held.address == address);
            if twice || !request.families.wants(family) || self.shareable(address, request).is_err() {
                continue;
            }
            let recorded = || claim.recorded_pools.get(&address).or(claim.recorded_pool.as_ref());
            let pool = self.pool_at(address).or_else(|| recorded().map(|name| self.pools.intern(name)));
            let Some(pool) = pool else { continue };
            // One of each family, or as many as it asks for by name.
            let asked = request.addresses.iter().filter(|asked| Family::of(**asked) == family).count();
            let have = held.iter().filter(|held| Family::of(held.address) == family).count();
            let has_room = have < asked.max(1) || request.addresses.contains(&address);
            let list = if has_room { &mut held } else { &mut more };
            list.push(Held { address, pool, grant: Grant::Adopted });
        }
        (held, more)
    }
}
