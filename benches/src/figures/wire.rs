//! Round trips on the wire: two hosts, a cable, real sockets.

use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use lblab::{Host, Lan, Nic};
use lbnet::filter::{Filter, Protocol};
use lbnet::socket::FrameSocket;
use lbnet::wire::Operation;
use lbnet::{ArpFrame, Layer2, Rule, Settings};
use tokio::task::LocalSet;

use crate::{Figure, median};

const ROUNDS: usize = 2_000;
const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 3, 253);
const NODE: Ipv4Addr = Ipv4Addr::new(192, 168, 3, 11);
/// A question that is lost is asked again after this time.
const PATIENCE: Duration = Duration::from_millis(200);

/// Measures.
///
/// # Errors
/// The laboratory cannot be built, or nobody answers.
pub fn measure() -> Result<Vec<Figure>, Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ours, kernel) = LocalSet::new().block_on(&runtime, async {
        let lan = Lan::new().await?;
        let bridge = lan.bridge(&Nic::new("br0", Ipv4Addr::new(192, 168, 3, 1))).await?;
        let (node, client) = (Host::new("n").await?, Host::new("c").await?);
        let client_nic = Nic::new("eth0", Ipv4Addr::new(192, 168, 3, 100));
        lan.plug(&node, bridge, &Nic::new("eth0", NODE)).await?;
        lan.plug(&client, bridge, &client_nic).await?;
        let (layer2, _events) = node.run(|| async { Layer2::start(Settings::default()) }).await??;
        layer2.announce(VIP, Rule::any());
        // In turns, so that both meet the same weather.
        let (mut ours, mut kernel) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            kernel.extend(round_trips(&client, &client_nic, NODE).await?);
            ours.extend(round_trips(&client, &client_nic, VIP).await?);
        }
        Ok::<_, Box<dyn std::error::Error>>((median(ours), median(kernel)))
    })?;
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
    Ok(vec![Figure {
        figure: "ARP round trip over veth, median".to_owned(),
        value: micros(ours),
        unit: "µs",
        target: "within 1.15 of a bare receive-and-send loop",
        baseline: Some(("the kernel, for its own address".to_owned(), micros(kernel))),
    }])
}

async fn round_trips(
    client: &Host,
    nic: &Nic,
    target: Ipv4Addr,
) -> Result<Vec<Duration>, Box<dyn std::error::Error>> {
    let index = NonZeroU32::new(client.net().index(&nic.name).await?).ok_or("index 0")?;
    let request = ArpFrame::request(nic.mac, nic.address, target);
    let asked = client.run(move || async move {
        let socket = FrameSocket::open(index, Protocol::Arp, &Filter::open(Protocol::Arp))
            .map_err(std::io::Error::other)?;
        let mut taken = Vec::new();
        let mut buffer = [0; 128];
        let deadline = Instant::now() + Duration::from_secs(20);
        while taken.len() < ROUNDS / 4 && Instant::now() < deadline {
            let started = Instant::now();
            socket.send(&request.to_bytes())?;
            let answered = async {
                loop {
                    let frame = ArpFrame::parse(socket.recv(&mut buffer).await?);
                    let ours = |frame: ArpFrame| {
                        frame.operation == Operation::Reply
                            && frame.sender_ip == target
                            && frame.destination == request.source
                    };
                    if frame.is_ok_and(ours) {
                        return Ok::<_, std::io::Error>(());
                    }
                }
            };
            if tokio::time::timeout(PATIENCE, answered).await.is_ok() {
                taken.push(started.elapsed());
            }
        }
        Ok::<_, std::io::Error>(taken)
    });
    let taken = asked.await??;
    if taken.is_empty() { Err(format!("nobody answers for {target}").into()) } else { Ok(taken) }
}
