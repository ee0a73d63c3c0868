//! How fast, and how carefully.

use std::time::Duration;

/// How fast silence is noticed, and how carefully.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The time between two heartbeats.
    pub interval: Duration,
    /// So many heartbeats in a row have to be missing before anybody is asked.
    pub misses: u32,
    /// So many others are to notice when this node falls silent.
    pub watchers: usize,
    /// So many others are asked at once before a death is declared.
    pub asked: usize,
    /// So often they are asked, each time others.
    pub rounds: u32,
    /// How long a node that starts, or stood still, waits for members that do not answer.
    pub join: Duration,
}

impl Default for Settings {
    /// Silence is noticed after 0.32 s, and a death declared after 0.44 s at the latest.
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(100),
            misses: 3,
            watchers: 3,
            asked: 5,
            rounds: 2,
            join: Duration::from_secs(1),
        }
    }
}

impl Settings {
    /// The fast profile: a death is declared after a tenth of a second. For quiet networks and hosts that are not
    /// starved.
    #[must_use]
    pub fn fast() -> Self {
        Self { interval: Duration::from_millis(20), ..Self::default() }
    }

    /// After so long without a word a node is held to be silent.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.interval * self.misses + self.interval / 5
    }

    /// A process that has not looked at the time for so long stood still: others may have noticed that its last heartbeat
    /// was sent a while before.
    #[must_use]
    pub fn standstill(&self) -> Duration {
        self.silence().saturating_sub(self.interval)
    }

    /// How long answers are waited for.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.interval * 3 / 5
    }
}
