//! `ping` to addresses that are on no interface.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use lblab::suite::Case;
use lbnet::filter::{Filter, Protocol};
use lbnet::socket::FrameSocket;
use lbnet::{Layer2, MacAddr, Rule, Settings};

use crate::site::{Node, Result, Site, VIP, VIP6, placed, start, until};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("ping_is_answered_in_user_space_where_that_is_wanted", answered),
        Case::new("ping_to_an_address_on_an_interface_is_left_to_the_kernel", left_to_kernel),
    ]
}

/// The checksum of the internet (RFC 1071).
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    (!u16::try_from(folded).expect("folded twice")).to_be_bytes()
}

fn with_checksum(mut bytes: Vec<u8>, at: usize, over: &[u8]) -> Vec<u8> {
    let sum = checksum(over);
    bytes[at..at + 2].copy_from_slice(&sum);
    bytes
}

/// Echo request or reply over IPv4 with this data.
fn echo4(
    from: MacAddr,
    to: MacAddr,
    source: Ipv4Addr,
    target: Ipv4Addr,
    kind: u8,
    flags: u8,
    data: &[u8],
) -> Vec<u8> {
    let length = u16::try_from(28 + data.len()).expect("small").to_be_bytes();
    let header =
        [&[0x45, 0][..], &length, &[0, 7, flags, 0, 64, 1, 0, 0], &source.octets(), &target.octets()]
            .concat();
    let header = with_checksum(header.clone(), 10, &header);
    let message = [&[kind, 0, 0, 0, 0, 1, 0, 1], data].concat();
    let message = with_checksum(message.clone(), 2, &message);
    [&to.octets()[..], &from.octets(), &[8, 0], &header, &message].concat()
}

/// Echo request or reply over IPv6 with this data.
fn echo6(from: MacAddr, to: MacAddr, source: Ipv6Addr, target: Ipv6Addr, kind: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + data.len()).expect("small").to_be_bytes();
    let header = [&[0x60, 0, 0, 0][..], &length, &[58, 64], &source.octets(), &target.octets()].concat();
    let message = [&[kind, 0, 0, 0, 0, 1, 0, 1], data].concat();
    let pseudo =
        [&source.octets()[..], &target.octets(), &[0, 0], &length, &[0, 0, 0, 58], &message].concat();
    let message = with_checksum(message, 2, &pseudo);
    [&to.octets()[..], &from.octets(), &[0x86, 0xdd], &header, &message].concat()
}

/// Sends a frame from the client until one like `wanted` comes back.
async fn exchange(site: &Site, protocol: Protocol, frame: Vec<u8>, wanted: Vec<u8>) -> Result {
    let client = site.client();
    let index = NonZeroU32::new(client.host.net().index(&client.nic.name).await?).ok_or("index 0")?;
    let exchange = move || async move {
        // All of the protocol, so that the reply is heard too.
        let socket = FrameSocket::open(index, protocol, &Filter::everything())?;
        let mut buffer = [0; 2048];
        loop {
            let _ = socket.send(&frame);
            let hear = async {
                while let Ok(heard) = socket.recv(&mut buffer).await {
                    if heard == wanted {
                        return;
                    }
                }
            };
            if tokio::time::timeout(Duration::from_millis(100), hear).await.is_ok() {
                return Ok::<_, lbnet::socket::OpenError>(());
            }
        }
    };
    let host = &client.host;
    Ok(tokio::time::timeout(Duration::from_secs(8), host.run(exchange)).await???)
}

async fn answering(site: &Site, echo: bool) -> Result<(Node, Layer2)> {
    let node = site.node(11).await?;
    let (layer2, _) = start(&node.host, Settings { echo, ..Settings::default() }).await?;
    layer2.announce(VIP, Rule::any());
    layer2.announce(VIP6, Rule::any());
    placed(&layer2, VIP6, &["eth0"]).await?;
    Ok((node, layer2))
}

async fn answered() -> Result {
    let site = Site::new().await?;
    let (node, layer2) = answering(&site, true).await?;
    let (here, there) = (site.client().nic.mac, node.nic.mac);
    for data in [&b""[..], b"odd", &[0xa5; 1400]] {
        let ip = site.client().nic.address;
        let asked = echo4(here, there, ip, VIP, 8, 0x40, data);
        exchange(&site, Protocol::Ipv4, asked, echo4(there, here, VIP, ip, 0, 0, data)).await?;
        let ip = site.client().address6();
        let asked = echo6(here, there, ip, VIP6, 128, data);
        exchange(&site, Protocol::Ipv6, asked, echo6(there, here, VIP6, ip, 129, data)).await?;
    }
    let counters = layer2.snapshot().await.interfaces["eth0"].counters.clone();
    assert!(counters.echo >= 6, "{counters:?}");
    Ok(())
}

async fn left_to_kernel() -> Result {
    let site = Site::new().await?;
    let (node, layer2) = answering(&site, true).await?;
    node.host.sysctl("ipv4/conf/all/arp_ignore", "1").await?;
    node.host.net().add_address(node.host.net().index("lo").await?, VIP, 32).await?;
    let (here, there, ip) = (site.client().nic.mac, node.nic.mac, site.client().nic.address);
    // The kernel answers one or the other way: what it is asked, it answers with an identification of its own.
    until("user space is silent", async || {
        let before = layer2.snapshot().await.interfaces["eth0"].counters.echo;
        let asked = echo4(here, there, ip, VIP, 8, 0x40, b"data");
        let dropped = lbnet::Drop::NoEcho;
        let was = layer2.snapshot().await.interfaces["eth0"].counters.dropped(dropped);
        site.client().send(&asked).ok()?;
        let counters = loop {
            let counters = layer2.snapshot().await.interfaces["eth0"].counters.clone();
            if counters.echo > before || counters.dropped(dropped) > was {
                break counters;
            }
            tokio::task::yield_now().await;
        };
        (counters.echo == before).then_some(())
    })
    .await
}
