//! Which services may have one address together.

use std::net::IpAddr;

use super::Allocator;
use super::in_force::PoolId;
use crate::reason::NotShared;
use crate::{Family, Refusal, Request};

impl Allocator {
    /// Whether the service of `request` may use `address` beside whoever uses it now.
    ///
    /// # Errors
    /// [`Refusal::Taken`] with the first user in the way, and why.
    pub(super) fn shareable(&self, address: IpAddr, request: &Request) -> Result<(), Refusal> {
        for id in self.users.of(address) {
            let theirs = &self.services.get(id).request;
            if theirs.key == request.key {
                continue;
            }
            if let Err(why) = compatible(request, theirs) {
                return Err(Refusal::Taken { address, holder: theirs.key.clone(), why });
            }
        }
        Ok(())
    }

    /// The lowest address of a pool that the service of `request` may share under its key.
    pub(super) fn lowest_shared(&self, pool: PoolId, family: Family, request: &Request) -> Option<IpAddr> {
        let addresses = self.shared.get(request.sharing.as_ref()?)?;
        let space = &self.pools[pool].space;
        let fits = |address: &IpAddr| {
            Family::of(*address) == family
                && self.pool_at(*address) == Some(pool)
                && !self.avoided.contains_key(address)
                && space.kept_for_another(*address, &request.key).is_none()
                && self.shareable(*address, request).is_ok()
        };
        addresses.iter().copied().filter(fits).min_by_key(|address| space.position(*address))
    }
}

fn compatible(ours: &Request, theirs: &Request) -> Result<(), NotShared> {
    let (Some(our), Some(their)) = (&ours.sharing, &theirs.sharing) else {
        return Err(NotShared::NoKey);
    };
    if our.key != their.key {
        return Err(NotShared::OtherKey { theirs: their.key.clone(), ours: our.key.clone() });
    }
    if our.backend != their.backend {
        return Err(NotShared::OtherBackend);
    }
    match ours.ports.intersection(&theirs.ports).next() {
        Some(port) => Err(NotShared::PortInUse { port: *port }),
        None => Ok(()),
    }
}
