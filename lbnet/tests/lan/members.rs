//! Members on real sockets: they meet over either family, hear only who has the key, and keep up the permit to answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use lblab::suite::Case;
use lbnet::membership::carrier::{Carrier, CarrierError, CarrierSettings, News, PORT};
use lbnet::membership::{Event, Settings};
use lbnet::{MacAddr, Permit, Rule};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::site::{Node, Result, Site, VIP, until};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("members_meet_over_ipv4_and_bring_each_other_their_tables", || meet(false)),
        Case::new("members_meet_over_ipv6_and_bring_each_other_their_tables", || meet(true)),
        Case::new("whoever_has_another_key_is_not_heard_until_the_key_beside_it_is_his", other_key),
        Case::new("nothing_is_answered_without_a_permit", permitted),
        Case::new("two_members_on_one_port_are_refused_with_the_reason", port_in_use),
    ]
}

/// A member, what it tells, and the permit that it keeps up.
pub(crate) struct Member {
    pub(crate) carrier: Carrier,
    news: UnboundedReceiver<News>,
    permit: Arc<Permit>,
    pub(crate) seen: Vec<News>,
}

impl Member {
    pub(crate) async fn start(node: &Node, name: &str, keys: Option<&Path>) -> Result<Self> {
        let permit = Arc::new(Permit::lapsed());
        let settings = CarrierSettings {
            records: vec![],
            name: name.to_owned(),
            port: PORT,
            keys: keys.map(Path::to_owned),
            membership: Settings::default(),
            permit: Arc::clone(&permit),
        };
        let (carrier, news) = node.host.run(move || async move { Carrier::start(settings) }).await??;
        Ok(Self { carrier, news, permit, seen: Vec::new() })
    }

    fn knows(&self, name: &str, at: impl Into<IpAddr>) {
        let places = BTreeSet::from([SocketAddr::new(at.into(), PORT)]);
        self.carrier.set_peers(BTreeMap::from([(name.to_owned(), places)]));
    }

    /// Waits until it has told something.
    pub(crate) async fn tells(&mut self, what: &str, wanted: impl Fn(&News) -> bool) -> Result {
        until(what, async || {
            while let Ok(news) = self.news.try_recv() {
                self.seen.push(news);
            }
            self.seen.iter().any(&wanted).then_some(())
        })
        .await
    }
}

fn is_up(news: &News) -> bool {
    matches!(news, News::Happened(Event::Up { .. }))
}

async fn meet(ipv6: bool) -> Result {
    let site = Site::new().await?;
    let (a, b) = (site.node(11).await?, site.node(12).await?);
    let (mut one, mut other) = (Member::start(&a, "a", None).await?, Member::start(&b, "b", None).await?);
    let at: IpAddr =
        if ipv6 { b.nic.address6.expect("it is dual-stack").into() } else { b.nic.address.into() };
    one.carrier.publish(vec![("facts".to_owned(), Some(vec![1; 5000]))]);
    one.knows("b", at);
    one.carrier.expect(BTreeSet::from(["b".to_owned()]));
    other.carrier.expect(BTreeSet::new());
    other.tells("b hears a", is_up).await?;
    let facts = |news: &News| matches!(news, News::Records(name, it) if name == "a" && it.get("facts").is_some_and(|it| it.len() == 5000));
    other.tells("b has the table of a", facts).await?;
    let ready = |news: &News| *news == News::Happened(Event::Ready { missing: vec![] });
    one.tells("a has heard b", ready).await?;
    one.carrier.heard_by_all().await;
    let snapshot = one.carrier.snapshot().await;
    assert_eq!(snapshot.members[0].at, Some(SocketAddr::new(at, PORT)));
    one.carrier.go_on(1);
    until("the permit is kept up", async || one.permit.holds(Instant::now()).then_some(())).await?;
    drop(other);
    one.tells("b is missed", |news| matches!(news, News::Happened(Event::Down { .. }))).await?;
    assert!(one.permit.holds(Instant::now()), "who is left alone goes on answering");
    let permit = Arc::clone(&one.permit);
    drop(one);
    assert!(!permit.holds(Instant::now()), "who has ended answers nothing");
    Ok(())
}

/// A folder with keys, which goes with the test.
struct Keys(PathBuf);

impl Keys {
    fn new(name: &str) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("lbnet-members-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn other_key() -> Result {
    let site = Site::new().await?;
    let (a, b) = (site.node(11).await?, site.node(12).await?);
    let (ours, theirs) = (Keys::new("ours")?, Keys::new("theirs")?);
    let key = ours.write("key", "the key of one side of it")?;
    let mut one = Member::start(&a, "a", Some(&key)).await?;
    let other = theirs.write("key", "the key of the other side")?;
    let other = Member::start(&b, "b", Some(&other)).await?;
    other.knows("a", a.nic.address);
    one.tells("a stranger is told of", |news| matches!(news, News::NotOpened(..))).await?;
    assert!(!one.seen.iter().any(is_up));
    // Each opens the other's too, from now on.
    ours.write("key.next", "the key of the other side")?;
    theirs.write("key.next", "the key of one side of it")?;
    one.tells("they hear each other", is_up).await
}

async fn permitted() -> Result {
    let site = Site::new().await?;
    let node = site.node(11).await?;
    let permit = Arc::new(Permit::lapsed());
    let settings = lbnet::Settings { permit: Arc::clone(&permit), ..lbnet::Settings::default() };
    let (layer2, _events) = crate::site::start(&node.host, settings).await?;
    layer2.announce(VIP, Rule::any());
    layer2.obeyed().await;
    assert_eq!(site.client().who_has(VIP).await?, [] as [MacAddr; 0]);
    assert_eq!(layer2.snapshot().await.announced, 0, "it is not announced either");
    permit.set(Instant::now() + std::time::Duration::from_mins(1));
    site.client().answered(VIP, node.nic.mac).await?;
    site.client().announced(0, VIP, node.nic.mac, 1).await?;
    permit.withdraw();
    assert_eq!(site.client().who_has(VIP).await?, [] as [MacAddr; 0]);
    Ok(())
}

async fn port_in_use() -> Result {
    let site = Site::new().await?;
    let node = site.node(11).await?;
    let _first = Member::start(&node, "a", None).await?;
    let second = Member::start(&node, "b", None).await.err().ok_or("it started")?;
    assert!(second.downcast_ref::<CarrierError>().is_some_and(|it| matches!(it, CarrierError::Port { .. })));
    assert!(second.to_string().contains("UDP port 7947"), "{second}");
    Ok(())
}
