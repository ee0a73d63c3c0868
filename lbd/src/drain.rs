//! `lbd drain` and `lbd undrain`: send the addresses of a node elsewhere, by an annotation on its object, and end that.

use std::io::Write;
use std::path::Path;

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams};
use lbk8s::objects::annotations::DRAIN;
use lbk8s::watching::explain_client;
use serde_json::{Value, json};

use crate::cli::{DrainArguments, Format};
use crate::client;
use crate::exit::{Failure, Outcome};
use crate::run::control;

pub(crate) fn main(arguments: &DrainArguments, drained: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if let Some(socket) = &arguments.server.socket {
            return drain_host(socket, drained, arguments.output).await;
        }
        let client = client::connect(&arguments.server.cluster).await?;
        let node = arguments.node.clone().unwrap_or_default();
        let value = drained.then_some("true");
        let patch = json!({"metadata": {"annotations": {DRAIN: value}}});
        let nodes: Api<Node> = Api::all(client);
        nodes.patch(&node, &PatchParams::default(), &Patch::Merge(patch)).await.map_err(|error| {
            Failure::Drain { node: node.clone(), why: explain_client(&error) }
        })?;
        let said = if drained {
            format!(
                "other nodes take over what {node} answers for, as far as they can; it answers until they do. \
                 lbd undrain {node} ends that"
            )
        } else {
            format!("node {node} may answer again; what has moved stays where it is")
        };
        say(arguments.output, &json!({"node": node, "drained": drained}), &said)
    })
}

/// The same for a host without a cluster.
async fn drain_host(socket: &Path, drained: bool, output: Format) -> Outcome {
    let what = if drained { control::DRAIN_HOST } else { control::UNDO };
    let fail = |why| Failure::Drain { node: "behind the socket".to_owned(), why };
    control::ask(socket, what).await.map_err(fail)?;
    let said = if drained {
        "other hosts take over what this one answers for, as far as they can; it answers until they do"
    } else {
        "this host may answer again; what has moved stays where it is"
    };
    say(output, &json!({"drained": drained}), said)
}

/// What was done, in words or as JSON.
pub(crate) fn say(output: Format, json: &Value, words: &str) -> Outcome {
    match output {
        Format::Text => writeln!(std::io::stdout(), "{words}")?,
        Format::Json => writeln!(std::io::stdout(), "{json}")?,
    }
    Ok(())
}
