//! Somebody else who writes the status of our Services.

use std::collections::{BTreeMap, BTreeSet};

use lbcore::ServiceKey;

/// So often a status is put right at once; from then on the one who keeps changing it is backed off from.
const PATIENCE: u32 = 3;
/// The first wait, in microseconds; it doubles each time.
const FIRST_WAIT: i64 = 2_000_000;
const LONGEST_WAIT: i64 = 300_000_000;
/// Who has been quiet for so long is forgotten, in microseconds.
const QUIET: i64 = 600_000_000;

/// The Services whose status somebody else has changed.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    by_service: BTreeMap<ServiceKey, Rival>,
    /// The ends of the waits under way.
    ends: BTreeSet<(i64, ServiceKey)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Rival {
    times: u32,
    last: i64,
    /// Its status is not written before this.
    until: Option<i64>,
    told: bool,
}

impl Rivals {
    /// Somebody took what we had written out of the status of a Service. True if that is to be told: it has become
    /// a habit.
    pub(super) fn undone(&mut self, service: &ServiceKey, now: i64) -> bool {
        let rival = self.by_service.entry(service.clone()).or_default();
        if let Some(until) = rival.until.take() {
            self.ends.remove(&(until, service.clone()));
        }
        if now - rival.last > QUIET {
            *rival = Rival::default();
        }
        rival.times += 1;
        rival.last = now;
        if rival.times <= PATIENCE {
            return false;
        }
        let wait = FIRST_WAIT.saturating_mul(1 << (rival.times - PATIENCE - 1).min(20)).min(LONGEST_WAIT);
        rival.until = Some(now + wait);
        self.ends.insert((now + wait, service.clone()));
        !std::mem::replace(&mut rival.told, true)
    }

    /// Whether the status of a Service is not to be written yet, as of the last call of [`Rivals::ended`].
    pub(super) fn is_waited_out(&self, service: &ServiceKey) -> bool {
        self.by_service.get(service).is_some_and(|rival| rival.until.is_some())
    }

    /// The Services whose wait has ended since it was asked last.
    pub(super) fn ended(&mut self, now: i64) -> Vec<ServiceKey> {
        let mut ended = Vec::new();
        while let Some((_, service)) = self.ends.first().filter(|(until, _)| *until <= now).cloned() {
            self.ends.pop_first();
            ended.push(service);
        }
        // A wait that is longer than any began before the clock was set back.
        while let Some((_, service)) =
            self.ends.last().filter(|(until, _)| *until - now > LONGEST_WAIT).cloned()
        {
            self.ends.pop_last();
            ended.push(service);
        }
        for service in &ended {
            if let Some(rival) = self.by_service.get_mut(service) {
                rival.until = None;
            }
        }
        ended
    }

    /// When the next wait ends.
    pub(super) fn deadline(&self) -> Option<i64> {
        self.ends.first().map(|(until, _)| *until)
    }

    pub(super) fn forget(&mut self, service: &ServiceKey) {
        if let Some(until) = self.by_service.remove(service).and_then(|rival| rival.until) {
            self.ends.remove(&(until, service.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_who_keeps_changing_a_status_is_told_of_once_and_backed_off_from() {
        let (mut rivals, key) = (Rivals::default(), ServiceKey::new("n", "a"));
        let undone = |rivals: &mut Rivals, now| rivals.undone(&key, now);
        assert_eq!([1, 2, 3].map(|now| undone(&mut rivals, now)), [false; 3]);
        assert!(!rivals.is_waited_out(&key) && rivals.deadline().is_none());
        assert!(undone(&mut rivals, 4));
        assert_eq!(rivals.ended(5), []);
        assert!(rivals.is_waited_out(&key));
        assert_eq!(rivals.deadline(), Some(4 + FIRST_WAIT));
        assert_eq!(rivals.ended(3 + FIRST_WAIT), []);
        assert_eq!(rivals.ended(4 + FIRST_WAIT), std::slice::from_ref(&key));
        assert!(rivals.deadline().is_none());
        assert!(!undone(&mut rivals, 4 + FIRST_WAIT), "it was told");
        assert_eq!(rivals.deadline(), Some(4 + 3 * FIRST_WAIT));
        for times in 0..100 {
            undone(&mut rivals, 5 + times);
        }
        assert_eq!(rivals.deadline(), Some(104 + LONGEST_WAIT));
        assert!(!undone(&mut rivals, 200 + QUIET), "that was long ago");
        assert!(rivals.deadline().is_none());
        for now in 0..5 {
            undone(&mut rivals, 3 * QUIET + now);
        }
        assert_eq!(rivals.ended(0), std::slice::from_ref(&key), "the clock was set back");
        rivals.forget(&key);
        assert!(!rivals.is_waited_out(&key) && rivals.deadline().is_none());
    }
}
