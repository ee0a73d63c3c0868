//! What is seen from outside: who answers by ARP and NDP, and what HTTP brings.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lblab::client::{Asking, ask_by_datagram, fetch, who_has};

use crate::Result;
use crate::cluster::Cluster;
use crate::wait::until;

/// How long one connection may take.
const FETCH: Duration = Duration::from_secs(2);
/// How long one datagram may take, there and back.
const DATAGRAM: Duration = Duration::from_millis(200);

impl Cluster {
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

    /// Who answers, if two looks agree: in a move there are moments in which nobody does, or two do, and one look that
    /// falls into such a moment shows nothing that stays.
    ///
    /// # Errors
    /// What the kernel says, or that they do not agree.
    pub async fn surely_answers(&self, address: IpAddr) -> Result<BTreeSet<String>> {
        let first = self.who_answers(address).await?;
        let second = self.who_answers(address).await?;
        if first == second {
            Ok(second)
        } else {
            Err(format!("first {first:?} answer, then {second:?}").into())
        }
    }

    /// Waits until exactly one interface answers for an address; the name of its node.
    ///
    /// # Errors
    /// Not in time.
    pub async fn announcer(&mut self, address: IpAddr) -> Result<String> {
        until(&format!("one node answers for {address}"), async || {
            self.lives()?;
            let answering = self.surely_answers(address).await?;
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
            let answering = self.surely_answers(address).await?;
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
            let answering = self.surely_answers(address).await?;
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
