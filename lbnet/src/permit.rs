//! The right to answer, which lapses by itself.
//!
//! A process that stands still (SIGSTOP, a paused virtual machine) cannot know that it does. When it goes on, its threads
//! would answer what waits in their sockets, for addresses that others answer for by now. So whoever is to notice that
//! keeps extending the permit for a short time, and every answer and announcement asks it first.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Until when addresses are answered for. Cheap to ask, by any thread.
#[derive(Debug)]
pub struct Permit {
    base: Instant,
    /// Nanoseconds after the base.
    until: AtomicU64,
}

impl Default for Permit {
    /// For good: nobody extends it, and nobody needs to.
    fn default() -> Self {
        Self { until: AtomicU64::new(u64::MAX), ..Self::lapsed() }
    }
}

impl Permit {
    /// None yet.
    #[must_use]
    pub fn lapsed() -> Self {
        Self { base: Instant::now(), until: AtomicU64::new(0) }
    }

    /// It holds until this moment, which may be earlier than before.
    pub fn set(&self, until: Instant) {
        self.until.store(self.nanoseconds(until), Ordering::Release);
    }

    /// It holds no more.
    pub fn withdraw(&self) {
        self.until.store(0, Ordering::Release);
    }

    /// Whether it holds.
    #[must_use]
    pub fn holds(&self, now: Instant) -> bool {
        self.nanoseconds(now) < self.until.load(Ordering::Acquire)
    }

    fn nanoseconds(&self, at: Instant) -> u64 {
        let since = at.checked_duration_since(self.base).unwrap_or(Duration::ZERO);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_until_its_end() {
        let (permit, now) = (Permit::lapsed(), Instant::now());
        assert!(!permit.holds(now));
        permit.set(now + Duration::from_millis(1));
        assert!(permit.holds(now) && !permit.holds(now + Duration::from_millis(1)));
        permit.withdraw();
        assert!(!permit.holds(now));
        assert!(Permit::default().holds(now + Duration::from_secs(1 << 32)));
    }
}
