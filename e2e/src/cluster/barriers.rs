//! Waiting until programs have seen what was written so far. That nothing happened shows nothing before.

use std::net::IpAddr;

use serde_json::json;

use super::Cluster;
use crate::Result;
use crate::object::{advertisement, pool, service};

/// Addresses that no other pool of a test has.
const RANGE: &str = "192.168.3.251-192.168.3.253";

impl Cluster {
    /// Waits until the controller has come to a decision about a Service that is made now: what was told before is
    /// decided by then.
    ///
    /// # Errors
    /// It has not in time.
    pub async fn caught_up(&mut self) -> Result {
        self.made += 1;
        let name = format!("marker-{}", self.made);
        self.create(&service(&name).annotation("metallb.io/address-pool", "no-such-pool")).await?;
        self.pending(&name, "").await?;
        self.delete("Service", &name).await
    }

    /// Waits until the speaker of each node answers for a Service that is made now, and that only this node may
    /// announce: all that was told of Services before is known to it by then. So is what was told of advertisements,
    /// if no other one chooses every pool.
    ///
    /// # Errors
    /// One does not in time.
    pub async fn speakers_caught_up(&mut self) -> Result {
        self.made += 1;
        let own = format!("barrier-{}", self.made);
        self.create(&pool(&own, &[RANGE]).spec("autoAssign", json!(false))).await?;
        self.create(&advertisement(&own).spec("ipAddressPools", json!([own]))).await?;
        let nodes: Vec<String> = self.site.nodes.iter().map(|node| node.name().to_owned()).collect();
        for node in &nodes {
            let app = format!("{own}-{node}");
            self.pod(&app, &app, node).await?;
            self.create(&service(&app).local().annotation("metallb.io/address-pool", &own)).await?;
        }
        for node in &nodes {
            let app = format!("{own}-{node}");
            let address: IpAddr = self.address(&app).await?;
            self.answered_by(address, node).await?;
            self.delete("Service", &app).await?;
            self.end_pod(&app).await?;
        }
        self.delete("L2Advertisement", &own).await?;
        self.delete("IPAddressPool", &own).await
    }
}
