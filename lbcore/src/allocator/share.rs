//! Which services may have one address together.

use std::net::IpAddr;

use super::Allocator;
use crate::reason::NotShared;
use crate::{Family, Refusal, Request};

impl Allocator {
    /// Whether the service of `request` may use `address` beside whoever uses it now.
    ///
    /// # Errors
    /// [`Refusal::Taken`] with the first user in the way, and why.
    pub(super) fn shareable(&self, address: IpAddr, request: &Request) -> Result<(), Refusal> {
        for holder in self.users(address).iter().filter(|holder| **holder != request.key) {
            if let Err(why) = compatible(request, &self.services[holder].request) {
                return Err(Refusal::Taken { address, holder: holder.clone(), why });
            }
        }
        Ok(())
    }

    /// The lowest address of a pool that the service of `request` may share under its key.
    pub(super) fn lowest_shared(&self, pool: &str, family: Family, request: &Request) -> Option<IpAddr> {
        let addresses = self.shared.get(request.sharing.as_ref()?)?;
        addresses
            .iter()
            .copied()
            .filter(|address| {
                Family::of(*address) == family
                    && self.pool_of(*address).as_deref() == Some(pool)
                    && self.shareable(*address, request).is_ok()
            })
            .min_by_key(|address| self.pools[pool].space.position(*address))
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
