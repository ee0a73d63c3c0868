//! A Deployment with `externalTrafficPolicy: Local` is updated: its pods move from node to node, and the address follows
//! them before the last one of a node has ended. Nobody outside notices.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use lblab::connecting::{Connecting, Plan};
use lblab::watch::{Story, Watch};
use lbnet::MacAddr;
use serde_json::Value;

use crate::Result;
use crate::case::{Case, case, note};
use crate::cluster::Cluster;
use crate::object::service;
use crate::plane::Kind;
use crate::wait::until;
use crate::worlds::one_pool;

pub(super) fn cases() -> Vec<Case> {
    vec![
        // The embedded store deletes a pod at once: nothing is ever terminating there.
        case("with_policy_local_an_update_of_all_pods_fails_no_connection", async |cluster: &mut Cluster| {
            update(cluster, Pace::WhenServed).await
        })
        .only_on(Kind::Real),
        case(
            "with_policy_local_an_update_without_a_pause_fails_no_connection",
            async |cluster: &mut Cluster| update(cluster, Pace::AtOnce).await,
        )
        .only_on(Kind::Real)
        .not_yet("the address moves to a node whose kube-proxy has not heard of its new pod yet"),
    ]
}

/// How many pods are replaced.
const REPLACED: usize = 6;
/// A SYN that was lost is sent again after a second: who waited for that has noticed.
const NOTICED: Duration = Duration::from_millis(900);

/// When a pod is told to end, after the one for it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// When kube-proxy serves the new one, as with `minReadySeconds: 2`.
    WhenServed,
    /// In the same moment.
    AtOnce,
}

/// Two pods on three nodes. Again and again a new one is ready on the node without, and then that of the node which
/// answers is told to end: the order of a Deployment with `maxSurge: 1` and `maxUnavailable: 0`.
async fn update(cluster: &mut Cluster, pace: Pace) -> Result {
    one_pool(cluster).await?;
    let mut nodes = [("n1".to_owned(), 0), ("n2".to_owned(), 0)];
    cluster.pod("web-n1-0", "web", "n1").await?;
    cluster.pod("web-n2-0", "web", "n2").await?;
    cluster.create(&service("web").local()).await?;
    let address = cluster.address("web").await?;
    cluster.serves(address, "web").await?;
    let plan = Plan {
        server: SocketAddr::new(address, 80),
        every: Duration::from_millis(10),
        patience: Duration::from_secs(3),
    };
    let connecting = Connecting::start(&cluster.site.client, plan).await?;
    let IpAddr::V4(v4) = address else { return Err(format!("{address} is not of IPv4").into()) };
    let watch = Watch::start(&cluster.site.client, &cluster.site.client_nic, v4).await?;
    let mut moves = Vec::new();
    for generation in 1..=REPLACED {
        let owner = cluster.announcer(address).await?;
        let without = ["n1", "n2", "n3"].into_iter().find(|node| nodes.iter().all(|(has, _)| has != node));
        let without = without.ok_or("every node has a pod")?;
        cluster.pod(&format!("web-{without}-{generation}"), "web", without).await?;
        if pace == Pace::WhenServed {
            kube_proxy_serves(cluster, without).await?;
        }
        let at = nodes.iter().position(|(node, _)| *node == owner).ok_or("a node without a pod answers")?;
        let (_, old) = std::mem::replace(&mut nodes[at], (without.to_owned(), generation));
        let old = format!("web-{owner}-{old}");
        cluster.terminate_pod(&old).await?;
        let told = Instant::now();
        let mac = cluster.site.node(&owner)?.nic.mac;
        until(&format!("another node answers than {owner}, whose pod ends"), async || {
            let story = watch.story();
            let last = story.answers.iter().rev().take(20);
            if last.clone().all(|(_, by)| *by != mac) {
                return Ok(());
            }
            Err(format!("{:?} answered last", last.map(|(_, by)| *by).next()).into())
        })
        .await?;
        let story = watch.story();
        let left = story.answers.iter().rfind(|(_, by)| *by == mac).map(|(at, _)| *at);
        moves.push(left.map(|left| left.saturating_duration_since(told)).unwrap_or_default());
        // Until now it has served whoever came, as a pod does that is terminating well.
        is_terminating(cluster, &old).await?;
        cluster.end_pod(&old).await?;
        let next = cluster.announcer(address).await?;
        assert!(nodes.iter().any(|(node, _)| *node == next), "{next} answers, and has no ready pod");
    }
    let story = watch.story();
    let attempts = connecting.finish().await;
    note(&format!(
        "{} questions by ARP, {} unanswered; two nodes answered side by side for {:.1?} at most",
        story.asked.len(),
        story.unanswered(),
        story.longest_overlap(),
    ));
    note(&format!("from the deletion of a pod until its node answered no more: {moves:.0?}"));
    let slow = attempts.made().filter(|(_, took)| *took > NOTICED).count();
    let told = |(begun, why): (Instant, &str)| format!("{why} {}", nearest_move(cluster, &story, begun));
    // One that was begun before cannot go on: the node that answers now knows nothing of it.
    let (under_way, new): (Vec<_>, Vec<_>) =
        attempts.failed().partition(|(begun, _)| was_under_way(&story, *begun));
    let failed: Vec<_> = new.into_iter().map(told).collect();
    let slowest = attempts.made().map(|(_, took)| took).max().unwrap_or_default();
    note(&format!(
        "{} connections tried, {} failed, {slow} had to try again; the slowest took {slowest:.1?}; {} more were under way \
         when the address moved, and broke",
        attempts.0.len(),
        failed.len(),
        under_way.len(),
    ));
    assert!(failed.is_empty(), "{} of {} connections failed: {failed:#?}", failed.len(), attempts.0.len());
    assert_eq!(slow, 0, "connections that had to try again");
    Ok(())
}

/// A connection takes no longer than this, as long as nothing is wrong.
const SHORT: Duration = Duration::from_millis(30);

/// The answers that came from another node than the one before: who that was, and the first answer of the new one.
fn moves(story: &Story) -> impl Iterator<Item = (MacAddr, (Instant, MacAddr))> {
    story.answers.windows(2).map(|pair| (pair[0].1, pair[1])).filter(|(from, (_, to))| from != to)
}

/// Whether a connection that was begun then was there already when the address moved.
fn was_under_way(story: &Story, begun: Instant) -> bool {
    moves(story).any(|(_, (at, _))| begun <= at && at - begun < SHORT)
}

/// Where a moment lies by the nearest move.
fn nearest_move(cluster: &Cluster, story: &Story, moment: Instant) -> String {
    let apart =
        |(_, (at, _)): &(MacAddr, (Instant, MacAddr))| at.max(&moment).duration_since(*at.min(&moment));
    let Some((_, (at, to))) = moves(story).min_by_key(apart) else {
        return "(the address never moved)".to_owned();
    };
    let to = cluster.site.whose(to);
    if at > moment {
        format!("(begun {:.1?} before {to} answered first)", at - moment)
    } else {
        format!("(begun {:.1?} after {to} had answered first)", moment - at)
    }
}

/// Waits until kube-proxy of a node serves a pod there: what it says on the Service's port for that, as soon as its rules
/// are in the kernel.
async fn kube_proxy_serves(cluster: &mut Cluster, node: &str) -> Result {
    let service = cluster.get("Service", "web").await?;
    let port = service["spec"]["healthCheckNodePort"].as_u64().ok_or("no healthCheckNodePort")?;
    let at = cluster.site.node(node)?.nic.address;
    until(&format!("kube-proxy of {node} serves a pod"), async || {
        let said = cluster.fetch(at.into(), u16::try_from(port)?).await?;
        if said.contains("\"localEndpoints\": 1") { Ok(()) } else { Err(said.into()) }
    })
    .await
}

/// Waits until the endpoint slices say of a pod that it is terminating, and serves.
async fn is_terminating(cluster: &Cluster, pod: &str) -> Result {
    until(&format!("{pod} is terminating"), async || {
        let slices = cluster.list("EndpointSlice").await?;
        let endpoints = slices.iter().flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        let own: Vec<&Value> = endpoints.filter(|it| it["targetRef"]["name"] == pod).collect();
        let so = |it: &&Value| it["conditions"]["terminating"] == true && it["conditions"]["serving"] == true;
        if own.iter().any(so) { Ok(()) } else { Err(format!("{own:?}").into()) }
    })
    .await
}
