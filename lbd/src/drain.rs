//! `lbd drain`: sends the addresses of a node elsewhere, by an annotation on its object.

use std::io::Write;

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams};
use lbk8s::objects::annotations::DRAIN;
use lbk8s::watching::explain_client;
use serde_json::json;

use crate::cli::DrainArguments;
use crate::client;
use crate::exit::{Failure, Outcome};

pub(crate) fn main(arguments: &DrainArguments) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = client::connect_where(&arguments.server).await?;
        let (node, value) = (&arguments.node, (!arguments.undo).then_some("true"));
        let patch = json!({"metadata": {"annotations": {DRAIN: value}}});
        let nodes: Api<Node> = Api::all(client);
        nodes.patch(node, &PatchParams::default(), &Patch::Merge(patch)).await.map_err(|error| {
            Failure::Drain { node: node.clone(), why: explain_client(&error) }
        })?;
        let said = if arguments.undo {
            format!("node {node} may answer again; what has moved stays where it is")
        } else {
            format!(
                "other nodes take over what {node} answers for, as far as they can; it answers until they do. \
                 lbd drain --undo {node} ends that"
            )
        };
        writeln!(std::io::stdout(), "{said}")?;
        Ok(())
    })
}
