//! Durations, counted by class, as histograms are made of.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Durations, counted by class.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Durations {
    /// How many there were.
    pub count: u64,
    /// All together, in seconds.
    pub seconds: f64,
    /// The longest, in seconds.
    pub longest: f64,
    /// How many lasted up to so many seconds; what lasted longer is in `count` alone.
    pub up_to: Vec<(f64, u64)>,
}

impl Durations {
    /// None so far, to be counted in classes with these upper ends, which ascend.
    #[must_use]
    pub fn up_to(ends: &[Duration]) -> Self {
        Self { up_to: ends.iter().map(|end| (end.as_secs_f64(), 0)).collect(), ..Self::default() }
    }

    /// Counts one more.
    pub fn add(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        self.count += 1;
        self.seconds += seconds;
        self.longest = self.longest.max(seconds);
        for (end, count) in &mut self.up_to {
            *count += u64::from(seconds <= *end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_in_its_class_and_all_above() {
        let milliseconds = Duration::from_millis;
        let mut durations = Durations::up_to(&[milliseconds(10), milliseconds(100)]);
        for it in [5, 10, 50, 500] {
            durations.add(milliseconds(it));
        }
        assert_eq!(durations.up_to.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [2, 3]);
        assert_eq!((durations.count, durations.longest), (4, 0.5));
    }
}
