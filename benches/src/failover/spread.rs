//! How evenly a thousand addresses are spread over ten nodes, and how many of them move when a node comes or goes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use lblab::simulated::Place;

use super::count;
use super::speaking::Speakers;
use crate::site::Result;
use crate::{Figure, Target};

const NODES: usize = 10;
const ADDRESSES: u16 = 1000;
const SECOND: Duration = Duration::from_secs(1);
/// After so long all is at rest.
const REST: Duration = Duration::from_secs(5);
/// For so long an address may go to a node that starts, so that nodes which start one after another share them.
const SETTLED: Duration = Duration::from_secs(61);
const TARGET: Target = Target::AtMost(1.25);

type Owners = BTreeMap<IpAddr, Place>;

pub(super) fn measure() -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (how, pause) in [
        ("all at once", Duration::ZERO),
        ("one by one, each 0.2 s after the one before", SECOND / 5),
        ("one by one, each 3 s after the one before", 3 * SECOND),
    ] {
        let mut speakers = started(pause)?;
        let owners = speakers.owners()?;
        figures.push(evenness(&format!("started {how}"), &owners, NODES));
        if pause == Duration::ZERO {
            figures.extend(comes_and_goes(&mut speakers, &owners)?);
        }
    }
    Ok(figures)
}

/// Ten nodes whose objects are there, and whose speakers start with such a pause.
fn started(pause: Duration) -> Result<Speakers> {
    let mut speakers = Speakers::new(NODES + 1, ADDRESSES, 3)?;
    speakers.add_nodes(0..NODES)?;
    for place in 0..NODES {
        speakers.start(place)?;
        speakers.run(pause);
    }
    speakers.run(REST);
    Ok(speakers)
}

fn comes_and_goes(speakers: &mut Speakers, before: &Owners) -> Result<Vec<Figure>> {
    let lost = 4;
    speakers.kill(lost);
    speakers.run(REST);
    let after = speakers.owners()?;
    let had = before.values().filter(|place| **place == lost).count();
    let needless = moved(before, &after).filter(|(from, _)| *from != lost).count();
    let mut figures = vec![
        evenness("one of them lost", &after, NODES - 1),
        Figure::new(
            "1,000 addresses, a node is lost: moved from others than that",
            count(needless),
            "",
            Target::Exactly(0.0),
        )
        .and("moved from it, as they must", count(had)),
    ];
    speakers.start(lost)?;
    speakers.run(REST);
    let back = speakers.owners()?;
    figures.push(Figure::new(
        "1,000 addresses, it comes back: moved",
        count(moved(&after, &back).count()),
        "",
        // It takes nothing back.
        Target::Exactly(0.0),
    ));
    speakers.run(SETTLED);
    speakers.add_nodes([NODES])?;
    speakers.start(NODES)?;
    speakers.run(REST);
    let more = speakers.owners()?;
    figures.push(Figure::new(
        "1,000 addresses, an eleventh node is added: moved",
        count(moved(&back, &more).count()),
        "",
        // An address stays where it is.
        Target::Exactly(0.0),
    ));
    Ok(figures)
}

/// Those that another one answers for now: who did, and who does.
fn moved<'a>(before: &'a Owners, after: &'a Owners) -> impl Iterator<Item = (Place, Option<Place>)> + 'a {
    let now = |address: &IpAddr| after.get(address).copied();
    before.iter().map(move |(address, from)| (*from, now(address))).filter(|(from, to)| Some(*from) != *to)
}

/// The largest share by the mean of all nodes.
fn evenness(how: &str, owners: &Owners, nodes: usize) -> Figure {
    let mut shares = BTreeMap::<Place, usize>::new();
    for place in owners.values() {
        *shares.entry(*place).or_default() += 1;
    }
    let most = shares.values().copied().max().unwrap_or_default();
    let mean = count(owners.len()) / count(nodes);
    let name = format!("{} addresses on {nodes} nodes, {how}: largest share by the mean", owners.len());
    Figure::new(name, count(most) / mean, "", TARGET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_moves_are_counted() {
        let owners = |places: &[Place]| -> Owners {
            (0..=255).zip(places).map(|(last, place)| (IpAddr::from([10, 0, 0, last]), *place)).collect()
        };
        let (before, after) = (owners(&[0, 0, 0, 1]), owners(&[0, 2, 0, 2]));
        assert!((evenness("", &before, 2).value - 1.5).abs() < 1e-9);
        assert_eq!(moved(&before, &after).collect::<Vec<_>>(), [(0, Some(2)), (1, Some(2))]);
    }
}
