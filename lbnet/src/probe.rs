//! Whether anybody has an address already, asked before it is used for the first time (RFC 5227 section 2.1, RFC 4862
//! section 5.4).

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use pnet_base::MacAddr;

/// How an address is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// How often it is asked who has the address.
    pub questions: u32,
    /// The time in which an answer is waited for after each question.
    pub gap: Duration,
    /// How long after the first question an address may be answered that nobody has claimed since, although it is not
    /// announced before the last one. Not so if it was found taken before.
    pub quiet: Duration,
    /// How long after an address was found taken it is probed again. Up to half of it is added, by who has it and
    /// how often it was found so: two stations that give way to each other must not ask at the same moment for ever.
    pub again: Duration,
}

impl Default for Profile {
    /// Three questions 70 ms apart, so that an address is announced after 0.21 s. RFC 5227 section 1.1 takes 5 to 7 s,
    /// which fits a host that starts and not a Service that somebody waits for. A station on a LAN answers within a
    /// millisecond or two, so that whoever asks is answered after 5 ms of silence. What answers after all of that is found
    /// by the watch for conflicts.
    fn default() -> Self {
        Self {
            questions: 3,
            gap: Duration::from_millis(70),
            quiet: Duration::from_millis(5),
            again: Duration::from_secs(30),
        }
    }
}

/// How many stations are told of for one address, so that nobody can make a flood of news.
const CROWD: usize = 8;

/// Something that a probe comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask who has the address.
    Ask(IpAddr),
    /// Nobody has said yet that he has it: whoever asks may be answered.
    Quiet(IpAddr),
    /// Nobody has it. The probe is over.
    Free(IpAddr),
}

/// The probes that are under way. It reads no clock and sends nothing: the caller asks what is due.
#[derive(Debug, Clone)]
pub struct Probes {
    profile: Profile,
    under_way: BTreeMap<IpAddr, Probe>,
}

#[derive(Debug, Clone)]
struct Probe {
    asked: u32,
    next: Instant,
    /// When it has been quiet for long enough; none once it has, or if it was found taken.
    quiet: Option<Instant>,
    /// Who was found to have it.
    taken_by: Option<MacAddr>,
    /// How often it was found taken.
    found_taken: u32,
    /// Who was told of. Of a crowd only the first.
    told: BTreeSet<MacAddr>,
}

impl Probes {
    /// No probe is under way.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self { profile, under_way: BTreeMap::new() }
    }

    /// Begins to probe an address; one that is probed already goes on as it was.
    pub fn start(&mut self, address: IpAddr, now: Instant) {
        self.under_way.entry(address).or_insert(Probe {
            asked: 0,
            next: now,
            quiet: Some(now + self.profile.quiet),
            taken_by: None,
            found_taken: 0,
            told: BTreeSet::new(),
        });
    }

    /// The address is known to be taken: it is probed after a while.
    pub fn taken(&mut self, address: IpAddr, by: MacAddr, now: Instant) {
        let before = self.under_way.remove(&address);
        let (before, mut told) = before.map_or((0, BTreeSet::new()), |probe| (probe.found_taken, probe.told));
        let found_taken = before.saturating_add(1);
        if told.len() < CROWD {
            told.insert(by);
        }
        let mut hasher = DefaultHasher::new();
        (address, by.octets(), found_taken).hash(&mut hasher);
        let share = u32::try_from(hasher.finish() % 1000).unwrap_or_default();
        let next = now + self.profile.again + self.profile.again / 2 * share / 1000;
        let probe = Probe { asked: 0, next, quiet: None, taken_by: Some(by), found_taken, told };
        self.under_way.insert(address, probe);
    }

    /// It could not be asked: that is tried again after a while, and counts for nothing.
    pub fn postpone(&mut self, address: IpAddr, now: Instant) {
        if let Some(probe) = self.under_way.get_mut(&address) {
            (probe.asked, probe.next, probe.quiet) = (0, now + self.profile.again, None);
        }
    }

    /// Asks at once again for the addresses that were found taken by these.
    pub fn hurry(&mut self, by: impl Fn(MacAddr) -> bool, now: Instant) {
        for probe in self.under_way.values_mut() {
            if probe.taken_by.is_some_and(&by) {
                (probe.asked, probe.next) = (0, now);
            }
        }
    }

    /// Gives a probe up.
    pub fn stop(&mut self, address: IpAddr) {
        self.under_way.remove(&address);
    }

    /// Whether it is being asked now who has the address, and not only some day again.
    #[must_use]
    pub fn is_asking(&self, address: IpAddr) -> bool {
        self.under_way.get(&address).is_some_and(|probe| probe.asked > 0)
    }

    /// Somebody has the address; whether that is news. It is probed again after a while.
    pub fn heard(&mut self, address: IpAddr, from: MacAddr, now: Instant) -> bool {
        let Some(probe) = self.under_way.get(&address) else { return false };
        let is_news = probe.told.len() < CROWD && !probe.told.contains(&from);
        self.taken(address, from, now);
        is_news
    }

    /// How many addresses are probed that nobody was found to have.
    #[must_use]
    pub fn asking(&self) -> usize {
        self.under_way.values().filter(|probe| probe.taken_by.is_none()).count()
    }

    /// Whether nothing is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Who was found to have an address.
    #[must_use]
    pub fn taken_by(&self, address: IpAddr) -> Option<MacAddr> {
        self.under_way.get(&address)?.taken_by
    }

    /// What is due, by address.
    pub fn due(&mut self, now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        let Profile { questions, gap, .. } = self.profile;
        self.under_way.retain(|address, probe| {
            if probe.quiet.take_if(|quiet| *quiet <= now).is_some() {
                steps.push(Step::Quiet(*address));
            }
            if probe.next > now {
                return true;
            }
            if probe.asked == questions {
                steps.push(Step::Free(*address));
                return false;
            }
            probe.asked += 1;
            probe.next = now + gap;
            steps.push(Step::Ask(*address));
            true
        });
        steps
    }

    /// When to ask [`Probes::due`] again.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.under_way.values().flat_map(|probe| [Some(probe.next), probe.quiet]).flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDER: MacAddr = MacAddr(2, 0, 0, 0, 0, 0x99);

    fn vip() -> IpAddr {
        IpAddr::from([10, 0, 0, 1])
    }

    /// Follows the deadlines until nothing is under way; what was due at which millisecond.
    fn run(probes: &mut Probes, start: Instant) -> Vec<(u128, Step)> {
        let mut steps = Vec::new();
        while let Some(deadline) = probes.deadline() {
            let due = probes.due(deadline);
            assert!(!due.is_empty(), "woken for nothing");
            steps.extend(due.into_iter().map(|step| ((deadline - start).as_millis(), step)));
        }
        steps
    }

    #[test]
    fn three_questions_without_an_answer_find_an_address_free() {
        let (start, mut probes) = (Instant::now(), Probes::new(Profile::default()));
        probes.start(vip(), start);
        let (ask, quiet) = (Step::Ask(vip()), Step::Quiet(vip()));
        let steps = [(0, ask), (5, quiet), (70, ask), (140, ask), (210, Step::Free(vip()))];
        assert_eq!(run(&mut probes, start), steps);
        assert!(probes.is_empty());
    }

    #[test]
    fn an_address_that_somebody_has_is_asked_for_again_after_a_while_and_told_of_once() {
        let (start, mut probes) = (Instant::now(), Probes::new(Profile::default()));
        assert!(!probes.heard(vip(), HOLDER, start), "nobody asked");
        probes.start(vip(), start);
        probes.due(start);
        assert!(probes.heard(vip(), HOLDER, start));
        assert!(!probes.heard(vip(), HOLDER, start));
        assert_eq!(probes.taken_by(vip()), Some(HOLDER));
        let again = probes.deadline().unwrap();
        let wait = Duration::from_secs(30)..=Duration::from_secs(45);
        assert!(wait.contains(&(again - start)), "{:?}", again - start);
        assert!(!probes.is_asking(vip()));
        assert_eq!(probes.due(again), [Step::Ask(vip())]);
        assert!(!probes.heard(vip(), HOLDER, again), "he has it still");
        let second = probes.deadline().unwrap();
        assert!(wait.contains(&(second - again)) && second - again != again - start);
        let last = (second - start).as_millis() + 210;
        let steps = run(&mut probes, start);
        assert_eq!(steps.last(), Some(&(last, Step::Free(vip()))));
        assert!(!steps.iter().any(|(_, step)| *step == Step::Quiet(vip())), "he may be slow to answer");
    }

    #[test]
    fn a_probe_that_was_given_up_comes_to_nothing() {
        let (start, mut probes) = (Instant::now(), Probes::new(Profile::default()));
        probes.start(vip(), start);
        probes.stop(vip());
        assert_eq!(probes.deadline(), None);
        assert_eq!(probes.due(start), []);
    }
}
