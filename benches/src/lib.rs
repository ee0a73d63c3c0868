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
mod figure;
pub mod figures;
pub mod packet;
pub mod process;
pub mod program;
pub mod site;
pub mod table;

use std::io::Write;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;

pub use crate::figure::{Figure, Target, Verdict};
use crate::site::Site;

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
