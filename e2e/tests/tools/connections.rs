//! Connections to an address that a node takes packets for and lbnet answers for.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lblab::proxy::silence_kernel;
use lblab::suite::Case;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::neighbours::probe_often;
use crate::site::{Result, Site, Station, VIPS, note, one_round, until};

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new("connections_of_both_families_go_on_through_unreachability_probes", through_probes)]
}

const PORT: u16 = 8080;
/// How often the server says something.
const BEAT: Duration = Duration::from_millis(20);

async fn through_probes() -> Result {
    let site = Site::new().await?;
    let (client, node) = (site.client().await?, site.station("n1", 11).await?);
    silence_kernel(&node.host).await?;
    let answering = node.answering(one_round()).await?;
    probe_often(&client, "100").await?;
    let monitor = client.monitor().await?;
    let mut received = Vec::new();
    for vip in VIPS {
        take(&node, vip).await?;
        serve(&node, vip).await?;
        answering.announce(vip).await;
        received.push((vip, download(&client, vip).await?));
        client.knows(vip, node.mac()).await?;
    }
    assert_eq!(answering.layer2.snapshot().await.kernel_answers, [], "lbnet alone answers");
    let begun = Instant::now();
    for (vip, received) in &received {
        let probes = || monitor.of(*vip).iter().filter(|it| it.state == "PROBE").count();
        until(&format!("three unreachability probes for {vip}"), async || Ok((probes() >= 3).then_some(())))
            .await?;
        let so_far = received.load(Ordering::Relaxed);
        until(&format!("the connection to {vip} goes on"), async || {
            Ok((received.load(Ordering::Relaxed) > so_far + 10).then_some(()))
        })
        .await?;
        let states = monitor.of(*vip);
        assert!(states.iter().all(|entry| entry.state != "FAILED"), "{states:?}");
        assert!(states.iter().filter_map(|entry| entry.mac).all(|mac| mac == node.mac()), "{states:?}");
        assert!(answering.answered(*vip).await >= 3);
        let (bytes, took) = (received.load(Ordering::Relaxed), begun.elapsed().as_millis());
        note(&format!("{vip}: {bytes} bytes, {} probes after {took} ms", probes()));
    }
    Ok(())
}

/// Makes the node's kernel take packets for an address for which it does not answer.
async fn take(node: &Station, address: IpAddr) -> Result {
    node.add("lo", address).await?;
    // For a moment Linux has a route that rejects packets for a new IPv6 address on `lo`, and none to itself.
    until(&format!("{address} is local"), async || {
        let route = node.run("ip", &["-j", "route", "get", &address.to_string()]).await?;
        Ok(String::from_utf8(route.stdout)?.contains(r#""type":"local""#).then_some(()))
    })
    .await
}

/// Runs a server that says something again and again to whoever connects.
async fn serve(node: &Station, address: IpAddr) -> Result {
    let listen = move || async move {
        let listener = TcpListener::bind(SocketAddr::from((address, PORT))).await?;
        tokio::task::spawn_local(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::task::spawn_local(async move {
                    while client.write_all(b".").await.is_ok() {
                        tokio::time::sleep(BEAT).await;
                    }
                });
            }
        });
        Ok::<_, std::io::Error>(())
    };
    Ok(node.host.run(listen).await??)
}

/// Connects once and only listens; how many bytes have come so far. If it spoke, each acknowledgement would tell its
/// kernel that the neighbour is there, and it would not ask.
async fn download(client: &Station, address: IpAddr) -> Result<Arc<AtomicU64>> {
    let received = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&received);
    let connect = move || async move {
        let mut stream = TcpStream::connect(SocketAddr::from((address, PORT))).await?;
        tokio::task::spawn_local(async move {
            let mut buffer = [0; 64];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                counter.fetch_add(length as u64, Ordering::Relaxed);
            }
        });
        Ok::<_, std::io::Error>(())
    };
    client.host.run(connect).await??;
    Ok(received)
}
