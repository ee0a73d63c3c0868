//! Links that go and come, and what becomes of the answers.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use lblab::suite::Case;
use lblab::{Host, Nic};
use lbnet::{MacAddr, Rule, Selection, Settings};

use crate::site::{NOBODY, Node, Result, Site, VIP, note, placed, start};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("it_answers_again_after_the_link_was_cut_and_healed", cut_and_healed),
        Case::new("it_answers_again_after_a_cut_that_was_healed_at_once", flapped),
        Case::new("it_answers_again_after_the_interface_was_set_down_and_up", down_and_up),
        Case::new("it_answers_with_the_new_hardware_address_after_a_change", new_mac),
        Case::new("it_answers_again_after_the_interface_was_replaced_under_the_same_name", replaced),
        Case::new("it_answers_again_after_the_interface_was_replaced_at_once", replaced_at_once),
        Case::new("it_answers_again_after_the_interface_was_replaced_under_another_name", renamed),
        Case::new("it_answers_on_an_interface_that_appears_after_the_announcement", appears_later),
        Case::new("under_load_it_answers_again_after_the_link_flapped", flapped_under_load),
        Case::new("under_load_it_answers_with_the_new_hardware_address", new_mac_under_load),
        Case::new(
            "under_load_it_answers_again_after_the_interface_was_removed_and_returned",
            replaced_under_load,
        ),
        Case::new("the_threads_sleep_while_the_link_is_down", sleeps),
    ]
}

fn again(after: &str, begun: Instant) {
    note(&format!("answers again after {:.1} ms ({after})", begun.elapsed().as_secs_f64() * 1000.0));
}

async fn cut_and_healed() -> Result {
    let site = Site::new().await?;
    let (node, layer2) = site.answering_node(Settings::default()).await?;
    site.lan.cut(&node.port).await?;
    placed(&layer2, VIP, &[]).await?;
    assert_eq!(site.client().who_has(VIP).await?, NOBODY);
    let begun = Instant::now();
    site.lan.heal(&node.port).await?;
    site.client().answered(VIP, node.nic.mac).await?;
    again("link healed", begun);
    assert_eq!(site.client().who_has(VIP).await?, [node.nic.mac]);
    Ok(())
}

async fn flapped() -> Result {
    let site = Site::new().await?;
    let (node, _layer2) = site.answering_node(Settings::default()).await?;
    for _ in 0..3 {
        let begun = Instant::now();
        site.lan.cut(&node.port).await?;
        site.lan.heal(&node.port).await?;
        site.client().answered(VIP, node.nic.mac).await?;
        again("link cut and healed at once", begun);
    }
    Ok(())
}

async fn down_and_up() -> Result {
    let site = Site::new().await?;
    let (node, layer2) = site.answering_node(Settings::default()).await?;
    let (net, index) = (node.host.net(), node.host.net().index("eth0").await?);
    net.down(index).await?;
    placed(&layer2, VIP, &[]).await?;
    let begun = Instant::now();
    net.up(index).await?;
    site.client().answered(VIP, node.nic.mac).await?;
    again("interface set up", begun);
    Ok(())
}

async fn new_mac() -> Result {
    let site = Site::new().await?;
    let (node, _layer2) = site.answering_node(Settings::default()).await?;
    let new = MacAddr(2, 0, 0, 0, 0, 0xcc);
    let index = node.host.net().index("eth0").await?;
    let begun = Instant::now();
    node.host.net().set_mac(index, new).await?;
    site.client().answered(VIP, new).await?;
    again("hardware address changed", begun);
    assert_eq!(site.client().who_has(VIP).await?, [new]);
    Ok(())
}

async fn replaced() -> Result {
    let site = Site::new().await?;
    let settings = Settings { interfaces: Selection::only(["eth0"]), ..Settings::default() };
    let (Node { host, nic, port }, layer2) = site.answering_node(settings).await?;
    site.lan.unplug(port).await?;
    placed(&layer2, VIP, &[]).await?;
    assert_eq!(site.client().who_has(VIP).await?, NOBODY);
    let begun = Instant::now();
    site.lan.plug(&host, site.segment.bridge, &nic).await?;
    site.client().answered(VIP, nic.mac).await?;
    again("interface plugged in again", begun);
    assert_eq!(site.client().who_has(VIP).await?, [nic.mac]);
    Ok(())
}

async fn replaced_at_once() -> Result {
    let site = Site::new().await?;
    let (Node { host, nic, mut port }, _layer2) = site.answering_node(Settings::default()).await?;
    for _ in 0..3 {
        let begun = Instant::now();
        site.lan.unplug(port).await?;
        port = site.lan.plug(&host, site.segment.bridge, &nic).await?;
        site.client().answered(VIP, nic.mac).await?;
        again("interface unplugged and plugged in again at once", begun);
    }
    Ok(())
}

async fn renamed() -> Result {
    let site = Site::new().await?;
    let (Node { host, nic, port }, layer2) = site.answering_node(Settings::default()).await?;
    site.lan.unplug(port).await?;
    let nic = Nic { name: "lan7".to_owned(), mac: MacAddr(2, 0, 0, 0, 0, 0xcc), ..nic };
    let begun = Instant::now();
    site.lan.plug(&host, site.segment.bridge, &nic).await?;
    site.client().answered(VIP, nic.mac).await?;
    again("another interface plugged in", begun);
    placed(&layer2, VIP, &["lan7"]).await
}

async fn appears_later() -> Result {
    let site = Site::new().await?;
    let host = Host::new("n11").await?;
    let (layer2, _) = start(&host, Settings::default()).await?;
    layer2.announce(VIP, Rule::any());
    placed(&layer2, VIP, &[]).await?;
    let nic = Nic::new("eth0", crate::site::address(3, 11));
    let (begun, mark) = (Instant::now(), site.client().mark());
    site.lan.plug(&host, site.segment.bridge, &nic).await?;
    site.client().answered(VIP, nic.mac).await?;
    again("the first interface plugged in", begun);
    site.client().announced(mark, VIP, nic.mac, 1).await?;
    Ok(())
}

async fn flapped_under_load() -> Result {
    let site = Site::new().await?;
    let (node, layer2) = site.answering_node(Settings::default()).await?;
    let _load = site.client().load(VIP).await?;
    for _ in 0..3 {
        site.lan.cut(&node.port).await?;
        placed(&layer2, VIP, &[]).await?;
        let begun = Instant::now();
        site.lan.heal(&node.port).await?;
        site.client().answered(VIP, node.nic.mac).await?;
        again("link healed, under load", begun);
    }
    Ok(())
}

async fn new_mac_under_load() -> Result {
    let site = Site::new().await?;
    let (node, _layer2) = site.answering_node(Settings::default()).await?;
    let _load = site.client().load(VIP).await?;
    let index = node.host.net().index("eth0").await?;
    for last in [0xc1, 0xc2, 0xc3] {
        let new = MacAddr(2, 0, 0, 0, 0, last);
        let begun = Instant::now();
        node.host.net().set_mac(index, new).await?;
        site.client().answered(VIP, new).await?;
        again("hardware address changed, under load", begun);
        assert_eq!(site.client().who_has(VIP).await?, [new]);
    }
    Ok(())
}

async fn replaced_under_load() -> Result {
    let site = Site::new().await?;
    let (Node { host, nic, mut port }, layer2) = site.answering_node(Settings::default()).await?;
    let _load = site.client().load(VIP).await?;
    for _ in 0..3 {
        site.lan.unplug(port).await?;
        placed(&layer2, VIP, &[]).await?;
        let begun = Instant::now();
        port = site.lan.plug(&host, site.segment.bridge, &nic).await?;
        site.client().answered(VIP, nic.mac).await?;
        again("interface plugged in again, under load", begun);
    }
    Ok(())
}

/// The processor time that the answering threads of the host have used, in ticks of 10 ms.
async fn ticks(host: &Host) -> Result<u64> {
    let read = || -> std::io::Result<Vec<String>> {
        let ours = std::fs::read_link("/proc/thread-self/ns/net")?;
        let mut stats = Vec::new();
        for task in std::fs::read_dir("/proc/self/task")? {
            let task: PathBuf = task?.path();
            // A thread of another test may end while its files are read.
            let read = |file: &str| std::fs::read_to_string(task.join(file)).unwrap_or_default();
            let here = std::fs::read_link(task.join("ns/net")).is_ok_and(|namespace| namespace == ours);
            if here && read("comm").starts_with("layer2") {
                stats.push(read("stat"));
            }
        }
        Ok(stats)
    };
    let stats = host.run(move || async move { read() }).await??;
    // Readers end when their link is down.
    assert!(stats.len() >= 2, "the loop and the thread for groups at least, not {stats:?}");
    let mut ticks = 0;
    for stat in stats {
        // The name in parentheses may have spaces; the 12th and 13th fields after it are user and system time.
        let fields =
            stat.rsplit_once(')').ok_or("no name in the line")?.1.split_whitespace().skip(11).take(2);
        for field in fields {
            ticks += field.parse::<u64>()?;
        }
    }
    Ok(ticks)
}

async fn sleeps() -> Result {
    const WINDOW: Duration = Duration::from_millis(300);
    let site = Site::new().await?;
    let (node, _layer2) = site.answering_node(Settings::default()).await?;
    let (net, index) = (node.host.net(), node.host.net().index("eth0").await?);
    site.lan.cut(&node.port).await?;
    for link in ["without a carrier", "set down"] {
        let before = ticks(&node.host).await?;
        tokio::time::sleep(WINDOW).await;
        let used = ticks(&node.host).await?.saturating_sub(before);
        assert!(used < 6, "{used} ticks of 30 used with the link {link}");
        net.down(index).await?;
    }
    Ok(())
}
