//! Many claims at once, followed by the announcer's own deadlines until all is said.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use lbnet::announcer::Place;
use lbnet::{Announcer, Profile};

#[test]
fn no_claim_waits_for_its_first_word_until_others_had_their_second() {
    const CLAIMS: u32 = 2000;
    let profile = Profile { refresh: None, ..Profile::default() };
    let (start, mut announcer) = (Instant::now(), Announcer::new(profile));
    for number in 0..CLAIMS {
        let [_, b, c, d] = number.to_be_bytes();
        announcer.claim((IpAddr::from([10, b, c, d]), 2), None, start);
    }
    let mut first: BTreeMap<Place, Duration> = BTreeMap::new();
    while let Some(deadline) = announcer.deadline() {
        for due in announcer.due(deadline, usize::MAX) {
            first.entry(due.place).or_insert(deadline - start);
        }
    }
    // The first rounds of all take this long, two frames each.
    let fair = Duration::from_secs(1) * (2 * CLAIMS) / profile.frames_per_second;
    let last = first.values().max().expect("all are announced");
    assert!(*last <= fair, "the last of {CLAIMS} is first announced after {last:?}, not {fair:?}");
}
