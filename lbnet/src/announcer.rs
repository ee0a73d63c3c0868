//! When to tell the LAN where an address is: at once, then with growing gaps, within a frame budget.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// How often and how fast announcements are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Rounds per claim, the first one included. A round is two frames: request form and reply form.
    pub rounds: u32,
    /// The gap between the first two rounds; each further gap is twice the one before.
    pub first_gap: Duration,
    /// Frames per second that all addresses together may send; storm control of switches drops more.
    pub frames_per_second: u32,
    /// Frames that may be sent at once after a quiet time. At least 2.
    pub burst: u32,
}

impl Default for Profile {
    /// Four rounds within 7 s (at 0, 1, 3 and 7 s); 200 frames a second in the long run, and after a quiet time 100
    /// more at once.
    fn default() -> Self {
        Self { rounds: 4, first_gap: Duration::from_secs(1), frames_per_second: 200, burst: 100 }
    }
}

/// Frames of one round: request form and reply form.
const FRAMES_PER_ROUND: u32 = 2;

/// Where an announcement is for and where it goes out.
pub type Place = (Ipv4Addr, u32);

/// The announcements that are under way. It reads no clock and sends nothing: the caller asks what is due.
#[derive(Debug, Clone)]
pub struct Announcer {
    profile: Profile,
    /// What is still to be sent, by address and index of the interface.
    claims: BTreeMap<Place, Claim>,
    /// The same in the order in which they are said, so that asking costs no walk.
    queue: BTreeMap<Turn, Place>,
    serial: u64,
    /// The time's worth of frames that may be sent, as of `filled`.
    credit: Duration,
    filled: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Claim {
    due: Instant,
    serial: u64,
    round: u32,
}

/// What is said first: claims that were never said, the latest before the others, because somebody waits for
/// it; then repetitions, the one that has been due longest before the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    First(Reverse<u64>),
    Again(Instant, u64),
}

impl Claim {
    fn turn(&self) -> Turn {
        if self.round == 0 { Turn::First(Reverse(self.serial)) } else { Turn::Again(self.due, self.serial) }
    }
}

impl Announcer {
    /// An announcer with nothing to say yet.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        let (claims, queue) = (BTreeMap::new(), BTreeMap::new());
        Self { profile, claims, queue, serial: 0, credit: Duration::ZERO, filled: None }
    }

    /// The address is ours on this interface from now on: its rounds begin, again if they were under way.
    pub fn claim(&mut self, place: Place, now: Instant) {
        self.withdraw(place);
        self.serial += 1;
        self.schedule(place, Claim { due: now, serial: self.serial, round: 0 });
    }

    /// The address is not ours on this interface any more: nothing more is said.
    pub fn withdraw(&mut self, place: Place) {
        if let Some(claim) = self.claims.remove(&place) {
            self.queue.remove(&claim.turn());
        }
    }

    /// The places to announce now, in the order in which to send. What the budget does not allow stays due.
    pub fn due(&mut self, now: Instant) -> Vec<Place> {
        self.refill(now);
        let mut places = Vec::new();
        let cost = self.cost_of_round();
        while self.credit >= cost
            && let Some((&turn, &place)) = self.queue.first_key_value()
            && self.claims[&place].due <= now
        {
            self.credit -= cost;
            self.queue.remove(&turn);
            let claim = self.claims.remove(&place).expect("the queue names claims");
            let round = claim.round + 1;
            if round < self.profile.rounds {
                let gap = self.profile.first_gap * 2_u32.saturating_pow(claim.round);
                self.schedule(place, Claim { due: now + gap, round, ..claim });
            }
            places.push(place);
        }
        places
    }

    /// When to ask [`Announcer::due`] again; nothing is to be said before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let (_, place) = self.queue.first_key_value()?;
        let due = self.claims[place].due;
        let lacking = self.cost_of_round().saturating_sub(self.credit);
        let affordable = self.filled.map_or(due, |filled| filled + lacking);
        Some(affordable.max(due))
    }

    fn schedule(&mut self, place: Place, claim: Claim) {
        self.queue.insert(claim.turn(), place);
        self.claims.insert(place, claim);
    }

    fn cost_of_round(&self) -> Duration {
        Duration::from_secs(1) * FRAMES_PER_ROUND / self.profile.frames_per_second.max(1)
    }

    fn refill(&mut self, now: Instant) {
        let most = Duration::from_secs(1) * self.profile.burst.max(FRAMES_PER_ROUND)
            / self.profile.frames_per_second.max(1);
        self.credit = match self.filled {
            None => most,
            Some(filled) => (self.credit + now.saturating_duration_since(filled)).min(most),
        };
        self.filled = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vip(last: u8) -> Place {
        (Ipv4Addr::new(10, 0, 0, last), 2)
    }

    /// Follows the announcer's own deadlines and writes down what it says, in milliseconds.
    fn run(announcer: &mut Announcer, start: Instant, until: Duration) -> Vec<(u128, Place)> {
        let mut said = Vec::new();
        while let Some(deadline) = announcer.deadline().filter(|deadline| *deadline <= start + until) {
            let at = (deadline - start).as_millis();
            let places = announcer.due(deadline);
            assert!(!places.is_empty(), "woken at {at} ms for nothing");
            said.extend(places.into_iter().map(|place| (at, place)));
        }
        said
    }

    #[test]
    fn a_claim_is_said_at_once_and_then_with_growing_gaps() {
        let (start, mut announcer) = (Instant::now(), Announcer::new(Profile::default()));
        announcer.claim(vip(1), start);
        let said = run(&mut announcer, start, Duration::from_mins(1));
        assert_eq!(said, [0, 1000, 3000, 7000].map(|at| (at, vip(1))));
        assert_eq!(announcer.deadline(), None);
    }

    #[test]
    fn a_withdrawn_claim_is_not_said_again_and_a_renewed_one_starts_over() {
        let (start, mut announcer) = (Instant::now(), Announcer::new(Profile::default()));
        announcer.claim(vip(1), start);
        announcer.claim(vip(2), start);
        assert_eq!(run(&mut announcer, start, Duration::from_millis(500)), [(0, vip(2)), (0, vip(1))]);
        announcer.withdraw(vip(1));
        announcer.claim(vip(2), start + Duration::from_millis(600));
        let said = run(&mut announcer, start, Duration::from_secs(2));
        assert_eq!(said, [(600, vip(2)), (1600, vip(2))]);
    }

    #[test]
    fn all_claims_together_stay_inside_the_budget_and_the_latest_goes_first() {
        let profile = Profile { rounds: 2, frames_per_second: 20, burst: 4, ..Profile::default() };
        let (start, mut announcer) = (Instant::now(), Announcer::new(profile));
        for last in 0..30 {
            announcer.claim(vip(last), start);
        }
        let said = run(&mut announcer, start, Duration::from_mins(1));
        assert_eq!(said.len(), 60);
        assert_eq!(said[..3], [(0, vip(29)), (0, vip(28)), (100, vip(27))]);
        for window in 0..60 {
            let frames = said.iter().filter(|(at, _)| at / 1000 == window).count() * 2;
            assert!(frames <= 24, "{frames} frames in second {window}");
        }
    }
}
