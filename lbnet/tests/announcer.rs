//! Many claims at once, followed by the announcer's own deadlines until all is said.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use lbnet::announcer::Place;
use lbnet::{Announcer, Profile};

#[test]
fn no_claim_waits_for_its_first_word_until_others_had_their_second() {
    const CLAIMS: u32 = 2000;
    let profile = Profile::default();
    let (start, mut announcer) = (Instant::now(), Announcer::new(profile));
    for number in 0..CLAIMS {
        announcer.claim((Ipv4Addr::from(0x0a00_0000 + number), 2), start);
    }
    let mut first: BTreeMap<Place, Duration> = BTreeMap::new();
    while let Some(deadline) = announcer.deadline() {
        for place in announcer.due(deadline) {
            first.entry(place).or_insert(deadline - start);
        }
    }
    // The first rounds of all take this long, two frames each.
    let fair = Duration::from_secs(1) * (2 * CLAIMS) / profile.frames_per_second;
    let last = first.values().max().expect("all are announced");
    assert!(*last <= fair, "the last of {CLAIMS} is first announced after {last:?}, not {fair:?}");
}
