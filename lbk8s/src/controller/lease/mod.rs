//! The Lease that says which controller gives addresses (`coordination.k8s.io/v1`).
//!
//! A resourceVersion guards one Service and not one address: two controllers can give one address to two Services
//! without either noticing. So only one gives at a time. [`Lease`] is the pure part, with a clock that only runs
//! forward: what the clocks of other machines say counts for nothing. Another's Lease is over when it has not
//! changed for as long as it says; our own is over when it was not renewed in time, counted from before the last
//! successful renewal was sent.

mod edge;

use std::time::Duration;

pub use edge::{Turn, hold};

/// The name of the Lease.
pub const NAME: &str = "lbd-controller";
/// How long a Lease counts without being renewed.
pub const DURATION: Duration = Duration::from_secs(6);
/// How long a holder may give addresses after the last renewal began: less than others wait.
pub const DEADLINE: Duration = Duration::from_secs(4);
/// How often it is renewed, and looked at by those who do not have it.
pub const PERIOD: Duration = Duration::from_secs(1);

/// What a Lease says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Who has it; empty if nobody does.
    pub holder: String,
    /// How long it counts without a change.
    pub duration: Duration,
    /// `metadata.resourceVersion`: it changes with every renewal.
    pub version: String,
}

/// What is to be done about a Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Write it with our name: it is free, over, or ours.
    Write,
    /// Somebody else has it. Look again in a while.
    Wait,
}

/// One who would like to have the Lease. Times are moments of a clock that only runs forward.
#[derive(Debug)]
pub struct Lease {
    identity: String,
    /// What was read last, and when it was seen first in this form.
    observed: Option<(Record, Duration)>,
    /// Until when addresses may be given.
    until: Option<Duration>,
}

impl Lease {
    /// One with this name, which no other process has, not even an earlier one in its place.
    #[must_use]
    pub fn new(identity: impl Into<String>) -> Self {
        Self { identity: identity.into(), observed: None, until: None }
    }

    /// The Lease was read, or with `None` there is none.
    pub fn observe(&mut self, record: Option<Record>, now: Duration) -> Step {
        let Some(record) = record else {
            // Somebody deleted it. Whoever had it may not know yet.
            let another_has_it = self.observed.as_ref().is_some_and(|(known, since)| {
                let is_ours = known.holder.is_empty() || known.holder == self.identity;
                !is_ours && now.saturating_sub(*since) < known.duration
            });
            return if another_has_it { Step::Wait } else { Step::Write };
        };
        let since = match &self.observed {
            Some((known, since)) if *known == record => *since,
            _ => now,
        };
        let over = now.saturating_sub(since) >= record.duration;
        let step = if record.holder.is_empty() || record.holder == self.identity || over {
            Step::Write
        } else {
            Step::Wait
        };
        if step == Step::Wait {
            self.until = None;
        }
        self.observed = Some((record, since));
        step
    }

    /// The Lease was written with our name; that was begun at `began`.
    pub fn written(&mut self, record: Record, began: Duration) {
        self.observed = Some((record, began));
        self.until = Some(began + DEADLINE);
    }

    /// Whether addresses may be given now.
    #[must_use]
    pub fn is_held(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Until when addresses may be given, if it is not renewed before.
    #[must_use]
    pub fn until(&self) -> Option<Duration> {
        self.until
    }

    /// Who has it, as far as is known.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        self.observed.as_ref().map(|(record, _)| record.holder.as_str()).filter(|holder| !holder.is_empty())
    }

    /// What was read or written last.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        self.observed.as_ref().map(|(record, _)| record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(holder: &str, version: u32) -> Record {
        Record { holder: holder.to_owned(), duration: DURATION, version: version.to_string() }
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_that_is_free_or_missing_is_taken_at_once() {
        assert_eq!(Lease::new("a").observe(None, at(9)), Step::Write);
        assert_eq!(Lease::new("a").observe(Some(record("", 1)), at(9)), Step::Write);
        assert_eq!(Lease::new("a").observe(Some(record("a", 1)), at(9)), Step::Write);
    }

    #[test]
    fn another_ones_lease_is_waited_out_by_our_own_clock() {
        let mut lease = Lease::new("a");
        assert_eq!(lease.observe(Some(record("b", 1)), at(100)), Step::Wait);
        assert_eq!(lease.observe(Some(record("b", 1)), at(105)), Step::Wait);
        assert_eq!(lease.observe(Some(record("b", 2)), at(105)), Step::Wait, "it was renewed");
        assert_eq!(lease.observe(Some(record("b", 2)), at(110)), Step::Wait);
        assert_eq!(lease.observe(Some(record("b", 2)), at(111)), Step::Write);
    }

    #[test]
    fn a_holder_stops_before_others_may_begin() {
        let mut lease = Lease::new("a");
        lease.written(record("a", 3), at(10));
        assert!(lease.is_held(at(13)) && !lease.is_held(at(14)));
        assert!(DEADLINE < DURATION);
        lease.written(record("a", 4), at(12));
        assert!(lease.is_held(at(15)));
        assert_eq!(lease.observe(Some(record("b", 5)), at(13)), Step::Wait);
        assert!(!lease.is_held(at(13)), "somebody took it");
    }
}
