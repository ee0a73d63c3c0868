//! `lbnet` alone: answers ARP or NDP for one address on one interface, until Ctrl-C.
//!
//! `cargo build -p examples --bin answer_arp && sudo target/debug/answer_arp eth0 192.168.3.253`

use std::io::{self, Write};
use std::net::IpAddr;

use lbnet::{Layer2, Rule, Selection, Settings};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(interface), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("usage: answer_arp INTERFACE ADDRESS".into());
    };
    let address: IpAddr = address.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let settings = Settings { interfaces: Selection::only([interface.as_str()]), ..Settings::default() };
        let (layer2, _events) = Layer2::start(settings)?;
        layer2.announce(address, Rule::any());
        writeln!(io::stdout(), "answering for {address} on {interface}; Ctrl-C ends it")?;

        tokio::signal::ctrl_c().await?;
        let snapshot = layer2.snapshot().await;
        let answered: u64 = snapshot.interfaces.values().map(|it| it.counters.answered()).sum();
        writeln!(io::stdout(), "{answered} questions answered, {} frames announced", snapshot.announced)?;
        Ok(())
    })
}
