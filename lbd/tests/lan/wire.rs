//! `lbd whohas` and `lbd announce` on hosts of the laboratory.

use std::net::Ipv4Addr;
use std::process::Command;

use lblab::suite::Case;
use lblab::{Host, Lan, Nic};
use serde_json::Value;

use crate::running::Running;

const VIP: &str = "192.168.3.253";
const VIP6: &str = "fd00:3::253";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("one_station_is_shown_with_how_fast_it_answers", one_answers),
        Case::new("several_stations_are_told_of_loudly_and_by_the_exit_code", several_answer),
        Case::new("nobody_is_told_of_and_so_is_an_address_of_this_host", nobody_answers),
        Case::new("an_interface_that_cannot_be_asked_on_is_named_with_the_reason", no_interface),
        Case::new("an_address_that_somebody_has_is_not_announced_until_it_is_free", taken),
    ]
}

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Two nodes and a client on one LAN.
struct Site {
    _lan: Lan,
    nodes: [(Host, Nic); 2],
    client: Host,
}

impl Site {
    async fn new() -> Result<Self> {
        let lan = Lan::new().await?;
        let bridge = lan.bridge(&Nic::new("br0", Ipv4Addr::new(192, 168, 3, 1))).await?;
        let plugged = async |name: &str, last| -> Result<(Host, Nic)> {
            let host = Host::new(name).await?;
            let nic = Nic::new("eth0", Ipv4Addr::new(192, 168, 3, last)).dual_stack();
            lan.plug(&host, bridge, &nic).await?;
            Ok((host, nic))
        };
        let nodes = [plugged("n1", 11).await?, plugged("n2", 12).await?];
        let (client, _) = plugged("c", 100).await?;
        Ok(Self { nodes, client, _lan: lan })
    }

    /// Starts `lbd announce` on a node.
    async fn announce(&self, node: usize, arguments: &[&str]) -> Result<Running> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lbd"));
        command.arg("announce").args(arguments);
        Ok(Running::start(&self.nodes[node].0, "lbd announce", command).await?)
    }
}

/// Runs `lbd whohas` on a host: its exit code, and all that it says.
async fn whohas(host: &Host, arguments: &[&str]) -> Result<(i32, String)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lbd"));
    command.arg("whohas").args(arguments);
    let output = host.run(move || async move { command.output() }).await??;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code().ok_or("it was killed")?, String::from_utf8(said)?))
}

async fn one_answers() -> Result {
    let site = Site::new().await?;
    let mut node = site.announce(0, &[VIP, VIP6, "-i", "eth*"]).await?;
    node.says(&[VIP, "is answered on eth0"]).await?;
    node.says(&[VIP6, "is answered on eth0"]).await?;
    let mac = site.nodes[0].1.mac.to_string();
    for address in [VIP, VIP6] {
        let (code, said) = whohas(&site.client, &[address]).await?;
        assert_eq!(code, 0, "{said}");
        assert!(said.contains(&format!("{address} is answered by one station")), "{said}");
        assert!(said.contains(&mac) && said.contains("eth0") && said.contains("3 of 3"), "{said}");
        let (code, said) = whohas(&site.client, &[address, "-o", "json", "-c", "1", "-i", "eth0"]).await?;
        assert_eq!(code, 0, "{said}");
        let found: Value = serde_json::from_str(&said)?;
        let station = &found["stations"][0];
        assert_eq!(
            (&station["mac"], &station["interface"], &station["answers"]),
            (&mac.clone().into(), &"eth0".into(), &1.into())
        );
        assert!(station["milliseconds"].as_f64().is_some_and(|took| took > 0.0), "{said}");
    }
    assert_eq!(node.stop()?, Some(0));
    node.says(&["eth0: 4 ARP, 4 NDP and 0 echo requests answered"]).await?;
    assert_eq!(whohas(&site.client, &[VIP]).await?.0, 1);
    Ok(())
}

async fn several_answer() -> Result {
    let site = Site::new().await?;
    let mut one = site.announce(0, &[VIP]).await?;
    one.says(&["is answered on eth0"]).await?;
    let mut other = site.announce(1, &[VIP, "--no-probe"]).await?;
    other.says(&["is answered on eth0"]).await?;
    let (code, said) = whohas(&site.client, &[VIP]).await?;
    assert_eq!(code, 4, "{said}");
    assert!(said.contains(&format!("{VIP} IS ANSWERED BY 2 STATIONS")), "{said}");
    for (_, nic) in &site.nodes {
        assert!(said.contains(&nic.mac.to_string()), "{said}");
    }
    one.says(&["conflicts", &site.nodes[1].1.mac.to_string(), "both answer"]).await?;
    Ok(())
}

async fn nobody_answers() -> Result {
    let site = Site::new().await?;
    let (code, said) = whohas(&site.client, &[VIP, "-c", "2", "--wait", "50"]).await?;
    assert_eq!((code, said.as_str()), (1, "nobody answers for 192.168.3.253 on eth0 (2 questions)\n"));
    let (code, said) = whohas(&site.client, &["192.168.3.100"]).await?;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("this host has 192.168.3.100 itself, on eth0"), "{said}");
    Ok(())
}

async fn no_interface() -> Result {
    let site = Site::new().await?;
    let (code, said) = whohas(&site.client, &[VIP, "-i", "lo", "-i", "eth7"]).await?;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("no interface to ask on") && said.contains("lo: a loopback interface"), "{said}");
    let mut node = site.announce(0, &[VIP, "-i", "eth7"]).await?;
    node.says(&["there is no interface \"eth7\"; this host has lo, eth0"]).await?;
    Ok(())
}

async fn taken() -> Result {
    let site = Site::new().await?;
    let mut holder = site.announce(0, &[VIP]).await?;
    holder.says(&["is answered on eth0"]).await?;
    let mut other = site.announce(1, &[VIP]).await?;
    other
        .says(&[VIP, "is not answered", &site.nodes[0].1.mac.to_string(), "waiting until it is free"])
        .await?;
    assert_eq!(whohas(&site.client, &[VIP]).await?.0, 0);
    Ok(())
}
