//! The figures that this project promises, and what they are compared with.
//!
//! `cargo run --release -p benches -- report` prints one table of them, or of some (`--only memory`); those of `lbd` as
//! a process need it beside this program (`cargo build --release -p lbd`) and are left out without it.
//! `-- cluster --kubeconfig FILE` measures on any API server where `lbd controller` runs. The criterion benches beside
//! it look at the small figures more closely. Each figure is a file under `figures` that returns [`Figure`]s; a new
//! one is added to [`measure`]. Nothing here asserts a time: machines differ, ratios in one run are what counts.

pub mod asker;
pub mod bare;
pub mod baseline;
pub mod cluster;
pub mod failover;
pub mod figures;
pub mod packet;
pub mod process;
pub mod program;
pub mod site;

use std::io::Write;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::LocalSet;

use crate::site::Site;

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
    /// What else is to be known of the same measurement, in `unit`: no baseline.
    pub also: Option<(String, f64)>,
}

impl Figure {
    /// A figure without a baseline.
    #[must_use]
    pub fn new(figure: impl Into<String>, value: f64, unit: &'static str, target: &'static str) -> Self {
        Self { figure: figure.into(), value, unit, target, baseline: None, also: None }
    }

    /// The same beside a baseline.
    #[must_use]
    pub fn beside(self, what: impl Into<String>, value: f64) -> Self {
        Self { baseline: Some((what.into(), value)), ..self }
    }

    /// The same with something else of the same measurement, as the longest of many beside their median.
    #[must_use]
    pub fn and(self, what: impl Into<String>, value: f64) -> Self {
        Self { also: Some((what.into(), value)), ..self }
    }

    /// The baseline's value by ours: above 1 where ours is the smaller one. Nothing is so many times zero.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let ratio = self.baseline.as_ref().map(|(_, baseline)| baseline / self.value);
        ratio.filter(|ratio| ratio.is_finite())
    }
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Group {
    /// How fast addresses are given, against others' ways
    Allocation,
    /// How fast a question is answered, without a wire
    Answering,
    /// How soon a thousand addresses are announced
    Takeover,
    /// How fast a question is answered over a real interface
    Wire,
    /// What a flood of questions costs
    Flood,
    /// How soon services have addresses, on the embedded store
    Cluster,
    /// What the controller and the speaker take as processes
    Memory,
}

/// Measures these groups, in the order that disturbs them least.
///
/// # Errors
/// The laboratory cannot be built, or a measurement failed.
pub fn measure(groups: &[Group]) -> site::Result<Vec<Figure>> {
    let wanted = |group| groups.contains(&group);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let on_the_wire = LocalSet::new().block_on(&runtime, async {
        let site = Site::new().await?;
        let mut measured = Vec::new();
        // Before all others: what they freed would hide how much memory it takes.
        let takeover =
            if wanted(Group::Takeover) { figures::takeover::measure(&site).await? } else { Vec::new() };
        if wanted(Group::Wire) {
            measured.extend(figures::wire::measure(&site).await?);
        }
        if wanted(Group::Flood) {
            measured.extend(figures::flood::measure(&site).await?);
        }
        measured.extend(takeover);
        if wanted(Group::Cluster) {
            measured.extend(figures::cluster::measure(&site).await?);
        }
        if wanted(Group::Memory) {
            measured.extend(figures::memory::measure(&site).await?);
        }
        site::Result::Ok(measured)
    });
    let on_the_wire = on_the_wire?;
    let mut measured = Vec::new();
    if wanted(Group::Allocation) {
        measured.extend(figures::allocation::measure());
    }
    if wanted(Group::Answering) {
        measured.extend(figures::answering::measure()?);
    }
    measured.extend(on_the_wire);
    Ok(measured)
}

/// All groups, but those of `lbd` as a process where it has not been built, which is said.
#[must_use]
pub fn all() -> Vec<Group> {
    use clap::ValueEnum;
    let mut groups = Group::value_variants().to_vec();
    if let Err(error) = program::lbd() {
        let _ = writeln!(
            std::io::stderr(),
            "report: without the controller's and the speaker's figures: {error}"
        );
        groups.retain(|group| !matches!(group, Group::Cluster | Group::Memory));
    }
    groups
}

/// How long `work` takes.
pub fn time<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let result = work();
    (result, started.elapsed())
}

/// The middle one of some durations; zero if there are none.
#[must_use]
pub fn median(durations: Vec<Duration>) -> Duration {
    percentile(durations, 50)
}

/// The duration that so many of a hundred are below, or the longest; zero if there are none.
#[must_use]
pub fn percentile(mut durations: Vec<Duration>, of_hundred: usize) -> Duration {
    durations.sort_unstable();
    let last = durations.len().saturating_sub(1);
    durations.get((durations.len() * of_hundred / 100).min(last)).copied().unwrap_or_default()
}

/// A duration in microseconds.
#[must_use]
pub fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Nanoseconds that one of `count` runs of `work` takes.
pub fn nanoseconds_each(count: u32, mut work: impl FnMut(u32)) -> f64 {
    let ((), took) = time(|| (0..count).for_each(&mut work));
    took.as_secs_f64() * 1e9 / f64::from(count)
}
