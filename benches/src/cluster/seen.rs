//! The services as a watch tells of them, with the moment of each change.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::{Api, ResourceExt};
use lbk8s::watching::{Watched, config, follow};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::AbortHandle;
use tokio::time::{timeout, timeout_at};

use super::LABEL;
use crate::site::Result;

/// How long nothing may be told while something is waited for, and how long all of it may take.
const SILENCE: Duration = Duration::from_mins(1);
const LONGEST: Duration = Duration::from_mins(10);

/// The services of these measurements, as far as a watch has told.
#[derive(Debug)]
pub struct Seen {
    told: UnboundedReceiver<Told>,
    task: AbortHandle,
    /// The first address of each, by the name.
    services: BTreeMap<String, Option<IpAddr>>,
    with_address: usize,
    changes: u64,
}

/// A change, with the moment at which the watch told of it.
#[derive(Debug)]
struct Told(Instant, Change);

#[derive(Debug)]
enum Change {
    Set { name: String, address: Option<IpAddr> },
    Gone(String),
    Synced,
}

fn view(service: &Service) -> Change {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = status.and_then(|it| it.ingress.as_ref()).and_then(|ingress| ingress.first());
    let address = ingress.and_then(|first| first.ip.as_ref()?.parse().ok());
    Change::Set { name: service.name_any(), address }
}

impl Seen {
    /// Starts watching, and waits until all that is there has been told.
    ///
    /// # Errors
    /// The API server does not tell.
    pub async fn start(services: Api<Service>) -> Result<Self> {
        let mut watch = follow(services, config().labels(LABEL), view);
        let (sender, told) = unbounded_channel();
        let task = tokio::spawn(async move {
            while let Some(watched) = watch.next().await {
                let change = match watched {
                    Watched::Set(change) => change,
                    Watched::Gone { name, .. } => Change::Gone(name),
                    Watched::Synced => Change::Synced,
                    // It goes on by itself; who waits in vain says so.
                    Watched::Absent | Watched::Failed(_) => continue,
                };
                if sender.send(Told(Instant::now(), change)).is_err() {
                    break;
                }
            }
        });
        let (services, task) = (BTreeMap::new(), task.abort_handle());
        let mut seen = Self { told, task, services, with_address: 0, changes: 0 };
        loop {
            match timeout(SILENCE, seen.told.recv()).await?.ok_or("the watch ended")? {
                Told(_, Change::Synced) => return Ok(seen),
                Told(_, change) => seen.take_in(change),
            }
        }
    }

    /// How many have an address.
    #[must_use]
    pub fn with_address(&self) -> usize {
        self.with_address
    }

    /// Whether this one has an address.
    #[must_use]
    pub fn has_address(&self, name: &str) -> bool {
        self.address(name).is_some()
    }

    /// The first address of this one.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<IpAddr> {
        self.services.get(name).copied().flatten()
    }

    /// Whether this one is there.
    #[must_use]
    pub fn is_there(&self, name: &str) -> bool {
        self.services.contains_key(name)
    }

    /// The names of all that are there.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.services.keys().map(String::as_str)
    }

    /// Takes in what is told until `done`; the moment at which the last of it was told.
    ///
    /// # Errors
    /// It does not come to that.
    pub async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<Instant> {
        let mut last = Instant::now();
        let end = tokio::time::Instant::now() + LONGEST;
        while !done(self) {
            let told = timeout_at(end, timeout(SILENCE, self.told.recv())).await;
            let Ok(Ok(Some(Told(at, change)))) = told else {
                let (having, all) = (self.with_address, self.services.len());
                let error = format!("waited in vain for {what}; {having} of {all} services have an address");
                return Err(error.into());
            };
            last = at;
            self.take_in(change);
        }
        Ok(last)
    }

    /// How many changes have been told so far.
    pub fn changes(&mut self) -> u64 {
        while let Ok(Told(_, change)) = self.told.try_recv() {
            self.take_in(change);
        }
        self.changes
    }

    fn take_in(&mut self, change: Change) {
        self.changes += 1;
        let before = match change {
            Change::Set { name, address } => {
                self.with_address += usize::from(address.is_some());
                self.services.insert(name, address)
            }
            Change::Gone(name) => self.services.remove(&name),
            Change::Synced => None,
        };
        self.with_address -= usize::from(before.flatten().is_some());
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        self.task.abort();
    }
}
