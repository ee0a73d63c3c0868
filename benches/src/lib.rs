//! The figures that this project promises, and what they are compared with.
//!
//! `cargo run --release -p benches -- report` prints one table of them; the criterion benches beside it look
//! at the small ones more closely. Each figure is a file under `figures` that returns [`Figure`]s; a new
//! one is added to [`all`]. Nothing here asserts a time: machines differ, ratios in one run are what counts.

pub mod baseline;
pub mod figures;

use std::time::{Duration, Instant};

use serde::Serialize;

/// One promise, measured.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// What was measured.
    pub figure: String,
    /// What came out, in `unit`.
    pub value: f64,
    /// The unit of `value` and of the baseline.
    pub unit: &'static str,
    /// What is aimed at, in words.
    pub target: &'static str,
    /// What it is compared with, measured in the same run: what that is, and its value in `unit`.
    pub baseline: Option<(String, f64)>,
}

impl Figure {
    /// The baseline's value by ours: above 1 where ours is the smaller one.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        self.baseline.as_ref().map(|(_, baseline)| baseline / self.value)
    }
}

/// Measures everything.
///
/// # Errors
/// The laboratory cannot be built, or a measurement failed.
pub fn all() -> Result<Vec<Figure>, Box<dyn std::error::Error>> {
    let mut measured = figures::allocation::measure();
    measured.extend(figures::answering::measure());
    measured.extend(figures::wire::measure()?);
    measured.extend(figures::cluster::measure()?);
    Ok(measured)
}

/// How long `work` takes.
pub fn time<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let result = work();
    (result, started.elapsed())
}

/// The middle one of some durations; zero if there are none.
#[must_use]
pub fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort();
    durations.get(durations.len() / 2).copied().unwrap_or_default()
}

/// Nanoseconds that one of `count` runs of `work` takes.
pub fn nanoseconds_each(count: u32, mut work: impl FnMut(u32)) -> f64 {
    let ((), took) = time(|| (0..count).for_each(&mut work));
    took.as_secs_f64() * 1e9 / f64::from(count)
}
