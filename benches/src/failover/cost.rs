//! What a speaker costs as long as nothing happens: what its node sends, and how long it computes.

use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::{count, per_second};
use crate::process::cpu_time_of;
use crate::site::Result;
use crate::{Figure, Target};

/// So long it is looked at.
const LOOK: Duration = Duration::from_secs(20);

/// What the kernel of a node has counted.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    /// Datagrams sent: nothing but members send any there.
    datagrams: u64,
    /// Frames and bytes sent on `eth0`, those of the connection to the API server among them.
    frames: u64,
    bytes: u64,
    /// How long its speaker has computed.
    cpu: Duration,
}

pub(super) async fn measure(cluster: &mut Cluster) -> Result<Vec<Figure>> {
    let began = Instant::now();
    let before = counted(cluster).await?;
    tokio::time::sleep(LOOK).await;
    let (after, seconds) = (counted(cluster).await?, began.elapsed().as_secs_f64());
    let name = format!("at rest, {} nodes, heartbeat {} ms", cluster.nodes.len(), cluster.heartbeat);
    let figure = |what: &str, unit, target, of: &dyn Fn(&Counted) -> f64| {
        let each = before.iter().zip(&after).map(|(before, after)| (of(after) - of(before)) / seconds);
        let each: Vec<f64> = each.collect();
        let mean = each.iter().sum::<f64>() / count(each.len());
        let most = each.iter().copied().fold(0.0, f64::max);
        Figure::new(format!("{name}: {what}, mean of all"), mean, unit, target).and("the most", most)
    };
    // Heartbeats to a few monitors and their acknowledgements: no more of them however many nodes there are.
    let datagrams = Target::AtMost(per_second(50.0, cluster.heartbeat));
    let whole = |number: u64| count(usize::try_from(number).unwrap_or(usize::MAX));
    Ok(vec![
        figure("members' datagrams that a node sends", "/s", datagrams, &|it| whole(it.datagrams)),
        figure("frames that a node sends, all in all", "/s", Target::None, &|it| whole(it.frames)),
        figure("bytes that a node sends, all in all", "B/s", Target::None, &|it| whole(it.bytes)),
        figure("processor time of a speaker", "ms/s", Target::None, &|it| it.cpu.as_secs_f64() * 1e3),
    ])
}

async fn counted(cluster: &mut Cluster) -> Result<Vec<Counted>> {
    let mut all = Vec::new();
    for place in &mut cluster.nodes {
        let read = || async {
            let file = |name: &str| std::fs::read_to_string(format!("/proc/thread-self/net/{name}"));
            std::io::Result::Ok((file("snmp")?, file("dev")?))
        };
        let (snmp, dev) = place.host.run(read).await??;
        let cpu = place.speaker.as_mut().map(|speaker| cpu_time_of(speaker.pid())).unwrap_or_default();
        let [bytes, frames] = sent_on_eth0(&dev);
        all.push(Counted { datagrams: out_datagrams(&snmp), frames, bytes, cpu });
    }
    Ok(all)
}

/// `OutDatagrams` of the two lines that begin with `Udp:`, one of names and one of numbers.
fn out_datagrams(snmp: &str) -> u64 {
    let mut lines = snmp.lines().filter(|line| line.starts_with("Udp:"));
    let (Some(names), Some(numbers)) = (lines.next(), lines.next()) else { return 0 };
    let mut pairs = names.split_whitespace().zip(numbers.split_whitespace());
    pairs.find(|(name, _)| *name == "OutDatagrams").and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
}

/// Bytes and frames sent: the ninth and tenth number behind the interface's name.
fn sent_on_eth0(dev: &str) -> [u64; 2] {
    let line = dev.lines().find_map(|line| line.trim().strip_prefix("eth0:"));
    let numbers: Vec<u64> =
        line.unwrap_or_default().split_whitespace().map_while(|it| it.parse().ok()).collect();
    [8, 9].map(|at| numbers.get(at).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_counts_is_read() {
        let snmp = "Tcp: A B\nTcp: 1 2\nUdp: InDatagrams NoPorts InErrors OutDatagrams\nUdp: 5 6 7 812\n";
        assert_eq!(out_datagrams(snmp), 812);
        let dev = "Inter-| Receive | Transmit\n face |bytes packets\n    lo: 1 1 0 0 0 0 0 0 1 1 0\n  eth0: 900 9 0 0 0 0 0 0 4711 47 0 0\n";
        assert_eq!(sent_on_eth0(dev), [4711, 47]);
    }
}
