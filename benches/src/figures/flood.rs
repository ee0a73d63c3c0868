//! Questions for addresses that are somebody else's: how many of them wake the process.

use std::collections::BTreeSet;
use std::io;
use std::iter;
use std::net::{IpAddr, Ipv4Addr};

use lbnet::filter::Protocol;
use lbnet::layer2::InterfaceSnapshot;

use crate::asker::Asker;
use crate::site::{Result, Site};
use crate::{Figure, Target};

const FLOOD: usize = 100_000;
/// After so many of them one of the node's own addresses is asked for, and answered, so that none is lost on the way.
const CHUNK: usize = 100;

/// Random addresses of 10.0.0.0/8: the same each time.
fn random() -> impl Iterator<Item = Ipv4Addr> {
    // Xorshift (Marsaglia 2003).
    let next = |state: &u32| {
        let mut state = *state;
        state ^= state << 13;
        state ^= state >> 17;
        Some(state ^ (state << 5))
    };
    iter::successors(Some(0x9e37_79b9), next).map(|state| Ipv4Addr::from_bits(0x0a00_0000 | state >> 8))
}

/// Floods a node that answers for `ours`; how many questions for foreign addresses it read, and its filter.
async fn flood(site: &Site, ours: BTreeSet<Ipv4Addr>) -> Result<(f64, InterfaceSnapshot)> {
    let layer2 = site.answering(ours.iter().copied().map(IpAddr::from)).await?;
    let before = site.settled(&layer2).await?;
    let foreign = random().skip(ours.len()).filter({
        let ours = ours.clone();
        move |address| !ours.contains(address)
    });
    let foreign: Vec<Ipv4Addr> = foreign.take(FLOOD).collect();
    let own: Vec<Ipv4Addr> = ours.into_iter().collect();
    let flooding = move |asker: &Asker| {
        for (chunk, own) in foreign.chunks(CHUNK).zip(own.iter().cycle()) {
            for address in chunk {
                asker.send(&asker.question((*address).into()))?;
            }
            let answered = asker.round_trip((*own).into(), |_| {})?;
            answered.ok_or_else(|| io::Error::other(format!("{own} is not answered in a flood")))?;
        }
        Ok(())
    };
    site.ask(Protocol::Arp, flooding).await?;
    let after = site.settled(&layer2).await?;
    let foreign = |snapshot: &InterfaceSnapshot| snapshot.counters.read() - snapshot.counters.answered();
    #[expect(clippy::cast_precision_loss, reason = "the counts are small")]
    let read = (foreign(&after) - foreign(&before)) as f64;
    Ok((read, after))
}

/// Measures.
///
/// # Errors
/// What the kernel says, or a question for one of the node's own addresses is not answered.
pub async fn measure(site: &Site) -> Result<Vec<Figure>> {
    let contiguous = (0..10_000).map(|number| Ipv4Addr::from_bits(0x0a01_0000 + number));
    let scattered = |count| random().take(count).collect();
    let cases: [(_, BTreeSet<_>, _); 3] = [
        ("10,000 addresses in a row", contiguous.collect(), Target::Exactly(0.0)),
        ("1,000 scattered addresses", scattered(1_000), Target::Exactly(0.0)),
        ("10,000 scattered addresses", scattered(10_000), Target::None),
    ];
    let mut figures = Vec::new();
    for (what, ours, target) in cases {
        let (read, node) = flood(site, ours).await?;
        let filter = node.filters.get(&Protocol::Arp).ok_or("there is no filter for ARP")?;
        let kind = if filter.exact { "exact" } else { "widened" };
        let instructions = filter.instructions;
        let name = format!(
            "foreign questions read of {FLOOD} beside {what} ({kind} filter, {instructions} instructions)"
        );
        #[expect(clippy::cast_precision_loss, reason = "the count is small")]
        let all = FLOOD as f64;
        figures.push(Figure::new(name, read, "", target).beside("without a filter on targets", all));
    }
    Ok(figures)
}
