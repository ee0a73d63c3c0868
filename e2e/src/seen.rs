//! What is seen: who answers by ARP and NDP, what HTTP brings, and what the objects show.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lblab::client::{Asking, ask_by_datagram, fetch, who_has};
use serde_json::Value;

use crate::Result;
use crate::cluster::Cluster;
use crate::wait::until;

/// How long one connection may take.
const FETCH: Duration = Duration::from_secs(2);
/// How long one datagram may take, there and back.
const DATAGRAM: Duration = Duration::from_millis(200);

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

    /// Who answers the client for an address now: `n1/eth0`.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn who_answers(&self, address: IpAddr) -> Result<BTreeSet<String>> {
        let mut answering = BTreeSet::new();
        for nic in self.site.client_nics() {
            let answers = who_has(&self.site.client, nic, address, Asking::default()).await?;
            answering.extend(answers.into_keys().map(|mac| self.site.whose(mac)));
        }
        Ok(answering)
    }

    /// Waits until exactly one interface answers for an address; the name of its node.
    ///
    /// # Errors
    /// Not in time.
    pub async fn announcer(&mut self, address: IpAddr) -> Result<String> {
        until(&format!("one node answers for {address}"), async || {
            self.lives()?;
            let answering = self.who_answers(address).await?;
            let mut each = answering.iter();
            match (each.next().and_then(|one| one.split_once('/')), each.next()) {
                (Some((node, _)), None) => Ok(node.to_owned()),
                _ => Err(format!("{answering:?} answer").into()),
            }
        })
        .await
    }

    /// Waits until exactly this interface answers for an address: `n1/eth0`, or `n1` for its `eth0`.
    ///
    /// # Errors
    /// Not in time.
    pub async fn answered_by(&mut self, address: IpAddr, interface: &str) -> Result {
        let expected =
            if interface.contains('/') { interface.to_owned() } else { format!("{interface}/eth0") };
        until(&format!("{address} is answered by {expected} alone"), async || {
            self.lives()?;
            let answering = self.who_answers(address).await?;
            let alone = answering.len() == 1 && answering.contains(&expected);
            if alone { Ok(()) } else { Err(format!("{answering:?} answer").into()) }
        })
        .await
    }

    /// Waits until exactly one of these nodes answers for an address; which one.
    ///
    /// # Errors
    /// Not in time.
    pub async fn answered_by_one_of(&mut self, address: IpAddr, nodes: &[&str]) -> Result<String> {
        until(&format!("{address} is answered by one of {nodes:?}"), async || {
            let node = self.announcer(address).await?;
            if nodes.contains(&node.as_str()) { Ok(node) } else { Err(format!("{node} answers").into()) }
        })
        .await
    }

    /// Waits until nobody answers for an address.
    ///
    /// # Errors
    /// Not in time.
    pub async fn unanswered(&mut self, address: IpAddr) -> Result {
        until(&format!("nobody answers for {address}"), async || {
            self.lives()?;
            let answering = self.who_answers(address).await?;
            if answering.is_empty() { Ok(()) } else { Err(format!("{answering:?} answer").into()) }
        })
        .await
    }

    /// Fetches from the client by HTTP, once; the name of the pod that answers.
    ///
    /// # Errors
    /// Nobody serves it.
    pub async fn fetch(&self, address: IpAddr, port: u16) -> Result<String> {
        Ok(fetch(&self.site.client, SocketAddr::new(address, port), FETCH).await?)
    }

    /// Waits until the client reaches a pod of `app` by HTTP on port 80; the pod's name.
    ///
    /// # Errors
    /// Not in time.
    pub async fn reaches(&mut self, address: IpAddr, app: &str) -> Result<String> {
        self.reaches_port(address, 80, app).await
    }

    /// The same, on another port.
    ///
    /// # Errors
    /// Not in time.
    pub async fn reaches_port(&mut self, address: IpAddr, port: u16, app: &str) -> Result<String> {
        until(&format!("the client reaches {app} at {address}:{port}"), async || {
            self.lives()?;
            let pod = self.fetch(address, port).await?;
            if pod.starts_with(app) { Ok(pod) } else { Err(format!("{pod:?} answers").into()) }
        })
        .await
    }

    /// Waits until the client reaches a pod of `app` by UDP; the pod's name.
    ///
    /// # Errors
    /// Not in time.
    pub async fn reaches_by_datagram(&mut self, address: IpAddr, port: u16, app: &str) -> Result<String> {
        until(&format!("the client reaches {app} at {address}:{port} by UDP"), async || {
            self.lives()?;
            let server = SocketAddr::new(address, port);
            let pod = ask_by_datagram(&self.site.client, server, DATAGRAM).await?;
            if pod.starts_with(app) { Ok(pod) } else { Err(format!("{pod:?} answers").into()) }
        })
        .await
    }

    /// Waits until an address is answered by exactly one node and reached by HTTP; that node.
    ///
    /// # Errors
    /// Not in time.
    pub async fn serves(&mut self, address: IpAddr, app: &str) -> Result<String> {
        let node = self.announcer(address).await?;
        self.reaches(address, app).await?;
        Ok(node)
    }
}
