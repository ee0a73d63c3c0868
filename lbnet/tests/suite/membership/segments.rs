//! Two LANs, each cut alone: who finds that it is heard no more, and that nobody is taken for dead.

use std::time::Duration;

use lblab::simulated::Weather;
use lblab::simulated::members::{interface, name};
use lbnet::membership::{Event, Settings};

use super::{Cluster, SECOND, started};

/// The LAN on which members know each other, and the one on which they announce.
const MANAGEMENT: usize = 0;
const VIPS: usize = 1;

fn announcing(count: usize, weather: Weather, seed: u64) -> Cluster {
    let mut cluster = started(count, Settings::default(), weather, seed);
    for node in 0..count {
        cluster.announce_on(node, &[VIPS]);
    }
    cluster.run(SECOND);
    cluster
}

/// What was said of segments since a moment: how long after it, by whom, and whether it is heard.
fn said(cluster: &Cluster, since: Duration) -> Vec<(Duration, usize, bool)> {
    let told =
        cluster.story.iter().filter(|(at, ..)| *at >= since).filter_map(|(at, by, event)| match event {
            Event::Segment { heard, .. } => Some((at.saturating_sub(since), *by, *heard)),
            _ => None,
        });
    told.collect()
}

fn deaths(cluster: &Cluster) -> Vec<&(Duration, usize, Event)> {
    cluster.story.iter().filter(|(.., event)| matches!(event, Event::Down { .. })).collect()
}

#[test]
fn who_is_cut_off_the_announced_lan_alone_says_so_within_half_a_second_and_is_not_dead() {
    for (count, seed) in [3, 4, 10].into_iter().flat_map(|count| (0..20).map(move |seed| (count, seed))) {
        let mut cluster = announcing(count, Weather::fair(), seed);
        cluster.run(Duration::from_millis(seed * 7 % 100));
        let at = cluster.now;
        cluster.cut_off(2, VIPS, true);
        cluster.run(20 * SECOND);
        let told = said(&cluster, at);
        assert!(
            matches!(&told[..], [(after, 2, false)] if *after < SECOND / 2),
            "{count}, seed {seed}: {told:?}"
        );
        assert_eq!(deaths(&cluster), [] as [&_; 0], "{count}, seed {seed}");
        let now = cluster.now;
        cluster.cut_off(2, VIPS, false);
        cluster.run(5 * SECOND);
        let told = said(&cluster, now);
        assert!(
            matches!(&told[..], [(after, 2, true)] if *after < SECOND / 4),
            "{count}, seed {seed}: {told:?}"
        );
    }
}

#[test]
fn who_is_heard_by_nobody_says_so_though_it_hears_all_others() {
    for seed in 0..20 {
        let mut cluster = announcing(4, Weather::fair(), seed);
        let at = cluster.now;
        for other in 1..4 {
            let (from, to) = (cluster.place(0, VIPS), cluster.place(other, VIPS));
            cluster.network.set_cut(from, to, true);
        }
        cluster.run(5 * SECOND);
        let told = said(&cluster, at);
        assert!(matches!(&told[..], [(after, 0, false)] if *after < SECOND / 2), "seed {seed}: {told:?}");
        assert_eq!(deaths(&cluster), [] as [&_; 0], "seed {seed}");
    }
}

#[test]
fn who_is_heard_by_some_on_a_lan_is_heard_whoever_is_to_notice() {
    for node in 0..10 {
        let mut cluster = announcing(10, Weather::fair(), 1);
        let at = cluster.now;
        for other in (0..7).map(|step| (node + 1 + step) % 10) {
            let (one, other) = (cluster.place(node, VIPS), cluster.place(other, VIPS));
            cluster.network.set_cut(one, other, true);
            cluster.network.set_cut(other, one, true);
        }
        cluster.run(20 * SECOND);
        assert_eq!(said(&cluster, at), [], "{node}");
    }
}

#[test]
fn who_is_cut_off_the_other_lan_alone_is_neither_dead_nor_unheard() {
    for (count, seed) in [2, 3, 10].into_iter().flat_map(|count| (0..20).map(move |seed| (count, seed))) {
        let mut cluster = announcing(count, Weather::fair(), seed);
        cluster.cut_off(1, MANAGEMENT, true);
        cluster.run(10 * SECOND);
        // What it tells still comes to all.
        cluster.publish(1, vec![("claim/10.0.0.1".to_owned(), Some(vec![1]))]);
        cluster.publish(0, vec![("claim/10.0.0.2".to_owned(), Some(vec![1]))]);
        cluster.run(SECOND);
        assert_eq!(cluster.tables_agree(), Ok(()), "{count}, seed {seed}");
        cluster.cut_off(1, MANAGEMENT, false);
        cluster.run(10 * SECOND);
        // What took another way for a while goes on when that one is cut.
        cluster.cut_off(1, VIPS, true);
        let at = cluster.now;
        cluster.run(10 * SECOND);
        let told = said(&cluster, Duration::ZERO);
        let mut who: Vec<usize> = told.iter().map(|(_, by, _)| *by).collect();
        who.dedup();
        let expected: &[usize] = if count == 2 { &[0, 1] } else { &[1] };
        who.sort_unstable();
        assert_eq!(who, expected, "{count}, seed {seed}: {told:?}");
        assert!(said(&cluster, at).len() == told.len(), "{count}, seed {seed}: not before it was cut");
        assert_eq!(deaths(&cluster), [] as [&_; 0], "{count}, seed {seed}");
        cluster.publish(1, vec![("claim/10.0.0.1".to_owned(), None)]);
        cluster.run(SECOND);
        assert_eq!(cluster.tables_agree(), Ok(()), "{count}, seed {seed}");
    }
}

#[test]
fn of_two_on_a_lan_the_one_that_gets_frames_of_others_is_heard() {
    for seed in 0..20 {
        let mut cluster = announcing(2, Weather::fair(), seed);
        let at = cluster.now;
        cluster.cut_off(1, VIPS, true);
        let step = Duration::from_millis(50);
        for _ in 0..40 {
            cluster.run(step);
            cluster.frames(0, VIPS);
        }
        let told = said(&cluster, at);
        assert!(matches!(&told[..], [(after, 1, false)] if *after < SECOND / 2), "seed {seed}: {told:?}");
        // No frames, no proof; and one is enough for a second.
        cluster.run(2 * SECOND);
        cluster.frames(0, VIPS);
        let told: Vec<bool> = said(&cluster, at).into_iter().filter(|it| it.1 == 0).map(|it| it.2).collect();
        assert_eq!(told, [false, true], "seed {seed}");
        cluster.run(step);
        let healed = cluster.now;
        cluster.cut_off(1, VIPS, false);
        cluster.run(3 * SECOND);
        let told = said(&cluster, healed);
        assert!(matches!(&told[..], [(after, 1, true)] if *after < SECOND / 4), "seed {seed}: {told:?}");
        assert_eq!(deaths(&cluster), [] as [&_; 0], "seed {seed}");
    }
}

#[test]
fn among_three_frames_are_no_proof_and_with_nobody_alive_there_is_nobody_to_compare_with() {
    for seed in 0..20 {
        let mut cluster = announcing(3, Weather::fair(), seed);
        let at = cluster.now;
        cluster.cut_off(1, VIPS, true);
        for _ in 0..40 {
            cluster.run(Duration::from_millis(50));
            for node in 0..3 {
                cluster.frames(node, VIPS);
            }
        }
        assert_eq!(said(&cluster, at).len(), 1, "seed {seed}");
        let at = cluster.now;
        cluster.kill(0);
        cluster.kill(2);
        cluster.run(2 * SECOND);
        let told = said(&cluster, at);
        assert!(matches!(&told[..], [(after, 1, true)] if *after < SECOND), "seed {seed}: {told:?}");
    }
}

#[test]
fn with_one_lan_for_all_nothing_is_sent_besides_and_whoever_dies_makes_nobody_unheard() {
    for (count, seed) in [2, 3, 7].into_iter().flat_map(|count| (0..20).map(move |seed| (count, seed))) {
        let mut cluster = started(count, Settings::default(), Weather::fair(), seed);
        for node in 0..count {
            cluster.announce_on(node, &[MANAGEMENT]);
        }
        cluster.run(SECOND);
        let sent = |cluster: &mut Cluster| -> u64 {
            (0..count).map(|node| cluster.member(node).counters().on_segments).sum()
        };
        let before = sent(&mut cluster);
        cluster.run(10 * SECOND);
        assert_eq!(sent(&mut cluster), before, "{count}, seed {seed}");
        let at = cluster.now;
        cluster.kill(0);
        cluster.run(5 * SECOND);
        assert_eq!(said(&cluster, at), [], "{count}, seed {seed}");
        cluster.start(0, 0..count, ());
        cluster.announce_on(0, &[MANAGEMENT]);
        cluster.run(5 * SECOND);
        // Cut off from all, it takes all others for dead, and they take it for dead.
        let at = cluster.now;
        cluster.cut_off(0, MANAGEMENT, true);
        cluster.run(5 * SECOND);
        cluster.network.heal();
        cluster.run(5 * SECOND);
        assert_eq!(said(&cluster, at), [], "{count}, seed {seed}");
        assert_eq!(cluster.agree(), Ok(()));
    }
}

#[test]
fn a_lan_that_loses_one_in_five_makes_nobody_unheard_within_ten_minutes() {
    for seed in 0..3 {
        for count in [3, 6] {
            let mut cluster = announcing(count, Weather::foul(0.2), seed);
            let at = cluster.now;
            cluster.run(600 * SECOND);
            assert_eq!(said(&cluster, at), [], "{count}, seed {seed}");
        }
    }
}

#[test]
fn who_stood_still_counts_no_silence_of_that_time_on_any_lan() {
    for (seed, stood) in (0..20).flat_map(|seed| [400, 1000, 30_000].map(|stood| (seed, stood))) {
        for count in [2, 4] {
            let mut cluster = announcing(count, Weather::fair(), seed);
            let at = cluster.now;
            cluster.stand_still(1, Duration::from_millis(stood));
            cluster.run(Duration::from_millis(stood) + 5 * SECOND);
            assert_eq!(said(&cluster, at), [], "{count}, seed {seed}, {stood} ms");
            assert_eq!(cluster.agree(), Ok(()));
        }
    }
}

#[test]
fn a_node_that_starts_without_the_announced_lan_is_found_out_and_what_goes_is_forgotten() {
    for seed in 0..20 {
        let mut cluster = announcing(4, Weather::fair(), seed);
        cluster.kill(3);
        cluster.run(SECOND);
        cluster.cut_off(3, VIPS, true);
        let at = cluster.now;
        cluster.start(3, 0..4, ());
        cluster.announce_on(3, &[VIPS]);
        cluster.run(SECOND);
        let told = said(&cluster, at);
        assert!(matches!(&told[..], [(after, 3, false)] if *after < 3 * SECOND / 5), "seed {seed}: {told:?}");
        let now = cluster.now;
        cluster.announce_on(3, &[]);
        cluster.run(SECOND);
        let event = Event::Segment { interface: interface(VIPS), heard: true };
        let told: Vec<_> = cluster.story.iter().filter(|it| it.0 >= now).collect();
        assert_eq!(told, [&(now, 3, event)], "seed {seed}: {}", name(3));
    }
}

#[test]
fn what_a_node_sends_on_a_lan_does_not_grow_with_the_cluster() {
    let sent = [4, 10, 40].map(|count| {
        let mut cluster = announcing(count, Weather::fair(), 1);
        let of = |cluster: &mut Cluster| -> u64 {
            (0..count).map(|node| cluster.member(node).counters().on_segments).sum()
        };
        let before = of(&mut cluster);
        cluster.run(10 * SECOND);
        (of(&mut cluster) - before) / u64::try_from(count).expect("it is small")
    });
    // Three heartbeats ten times a second, each answered.
    assert!(sent.iter().all(|it| (590..=610).contains(it)), "{sent:?}");
}
