//! The system's `arping`, which shares no code with ours, asks on a LAN of namespaces.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;
use std::process::{Command, Output};

use lblab::suite::Case;
use lblab::{Host, Lan, Nic};
use lbnet::{Layer2, MacAddr, Rule, Settings};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 3, 253);

fn main() -> std::process::ExitCode {
    lblab::suite::main(|| {
        vec![
            Case::new("arping_sees_the_announcing_node_and_no_other", one_answers),
            Case::new("arping_sees_nobody_before_the_announcement_and_after_the_withdrawal", nobody_answers),
            Case::new("duplicate_address_detection_finds_the_address_in_use_while_announced", in_use),
        ]
    })
}

/// A client and two nodes on a bridge; both nodes could answer, for nothing yet.
struct Site {
    // Answering ends before its host.
    nodes: [(Layer2, Host, MacAddr); 2],
    client: Host,
    _lan: Lan,
}

impl Site {
    async fn new() -> Result<Self> {
        let lan = Lan::new().await?;
        let bridge = lan.bridge(&Nic::new("br0", Ipv4Addr::new(192, 168, 3, 1))).await?;
        let plugged = async |name: &str, last| -> Result<(Host, Nic)> {
            let (host, nic) = (Host::new(name).await?, Nic::new("eth0", Ipv4Addr::new(192, 168, 3, last)));
            lan.plug(&host, bridge, &nic).await?;
            Ok((host, nic))
        };
        let node = async |name: &str, last| -> Result<(Layer2, Host, MacAddr)> {
            let (host, nic) = plugged(name, last).await?;
            let (layer2, _) = host.run(|| async { Layer2::start(Settings::default()) }).await??;
            Ok((layer2, host, nic.mac))
        };
        let nodes = [node("n1", 11).await?, node("n2", 12).await?];
        let (client, _) = plugged("c", 100).await?;
        Ok(Self { nodes, client, _lan: lan })
    }

    /// Runs `arping` on the client's interface.
    async fn arping(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new("arping");
        command.args(["-I", "eth0"]).args(arguments).arg(VIP.to_string());
        let output = self.client.run(move || async move { command.output() }).await?;
        output.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                "there is no arping here: install Debian's package iputils-arping".into()
            }
            _ => error.into(),
        })
    }

    /// Everybody whom two broadcast questions bring to answer.
    async fn who_answers(&self) -> Result<BTreeSet<MacAddr>> {
        // Without -b all questions but the first go to whoever answered that.
        let output = self.arping(&["-b", "-c", "2", "-w", "2"]).await?;
        let said = String::from_utf8(output.stdout)?;
        assert!(
            said.contains("Sent 2 probes"),
            "not the arping of iputils-arping: {said}{:?}",
            output.stderr
        );
        let bracketed = said.lines().filter_map(|line| line.split_once('[')?.1.split_once(']'));
        bracketed.map(|(mac, _)| mac.parse().map_err(|_| format!("{mac:?} in {said}").into())).collect()
    }

    /// Whether duplicate address detection finds that somebody has the address.
    async fn is_in_use(&self) -> Result<bool> {
        let output = self.arping(&["-D", "-c", "2", "-w", "2"]).await?;
        match output.status.code() {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            _ => Err(format!("{output:?}").into()),
        }
    }
}

async fn one_answers() -> Result {
    let site = Site::new().await?;
    for (layer2, _, mac) in &site.nodes {
        layer2.announce(VIP, Rule::any());
        assert_eq!(site.who_answers().await?, BTreeSet::from([*mac]));
        layer2.withdraw(VIP);
    }
    Ok(())
}

async fn nobody_answers() -> Result {
    let site = Site::new().await?;
    assert_eq!(site.who_answers().await?, BTreeSet::new());
    let (layer2, ..) = &site.nodes[0];
    layer2.announce(VIP, Rule::any());
    // The snapshot is taken after the announcement before it.
    assert_eq!(layer2.snapshot().await.addresses[&VIP.into()], ["eth0"]);
    layer2.withdraw(VIP);
    assert_eq!(site.who_answers().await?, BTreeSet::new());
    Ok(())
}

async fn in_use() -> Result {
    let site = Site::new().await?;
    assert!(!site.is_in_use().await?);
    let (layer2, ..) = &site.nodes[0];
    layer2.announce(VIP, Rule::any());
    assert!(site.is_in_use().await?);
    layer2.withdraw(VIP);
    assert!(!site.is_in_use().await?);
    Ok(())
}
