//! `lbd rebalance`: asks the speakers to spread addresses evenly again, by an annotation on their nodes.

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use lbk8s::objects::annotations::REBALANCE;
use lbk8s::watching::explain_client;
use serde_json::json;

use crate::cli::RebalanceArguments;
use crate::client;
use crate::drain::say;
use crate::exit::{Failure, Outcome};
use crate::run::control;

pub(crate) fn main(arguments: &RebalanceArguments) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let fail = |error: kube::Error| Failure::Rebalance(explain_client(&error));
        if let Some(socket) = &arguments.server.socket {
            control::ask(socket, control::SPREAD).await.map_err(Failure::Rebalance)?;
            let said = "all hosts were asked: each gives away what it has more than its share";
            return say(arguments.output, &json!({"asked": "all"}), said);
        }
        let client = client::connect(&arguments.server.cluster).await?;
        let nodes: Api<Node> = Api::all(client);
        // A new word each time: it is the change that counts.
        let patch = json!({"metadata": {"annotations": {REBALANCE: Timestamp::now().to_string()}}});
        let all = nodes.list_metadata(&ListParams::default()).await.map_err(fail)?;
        for node in &all.items {
            let (name, how) = (node.name_any(), PatchParams::default());
            match nodes.patch_metadata(&name, &how, &Patch::Merge(&patch)).await {
                // It has gone meanwhile.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                patched => drop(patched.map_err(fail)?),
            }
        }
        let count = all.items.len();
        let said = format!(
            "{count} nodes were asked: each gives away what it has more than its share, and answers until it is taken"
        );
        say(arguments.output, &json!({"asked": count}), &said)
    })
}
