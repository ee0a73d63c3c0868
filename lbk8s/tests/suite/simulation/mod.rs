//! The real state machines of speakers on a network in virtual time, by seeds: crashes, restarts, pauses, splits, loss,
//! outages of the API and clocks that differ. After everything the laws hold.
//!
//! `SIMULATION_SEEDS=5000` tries more; `SIMULATION_SEED=17` plays one again.

#![cfg(feature = "speaker")]

mod disturbances;
mod lan;
mod laws;
mod speakers;

use std::cell::Cell;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use lbcore::ownership::claims::Cause;
use lblab::simulated::Weather;
use lbnet::membership::Settings;

use self::disturbances::Disturbed;
use self::laws::Watcher;
use self::speakers::{Cluster, address};

const SECOND: Duration = Duration::from_secs(1);

fn note(text: &str) {
    // A closed stderr is no reason to fail.
    let _ = writeln!(std::io::stderr(), "     {text}");
}

/// Plays a story by each seed, and says how much that was. One that fails says how to play it again.
fn seeds(what: &str, default: u64, story: impl Fn(u64) -> Cluster) {
    let read = |key: &str| std::env::var(key).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = read("SIMULATION_SEED") {
        story(seed);
        return;
    }
    let count = read("SIMULATION_SEEDS").unwrap_or(default);
    let (mut time, mut events, mut datagrams) = (Duration::ZERO, 0, 0);
    for seed in 0..count {
        match catch_unwind(AssertUnwindSafe(|| story(seed))) {
            Ok(cluster) => {
                time += cluster.members.now;
                events += cluster.members.story.len();
                datagrams += cluster.members.sent;
            }
            Err(panic) => {
                note(&format!("SIMULATION_SEED={seed} cargo test -p lbk8s --test suite {what}"));
                resume_unwind(panic);
            }
        }
    }
    let time = time.as_secs();
    note(&format!("{what}: {count} seeds, {time} simulated seconds, {events} events, {datagrams} datagrams"));
}

/// Nodes that all start at once, with Services, after which all is at rest.
fn started(nodes: usize, services: usize, weather: Weather, seed: u64) -> (Cluster, Watcher) {
    let mut cluster = Cluster::new(nodes, services, Settings::default(), weather, seed);
    let mut watcher = Watcher::new(services);
    for node in 0..nodes {
        // No clock is right, and none jumps: it goes on as it goes.
        let rate = 990 + u32::try_from(cluster.members.network.draw(21)).unwrap();
        cluster.members.set_rate(node, rate);
        cluster.start(node);
    }
    cluster.run(3 * SECOND, |members| watcher.look(members));
    watcher.at_rest(&cluster.members);
    (cluster, watcher)
}

#[test]
fn whatever_happens_each_address_has_one_owner_soon_after() {
    let unheard = Cell::new(0);
    seeds("whatever_happens", 600, |seed| {
        let nodes = 3 + usize::try_from(seed % 4).unwrap();
        let (mut cluster, mut watcher) = started(nodes, 6, Weather::fair(), seed);
        let (cluster_of, watcher_of) = (&mut cluster, &mut watcher);
        let mut story = Disturbed { cluster: cluster_of, watcher: watcher_of, services: 6 };
        for _ in 0..25 {
            story.disturb();
            let pause = Duration::from_millis(100 + story.cluster.members.network.draw(4000));
            story.cluster.run(pause, |members| story.watcher.look(members));
        }
        story.mend();
        let services = story.services;
        cluster.run(10 * SECOND, |members| watcher.look(members));
        watcher.at_rest(&cluster.members);
        unheard.set(unheard.get() + watcher.lan.at_rest(&cluster.members));
        assert_eq!(cluster.members.tables_agree(), Ok(()));
        // And nothing moves any more.
        let owners = |cluster: &Cluster| -> Vec<_> {
            (0..services).map(|it| Cluster::answering(&cluster.members, address(it))).collect()
        };
        let before = owners(&cluster);
        cluster.run(10 * SECOND, |members| watcher.look(members));
        assert_eq!(before, owners(&cluster));
        cluster
    });
    let unheard = unheard.get();
    note(&format!(
        "{unheard} times a station may believe a node whose claim was given up before others heard of it"
    ));
}

#[test]
fn a_killed_owner_is_followed_in_half_a_second_and_nothing_else_moves() {
    seeds("a_killed_owner", 500, |seed| {
        let (mut cluster, mut watcher) = started(5, 20, Weather::fair(), seed);
        let owner = |cluster: &Cluster, it: usize| Cluster::answering(&cluster.members, address(it))[0];
        let before: Vec<usize> = (0..20).map(|it| owner(&cluster, it)).collect();
        let dead = before[0];
        cluster.members.kill(dead);
        watcher.disturb(cluster.members.now);
        cluster.run(SECOND / 2, |members| watcher.look(members));
        for (service, before) in before.iter().enumerate() {
            let after = owner(&cluster, service);
            assert!(if *before == dead { after != dead } else { after == *before });
        }
        // It returns, and nothing returns to it.
        let settled: Vec<usize> = (0..20).map(|it| owner(&cluster, it)).collect();
        cluster.start(dead);
        watcher.disturb(cluster.members.now);
        cluster.run(5 * SECOND, |members| watcher.look(members));
        assert_eq!(settled, (0..20).map(|it| owner(&cluster, it)).collect::<Vec<_>>());
        assert_eq!(watcher.longest_double, Duration::ZERO);
        watcher.lan.at_rest(&cluster.members);
        cluster
    });
}

#[test]
fn who_is_told_to_end_hands_over_without_a_gap() {
    seeds("who_is_told_to_end", 500, |seed| {
        let (mut cluster, mut watcher) = started(4, 12, Weather::fair(), seed);
        let leaver = Cluster::answering(&cluster.members, address(0))[0];
        cluster.leave(leaver);
        let mut twice = 0;
        for _ in 0..50 {
            cluster.run(SECOND / 100, |members| {
                watcher.look(members);
                for service in 0..12 {
                    let answering = Cluster::answering(members, address(service));
                    assert!(!answering.is_empty(), "nobody answers for {}", address(service));
                    twice += usize::from(answering.len() > 1);
                }
            });
            if cluster.end_if_left(leaver) {
                break;
            }
        }
        assert!(cluster.members.nodes[leaver].is_none(), "it has handed everything over");
        assert!(twice > 0, "for a moment two answer");
        let again: u64 = cluster.members.nodes.iter().flatten().map(|node| node.process.again).sum();
        assert!(again > 0, "the new owner has the last word");
        cluster.run(SECOND, |members| watcher.look(members));
        watcher.lan.at_rest(&cluster.members);
        cluster
    });
}

#[test]
fn a_drained_node_has_nothing_as_long_as_others_can() {
    seeds("a_drained_node", 500, |seed| {
        let (mut cluster, mut watcher) = started(3, 9, Weather::fair(), seed);
        cluster.drain(0, true);
        watcher.disturb(cluster.members.now);
        cluster.run(SECOND, |members| watcher.look(members));
        for service in 0..9 {
            assert_ne!(Cluster::answering(&cluster.members, address(service)), [0]);
        }
        cluster.members.kill(1);
        cluster.members.kill(2);
        watcher.disturb(cluster.members.now);
        cluster.run(3 * SECOND, |members| watcher.look(members));
        for service in 0..9 {
            assert_eq!(
                Cluster::answering(&cluster.members, address(service)),
                [0],
                "the last choice is a choice"
            );
        }
        cluster
    });
}

#[test]
fn after_a_split_one_owner_is_left_within_a_second_and_the_lan_is_told() {
    seeds("after_a_split", 500, |seed| {
        let (mut cluster, mut watcher) = started(6, 12, Weather::fair(), seed);
        cluster.members.split(&[0, 1]);
        watcher.disturb(cluster.members.now);
        cluster.run(5 * SECOND, |members| watcher.look(members));
        watcher.at_rest(&cluster.members);
        let again = |cluster: &Cluster| -> u64 {
            cluster.members.nodes.iter().flatten().map(|node| node.process.again).sum()
        };
        let before = again(&cluster);
        cluster.members.network.heal();
        watcher.disturb(cluster.members.now);
        cluster.run(SECOND, |members| watcher.look(members));
        watcher.at_rest(&cluster.members);
        assert!(again(&cluster) >= before + 12, "each is announced once more by who keeps it");
        watcher.lan.at_rest(&cluster.members);
        cluster
    });
}

#[test]
fn every_owner_but_the_first_has_a_cause() {
    seeds("every_owner", 50, |seed| {
        let (mut cluster, mut watcher) = started(4, 8, Weather::fair(), seed);
        for running in cluster.members.nodes.iter_mut().flatten() {
            assert!(running.process.taken.drain(..).all(|(_, why)| why == Some(Cause::First)));
        }
        let dead = Cluster::answering(&cluster.members, address(0))[0];
        cluster.members.kill(dead);
        watcher.disturb(cluster.members.now);
        cluster.run(SECOND, |members| watcher.look(members));
        for running in cluster.members.nodes.iter_mut().flatten() {
            for (_, why) in running.process.taken.drain(..) {
                assert_eq!(why, Some(Cause::Died { node: format!("n{dead}") }));
            }
        }
        let drained = Cluster::answering(&cluster.members, address(0))[0];
        cluster.drain(drained, true);
        watcher.disturb(cluster.members.now);
        cluster.run(SECOND, |members| watcher.look(members));
        let taken = cluster.members.nodes.iter_mut().flatten().flat_map(|it| it.process.taken.drain(..));
        let outranked = Some(Cause::Outranked { node: format!("n{drained}") });
        assert!(taken.map(|(_, why)| why).all(|why| why == outranked));
        cluster
    });
}

#[test]
fn a_thousand_addresses_are_spread_over_ten_nodes() {
    for seed in 0..2 {
        let (mut cluster, _) = started(10, 1000, Weather::fair(), seed);
        let most = |cluster: &Cluster| {
            let answers = cluster.members.nodes.iter().flatten().map(|node| node.process.answers().len());
            answers.max().unwrap()
        };
        assert!(most(&cluster) <= 125, "at once: {}", most(&cluster));
        let before = most(&cluster);
        cluster.members.kill(3);
        cluster.run(SECOND, |_| {});
        note(&format!("at most {before} of 1,000 on 10 nodes, {} on 9", most(&cluster)));
        assert!(most(&cluster) <= 140, "after a death: {}", most(&cluster));
    }
}
