//! Node objects.

use kube::Client;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::Cluster;
use crate::Result;
use crate::object::api;
use crate::site::Node;

/// Makes the object of a node, or makes it be as in the beginning.
pub(super) async fn put_node(client: &Client, node: &Node) -> Result {
    let nodes = api(client, "Node", "");
    let labels = json!({"kubernetes.io/hostname": node.name()});
    let present = nodes.get_opt(node.name()).await?;
    // In a merge patch null takes away.
    let mut removed: Value = json!({});
    for label in present.iter().flat_map(|node| node.metadata.labels.iter().flatten()) {
        removed[label.0] = Value::Null;
    }
    if present.is_none() {
        let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node.name()}});
        let object: DynamicObject = serde_json::from_value(object)?;
        nodes.create(&PostParams::default(), &object).await?;
    }
    removed["kubernetes.io/hostname"] = labels["kubernetes.io/hostname"].clone();
    let change = json!({
        "metadata": {"labels": removed, "annotations": null},
        "spec": {"taints": null, "unschedulable": null},
    });
    nodes.patch(node.name(), &PatchParams::default(), &Patch::Merge(change)).await?;
    let status = json!({"status": {
        "addresses": [
            {"type": "InternalIP", "address": node.nic.address},
            {"type": "InternalIP", "address": node.address6()},
        ],
        "conditions": [{"type": "Ready", "status": "True"}],
    }});
    nodes.patch_status(node.name(), &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

impl Cluster {
    /// Gives a node a label, or takes it away.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn label_node(&self, node: &str, key: &str, value: Option<&str>) -> Result {
        self.patch("Node", node, json!({"metadata": {"labels": {key: value}}})).await.map(drop)
    }

    /// Says in a node's status whether its network is unavailable.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn network_unavailable(&self, node: &str, unavailable: bool) -> Result {
        let status = if unavailable { "True" } else { "False" };
        let conditions = json!([
            {"type": "Ready", "status": "True"},
            {"type": "NetworkUnavailable", "status": status},
        ]);
        self.patch_status("Node", node, json!({"conditions": conditions})).await.map(drop)
    }
}
