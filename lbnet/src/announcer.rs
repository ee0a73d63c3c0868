//! When to tell the LAN where an address is: at once, then with growing gaps, then now and then, within a frame
//! budget.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How often and how fast announcements are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Rounds per claim, the first one included. A round of an IPv4 address is two frames, request form and reply
    /// form; one of an IPv6 address is one, an unsolicited advertisement.
    pub rounds: u32,
    /// The gap between the first two rounds; each further gap is twice the one before.
    pub first_gap: Duration,
    /// The gap between the rounds that go on for as long as the address is held, so that switches do not forget
    /// where it is; `None` for none.
    pub refresh: Option<Duration>,
    /// By how much a gap is longer at most, in percent of it, so that what was claimed at once is not repeated at
    /// once. How much it is depends on the address and the round alone.
    pub jitter: u32,
    /// Frames per second that all addresses together may send; storm control of switches drops more.
    pub frames_per_second: u32,
    /// Frames that may be sent at once after a quiet time. At least 2.
    pub burst: u32,
}

impl Default for Profile {
    /// Four rounds within about 7 s (at 0, 1, 3 and 7 s), then one every 4 minutes: switches forget after 5, as
    /// IEEE 802.1D recommends. 200 frames a second in the long run, and after a quiet time 100 more at once.
    fn default() -> Self {
        Self {
            rounds: 4,
            first_gap: Duration::from_secs(1),
            refresh: Some(Duration::from_mins(4)),
            jitter: 10,
            frames_per_second: 200,
            burst: 100,
        }
    }
}

/// Where an announcement is for and where it goes out: an address, and an interface by index.
pub type Place = (IpAddr, u32);

/// An announcement that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// What to announce where.
    pub place: Place,
    /// It is the first word about this claim: neighbours that asked for the address lately are to be told each by
    /// itself too.
    pub first: bool,
}

/// The announcements that are under way. It reads no clock and sends nothing: the caller asks what is due.
#[derive(Debug, Clone)]
pub struct Announcer {
    profile: Profile,
    /// What is still to be sent, by address and index of the interface.
    claims: BTreeMap<Place, Claim>,
    /// The same in the order in which they are said, so that asking costs no walk.
    queue: BTreeMap<Turn, Place>,
    serial: u64,
    credit: Credit,
}

#[derive(Debug, Clone, Copy)]
struct Claim {
    due: Instant,
    serial: u64,
    round: u32,
    /// When somebody asked for the address last, if that is known.
    asked: Option<Instant>,
}

/// What is said first: claims that were never said, those asked for most recently before the others, and then the
/// latest, because somebody waits for it; then repetitions, the one that has been due longest before the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    First(Reverse<Option<Instant>>, Reverse<u64>),
    Again(Instant, u64),
}

impl Claim {
    fn turn(&self) -> Turn {
        match self.round {
            0 => Turn::First(Reverse(self.asked), Reverse(self.serial)),
            _ => Turn::Again(self.due, self.serial),
        }
    }
}

impl Announcer {
    /// An announcer with nothing to say yet.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        let (claims, queue) = (BTreeMap::new(), BTreeMap::new());
        Self { credit: Credit::new(&profile), profile, claims, queue, serial: 0 }
    }

    /// The address is ours on this interface from now on: its rounds begin, again if they were under way. `asked`
    /// is when somebody asked for it last.
    pub fn claim(&mut self, place: Place, asked: Option<Instant>, now: Instant) {
        self.withdraw(place);
        self.serial += 1;
        self.schedule(place, Claim { due: now, serial: self.serial, round: 0, asked });
    }

    /// The address is not ours on this interface any more: nothing more is said.
    pub fn withdraw(&mut self, place: Place) {
        if let Some(claim) = self.claims.remove(&place) {
            self.queue.remove(&claim.turn());
        }
    }

    /// Whether any claim waits for its first word.
    #[must_use]
    pub fn has_first_words(&self) -> bool {
        matches!(self.queue.first_key_value(), Some((Turn::First(..), _)))
    }

    /// Somebody asked for the address: if its first word is not out yet, it goes before the others.
    pub fn asked(&mut self, place: Place, now: Instant) {
        if let Some(claim) = self.claims.get(&place).copied().filter(|claim| claim.round == 0) {
            self.queue.remove(&claim.turn());
            self.schedule(place, Claim { asked: Some(now), ..claim });
        }
    }

    /// The announcements of now, in the order in which to send them, and no more than `most`. What the budget does
    /// not allow stays due.
    pub fn due(&mut self, now: Instant, most: usize) -> Vec<Due> {
        self.credit.refill(now);
        let mut said = Vec::new();
        while said.len() < most
            && let Some((&turn, &place)) = self.queue.first_key_value()
            && self.claims[&place].due <= now
            && self.credit.has(frames(place))
        {
            self.credit.spend(frames(place));
            self.queue.remove(&turn);
            let claim = self.claims.remove(&place).expect("the queue names claims");
            said.push(Due { place, first: claim.round == 0 });
            let round = claim.round.saturating_add(1);
            if let Some(gap) = self.gap(claim.round) {
                let due = now + gap + self.jitter(place, claim.round, gap);
                self.schedule(place, Claim { due, round, ..claim });
            }
        }
        said
    }

    /// Whether the budget has enough for one round of an address.
    pub fn affords(&mut self, place: Place, now: Instant) -> bool {
        self.credit.refill(now);
        self.credit.has(frames(place))
    }

    /// Frames that were sent beside those of [`Announcer::due`]; they count too, and what is due next waits for it.
    pub fn spend(&mut self, frames: u32) {
        self.credit.spend(frames);
    }

    /// When to ask [`Announcer::due`] again; nothing is to be said before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let (_, place) = self.queue.first_key_value()?;
        let due = self.claims[place].due;
        Some(self.credit.affordable(frames(*place)).map_or(due, |at| at.max(due)))
    }

    /// How long after this round the next one is.
    fn gap(&self, round: u32) -> Option<Duration> {
        if round + 1 < self.profile.rounds {
            return Some(self.profile.first_gap.saturating_mul(2_u32.saturating_pow(round)));
        }
        self.profile.refresh
    }

    fn jitter(&self, (address, interface): Place, round: u32, gap: Duration) -> Duration {
        let mut hasher = DefaultHasher::new();
        (address, interface, round).hash(&mut hasher);
        let share = u32::try_from(hasher.finish() % 1000).unwrap_or_default();
        gap.saturating_mul(self.profile.jitter) / 100 * share / 1000
    }

    fn schedule(&mut self, place: Place, claim: Claim) {
        self.queue.insert(claim.turn(), place);
        self.claims.insert(place, claim);
    }
}

/// Frames of one round.
fn frames((address, _): Place) -> u32 {
    if address.is_ipv4() { 2 } else { 1 }
}

/// The frames that may be sent, counted in the nanoseconds that earn them.
#[derive(Debug, Clone)]
struct Credit {
    /// What one frame costs.
    price: i64,
    most: i64,
    /// Below zero after more was spent than there was.
    left: i64,
    filled: Option<Instant>,
}

impl Credit {
    fn new(profile: &Profile) -> Self {
        let price = 1_000_000_000 / i64::from(profile.frames_per_second.max(1));
        let most = price * i64::from(profile.burst.max(2));
        Self { price, most, left: most, filled: None }
    }

    fn refill(&mut self, now: Instant) {
        let since = self.filled.map_or(Duration::ZERO, |filled| now.saturating_duration_since(filled));
        let earned = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
        self.left = self.left.saturating_add(earned).min(self.most);
        self.filled = Some(now);
    }

    fn has(&self, frames: u32) -> bool {
        self.left >= self.price * i64::from(frames)
    }

    fn spend(&mut self, frames: u32) {
        // A debt is paid back within a second, or the time that earns a burst, however large it was.
        let most = self.most.max(1_000_000_000);
        self.left = (self.left - self.price * i64::from(frames)).max(-most);
    }

    /// When there is enough for as many frames; `None` if that is not known to be later than now.
    fn affordable(&self, frames: u32) -> Option<Instant> {
        let lacking = self.price * i64::from(frames) - self.left;
        let lacking = Duration::from_nanos(u64::try_from(lacking).unwrap_or_default());
        self.filled.map(|filled| filled + lacking)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No end to what may be said at a time.
    const ALL: usize = usize::MAX;

    fn vip(last: u8) -> Place {
        (IpAddr::from([10, 0, 0, last]), 2)
    }

    /// Without jitter and refresh.
    fn plain() -> Profile {
        Profile { jitter: 0, refresh: None, ..Profile::default() }
    }

    /// Follows the announcer's own deadlines and writes down what it says, in milliseconds.
    fn run(announcer: &mut Announcer, start: Instant, until: Duration) -> Vec<(u128, Place)> {
        let mut said = Vec::new();
        while let Some(deadline) = announcer.deadline().filter(|deadline| *deadline <= start + until) {
            let at = (deadline - start).as_millis();
            let due = announcer.due(deadline, ALL);
            assert!(!due.is_empty(), "woken at {at} ms for nothing");
            said.extend(due.into_iter().map(|due| (at, due.place)));
        }
        said
    }

    fn places(due: Vec<Due>) -> Vec<Place> {
        due.into_iter().map(|due| due.place).collect()
    }

    #[test]
    fn a_claim_is_said_at_once_and_then_with_growing_gaps() {
        let (start, mut announcer) = (Instant::now(), Announcer::new(plain()));
        announcer.claim(vip(1), None, start);
        let said = run(&mut announcer, start, Duration::from_mins(1));
        assert_eq!(said, [0, 1000, 3000, 7000].map(|at| (at, vip(1))));
        assert_eq!(announcer.deadline(), None);
    }

    #[test]
    fn what_is_held_is_said_now_and_then_for_as_long_as_it_is_held() {
        let profile = Profile { refresh: Some(Duration::from_mins(4)), ..plain() };
        let (start, mut announcer) = (Instant::now(), Announcer::new(profile));
        announcer.claim(vip(1), None, start);
        let said = run(&mut announcer, start, Duration::from_mins(13));
        let seconds: Vec<u128> = said.iter().map(|(at, _)| at / 1000).collect();
        assert_eq!(seconds, [0, 1, 3, 7, 247, 487, 727]);
        announcer.withdraw(vip(1));
        assert_eq!(announcer.deadline(), None);
    }

    #[test]
    fn jitter_makes_gaps_longer_by_its_share_at_most_and_different_for_each_address() {
        let profile = Profile { jitter: 10, refresh: Some(Duration::from_mins(4)), ..Profile::default() };
        let gaps = |address: u8| {
            let (start, mut announcer) = (Instant::now(), Announcer::new(profile));
            announcer.claim(vip(address), None, start);
            let said = run(&mut announcer, start, Duration::from_mins(30));
            said.windows(2).map(|pair| pair[1].0 - pair[0].0).collect::<Vec<u128>>()
        };
        let (one, other) = (gaps(1), gaps(2));
        for (least, gap) in [1000, 2000, 4000, 240_000, 240_000].into_iter().zip(&one) {
            assert!((least..=least * 11 / 10).contains(gap), "{gap} ms");
        }
        assert_ne!(one, other);
        assert_eq!(one, gaps(1), "it depends on nothing else");
        assert_ne!(one[3], one[4], "nor is it the same each time");
    }

    #[test]
    fn a_withdrawn_claim_is_not_said_again_and_a_renewed_one_starts_over() {
        let (start, mut announcer) = (Instant::now(), Announcer::new(plain()));
        announcer.claim(vip(1), None, start);
        announcer.claim(vip(2), None, start);
        announcer.due(start, ALL);
        announcer.withdraw(vip(1));
        let later = start + Duration::from_millis(500);
        announcer.claim(vip(2), None, later);
        let said = run(&mut announcer, start, Duration::from_mins(1));
        assert_eq!(said, [500, 1500, 3500, 7500].map(|at| (at, vip(2))));
    }

    #[test]
    fn all_together_stay_within_the_budget_and_nothing_is_left_out() {
        let profile = Profile { rounds: 1, frames_per_second: 100, burst: 10, ..plain() };
        let (start, mut announcer) = (Instant::now(), Announcer::new(profile));
        for last in 0..100 {
            announcer.claim(vip(last), None, start);
        }
        let said = run(&mut announcer, start, Duration::from_mins(1));
        assert_eq!(said.iter().filter(|(at, _)| *at == 0).count(), 5, "the burst is ten frames");
        // Two frames each: fifty a second after the burst.
        let last = said.last().expect("all are said").0;
        assert_eq!((said.len(), last), (100, 1900));
    }

    #[test]
    fn what_is_spent_beside_is_earned_again_before_more_is_said() {
        let profile = Profile { rounds: 1, frames_per_second: 100, burst: 2, ..plain() };
        let (start, mut announcer) = (Instant::now(), Announcer::new(profile));
        announcer.claim(vip(1), None, start);
        announcer.claim(vip(2), None, start);
        assert_eq!(places(announcer.due(start, ALL)), [vip(2)]);
        announcer.spend(3);
        assert_eq!(run(&mut announcer, start, Duration::from_secs(1)), [(50, vip(1))]);
    }

    #[test]
    fn first_words_go_before_repetitions_and_the_latest_before_the_others() {
        let (start, mut announcer) = (Instant::now(), Announcer::new(plain()));
        announcer.claim(vip(1), None, start);
        announcer.due(start, ALL);
        let later = start + Duration::from_secs(1);
        announcer.claim(vip(2), None, later);
        announcer.claim(vip(3), None, later);
        assert_eq!(places(announcer.due(later, ALL)), [vip(3), vip(2), vip(1)]);
    }

    #[test]
    fn what_was_asked_for_most_recently_goes_first() {
        let (start, mut announcer) = (Instant::now(), Announcer::new(plain()));
        let ago = |seconds| Some(start.checked_sub(Duration::from_secs(seconds)).expect("up for a minute"));
        for (last, asked) in [(1, ago(20)), (2, None), (3, ago(10)), (4, None)] {
            announcer.claim(vip(last), asked, start);
        }
        announcer.asked(vip(2), start);
        announcer.asked(vip(9), start);
        let due = announcer.due(start, ALL);
        assert!(due.iter().all(|due| due.first));
        assert_eq!(places(due), [vip(2), vip(3), vip(1), vip(4)]);
        let second = announcer.deadline().unwrap();
        assert!(announcer.due(second, ALL).iter().all(|due| !due.first));
    }

    #[test]
    fn no_more_is_said_at_a_time_than_was_asked_for() {
        let (start, mut announcer) = (Instant::now(), Announcer::new(plain()));
        for last in 0..5 {
            announcer.claim(vip(last), None, start);
        }
        assert_eq!(announcer.due(start, 2).len(), 2);
        assert!(announcer.deadline().is_some_and(|deadline| deadline <= start));
        assert_eq!(announcer.due(start, ALL).len(), 3);
    }
}
