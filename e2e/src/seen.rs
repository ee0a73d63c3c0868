//! What the objects show: addresses, conditions, events, and who is said to answer.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;

use crate::Result;
use crate::cluster::Cluster;
use crate::wait::until;

/// The addresses that a Service shows.
#[must_use]
pub fn addresses(service: &Value) -> Vec<IpAddr> {
    let ingress = service["status"]["loadBalancer"]["ingress"].as_array();
    let shown = ingress.into_iter().flatten().filter_map(|entry| entry["ip"].as_str()?.parse().ok());
    shown.collect()
}

/// Whether a Service says that it holds what it asks for, and why not.
#[must_use]
pub fn condition(service: &Value) -> Option<(String, String)> {
    let conditions = service["status"]["conditions"].as_array()?;
    let ours = conditions.iter().find(|condition| condition["type"] == "lbd.io/Assigned")?;
    let text = |field: &str| ours[field].as_str().unwrap_or_default().to_owned();
    Some((text("status"), format!("{}: {}", text("reason"), text("message"))))
}

impl Cluster {
    /// The addresses that a Service shows now.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn shown(&self, service: &str) -> Result<Vec<IpAddr>> {
        Ok(addresses(&self.get("Service", service).await?))
    }

    /// Waits until a Service shows an address; the first one.
    ///
    /// # Errors
    /// It shows none in time.
    pub async fn address(&mut self, service: &str) -> Result<IpAddr> {
        until(&format!("{service} has an address"), async || {
            self.lives()?;
            let object = self.get("Service", service).await?;
            let none = || format!("it says {:?}", condition(&object));
            addresses(&object).first().copied().ok_or_else(|| none().into())
        })
        .await
    }

    /// Waits until a Service shows exactly these addresses, in any order.
    ///
    /// # Errors
    /// It does not in time.
    pub async fn shows(&mut self, service: &str, expected: &[&str]) -> Result {
        let expected: BTreeSet<IpAddr> =
            expected.iter().map(|it| it.parse()).collect::<std::result::Result<_, _>>()?;
        until(&format!("{service} shows {expected:?}"), async || {
            self.lives()?;
            let object = self.get("Service", service).await?;
            let shown: BTreeSet<IpAddr> = addresses(&object).into_iter().collect();
            let otherwise = || format!("it shows {shown:?} and says {:?}", condition(&object));
            if shown == expected { Ok(()) } else { Err(otherwise().into()) }
        })
        .await
    }

    /// Waits until a Service is told that it gets no address, with these words among the reasons.
    ///
    /// # Errors
    /// It is not told in time.
    pub async fn pending(&mut self, service: &str, why: &str) -> Result {
        until(&format!("{service} is told {why:?}"), async || {
            self.lives()?;
            let object = self.get("Service", service).await?;
            let told = condition(&object);
            let refused = told.as_ref().is_some_and(|(status, told)| status == "False" && told.contains(why));
            if refused && addresses(&object).is_empty() {
                Ok(())
            } else {
                Err(format!("{told:?}, {:?}", addresses(&object)).into())
            }
        })
        .await
    }

    /// Waits until a Service's condition says this, whether it holds an address or not.
    ///
    /// # Errors
    /// It does not in time.
    pub async fn told(&mut self, service: &str, what: &str) -> Result {
        until(&format!("{service} is told {what:?}"), async || {
            self.lives()?;
            let told = condition(&self.get("Service", service).await?);
            let fits = told.as_ref().is_some_and(|(_, told)| told.contains(what));
            if fits { Ok(()) } else { Err(format!("{told:?}").into()) }
        })
        .await
    }

    /// Waits for an event about a Service with these words in its note; the note.
    ///
    /// # Errors
    /// There is none in time.
    pub async fn event(&mut self, service: &str, reason: &str, part: &str) -> Result<String> {
        until(&format!("event {reason} about {service} with {part:?}"), async || {
            self.lives()?;
            let events = self.list("Event").await?;
            let about = |event: &&Value| {
                event["regarding"]["name"] == service && event["regarding"]["kind"] == "Service"
            };
            let told: Vec<String> = events
                .iter()
                .filter(about)
                .filter(|event| event["reason"] == reason)
                .filter_map(|event| event["note"].as_str().map(str::to_owned))
                .collect();
            let found = told.iter().find(|note| note.contains(part)).cloned();
            found.ok_or_else(|| format!("{told:?}").into())
        })
        .await
    }

    /// Waits until the `ServiceL2Status` of a Service names interfaces: its address is announced then, and not only
    /// answered for as a new one is while it is still asked whether somebody has it. The name of the node.
    ///
    /// # Errors
    /// Not in time.
    pub async fn announced(&mut self, service: &str) -> Result<String> {
        until(&format!("{service} is announced"), async || {
            self.lives()?;
            let statuses = self.list("ServiceL2Status").await?;
            let own = statuses.iter().map(|it| &it["status"]).filter(|it| it["serviceName"] == service);
            let mut announcing =
                own.filter(|it| it["interfaces"].as_array().is_some_and(|them| !them.is_empty()));
            let node = announcing.next().and_then(|it| it["node"].as_str()).map(str::to_owned);
            node.ok_or_else(|| format!("{statuses:?}").into())
        })
        .await
    }
}
