//! Failures that are none: packets are lost at random, and nobody has died.

use std::process::Command;
use std::time::{Duration, Instant};

use lblab::client::{Asking, who_has};

use super::cluster::Cluster;
use super::objects::VIP;
use super::{count, simulated};
use crate::site::Result;
use crate::{Figure, Target};

/// Services beside the one that is watched, so that every node answers for some.
const SERVICES: usize = 30;
/// What a speaker says when it takes another one to be dead, and when it begins to answer for an address.
const DEATH: &str = "a speaker is not heard any more";
const TAKEN: &str = "\"announcing\"";
const PAUSE: Duration = Duration::from_secs(1);

/// One of twenty that come in: of datagrams, and of the connection to the API server too.
const RULES: &str = "table inet lossy {
  chain incoming {
    type filter hook input priority 0; policy accept;
    iif \"lo\" accept
    numgen random mod 100 < 5 counter drop
  }
}";

pub(super) async fn measure(cluster: &mut Cluster, time: Duration) -> Result<Vec<Figure>> {
    let minutes = time.as_secs() / 60;
    let name = format!(
        "{minutes} minutes at 5 % loss, {} nodes, {} addresses, heartbeat {} ms",
        cluster.nodes.len(),
        SERVICES + 1,
        cluster.heartbeat
    );
    cluster.more_services(SERVICES).await?;
    let owner = cluster.settled().await?;
    let none = Target::Exactly(0.0);
    let mut figures = match lossy(cluster, true).await {
        Ok(()) => {
            let (deaths, taken) = (cluster.said(DEATH), cluster.said(TAKEN));
            let mut moves = 0;
            let began = Instant::now();
            let mac = cluster.nodes[owner].nic.mac;
            while began.elapsed() < time {
                tokio::time::sleep(PAUSE).await;
                let answers = who_has(&cluster.client, &cluster.client_nic, VIP, Asking::default()).await?;
                moves += usize::from(answers.keys().any(|by| *by != mac));
            }
            let (deaths, taken) = (cluster.said(DEATH) - deaths, cluster.said(TAKEN) - taken);
            lossy(cluster, false).await?;
            vec![
                Figure::new(format!("{name}: living speakers taken to be dead"), count(deaths), "", none),
                Figure::new(format!("{name}: addresses that moved"), count(taken), "", none),
                Figure::new(format!("{name}: looks at which another node answered"), count(moves), "", none),
            ]
        }
        Err(error) => {
            let why =
                format!("loss in namespaces is left out ({error}); it needs nft: Debian's package nftables");
            vec![Figure::new(why, f64::NAN, "", none)]
        }
    };
    figures.extend(simulated::loss(Duration::from_millis(cluster.heartbeat)));
    Ok(figures)
}

/// Puts the rules on every node, or takes them away.
async fn lossy(cluster: &Cluster, lossy: bool) -> Result<()> {
    for place in &cluster.nodes {
        let work = move || async move {
            let rules = if lossy { RULES } else { "delete table inet lossy" };
            // On the thread of the host, and so in its namespace.
            Command::new("nft").arg(rules).env("PATH", path()).output()
        };
        let output = place.host.run(work).await??;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into());
        }
    }
    Ok(())
}

/// With the folders in which `nft` is: a person's own path need not have them.
fn path() -> String {
    let own = std::env::var("PATH").unwrap_or_default();
    format!("{own}:/usr/sbin:/sbin")
}
