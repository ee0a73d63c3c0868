//! Who gives addresses: several on one Lease, on the embedded store.
#![cfg(all(feature = "controller", feature = "store"))]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lbk8s::Store;
use lbk8s::controller::lease::{self, DEADLINE, DURATION, PERIOD};
use lbk8s::store::{Fault, Verb};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

const NAMESPACE: &str = "kube-system";
const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/lbd-controller";

/// Who works, and whether he has ended.
#[derive(Debug, Default)]
struct Workplace {
    working: AtomicUsize,
    together: AtomicUsize,
    turns: Mutex<Vec<(String, bool)>>,
}

/// Somebody at work; not any more when this is dropped.
struct Work(Arc<Workplace>, usize);

impl Work {
    fn begin(place: &Arc<Workplace>, who: &str) -> Self {
        if place.working.fetch_add(1, Ordering::SeqCst) > 0 {
            place.together.fetch_add(1, Ordering::SeqCst);
        }
        let mut turns = place.turns.lock().unwrap();
        turns.push((who.to_owned(), false));
        Self(place.clone(), turns.len() - 1)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::SeqCst);
        self.0.turns.lock().unwrap()[self.1].1 = true;
    }
}

impl Workplace {
    /// Who works now.
    fn who(&self) -> Option<String> {
        self.turns.lock().unwrap().iter().find(|turn| !turn.1).map(|turn| turn.0.clone())
    }

    fn turns(&self) -> usize {
        self.turns.lock().unwrap().len()
    }

    /// No two ever worked at one time.
    fn check(&self) {
        assert_eq!(self.together.load(Ordering::SeqCst), 0, "one began while another one worked");
    }

    async fn until_works(&self, who: &str) -> Instant {
        let waited = timeout(Duration::from_mins(2), async {
            while self.who().as_deref() != Some(who) {
                sleep(Duration::from_millis(10)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("{who} never works: {:?}", self.turns.lock()));
        Instant::now()
    }

    /// How long it takes until nobody works.
    async fn until_idle(&self) -> Duration {
        let began = Instant::now();
        while self.who().is_some() && began.elapsed() < Duration::from_mins(1) {
            sleep(Duration::from_millis(10)).await;
        }
        began.elapsed()
    }
}

struct Holder {
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Holder {
    fn start(store: &Store, place: &Arc<Workplace>, who: &str) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (client, place, who) = (store.client(), place.clone(), who.to_owned());
        let task = tokio::spawn(async move {
            let work = || {
                let work = Work::begin(&place, &who);
                async move {
                    let _work = work;
                    std::future::pending::<()>().await;
                }
            };
            let stop = async { drop(stopped.await) };
            lease::hold(client, NAMESPACE, &who, work, stop).await;
        });
        Self { task, stop }
    }

    /// As when the process is killed: nothing is given back.
    async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

async fn stored(store: &Store) -> Value {
    store.client().request(http::Request::get(PATH).body(Vec::new()).unwrap()).await.unwrap()
}

fn world() -> (Store, Arc<Workplace>) {
    (Store::default(), Arc::default())
}

#[tokio::test(start_paused = true)]
async fn only_one_works_for_as_long_as_it_lives() {
    let (store, place) = world();
    let first = Holder::start(&store, &place, "a");
    place.until_works("a").await;
    let second = Holder::start(&store, &place, "b");
    sleep(Duration::from_mins(10)).await;
    assert_eq!(place.turns(), 1, "one turn without a break");
    assert_eq!(stored(&store).await["spec"]["holderIdentity"], "a");
    first.stop().await;
    second.stop().await;
    place.check();
}

#[tokio::test(start_paused = true)]
async fn one_that_was_killed_is_waited_out_and_then_followed() {
    let (store, place) = world();
    let first = Holder::start(&store, &place, "a");
    place.until_works("a").await;
    let second = Holder::start(&store, &place, "b");
    sleep(Duration::from_secs(30)).await;
    let killed = Instant::now();
    first.kill().await;
    let took = place.until_works("b").await - killed;
    // What it wrote last was up to a period old, and it could have worked on until the deadline after that.
    assert!(took + PERIOD >= DURATION && took + PERIOD > DEADLINE, "after {took:?}");
    assert!(took <= DURATION + PERIOD + PERIOD, "after {took:?}");
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_starts_long_after_a_kill_waits_too() {
    let (store, place) = world();
    let first = Holder::start(&store, &place, "a");
    place.until_works("a").await;
    sleep(Duration::from_secs(30)).await;
    first.kill().await;
    sleep(Duration::from_mins(5)).await;
    // What another's clock says in the Lease counts for nothing.
    let started = Instant::now();
    let second = Holder::start(&store, &place, "b");
    let took = place.until_works("b").await - started;
    assert!(took >= DURATION && took <= DURATION + PERIOD + PERIOD, "after {took:?}");
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_stops_in_peace_is_followed_at_once() {
    let (store, place) = world();
    let first = Holder::start(&store, &place, "a");
    place.until_works("a").await;
    let second = Holder::start(&store, &place, "b");
    sleep(Duration::from_secs(30)).await;
    let stopped = Instant::now();
    first.stop().await;
    assert!(stored(&store).await["spec"]["holderIdentity"].is_null());
    let took = place.until_works("b").await - stopped;
    assert!(took <= PERIOD + Duration::from_millis(100), "after {took:?}");
    second.stop().await;
    place.check();
}

#[tokio::test(start_paused = true)]
async fn one_who_cannot_renew_ceases_to_work_in_time_and_begins_again_when_it_can() {
    let long = Fault::Delay(Duration::from_mins(10));
    let faults = [
        (Verb::Get, Fault::Refuse(503)),
        (Verb::Update, Fault::Refuse(429)),
        (Verb::Get, long),
        (Verb::Update, long),
    ];
    for (verb, fault) in faults {
        let (store, place) = world();
        let holder = Holder::start(&store, &place, "a");
        place.until_works("a").await;
        sleep(Duration::from_millis(20_500)).await;
        store.faults().inject(verb, "leases", fault, 9);
        let took = place.until_idle().await;
        assert!(took <= DEADLINE, "{verb:?} {fault:?}: it worked for {took:?} more");
        assert!(took + PERIOD >= DEADLINE, "{verb:?} {fault:?}: it gave up after {took:?} already");
        place.until_works("a").await;
        holder.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_hiccup_of_the_server_stops_nobody() {
    for fault in [Fault::Refuse(500), Fault::LoseAnswer, Fault::Delay(Duration::from_millis(1500))] {
        let (store, place) = world();
        let holder = Holder::start(&store, &place, "a");
        place.until_works("a").await;
        for verb in [Verb::Get, Verb::Update] {
            sleep(Duration::from_secs(20)).await;
            store.faults().inject(verb, "leases", fault, 1);
        }
        sleep(Duration::from_secs(20)).await;
        assert_eq!(place.turns(), 1, "{fault:?}");
        holder.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_the_first_write_costs_no_waiting_out() {
    let (store, place) = world();
    store.faults().inject(Verb::Create, "leases", Fault::LoseAnswer, 1);
    let started = Instant::now();
    let holder = Holder::start(&store, &place, "a");
    let took = place.until_works("a").await - started;
    assert!(took <= PERIOD + PERIOD, "after {took:?}");
    holder.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_whose_lease_another_took_ceases_to_work_at_its_next_look() {
    let (store, place) = world();
    let holder = Holder::start(&store, &place, "a");
    place.until_works("a").await;
    let patch = json!({"spec": {"holderIdentity": "somebody"}}).to_string().into_bytes();
    let request = http::Request::patch(PATH).header("content-type", "application/merge-patch+json");
    store.client().request::<Value>(request.body(patch).unwrap()).await.unwrap();
    let took = place.until_idle().await;
    assert!(took <= PERIOD + Duration::from_millis(100), "after {took:?}");
    holder.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_somebody_deletes_makes_no_two_work() {
    let (store, place) = world();
    let first = Holder::start(&store, &place, "a");
    place.until_works("a").await;
    sleep(Duration::from_millis(500)).await;
    let second = Holder::start(&store, &place, "b");
    // Half a second after the first has looked, and just before the second does.
    sleep(Duration::from_millis(3_990)).await;
    let request = http::Request::delete(PATH).body(b"{}".to_vec()).unwrap();
    let _: Value = store.client().request(request).await.unwrap();
    sleep(Duration::from_secs(20)).await;
    first.stop().await;
    second.stop().await;
    place.check();
}

#[tokio::test(start_paused = true)]
async fn five_that_come_and_go_never_work_together() {
    let (store, place) = world();
    let mut holders: [Option<Holder>; 5] = Default::default();
    let mut random: u64 = 7;
    for round in 0..600_u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let which = usize::try_from((random >> 33) % 5).unwrap();
        match (holders[which].take(), random >> 62) {
            // Each time under a name of its own, as a process has.
            (None, _) => holders[which] = Some(Holder::start(&store, &place, &format!("{which}-{round}"))),
            (Some(holder), 0) => holder.kill().await,
            (Some(holder), 1) => holder.stop().await,
            (holder, _) => holders[which] = holder,
        }
        if (random >> 40).is_multiple_of(16) {
            store.faults().inject(Verb::Update, "leases", Fault::Refuse(503), 6);
        }
        sleep(Duration::from_millis((random >> 45) & 0x0FFF)).await;
    }
    place.check();
    assert!(place.turns() > 20, "hardly anybody worked: {}", place.turns());
}
