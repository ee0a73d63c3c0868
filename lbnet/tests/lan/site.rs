//! What the tests share: a bridge, a client that asks and listens, and nodes that answer.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lblab::client::{Asking, who_has};
use lblab::{Bridge, Host, Lan, Nic, Port};
use lbnet::filter::{Filter, Protocol};
use lbnet::socket::FrameSocket;
use lbnet::wire::Operation;
use lbnet::{Advertisement, ArpFrame, Event, Layer2, MacAddr, NdpFrame, Settings};
use tokio::sync::mpsc::UnboundedReceiver;

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The virtual address of most tests.
pub(crate) const VIP: Ipv4Addr = address(3, 253);

/// Who answers when nobody does.
pub(crate) const NOBODY: [MacAddr; 0] = [];

/// How long to wait for something that must happen. Nothing is waited for longer than it takes.
const PATIENCE: Duration = Duration::from_secs(8);

/// The same of IPv6, in the subnet that the nodes have.
pub(crate) const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 3, 0, 0, 0, 0, 0, 0x253);

pub(crate) const fn address(net: u8, last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, net, last)
}

/// Says something about a run that passes.
pub(crate) fn note(text: &str) {
    // A closed stderr is no reason to fail.
    let _ = writeln!(io::stderr(), "     {text}");
}

/// Looks until there is something to see.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return Ok(seen);
        }
        if Instant::now() > deadline {
            return Err(format!("not within {PATIENCE:?}: {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Starts answering on `host`.
pub(crate) async fn start(host: &Host, settings: Settings) -> Result<(Layer2, UnboundedReceiver<Event>)> {
    Ok(host.run(move || async move { Layer2::start(settings) }).await??)
}

/// Waits until `target` is answered on just these interfaces.
pub(crate) async fn placed(layer2: &Layer2, target: impl Into<IpAddr>, interfaces: &[&str]) -> Result {
    let target = target.into();
    let look = async || (layer2.snapshot().await.addresses.get(&target)? == interfaces).then_some(());
    until(&format!("{target} is answered on {interfaces:?}"), look).await
}

/// Waits until the filters of an interface have followed all changes.
pub(crate) async fn filtered(layer2: &Layer2, interface: &str) -> Result {
    let look = async || {
        let snapshot = layer2.snapshot().await;
        snapshot.interfaces.get(interface)?.filters.values().all(|filter| filter.exact).then_some(())
    };
    until(&format!("the filters of {interface} are exact"), look).await
}

/// A LAN with one segment, 192.168.3.0/24.
pub(crate) struct Site {
    pub(crate) lan: Lan,
    pub(crate) segment: Segment,
}

/// A bridge with a client on it.
pub(crate) struct Segment {
    pub(crate) bridge: Bridge,
    pub(crate) client: Client,
}

/// A host with one interface, `eth0`.
pub(crate) struct Node {
    pub(crate) host: Host,
    pub(crate) nic: Nic,
    pub(crate) port: Port,
}

impl Site {
    pub(crate) async fn new() -> Result<Self> {
        let lan = Lan::new().await?;
        let segment = Segment::new(&lan, 3).await?;
        Ok(Self { lan, segment })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.segment.client
    }

    /// A node in the segment.
    pub(crate) async fn node(&self, last: u8) -> Result<Node> {
        let host = Host::new(&format!("n{last}")).await?;
        let nic = Nic::new("eth0", address(3, last)).dual_stack();
        let port = self.lan.plug(&host, self.segment.bridge, &nic).await?;
        Ok(Node { host, nic, port })
    }

    /// A node that answers for [`VIP`], with the client knowing it.
    pub(crate) async fn answering_node(&self, settings: Settings) -> Result<(Node, Layer2)> {
        let node = self.node(11).await?;
        let (layer2, _) = start(&node.host, settings).await?;
        layer2.announce(VIP, lbnet::Rule::any());
        self.client().answered(VIP, node.nic.mac).await?;
        Ok((node, layer2))
    }
}

impl Segment {
    /// 192.168.`net`.0/24.
    pub(crate) async fn new(lan: &Lan, net: u8) -> Result<Self> {
        let bridge = lan.bridge(&Nic::new(&format!("br{net}"), address(net, 1))).await?;
        let host = Host::new(&format!("c{net}")).await?;
        let nic = Nic::new("eth0", address(net, 100)).dual_stack();
        lan.plug(&host, bridge, &nic).await?;
        Ok(Self { bridge, client: Client::new(host, nic).await? })
    }
}

/// An ARP frame and when it was heard.
pub(crate) type Heard = (Instant, ArpFrame);
/// A frame of neighbour discovery and when it was heard.
pub(crate) type Heard6 = (Instant, NdpFrame);

type Journal<T> = Arc<Mutex<Vec<(Instant, T)>>>;

/// Somebody who asks, and writes down all frames of ARP and neighbour discovery that reach it.
pub(crate) struct Client {
    pub(crate) host: Host,
    pub(crate) nic: Nic,
    socket: Arc<FrameSocket>,
    heard: Journal<ArpFrame>,
    socket6: Arc<FrameSocket>,
    heard6: Journal<NdpFrame>,
}

impl Client {
    async fn new(host: Host, nic: Nic) -> Result<Self> {
        let (socket, heard) = hear(&host, &nic, Protocol::Arp, |bytes| ArpFrame::parse(bytes).ok()).await?;
        let (socket6, heard6) =
            hear(&host, &nic, Protocol::Ipv6, |bytes| NdpFrame::parse(bytes).ok()).await?;
        Ok(Self { host, nic, socket, heard, socket6, heard6 })
    }

    /// Asks for `target` thousands of times a second until the load is dropped, or for ten seconds.
    pub(crate) async fn load(&self, target: Ipv4Addr) -> Result<Load> {
        let (question, socket) =
            (self.question(self.nic.address, target).to_bytes(), Arc::clone(&self.socket));
        let (load, wanted) = tokio::sync::oneshot::channel::<()>();
        let asking = move || async move {
            tokio::task::spawn_local(async move {
                let ask = async {
                    loop {
                        for _ in 0..8 {
                            // One that is not sent is made good by the next.
                            let _ = socket.send(&question);
                        }
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                let bounded = tokio::time::timeout(Duration::from_secs(10), ask);
                tokio::select! {
                    _ = wanted => {}
                    Ok(()) | Err(_) = bounded => {}
                }
            });
        };
        self.host.run(asking).await?;
        Ok(Load(load))
    }

    /// The question for `target`, as somebody with the address `from` at this client would ask it.
    pub(crate) fn question(&self, from: Ipv4Addr, target: Ipv4Addr) -> ArpFrame {
        ArpFrame::request(self.nic.mac, from, target)
    }

    pub(crate) fn send(&self, frame: &[u8]) -> Result {
        Ok(self.socket.send(frame)?)
    }

    /// Sends a frame of IPv6.
    pub(crate) fn send6(&self, frame: &[u8]) -> Result {
        Ok(self.socket6.send(frame)?)
    }

    /// How many frames of neighbour discovery were heard so far.
    pub(crate) fn mark6(&self) -> usize {
        self.heard6.lock().expect("no panic while writing").len()
    }

    /// What `look` makes of the frames of neighbour discovery heard since `mark`.
    pub(crate) fn heard6<T>(&self, mark: usize, look: impl FnOnce(&[Heard6]) -> T) -> T {
        look(&self.heard6.lock().expect("no panic while writing")[mark..])
    }

    /// The client's own IPv6 address.
    pub(crate) fn address6(&self) -> Ipv6Addr {
        self.nic.address6.expect("it is dual-stack")
    }

    /// The first advertisement heard since `mark` that is as wanted.
    pub(crate) async fn advertised(
        &self,
        mark: usize,
        what: &str,
        wanted: impl Fn(&Advertisement) -> bool,
    ) -> Result<Advertisement> {
        let first = |heard: &[Heard6]| {
            let told = heard.iter().filter_map(|(_, frame)| match frame {
                NdpFrame::Advertisement(told) => Some(*told),
                NdpFrame::Solicitation(_) => None,
            });
            told.into_iter().find(|told| wanted(told))
        };
        until(what, async || self.heard6(mark, first)).await
    }

    /// How many frames were heard so far.
    pub(crate) fn mark(&self) -> usize {
        self.heard.lock().expect("no panic while writing").len()
    }

    /// What `look` makes of the frames heard since `mark`.
    pub(crate) fn heard<T>(&self, mark: usize, look: impl FnOnce(&[Heard]) -> T) -> T {
        look(&self.heard.lock().expect("no panic while writing")[mark..])
    }

    /// Everybody who answers for `target` when asked three times.
    pub(crate) async fn who_has(&self, target: impl Into<IpAddr>) -> Result<Vec<MacAddr>> {
        let answers = who_has(&self.host, &self.nic, target, Asking::default()).await?;
        Ok(answers.into_keys().collect())
    }

    /// Asks for `target` until the station `by` answers; how long that took.
    pub(crate) async fn answered(&self, target: Ipv4Addr, by: MacAddr) -> Result<Duration> {
        let (begun, mark) = (Instant::now(), self.mark());
        let question = self.question(self.nic.address, target).to_bytes();
        let answer = |heard: &[Heard]| {
            let ours = |frame: &ArpFrame| frame.destination == self.nic.mac && frame.sender_ip == target;
            heard.iter().find(|(_, frame)| ours(frame) && frame.sender_mac == by).map(|(at, _)| *at)
        };
        let look = async || {
            let at = self.heard(mark, answer);
            if at.is_none() {
                // A question that is not sent is made good by the next.
                let _ = self.send(&question);
            }
            at
        };
        Ok(until(&format!("{target} is answered by {by}"), look).await? - begun)
    }

    /// Sends `frames`, then a plain question for `target`. When that one is answered, so are all before it
    /// that ever will be: the result tells which askers were, by their addresses.
    pub(crate) async fn answered_of(
        &self,
        frames: &[Vec<u8>],
        target: Ipv4Addr,
    ) -> Result<BTreeSet<Ipv4Addr>> {
        let (mark, last) = (self.mark(), self.nic.address);
        for frame in frames {
            self.send(frame)?;
        }
        self.send(&self.question(last, target).to_bytes())?;
        let askers = |heard: &[Heard]| -> BTreeSet<Ipv4Addr> {
            let answers = heard.iter().filter(|(_, frame)| frame.destination == self.nic.mac);
            answers.map(|(_, frame)| frame.target_ip).collect()
        };
        let mut askers = until("the plain question is answered", async || {
            Some(self.heard(mark, askers)).filter(|askers| askers.contains(&last))
        })
        .await?;
        askers.remove(&last);
        Ok(askers)
    }

    /// Waits until `rounds` rounds of announcements of `target` by `by` were heard since `mark`; when each form
    /// was heard, request form and reply form.
    pub(crate) async fn announced(
        &self,
        mark: usize,
        target: Ipv4Addr,
        by: MacAddr,
        rounds: usize,
    ) -> Result<[Vec<Instant>; 2]> {
        let forms = |heard: &[Heard]| {
            [Operation::Request, Operation::Reply].map(|form| {
                let frame = ArpFrame::gratuitous(form, by, target);
                heard.iter().filter(|(_, heard)| *heard == frame).map(|(at, _)| *at).collect::<Vec<_>>()
            })
        };
        until(&format!("{target} is announced {rounds} times by {by}"), async || {
            Some(self.heard(mark, forms)).filter(|forms| forms.iter().all(|times| times.len() >= rounds))
        })
        .await
    }
}

/// Questions that are being asked.
pub(crate) struct Load(
    #[expect(dead_code, reason = "dropping it ends the load")] tokio::sync::oneshot::Sender<()>,
);

/// Writes down what comes in by one protocol.
async fn hear<T: Send + 'static>(
    host: &Host,
    nic: &Nic,
    protocol: Protocol,
    parse: fn(&[u8]) -> Option<T>,
) -> Result<(Arc<FrameSocket>, Journal<T>)> {
    let index = NonZeroU32::new(host.net().index(&nic.name).await?).ok_or("index 0")?;
    let heard = Journal::default();
    let journal = Arc::clone(&heard);
    let socket = host.run(move || async move {
        let socket = Arc::new(FrameSocket::open(index, protocol, &Filter::open(protocol))?);
        let listening = Arc::clone(&socket);
        tokio::task::spawn_local(async move {
            let mut buffer = [0; 1514];
            while let Ok(bytes) = listening.recv(&mut buffer).await {
                if let Some(frame) = parse(bytes) {
                    journal.lock().expect("no panic while reading").push((Instant::now(), frame));
                }
            }
        });
        Ok::<_, lbnet::socket::OpenError>(socket)
    });
    Ok((socket.await??, heard))
}
