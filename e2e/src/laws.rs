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
        let after = Held::of(&services);
        let distinct: BTreeSet<&IpAddr> = after.0.values().flat_map(|(_, addresses)| addresses).collect();
        assert_eq!(distinct.len(), after.addresses(), "an address is held by two: {after:?}");
        let uids: BTreeSet<&str> = services.iter().filter_map(|it| it["metadata"]["uid"].as_str()).collect();
        for (uid, (name, held)) in before.0.iter().filter(|(uid, _)| uids.contains(uid.as_str())) {
            assert_eq!(after.0.get(uid).map(|(_, now)| now), Some(held), "{name} keeps what it had");
        }
        self.answers_are_as_told().await?;
        self.rests(after.addresses(), writes).await
    }

    /// Each address is answered by the node that its status names, and by no other.
    async fn answers_are_as_told(&mut self) -> Result {
        for status in self.list("ServiceL2Status").await? {
            let text = |field: &str| status["status"][field].as_str().unwrap_or_default().to_owned();
            let (service, node) = (text("serviceName"), text("node"));
            for address in self.shown(&service).await? {
                self.answered_by(address, &node).await?;
            }
        }
        Ok(())
    }

    /// Fails if more was written than may be, or if something is written although nothing changes.
    async fn rests(&mut self, held: usize, at_most: u64) -> Result {
        let Some(written) = self.status_writes() else { return Ok(()) };
        note(&format!(
            "{held} addresses are held; {written} writes of Services' statuses, of {at_most} at most"
        ));
        assert!(written <= at_most, "{written} writes where {at_most} are enough");
        self.caught_up().await?;
        // One about the marker, and no other.
        assert_eq!(self.status_writes(), Some(written + 1), "it does not come to rest");
        Ok(())
    }

    /// How often the status of a Service was written since the cluster was made; the real API server does not count.
    pub(crate) fn status_writes(&self) -> Option<u64> {
        match &self.plane {
            Plane::Embedded(embedded) => {
                Some(embedded.store().faults().writes(Verb::Patch, "services/status"))
            }
            Plane::Real(_) => None,
        }
    }
}
