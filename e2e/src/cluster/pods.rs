//! Pods without a kubelet: an object, and a web server that answers with the pod's name.

use std::net::{IpAddr, SocketAddr};

use kube::api::DeleteParams;
use lblab::proxy::{run_datagram_pod, run_pod};
use serde_json::json;
use tokio::task::AbortHandle;

use super::Cluster;
use crate::Result;
use crate::object::{Object, api};

/// A pod that runs.
#[derive(Debug)]
pub(super) struct Pod {
    name: String,
    node: String,
    addresses: [IpAddr; 2],
    servers: Vec<AbortHandle>,
}

/// The port that pods listen on.
const PORT: u16 = 8080;

impl Cluster {
    /// Runs a pod `APP-NODE` on each of these nodes, and waits until the API has them as ready.
    ///
    /// # Errors
    /// What the API server or the kernel says.
    pub async fn pods(&mut self, app: &str, nodes: &[&str]) -> Result {
        for node in nodes {
            self.pod(&format!("{app}-{node}"), app, node).await?;
        }
        Ok(())
    }

    /// Runs one pod.
    ///
    /// # Errors
    /// What the API server or the kernel says.
    pub async fn pod(&mut self, name: &str, app: &str, node: &str) -> Result {
        let number = self.next_pod;
        self.next_pod = self.next_pod.checked_add(1).unwrap_or(1);
        let site_node = self.site.node(node)?;
        let addresses = site_node.pod_addresses(number);
        let mut servers = Vec::new();
        for address in addresses {
            let at = SocketAddr::new(address, PORT);
            servers.push(run_pod(&site_node.host, at, name.to_owned()).await?);
            servers.push(run_datagram_pod(&site_node.host, at, name.to_owned()).await?);
        }
        self.pods.push(Pod { name: name.to_owned(), node: node.to_owned(), addresses, servers });
        let object = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "labels": {"app": app}},
            "spec": {"nodeName": node, "containers": [{"name": "web", "image": "none"}]},
        });
        self.create(&Object(object)).await?;
        self.pod_ready(name, true).await
    }

    /// Says in a pod's status whether it is ready.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn pod_ready(&self, name: &str, ready: bool) -> Result {
        let pod = self.pods.iter().find(|pod| pod.name == name).ok_or("no such pod")?;
        let [v4, v6] = pod.addresses;
        let ready = if ready { "True" } else { "False" };
        let status = json!({
            "phase": "Running",
            "podIP": v4,
            "podIPs": [{"ip": v4}, {"ip": v6}],
            "conditions": [{"type": "Ready", "status": ready}],
        });
        self.patch_status("Pod", name, status).await.map(drop)
    }

    /// Tells a pod to end, as whoever deletes it does: it is terminating, and serves until [`Cluster::end_pod`].
    ///
    /// # Errors
    /// What the API server says.
    pub async fn terminate_pod(&self, name: &str) -> Result {
        let parameters = DeleteParams::default().grace_period(30);
        api(&self.client, "Pod", "default").delete(name, &parameters).await?;
        Ok(())
    }

    /// Ends a pod, and waits until its object is gone.
    ///
    /// # Errors
    /// What the API server or the kernel says.
    pub async fn end_pod(&mut self, name: &str) -> Result {
        self.delete("Pod", name).await?;
        let at = self.pods.iter().position(|pod| pod.name == name).ok_or("no such pod")?;
        let pod = self.pods.remove(at);
        self.end(pod).await
    }

    /// Ends the programs of all pods; their objects stay.
    pub(super) async fn end_pods(&mut self) -> Result {
        for pod in std::mem::take(&mut self.pods) {
            self.end(pod).await?;
        }
        Ok(())
    }

    async fn end(&self, pod: Pod) -> Result {
        pod.servers.iter().for_each(AbortHandle::abort);
        let net = self.site.node(&pod.node)?.host.net();
        let lo = net.index("lo").await?;
        for address in pod.addresses {
            net.delete_address(lo, address).await?;
        }
        Ok(())
    }
}
