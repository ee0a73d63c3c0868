//! The controller on a store that fails: afterwards all is as if it had not.
#![cfg(all(feature = "controller", feature = "store"))]

use std::collections::BTreeSet;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use lbk8s::controller::{Settings, run};
use lbk8s::store::{Fault, Verb};
use proptest::prelude::*;
use serde_json::json;
use tokio::time::Instant;

use crate::harness::cluster::Cluster;
use crate::harness::{condition, new_service, shown, with};

const STATUS: &str = "services/status";

/// Ten Services and a pool for eight of them.
async fn crowd() -> Cluster {
    let cluster = Cluster::with_pool(&["10.0.0.1-10.0.0.8"]).await;
    for number in 0..10 {
        cluster.create(&new_service(&format!("s{number}"))).await;
    }
    cluster
}

/// All ten show what they are to show: the eight oldest an address, and two why not.
async fn check_crowd(cluster: &Cluster) {
    cluster.check_story(&[]);
    for number in 0..10 {
        let object = cluster.get(&format!("s{number}")).await;
        let expected = if number < 8 { vec![format!("10.0.0.{}", number + 1)] } else { vec![] };
        assert_eq!(shown(&object), expected);
        let says = condition(&object);
        assert!(says.starts_with(if number < 8 { "True/Assigned" } else { "False/PoolExhausted" }), "{says}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_of_every_kind_are_waited_out() {
    for (code, times) in [(409, 10), (409, 100), (503, 30), (429, 30), (500, 10), (403, 30), (422, 10)] {
        let mut cluster = crowd().await;
        cluster.store.faults().inject(Verb::Patch, STATUS, Fault::Refuse(code), times);
        let started = Instant::now();
        cluster.start();
        let last = |object: &_| condition(object).starts_with("False/");
        cluster.until("s9", "told", last).await;
        cluster.until_shows("s0", "10.0.0.1").await;
        eprintln!("{times} times {code}: done after {:?}", started.elapsed());
        cluster.quiet().await;
        check_crowd(&cluster).await;
        assert_eq!(cluster.status_writes(), 10, "{times} times {code}");
        assert_eq!(cluster.events("s0").await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn conflicts_without_end_do_not_keep_the_server_busy() {
    let mut cluster = Cluster::with_pool(&["10.0.0.1-10.0.0.8"]).await;
    cluster.create(&new_service("a")).await;
    cluster.store.faults().inject(Verb::Patch, STATUS, Fault::Refuse(409), 100);
    let started = Instant::now();
    cluster.start();
    cluster.until_shows("a", "10.0.0.1").await;
    let took = started.elapsed();
    assert!(took > Duration::from_secs(5), "100 attempts for one Service within {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_is_not_made_again() {
    let mut cluster = crowd().await;
    cluster.store.faults().inject(Verb::Patch, STATUS, Fault::LoseAnswer, 10);
    cluster.start();
    cluster.quiet().await;
    check_crowd(&cluster).await;
    assert_eq!(cluster.status_writes(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_is_told_all_the_same() {
    let mut cluster = Cluster::with_pool(&["10.0.0.1/32"]).await;
    cluster.store.faults().inject(Verb::Patch, STATUS, Fault::LoseAnswer, 1);
    cluster.start();
    cluster.create(&new_service("a")).await;
    cluster.until_shows("a", "10.0.0.1").await;
    cluster.quiet().await;
    let events = cluster.events("a").await;
    assert!(events.len() == 1 && events[0].starts_with("Normal IPAllocated: "), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn slow_writes_are_waited_for_or_made_again() {
    // The second is longer than the controller waits.
    for slow in [Duration::from_secs(3), Duration::from_secs(15)] {
        let mut cluster = crowd().await;
        cluster.store.faults().inject(Verb::Patch, STATUS, Fault::Delay(slow), 10);
        cluster.start();
        cluster.quiet().await;
        check_crowd(&cluster).await;
        assert_eq!(cluster.status_writes(), 10, "{slow:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_cut_again_and_again_changes_nothing() {
    let mut cluster = Cluster::with_pool(&["10.0.0.1-10.0.0.8"]).await;
    for resource in ["services", "ipaddresspools", "namespaces", "configmaps", "l2advertisements"] {
        cluster.store.faults().inject(Verb::List, resource, Fault::Refuse(503), 3);
        cluster.store.faults().inject(Verb::Watch, resource, Fault::LoseAnswer, 20);
        cluster.store.faults().inject(Verb::Watch, resource, Fault::Refuse(500), 2);
    }
    cluster.start();
    for number in 0..10 {
        cluster.create(&new_service(&format!("s{number}"))).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    cluster.quiet().await;
    check_crowd(&cluster).await;
    assert_eq!(cluster.status_writes(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_dies_at_any_point_renumbers_nobody() {
    let mut lives = 0;
    for budget in 1..120 {
        let mut cluster = crowd().await;
        if budget % 3 == 0 {
            let slow = Fault::Delay(Duration::from_millis(budget));
            cluster.store.faults().inject(Verb::Patch, STATUS, slow, 6);
        }
        for round in 0..6 {
            live_for(&cluster, budget + round).await;
            lives += 1;
            match round {
                1 => cluster.create(&new_service("younger")).await,
                2 => cluster.delete("s3").await,
                3 => cluster.change("s5", &json!({"metadata": {"labels": {"a": "b"}}})).await,
                4 => cluster.create(&new_service("s3")).await,
                _ => {}
            }
        }
        cluster.start();
        cluster.quiet().await;
        cluster.check_story(&[]);
        let held: Vec<String> = cluster.addresses().await.into_values().flatten().collect();
        assert_eq!((held.len(), held.iter().collect::<BTreeSet<_>>().len()), (8, 8), "budget {budget}");
        // Eleven Services and one made again: each is told of at most twice, that it waits and that it is served.
        assert!(cluster.status_writes() <= 24, "{} writes", cluster.status_writes());
    }
    eprintln!("{lives} controllers died");
}

/// Runs a controller until it was polled this often, and drops it then and there.
async fn live_for(cluster: &Cluster, polls: u64) {
    let mut left = polls;
    let mut controller = pin!(run(cluster.client(), Settings::default(), |_| {}));
    let dying = std::future::poll_fn(|context| {
        left -= 1;
        if left == 0 {
            return Poll::Ready(());
        }
        controller.as_mut().poll(context)
    });
    // One that comes to rest before ends as well.
    let _ = tokio::time::timeout(Duration::from_secs(5), dying).await;
}

#[derive(Debug, Clone)]
enum Step {
    Create(u8),
    Delete(u8),
    Pin(u8, u8),
    Unpin(u8),
    Fault(Verb, &'static str, Fault, u32),
    Restart,
    Wait(u64),
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        prop_oneof![Just(409), Just(503), Just(429), Just(500)].prop_map(Fault::Refuse),
        (0_u64..15_000).prop_map(|time| Fault::Delay(Duration::from_millis(time))),
        Just(Fault::LoseAnswer),
        (0_usize..3_000).prop_map(Fault::CutAfter),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let target = prop_oneof![
        3 => Just((Verb::Patch, STATUS)),
        1 => Just((Verb::Get, "services")),
        1 => Just((Verb::Watch, "services")),
        1 => Just((Verb::List, "services")),
        1 => Just((Verb::Watch, "ipaddresspools")),
    ];
    prop_oneof![
        4 => (0_u8..8).prop_map(Step::Create),
        2 => (0_u8..8).prop_map(Step::Delete),
        1 => (0_u8..8, 1_u8..5).prop_map(|(service, address)| Step::Pin(service, address)),
        1 => (0_u8..8).prop_map(Step::Unpin),
        3 => (target, fault(), 1_u32..5).prop_map(|((verb, what), fault, times)| Step::Fault(verb, what, fault, times)),
        1 => Just(Step::Restart),
        3 => (0_u64..20_000).prop_map(Step::Wait),
    ]
}

async fn play(steps: Vec<Step>) {
    let mut cluster = Cluster::with_pool(&["10.0.0.1-10.0.0.4"]).await;
    cluster.start();
    let name = |number: u8| format!("s{number}");
    let mut pinned = BTreeSet::new();
    for step in steps {
        let there = cluster.addresses().await;
        match step {
            Step::Create(it) if !there.contains_key(&name(it)) => {
                cluster.create(&new_service(&name(it))).await;
            }
            Step::Delete(it) if there.contains_key(&name(it)) => cluster.delete(&name(it)).await,
            Step::Pin(it, last) if there.contains_key(&name(it)) => {
                pinned.insert(name(it));
                let wish = json!({"spec": {"loadBalancerIP": format!("10.0.0.{last}")}});
                cluster.change(&name(it), &wish).await;
            }
            Step::Unpin(it) if there.contains_key(&name(it)) => {
                cluster.change(&name(it), &json!({"spec": {"loadBalancerIP": null}})).await;
            }
            Step::Fault(Verb::Get | Verb::List, _, Fault::LoseAnswer, _) => {}
            Step::Fault(verb, what, fault, times) => cluster.store.faults().inject(verb, what, fault, times),
            Step::Restart => {
                cluster.stop().await;
                cluster.start();
            }
            Step::Wait(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
            _ => {}
        }
    }
    cluster.quiet().await;
    let may_move: Vec<&str> = pinned.iter().map(String::as_str).collect();
    cluster.check_story(&may_move);
    let at_rest = cluster.addresses().await;
    let held = at_rest.values().flatten().count();
    let unpinned = at_rest.keys().filter(|name| !pinned.contains(*name)).count();
    assert!(held >= unpinned.min(4) || !pinned.is_empty(), "{at_rest:?}");
    for name in at_rest.keys() {
        let object = cluster.get(name).await;
        let expected = if shown(&object).is_empty() { "False/" } else { "True/" };
        assert!(condition(&object).starts_with(expected), "{name}: {}", condition(&object));
    }
    // Another controller has nothing to add.
    let version = cluster.store.resource_version();
    cluster.stop().await;
    cluster.start();
    cluster.quiet().await;
    assert_eq!(cluster.store.resource_version(), version, "a restart wrote something");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn whatever_happens_no_address_is_shown_twice_and_all_comes_to_rest(
        steps in proptest::collection::vec(step(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(play(steps));
    }
}

#[tokio::test(start_paused = true)]
async fn two_services_that_want_one_address_during_faults_are_told_apart() {
    let mut cluster = Cluster::with_pool(&["10.0.0.1-10.0.0.2"]).await;
    cluster.store.faults().inject(Verb::Patch, STATUS, Fault::LoseAnswer, 2);
    cluster.store.faults().inject(Verb::Patch, STATUS, Fault::Refuse(409), 2);
    let wish = json!({"spec": {"loadBalancerIP": "10.0.0.2"}});
    cluster.create(&with(new_service("a"), &wish)).await;
    cluster.create(&with(new_service("b"), &wish)).await;
    cluster.start();
    cluster.quiet().await;
    assert_eq!(shown(&cluster.get("a").await), ["10.0.0.2"]);
    assert!(
        condition(&cluster.get("b").await).starts_with("False/AddressInUse: 10.0.0.2 is held by default/a")
    );
}
