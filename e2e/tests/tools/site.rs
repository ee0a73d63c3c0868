//! What the tests share: a bridge, and stations on it.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use lblab::{Bridge, Host, Lan, Nic};
use lbnet::{Event, Layer2, MacAddr, Profile, Rule, Settings, Snapshot};
use tokio::sync::mpsc::UnboundedReceiver;

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The virtual addresses of the tests.
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 3, 253);
pub(crate) const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 3, 0, 0, 0, 0, 0, 0xfd);
pub(crate) const VIPS: [IpAddr; 2] = [IpAddr::V4(VIP), IpAddr::V6(VIP6)];

/// How long to wait for something that must happen. Nothing is waited for longer than it takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// Says something about a run that passes.
pub(crate) fn note(text: &str) {
    // A closed stderr is no reason to fail.
    let _ = writeln!(std::io::stderr(), "     {text}");
}

/// Looks until there is something to see.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await? {
            return Ok(seen);
        }
        if Instant::now() > deadline {
            return Err(format!("not within {PATIENCE:?}: {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One round of announcements only, so that what is sent later is sent for a reason.
pub(crate) fn one_round() -> Settings {
    Settings { profile: Profile { rounds: 1, refresh: None, ..Profile::default() }, ..Settings::default() }
}

/// A LAN with one segment, 192.168.3.0/24 and `fd00:3::/64`.
pub(crate) struct Site {
    pub(crate) bridge: Bridge,
    pub(crate) lan: Lan,
}

/// A host with one interface, `eth0`.
pub(crate) struct Station {
    pub(crate) host: Host,
    pub(crate) nic: Nic,
}

/// Answering at a station.
pub(crate) struct Answering {
    pub(crate) layer2: Layer2,
    pub(crate) events: UnboundedReceiver<Event>,
}

impl Site {
    pub(crate) async fn new() -> Result<Self> {
        let lan = Lan::new().await?;
        let bridge = lan.bridge(&Nic::new("br0", Ipv4Addr::new(192, 168, 3, 1)).dual_stack()).await?;
        Ok(Self { bridge, lan })
    }

    /// A station with the address 192.168.3.`last`, and one of IPv6 beside it.
    pub(crate) async fn station(&self, name: &str, last: u8) -> Result<Station> {
        let (host, nic) =
            (Host::new(name).await?, Nic::new("eth0", Ipv4Addr::new(192, 168, 3, last)).dual_stack());
        self.lan.plug(&host, self.bridge, &nic).await?;
        Ok(Station { host, nic })
    }

    /// The one who asks.
    pub(crate) async fn client(&self) -> Result<Station> {
        self.station("c", 100).await
    }

    /// Two that can answer.
    pub(crate) async fn nodes(&self) -> Result<[Station; 2]> {
        Ok([self.station("n1", 11).await?, self.station("n2", 12).await?])
    }

    /// Another one, with an address of ours or without.
    pub(crate) async fn rival(&self) -> Result<Station> {
        self.station("r", 66).await
    }
}

impl Station {
    pub(crate) fn mac(&self) -> MacAddr {
        self.nic.mac
    }

    /// Starts answering here, for nothing yet.
    pub(crate) async fn answering(&self, settings: Settings) -> Result<Answering> {
        let (layer2, events) = self.host.run(move || async move { Layer2::start(settings) }).await??;
        Ok(Answering { layer2, events })
    }

    /// Gives the host's kernel the address on `link`.
    pub(crate) async fn add(&self, link: &str, address: IpAddr) -> Result {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        let net = self.host.net();
        Ok(net.add_address(net.index(link).await?, address, prefix).await?)
    }

    /// Takes the address from the host's kernel.
    pub(crate) async fn remove(&self, link: &str, address: IpAddr) -> Result {
        let net = self.host.net();
        Ok(net.delete_address(net.index(link).await?, address).await?)
    }
}

impl Answering {
    /// Announces, and returns when it is done.
    pub(crate) async fn announce(&self, address: impl Into<IpAddr>) {
        self.layer2.announce(address, Rule::any());
        self.layer2.snapshot().await;
    }

    /// Withdraws, and returns when it is done.
    pub(crate) async fn withdraw(&self, address: impl Into<IpAddr>) {
        self.layer2.withdraw(address);
        self.layer2.snapshot().await;
    }

    /// Waits until a snapshot shows what is looked for.
    pub(crate) async fn shows<T>(&self, what: &str, look: impl Fn(&Snapshot) -> Option<T>) -> Result<T> {
        until(what, async || Ok(look(&self.layer2.snapshot().await))).await
    }

    /// Questions answered on `eth0`: by ARP or neighbour discovery, as `address` has it.
    pub(crate) async fn answered(&self, address: IpAddr) -> u64 {
        let snapshot = self.layer2.snapshot().await;
        let counters = &snapshot.interfaces["eth0"].counters;
        if address.is_ipv4() { counters.arp } else { counters.ndp }
    }

    /// The next event that `look` makes something of; the others are passed over.
    pub(crate) async fn hears<T>(&mut self, what: &str, look: impl Fn(&Event) -> Option<T>) -> Result<T> {
        let next = async {
            while let Some(event) = self.events.recv().await {
                if let Some(found) = look(&event) {
                    return Some(found);
                }
            }
            None
        };
        let heard = tokio::time::timeout(PATIENCE, next).await;
        heard.ok().flatten().ok_or_else(|| format!("no event within {PATIENCE:?}: {what}").into())
    }

    /// Waits for the word of a conflict about `address`; it must be with `rival`.
    pub(crate) async fn hears_conflict(&mut self, address: IpAddr, rival: MacAddr) -> Result {
        let what = format!("a conflict about {address}");
        let heard = self.hears(&what, |event| match event {
            Event::Conflict { address: about, mac, .. } if *about == address => Some(*mac),
            _ => None,
        });
        assert_eq!(heard.await?, rival, "{what}");
        Ok(())
    }
}
