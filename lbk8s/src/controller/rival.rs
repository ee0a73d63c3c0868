//! Somebody else who writes the status of our Services.

use std::collections::BTreeMap;

use lbcore::ServiceKey;

/// So often a status is put right at once; from then on the one who keeps changing it is backed off from.
const PATIENCE: u32 = 3;
/// The first wait, in microseconds; it doubles each time.
const FIRST_WAIT: i64 = 2_000_000;
const LONGEST_WAIT: i64 = 300_000_000;
/// Who has been quiet for so long is forgotten, in microseconds.
const QUIET: i64 = 600_000_000;

impl Rival {
    /// Whether its wait is not over. One that is longer than any began before the clock was set back.
    fn waits(&self, now: i64) -> bool {
        self.until > now && self.until - now <= LONGEST_WAIT
    }
}

/// The Services whose status somebody else has changed.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    by_service: BTreeMap<ServiceKey, Rival>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Rival {
    times: u32,
    last: i64,
    /// Its status is not written before this.
    until: i64,
    told: bool,
}

impl Rivals {
    /// Somebody took what we had written out of the status of a Service. True if that is to be told: it has become
    /// a habit.
    pub(super) fn undone(&mut self, service: &ServiceKey, now: i64) -> bool {
        let rival = self.by_service.entry(service.clone()).or_default();
        if now - rival.last > QUIET {
            *rival = Rival::default();
        }
        rival.times += 1;
        rival.last = now;
        if rival.times <= PATIENCE {
            return false;
        }
        let wait = FIRST_WAIT.saturating_mul(1 << (rival.times - PATIENCE - 1).min(20)).min(LONGEST_WAIT);
        rival.until = now + wait;
        !std::mem::replace(&mut rival.told, true)
    }

    /// Whether the status of a Service is not to be written yet.
    pub(super) fn is_waited_out(&self, service: &ServiceKey, now: i64) -> bool {
        self.by_service.get(service).is_some_and(|rival| rival.waits(now))
    }

    /// The Services whose wait has ended since it was asked last.
    pub(super) fn ended(&mut self, now: i64) -> Vec<ServiceKey> {
        let due = self.by_service.iter_mut().filter(|(_, rival)| rival.until > 0 && !rival.waits(now));
        due.map(|(key, rival)| {
            rival.until = 0;
            key.clone()
        })
        .collect()
    }

    /// When the next wait ends.
    pub(super) fn deadline(&self) -> Option<i64> {
        self.by_service.values().map(|rival| rival.until).filter(|until| *until > 0).min()
    }

    pub(super) fn forget(&mut self, service: &ServiceKey) {
        self.by_service.remove(service);
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
        assert!(!rivals.is_waited_out(&key, 3) && rivals.deadline().is_none());
        assert!(undone(&mut rivals, 4));
        assert!(rivals.is_waited_out(&key, 5));
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
    }
}
