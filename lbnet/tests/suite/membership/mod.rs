//! Members on a network in virtual time: who notices what, how soon, and what never happens.

mod segments;

use std::io::Write;
use std::time::Duration;

use lblab::simulated::Weather;
use lblab::simulated::members::{Members, name};
use lbnet::membership::{Event, Settings, Why};

pub(crate) type Cluster = Members<()>;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Nodes that all start at once and know of each other.
fn new(count: usize, settings: Settings, weather: Weather, seed: u64) -> Cluster {
    let mut cluster = Cluster::new(count, settings, weather, seed);
    for node in 0..count {
        cluster.start(node, 0..count, ());
    }
    cluster
}

pub(crate) fn started(count: usize, settings: Settings, weather: Weather, seed: u64) -> Cluster {
    let mut cluster = new(count, settings, weather, seed);
    cluster.run(3 * SECOND);
    assert_eq!(cluster.agree(), Ok(()), "seed {seed}");
    cluster
}

#[test]
fn all_meet_and_are_ready_within_milliseconds_and_at_the_latest_after_a_second() {
    for seed in 0..20 {
        let mut cluster = new(7, Settings::default(), Weather::fair(), seed);
        cluster.run(SECOND / 20);
        assert_eq!(cluster.agree(), Ok(()), "seed {seed}");
        let ready = cluster.story.iter().filter(|(_, _, event)| matches!(event, Event::Ready { .. }));
        assert_eq!(ready.count(), 7, "seed {seed}");
        cluster.kill(3);
        cluster.kill(4);
        cluster.run(3 * SECOND);
        let begun = cluster.now;
        cluster.start(3, 0..7, ());
        cluster.run(SECOND * 9 / 10);
        assert!(!cluster.member(3).is_ready(), "it waits for n4");
        cluster.run(SECOND / 5);
        let missing = vec![name(4)];
        let ready = Event::Ready { missing };
        assert!(
            cluster.story.iter().any(|(at, by, event)| *at > begun && *by == 3 && *event == ready),
            "seed {seed}"
        );
    }
}

#[test]
fn who_knows_others_by_their_addresses_is_ready_when_their_tables_are_here_and_not_before() {
    for seed in 0..20 {
        let mut cluster = Cluster::new(4, Settings::default(), Weather::fair(), seed);
        for node in 0..4 {
            cluster.start_among(node, 0..4, ());
        }
        for node in 0..4 {
            cluster.publish(node, vec![("facts".to_owned(), Some(vec![1]))]);
        }
        cluster.run_and(SECOND / 20, |cluster| {
            for (node, running) in cluster.nodes.iter().enumerate() {
                let member = &running.as_ref().unwrap().member;
                let others = (0..4).filter(|other| *other != node && member.is_ready());
                for other in others {
                    let records = member.records(&name(other)).map_or(0, std::collections::BTreeMap::len);
                    assert_eq!(records, 1, "seed {seed}: n{node} knows nothing of n{other}");
                }
            }
        });
        let ready = Event::Ready { missing: vec![] };
        assert_eq!(cluster.story.iter().filter(|(_, _, event)| *event == ready).count(), 4, "seed {seed}");
    }
}

#[test]
fn a_death_is_known_to_all_in_less_than_half_a_second() {
    for (count, seed) in (2..12).flat_map(|count| (0..20).map(move |seed| (count, seed))) {
        let mut cluster = started(count, Settings::default(), Weather::fair(), seed);
        let (at, phase) = (cluster.now, Duration::from_millis(seed * 7 % 100));
        cluster.run(phase);
        cluster.kill(0);
        cluster.run(2 * SECOND);
        let deaths = cluster.deaths(0, at + phase);
        assert_eq!(deaths.len(), count - 1, "{count} nodes, seed {seed}");
        let last = deaths.values().max().unwrap();
        assert!(*last < SECOND / 2, "{count} nodes, seed {seed}: after {last:?}");
        assert_eq!(cluster.agree(), Ok(()));
    }
}

#[test]
fn the_fast_profile_knows_of_a_death_in_a_tenth_of_a_second() {
    for seed in 0..50 {
        let mut cluster = started(5, Settings::fast(), Weather::fair(), seed);
        let at = cluster.now;
        cluster.kill(0);
        cluster.run(SECOND);
        let deaths = cluster.deaths(0, at);
        assert!(deaths.len() == 4 && deaths.values().all(|it| *it < SECOND / 10), "{seed}: {deaths:?}");
    }
}

#[test]
fn no_loss_of_one_in_twenty_makes_anybody_dead_within_ten_minutes() {
    for seed in 0..4 {
        let mut cluster = started(10, Settings::default(), Weather::foul(0.05), seed);
        cluster.run(600 * SECOND);
        let deaths: Vec<_> =
            cluster.story.iter().filter(|(_, _, event)| matches!(event, Event::Down { .. })).collect();
        assert!(deaths.is_empty(), "seed {seed}: {deaths:?}");
        let suspicions: u64 = (0..10).map(|node| cluster.member(node).counters().suspicions).sum();
        assert!(suspicions > 10, "it is a hard test: {suspicions} silences were noticed");
    }
}

#[test]
fn one_bad_path_makes_nobody_dead() {
    for seed in 0..30 {
        let mut cluster = started(6, Settings::default(), Weather::fair(), seed);
        for other in 1..3 {
            cluster.network.set_cut(0, other, true);
            cluster.network.set_cut(other, 0, true);
        }
        cluster.run(20 * SECOND);
        let deaths: Vec<_> =
            cluster.story.iter().filter(|(_, _, event)| matches!(event, Event::Down { .. })).collect();
        assert!(deaths.is_empty(), "seed {seed}: {deaths:?}");
    }
}

#[test]
fn each_side_of_a_split_buries_the_other_and_all_meet_again_within_a_second() {
    for seed in 0..30 {
        let mut cluster = started(7, Settings::default(), Weather::fair(), seed);
        cluster.split(&[0, 1, 2]);
        cluster.run(10 * SECOND);
        for node in 0..7 {
            let others = cluster.member(node).alive().count();
            assert_eq!(others, if node < 3 { 2 } else { 3 }, "seed {seed}");
        }
        cluster.network.heal();
        cluster.run(SECOND);
        assert_eq!(cluster.agree(), Ok(()), "seed {seed}");
        cluster.run(30 * SECOND);
        assert_eq!(cluster.agree(), Ok(()), "seed {seed}: and they stay together");
    }
}

#[test]
fn who_stood_still_hears_everybody_before_it_goes_on_and_buries_nobody() {
    for (seed, stood) in (0..20).flat_map(|seed| [1, 5, 30].map(|stood| (seed, stood))) {
        let mut cluster = started(5, Settings::default(), Weather::fair(), seed);
        let begun = cluster.now;
        cluster.stand_still(2, stood * SECOND);
        cluster.run(stood * SECOND + SECOND / 50);
        let deaths = cluster.deaths(2, begun);
        assert_eq!(deaths.len(), 4, "all others saw it silent");
        let of_others = (0..5).filter(|node| *node != 2).map(|node| cluster.deaths(node, begun).len());
        assert_eq!(of_others.sum::<usize>(), 0, "seed {seed}: it counts no silence of that time");
        let story: Vec<&Event> =
            cluster.story.iter().filter(|it| it.0 > begun && it.1 == 2).map(|it| &it.2).collect();
        assert!(matches!(story[0], Event::StoodStill(_)), "{story:?}");
        assert_eq!(story.last(), Some(&&Event::Ready { missing: vec![] }), "seed {seed}");
        cluster.run(2 * SECOND);
        assert_eq!(cluster.agree(), Ok(()), "seed {seed}, {stood} s");
    }
}

#[test]
fn who_was_not_heard_for_a_while_is_told_that_it_was_taken_for_dead_and_not_that_it_stood_still() {
    for seed in 0..20 {
        let mut cluster = started(5, Settings::default(), Weather::fair(), seed);
        let begun = cluster.now;
        for other in (0..5).filter(|other| *other != 2) {
            cluster.network.set_cut(2, other, true);
        }
        while cluster.deaths(2, begun).len() < 4 {
            cluster.run(SECOND / 100);
            assert!(cluster.now < begun + SECOND, "seed {seed}: they do not notice");
        }
        cluster.network.heal();
        cluster.run(SECOND);
        assert_eq!(cluster.agree(), Ok(()), "seed {seed}");
        let of_it = cluster.story.iter().filter(|(at, by, _)| *at > begun && *by == 2);
        let story: Vec<&Event> = of_it.map(|(_, _, event)| event).collect();
        assert!(story.iter().all(|event| !matches!(event, Event::StoodStill(_))), "seed {seed}: {story:?}");
        assert!(story.iter().any(|event| matches!(event, Event::TakenForDead { .. })), "{seed}: {story:?}");
        assert!(cluster.member(2).is_ready(), "seed {seed}");
    }
}

#[test]
fn who_is_back_before_it_is_missed_was_never_dead() {
    for seed in 0..20 {
        let mut cluster = started(5, Settings::default(), Weather::fair(), seed);
        cluster.publish(1, vec![("claim/10.0.0.1".to_owned(), Some(vec![1]))]);
        cluster.run(SECOND);
        let begun = cluster.now;
        cluster.kill(1);
        cluster.run(SECOND / 5);
        assert_eq!(cluster.member(0).records(&name(1)).map(std::collections::BTreeMap::len), Some(1));
        cluster.start(1, 0..5, ());
        cluster.run(2 * SECOND);
        assert!(cluster.deaths(1, begun).is_empty(), "seed {seed}");
        let restarted = Event::Up { name: name(1), restarted: true };
        let seen = cluster.story.iter().filter(|it| it.0 >= begun && it.2 == restarted).count();
        assert_eq!(seen, 4, "seed {seed}");
        assert_eq!(cluster.tables_agree(), Ok(()), "its new table is empty");
    }
}

#[test]
fn tables_come_to_all_through_a_foul_network() {
    for seed in 0..20 {
        let mut cluster = started(5, Settings::default(), Weather::foul(0.2), seed);
        for round in 0..20_u8 {
            for node in 0..5 {
                let claims = (0..30 * node).map(|at| (format!("claim/{at}"), Some(vec![round; 40])));
                let gone = [(format!("claim/{round}"), None)];
                cluster.publish(node, claims.chain(gone).collect());
            }
            cluster.run(SECOND / 4);
        }
        cluster.run(3 * SECOND);
        assert_eq!(cluster.tables_agree(), Ok(()), "seed {seed}");
        assert!(cluster.member(0).is_heard_by_all());
    }
}

#[test]
fn who_leaves_is_gone_at_once_and_those_who_are_not_configured_are_found() {
    let mut cluster = started(4, Settings::default(), Weather::fair(), 1);
    cluster.member(3).leave();
    cluster.run(SECOND / 5);
    cluster.kill(3);
    let left = cluster.story.iter().filter(|it| matches!(&it.2, Event::Down { why: Why::Left, .. })).count();
    assert_eq!(left, 3);
    // It knows one of the others, and gossip tells it of the rest, and them of it.
    let mut cluster = new(5, Settings::default(), Weather::fair(), 2);
    cluster.run(5 * SECOND);
    for node in 0..5 {
        cluster.kill(node);
    }
    for node in 0..5 {
        cluster.start(node, [0], ());
    }
    cluster.run(20 * SECOND);
    assert_eq!(cluster.agree(), Ok(()));
}

#[test]
fn a_node_sends_as_many_heartbeats_among_a_hundred_as_among_ten() {
    heartbeats_are_constant(&[10, 100]);
}

#[test]
#[ignore = "takes five minutes: a thousand meet. `report failover --only simulated` prints the same figure"]
fn a_node_sends_as_many_heartbeats_among_a_thousand() {
    heartbeats_are_constant(&[1000]);
}

fn heartbeats_are_constant(counts: &[usize]) {
    for count in counts {
        let mut cluster = started(*count, Settings::default(), Weather::fair(), 1);
        let of = |cluster: &mut Cluster| {
            let all = (0..*count).map(|node| cluster.member(node).counters());
            all.fold((0, 0, 0), |sum, it| (sum.0 + it.beats, sum.1 + it.sent, sum.2 + it.sent_bytes))
        };
        let (seconds, before) = (5_u32, of(&mut cluster));
        cluster.run(seconds * SECOND);
        let after = of(&mut cluster);
        let each = |after, before| (after - before) / u64::from(seconds) / u64::try_from(*count).unwrap();
        let (beats, sent, bytes) =
            (each(after.0, before.0), each(after.1, before.1), each(after.2, before.2));
        note(&format!(
            "among {count}: {beats} heartbeats, {sent} datagrams and {bytes} bytes a second from each node, \
             and {} bytes more a datagram when sealed",
            lbnet::membership::keys::OVERHEAD
        ));
        assert_eq!(beats, 30);
    }
}

#[test]
fn one_of_a_thousand_has_met_all_others_within_a_second_of_its_start() {
    let count = if cfg!(debug_assertions) { 300 } else { 1000 };
    for (seed, weather) in [Weather::fair(), Weather::foul(0.05)].into_iter().enumerate() {
        let mut cluster = Cluster::new(count, Settings::default(), weather, seed.try_into().unwrap());
        for node in 1..count {
            cluster.start(node, [0], ());
            cluster.publish(node, vec![("facts".to_owned(), Some(vec![1; 200]))]);
        }
        cluster.run(SECOND + SECOND / 3);
        let begun = cluster.now;
        cluster.start(0, 0..count, ());
        while !cluster.member(0).is_ready() {
            cluster.run(SECOND / 50);
        }
        let ready =
            cluster.story.iter().find(|(_, by, event)| *by == 0 && matches!(event, Event::Ready { .. }));
        let (at, _, event) = ready.expect("it said so");
        let after = at.saturating_sub(begun);
        note(&format!("one of {count} was ready after {after:?}"));
        assert_eq!(*event, Event::Ready { missing: vec![] });
        assert!(after < SECOND);
    }
}

/// Says something about a run that passes.
fn note(text: &str) {
    // A closed stderr is no reason to fail.
    let _ = writeln!(std::io::stderr(), "     {text}");
}
