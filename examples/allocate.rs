//! `lbcore` alone: a pool, some services, and the reason for every address.
//!
//! `cargo run -p examples --bin allocate`

use std::io::{self, Write};

use lbcore::{Allocator, Family, Outcome, PoolSpec, Request, ServiceKey};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = io::stdout().lock();
    let mut allocator = Allocator::default();
    let changed = allocator.set_pools(vec![PoolSpec::parse("default", ["192.168.3.251-192.168.3.253"])?]);
    for problem in changed.problems {
        writeln!(out, "not in force: {problem}")?;
    }

    for (created, name) in ["gateway", "shop", "blog", "wiki"].into_iter().enumerate() {
        let mut request = Request::new(ServiceKey::new("default", name), Family::V4);
        request.created = i64::try_from(created)?;
        if name == "shop" {
            request.addresses = vec!["192.168.3.253".parse()?];
        }
        let decision = allocator.request(request);
        match &decision.outcome {
            Outcome::Assigned { held, .. } => {
                let holding = &held[0];
                writeln!(
                    out,
                    "{}: {} from pool {:?}: {}",
                    decision.key, holding.address, holding.pool, holding.grant
                )?;
            }
            Outcome::Pending { refusal } => writeln!(out, "{}: pending: {refusal}", decision.key)?,
        }
    }

    writeln!(out, "gateway is deleted")?;
    allocator.release(&ServiceKey::new("default", "gateway"));
    for decision in allocator.woken() {
        writeln!(out, "{}: {:?}", decision.key, decision.addresses())?;
    }
    Ok(())
}
