//! What the client of the demo asks, and what it expects.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use lblab::client::{Answers, Asking, fetch, who_has};

use super::lan::{DemoLan, Node};
use super::world::PATIENCE;
use crate::exit::Failure;

pub(super) fn vip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 3, last)
}

pub(super) fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(std::io::Error::other(otherwise()).into()) }
}

pub(super) async fn page(lan: &DemoLan, address: Ipv4Addr) -> Result<String, Failure> {
    Ok(fetch(&lan.client, SocketAddr::from((address, 80)), PATIENCE).await?)
}

async fn ask(lan: &DemoLan, address: Ipv4Addr) -> Result<Answers, Failure> {
    Ok(who_has(&lan.client, &lan.client_nic, address, Asking::default()).await?)
}

/// Waits until somebody answers for the address; exactly one node must, and how fast it did.
pub(super) async fn one_answers(lan: &DemoLan, address: Ipv4Addr) -> Result<(&Node, Duration), Failure> {
    let started = Instant::now();
    let answers = loop {
        let answers = ask(lan, address).await?;
        // While speakers start, and while an address moves, two may answer for a moment.
        if answers.len() == 1 || started.elapsed() > PATIENCE {
            break answers;
        }
    };
    if let [(mac, took)] = answers.iter().collect::<Vec<_>>()[..] {
        let node = lan.nodes.iter().find(|node| node.nic.mac == *mac);
        let node = node.ok_or_else(|| std::io::Error::other(format!("{mac} is the MAC of no node")))?;
        return Ok((node, *took));
    }
    let macs: Vec<String> = answers.keys().map(ToString::to_string).collect();
    let why = format!("{} MACs answer for {address}, and it should be one: {}", macs.len(), macs.join(", "));
    Err(std::io::Error::other(why).into())
}

/// Waits until nobody answers for the address any more.
pub(super) async fn nobody_answers(lan: &DemoLan, address: Ipv4Addr) -> Result<(), Failure> {
    let started = Instant::now();
    loop {
        let answers = ask(lan, address).await?;
        if answers.is_empty() {
            return Ok(());
        }
        expect(started.elapsed() < PATIENCE, || format!("{:?} still answer for {address}", answers.keys()))?;
    }
}
