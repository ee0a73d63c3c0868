//! How long nobody answers for an address when its owner fails or gives it up, what that costs as long as nothing happens,
//! and how evenly addresses are spread.
//!
//! Gaps are seen from the client: by ARP every millisecond, and by new TCP connections through the client kernel's own
//! neighbour cache. What becomes of connections that are there already is told too. The cluster is one of real processes in
//! network namespaces: the store in this process, `lbd controller`, and `lbd speaker` on each node, with a stand-in for
//! kube-proxy beside it. Larger ones are the real state machines in virtual time.

mod cluster;
mod cost;
mod crowd;
mod event;
mod gaps;
mod loss;
mod objects;
mod rolling;
mod simulated;
mod speaking;
mod spread;

use std::time::Duration;

use cluster::Cluster;

use crate::Figure;
use crate::site::Result;

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Nodes with a speaker.
    pub nodes: u8,
    /// How often each is done.
    pub runs: usize,
    /// Milliseconds between heartbeats.
    pub heartbeat: u64,
    /// Minutes of packet loss.
    pub loss_minutes: u32,
    /// Only these.
    pub parts: Vec<Part>,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// What speakers send and need when nothing happens
    Cost,
    /// How long nobody answers after a failure or a planned hand-over
    Gaps,
    /// Whether a restart of all speakers, one after another, is noticed
    Rolling,
    /// Failures that are none, while packets are lost; needs `nft`
    Loss,
    /// The same figures of 100 and of 1,000 nodes, in virtual time
    Simulated,
    /// How evenly a thousand addresses are spread over ten nodes, in virtual time
    Spread,
}

/// Measures it, a part after the other; `print` has the figures of each as soon as they are there.
///
/// # Errors
/// The laboratory cannot be built, or nobody takes over.
pub async fn measure(plan: &Plan, mut print: impl FnMut(&[Figure]) -> Result<()>) -> Result<()> {
    let wanted = |part| plan.parts.contains(&part);
    if [Part::Cost, Part::Gaps, Part::Rolling, Part::Loss].into_iter().any(wanted) {
        let mut cluster = Cluster::start(plan.nodes, plan.heartbeat).await?;
        if wanted(Part::Cost) {
            print(&cost::measure(&mut cluster).await?)?;
        }
        if wanted(Part::Gaps) {
            gaps::measure(&mut cluster, plan.runs, &mut print).await?;
        }
        if wanted(Part::Rolling) {
            print(&rolling::measure(&mut cluster).await?)?;
        }
        if wanted(Part::Loss) {
            print(&loss::measure(&mut cluster, Duration::from_mins(plan.loss_minutes.into())).await?)?;
        }
    }
    let heartbeat = Duration::from_millis(plan.heartbeat);
    if wanted(Part::Simulated) {
        simulated::measure(heartbeat, &mut print)?;
    }
    if wanted(Part::Spread) {
        print(&spread::measure()?)?;
    }
    Ok(())
}

/// Milliseconds, as figures have them.
fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A count, as figures have them.
#[expect(clippy::cast_precision_loss, reason = "nothing here is counted beyond 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}

/// A rate at the default heartbeat of 100 ms, at this one of so many milliseconds.
fn per_second(by_default: f64, heartbeat: u64) -> f64 {
    by_default * 100.0 / count(usize::try_from(heartbeat.max(1)).unwrap_or(usize::MAX))
}
