//! Which pools a service would be given an address from, in which order, and why not from the others.

use super::Allocator;
use crate::{Family, PoolVerdict, Refusal, Request};

/// The pools that were looked at for one family, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Considered {
    /// The family.
    pub family: Family,
    /// The pools that have nothing for the service, each with the reason, and where the search ended.
    pub passed_over: Vec<PoolVerdict>,
    /// The first pool that has something, with the address that it would give.
    pub found: Option<super::Holding>,
}

impl Allocator {
    /// What a service that holds nothing yet would be told of every pool, family by family, if it asked now.
    ///
    /// # Errors
    /// It names a pool that cannot serve it, or there is none.
    pub fn consider(&self, request: &Request) -> Result<Vec<Considered>, Refusal> {
        // What it asks for by name is looked for nowhere else.
        let named = self.requested(request, &[], &|_| true)?;
        let consider = |family: &Family| match named.iter().find(|held| Family::of(held.address) == *family) {
            Some(held) => {
                Ok(Considered { family: *family, passed_over: Vec::new(), found: Some(self.show(held)) })
            }
            None => self.consider_family(request, *family),
        };
        request.families.wanted().iter().map(consider).collect()
    }

    fn consider_family(&self, request: &Request, family: Family) -> Result<Considered, Refusal> {
        if let Some(own) = self.kept_for_it(request, family, &[], false) {
            return Ok(Considered { family, passed_over: Vec::new(), found: Some(self.show(&own)) });
        }
        match self.take_one(request, family, &[], false) {
            Err(Refusal::NoneFree { family, tried }) => {
                Ok(Considered { family, passed_over: tried, found: None })
            }
            Err(refusal) => Err(refusal),
            Ok(found) => {
                let pools = self.meant(request)?;
                let before = pools.iter().take_while(|pool| **pool != found.pool);
                let passed_over = before.map(|pool| PoolVerdict {
                    pool: self.pools.name(*pool).clone(),
                    verdict: self.barred(*pool, request).unwrap_or_else(|| self.emptiness(*pool, family)),
                });
                Ok(Considered { family, passed_over: passed_over.collect(), found: Some(self.show(&found)) })
            }
        }
    }
}
