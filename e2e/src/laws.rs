//! What holds after every trouble, whatever it was: nobody has lost an address, no address is held by two, everybody
//! has come to rest, and that was not paid for with more writes than it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lbk8s::store::Verb;
use serde_json::Value;

use crate::Result;
use crate::case::note;
use crate::cluster::Cluster;
use crate::plane::Plane;
use crate::seen::{addresses, condition};
use crate::wait::until;

/// What each load balancer holds, by its identity: one that was made anew under its name is another.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held(BTreeMap<String, (String, Vec<IpAddr>)>);

/// Fails if two Services hold one address without a key by which they share it.
fn none_is_held_by_two(services: &[Value]) {
    let mut holders = BTreeMap::<IpAddr, BTreeSet<String>>::new();
    for service in services {
        let key = service["metadata"]["annotations"]["metallb.io/allow-shared-ip"].as_str();
        let who = key.map_or_else(|| service["metadata"]["uid"].to_string(), |key| format!("those of {key}"));
        for address in addresses(service) {
            holders.entry(address).or_default().insert(who.clone());
        }
    }
    holders.retain(|_, who| who.len() > 1);
    assert!(holders.is_empty(), "addresses are held by two: {holders:?}");
}

impl Held {
    /// Those that hold something.
    fn of(services: &[Value]) -> Self {
        let balanced = services.iter().filter(|service| service["spec"]["type"] == "LoadBalancer");
        let held = balanced.filter_map(|service| {
            let text = |field: &str| service["metadata"][field].as_str().unwrap_or_default().to_owned();
            let holds = addresses(service);
            (!holds.is_empty()).then(|| (text("uid"), (text("name"), holds)))
        });
        Self(held.collect())
    }

    /// What the Service of this name holds, in the namespace of most.
    pub(crate) fn of_service(&self, name: &str) -> Vec<IpAddr> {
        self.0.values().filter(|(own, _)| own == name).flat_map(|(_, addresses)| addresses.clone()).collect()
    }

    /// Fails if one that held something `before` holds something else.
    pub(crate) fn keeps(&self, before: &Self) {
        for (uid, (name, held)) in &before.0 {
            assert_eq!(self.0.get(uid).map(|(_, now)| now), Some(held), "{name} keeps what it had");
        }
    }

    /// How many addresses.
    pub(crate) fn addresses(&self) -> usize {
        self.0.values().map(|(_, addresses)| addresses.len()).sum()
    }
}

impl Cluster {
    /// What is held now.
    ///
    /// # Errors
    /// What the API server says.
    pub(crate) async fn held(&self) -> Result<Held> {
        Ok(Held::of(&self.list("Service").await?))
    }

    /// Waits until all is at rest, and fails where a law does not hold: `before` is what was held before the trouble,
    /// and `writes` the most writes of Services' statuses that there may have been so far, where they are counted.
    ///
    /// # Errors
    /// A law does not hold.
    pub(crate) async fn laws_hold(&mut self, before: &Held, writes: u64) -> Result {
        self.caught_up().await?;
        let services = until("every Service says that it has its addresses", async || {
            self.lives()?;
            let services = self.list("Service").await?;
            let without = services.iter().find(|service| {
                let assigned = condition(service).is_some_and(|(status, _)| status == "True");
                service["spec"]["type"] == "LoadBalancer" && (!assigned || addresses(service).is_empty())
            });
            match without {
                None => Ok(services),
                Some(service) => {
                    Err(format!("{} says {:?}", service["metadata"]["name"], condition(service)).into())
                }
            }
        })
        .await?;
        none_is_held_by_two(&services);
        let after = Held::of(&services);
        let uids: BTreeSet<&str> = services.iter().filter_map(|it| it["metadata"]["uid"].as_str()).collect();
        let there = before.0.iter().filter(|(uid, _)| uids.contains(uid.as_str()));
        after.keeps(&Held(there.map(|(uid, held)| (uid.clone(), held.clone())).collect()));
        self.answers_are_as_told().await?;
        self.rests(after.addresses(), writes).await
    }

    /// Each address of a Service that somebody has to announce is answered by the node that its status names, and by
    /// no other; and where a status stands, it is true.
    async fn answers_are_as_told(&mut self) -> Result {
        for service in self.to_be_announced().await? {
            self.announced(&service).await?;
        }
        for status in self.list("ServiceL2Status").await? {
            let text = |field: &str| status["status"][field].as_str().unwrap_or_default().to_owned();
            let (service, node) = (text("serviceName"), text("node"));
            for address in self.shown(&service).await? {
                self.answered_by(address, &node).await?;
            }
        }
        Ok(())
    }

    /// The Services that hold an address and have a serving endpoint, if anything is advertised.
    async fn to_be_announced(&self) -> Result<BTreeSet<String>> {
        if self.list("L2Advertisement").await?.is_empty() {
            return Ok(BTreeSet::new());
        }
        let serves = |endpoint: &Value| endpoint["conditions"]["ready"] == true;
        let slices = self.list("EndpointSlice").await?.into_iter();
        let serving =
            slices.filter(|slice| slice["endpoints"].as_array().is_some_and(|all| all.iter().any(serves)));
        let label = "kubernetes.io/service-name";
        let serving: BTreeSet<String> = serving
            .filter_map(|slice| slice["metadata"]["labels"][label].as_str().map(str::to_owned))
            .collect();
        let holding = Held::of(&self.list("Service").await?);
        let names: BTreeSet<String> = holding.0.into_values().map(|(name, _)| name).collect();
        Ok(names.intersection(&serving).cloned().collect())
    }

    /// Fails if more was written than may be, or if something is written although nothing changes.
    async fn rests(&mut self, held: usize, at_most: u64) -> Result {
        let written = self.status_writes().await?;
        note(&format!(
            "{held} addresses are held; {written} writes of Services' statuses, of {at_most} at most"
        ));
        assert!(written <= at_most, "{written} writes where {at_most} are enough");
        self.caught_up().await?;
        // One about the marker by each that gives addresses, and no other.
        let controllers = self.controllers();
        until("the marker's write is counted", async || {
            let now = self.status_writes().await?;
            if now > written { Ok(()) } else { Err(format!("there are {now}").into()) }
        })
        .await?;
        let now = self.status_writes().await?;
        assert!(now <= written + controllers, "it does not come to rest: {written} writes, then {now}");
        Ok(())
    }

    /// How often the status of a Service was written, or tried to be, since the case began. A real API server counts
    /// by itself, from its start on.
    pub(crate) async fn status_writes(&self) -> Result<u64> {
        match &self.plane {
            Plane::Embedded(embedded) => Ok(embedded.store().faults().writes(Verb::Patch, "services/status")),
            Plane::Real(real) => real.status_writes().await,
        }
    }
}
