//! Measurements on any API server where `lbd controller` runs.
//!
//! They make services, and a pool that only these get addresses of, and delete both at the end.

mod load;
mod seen;
mod told;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client};

pub use load::Load;
pub use seen::Seen;
use told::Fewest;

use crate::asker::Asker;
use crate::site::Result;
use crate::{Figure, Target};

/// The name of the pool and its advertisement.
const NAME: &str = "figures";
/// The label of the services.
const LABEL: &str = "lbd.io/figures";
/// Between two looks whether anything still changes; and how often it is looked.
const LOOK: Duration = Duration::from_secs(1);
const LOOKS: usize = 300;
/// How long an answer on the LAN is waited for, and for the last one to be over.
const PATIENCE: Duration = Duration::from_secs(10);
/// Before the next one of those that are measured one at a time.
const PAUSE: Duration = Duration::from_millis(10);

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many services are present while some are measured one at a time.
    pub present: Vec<usize>,
    /// How many wait for an address at once.
    pub at_once: usize,
    /// How many are measured one at a time.
    pub samples: usize,
}

/// Where is measured.
pub struct Server<'a> {
    /// The way to it.
    pub client: Client,
    /// The namespace of the pools.
    pub namespace: &'a str,
    /// What it is called in the figures.
    pub name: &'a str,
    /// It is Kubernetes' own: what others take there is known.
    pub real: bool,
    /// Who asks on the LAN where speakers announce, if their answers are measured too.
    pub asker: Option<Asker>,
}

/// The status writes of services so far, where they are counted.
pub type Writes<'a> = Option<&'a dyn Fn() -> u64>;

/// Measures. What an earlier run left is deleted first.
///
/// # Errors
/// The API server refuses something, or nobody gives addresses.
pub async fn measure(server: Server<'_>, plan: &Plan, writes: Writes<'_>) -> Result<Vec<Figure>> {
    let load = Load::new(&server.client, server.namespace);
    let load = if server.asker.is_some() { load.served() } else { load };
    load.clear().await?;
    let seen = Seen::start(load.services().clone()).await?;
    let events = Api::namespaced(server.client, "default");
    let (on, real, asker) = (server.name, server.real, server.asker);
    let (fewest, figures) = (BTreeMap::new(), Vec::new());
    let mut measuring = Measuring { load, seen, events, on, real, asker, writes, fewest, figures };
    let measured = measuring.all(plan).await;
    // Deleted in either case; the first error is the one to tell.
    let cleared = measuring.load.clear().await;
    measured.and(cleared).map(|()| measuring.figures)
}

struct Measuring<'a> {
    load: Load,
    seen: Seen,
    events: Api<Event>,
    on: &'a str,
    real: bool,
    asker: Option<Asker>,
    writes: Writes<'a>,
    /// What it was with the fewest present, by the name of the figure.
    fewest: BTreeMap<String, Fewest>,
    figures: Vec<Figure>,
}

impl Measuring<'_> {
    async fn all(&mut self, plan: &Plan) -> Result<()> {
        self.load.advertise().await?;
        self.load.make_pool().await?;
        self.load.create("figures-first").await?;
        let runs = "an address: does `lbd controller` run?";
        self.seen.until(runs, |seen| seen.has_address("figures-first")).await?;
        self.none_left().await?;
        let mut present = plan.present.clone();
        present.sort_unstable();
        // So many are made once.
        let (few, many): (Vec<_>, Vec<_>) = present.into_iter().partition(|count| *count < plan.at_once);
        for count in few {
            self.one_at_a_time(count, plan.samples).await?;
        }
        if plan.at_once > 0 {
            self.at_once(plan.at_once).await?;
        }
        for count in many {
            self.one_at_a_time(count, plan.samples).await?;
        }
        Ok(())
    }

    /// From the moment before the request that creates a service to that in which the watch tells its address, and to
    /// the first answer on the LAN.
    async fn one_at_a_time(&mut self, present: usize, samples: usize) -> Result<()> {
        let missing: Vec<_> = names("present", present).filter(|name| !self.seen.is_there(name)).collect();
        self.load.create_all(missing.into_iter()).await?;
        self.seen.until("those that are present", |seen| seen.with_address() == present).await?;
        self.load.create_endpoints(names("present", present)).await?;
        self.quiet().await?;
        let before = self.written();
        let (mut in_status, mut on_the_lan) = (Vec::new(), Vec::new());
        for name in names("sample", samples) {
            self.load.create_endpoint(&name).await?;
            let started = Instant::now();
            self.load.create_service(&name).await?;
            in_status.push(self.seen.until("an address", |seen| seen.has_address(&name)).await? - started);
            let asked = self.asker.as_ref().zip(self.seen.address(&name));
            if let Some((asker, address)) = asked {
                on_the_lan.push(asker.first_answer(address, PATIENCE)? - started);
            }
            self.load.delete(&name).await?;
            self.seen.until("a deletion", |seen| !seen.is_there(&name)).await?;
            if let Some((asker, address)) = asked {
                // The next one gets the same address, and an answer from before would count for it.
                asker.last_answer(address, PATIENCE)?;
            }
            tokio::time::sleep(PAUSE).await;
        }
        // Before the bare measurement, which writes one status a sample itself.
        self.count_writes(before, samples, &format!("one at a time, {present} present"));
        let bare = self.bare(samples).await?;
        let beside = Some(("created, and the status written by its creator", &bare[..]));
        self.tell("service created to address in status", present, &in_status, beside);
        if self.asker.is_some() {
            self.tell("service created to first ARP answer", present, &on_the_lan, None);
        }
        Ok(())
    }

    /// What the API server alone takes: a service that nobody serves, and its status written by who created it.
    async fn bare(&mut self, samples: usize) -> Result<Vec<Duration>> {
        let mut taken = Vec::new();
        for name in names("bare", samples) {
            let started = Instant::now();
            self.load.create_unserved(std::iter::once(name.clone())).await?;
            self.load.write_statuses(std::iter::once(name.clone())).await?;
            taken.push(self.seen.until("an address", |seen| seen.has_address(&name)).await? - started);
            self.load.delete(&name).await?;
            self.seen.until("a deletion", |seen| !seen.is_there(&name)).await?;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(taken)
    }

    /// All wait for a pool: from the moment before it is made to that in which the watch tells the last address.
    async fn at_once(&mut self, count: usize) -> Result<()> {
        self.none_left().await?;
        self.load.create_unserved(names("unserved", count)).await?;
        self.quiet().await?;
        let started = Instant::now();
        self.load.write_statuses(names("unserved", count)).await?;
        let bare = started.elapsed();
        self.none_left().await?;
        self.load.delete_pool().await?;
        self.load.create_all(names("present", count)).await?;
        self.quiet().await?;
        let (before, started) = (self.written(), Instant::now());
        self.load.make_pool().await?;
        let last = self.seen.until("the last address", |seen| seen.with_address() == count).await?;
        let took = last - started;
        self.quiet().await?;
        let on = self.on;
        let name = format!("{count} services that wait for a pool, until the last has its address ({on})");
        let writes = format!("{count} bare status writes, 16 at once");
        self.figures.push(Figure::new(name, ms(took), "ms", Target::None).beside(writes, ms(bare)));
        let ratio = took.as_secs_f64() / bare.as_secs_f64();
        let name = format!("the same by the time of the bare status writes ({on})");
        self.figures.push(Figure::new(name, ratio, "times", Target::AtMost(1.5)));
        self.count_writes(before, count, "at once");
        Ok(())
    }

    async fn none_left(&mut self) -> Result<()> {
        let names: Vec<_> = self.seen.names().map(str::to_owned).collect();
        self.load.delete_all(names.into_iter()).await?;
        self.seen.until("the deletions", |seen| seen.names().next().is_none()).await?;
        self.quiet().await
    }

    /// Waits until nothing changes any more, events included.
    async fn quiet(&mut self) -> Result<()> {
        let mut before = None;
        for _ in 0..LOOKS {
            tokio::time::sleep(LOOK).await;
            let events = self.events.list(&ListParams::default()).await?.items.len();
            let now = Some((self.seen.changes(), events));
            if before == now {
                return Ok(());
            }
            before = now;
        }
        Err("services or events do not cease to change".into())
    }

    fn written(&self) -> Option<u64> {
        self.writes.map(|writes| writes())
    }
}

/// The names of so many services of one sort.
pub fn names(sort: &'static str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |number| format!("figures-{sort}-{number}"))
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
