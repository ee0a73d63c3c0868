//! `lbd speaker`.

use lbk8s::speaker::{Settings, WithoutSlices, run};
use lbnet::Layer2;

use crate::cli::SpeakerArguments;
use crate::exit::{Failure, Outcome};
use crate::{client, logs, shutdown};

pub(crate) fn main(arguments: SpeakerArguments) -> Outcome {
    logs::start("info,kube_client=off");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = client::connect(&arguments.server).await?;
        let (layer2, wire) = Layer2::start((&arguments.wire).into())?;
        let until_stdin_closes = arguments.server.until_stdin_closes;
        let settings = Settings {
            node: arguments.node_name,
            namespace: arguments.server.namespace,
            class: arguments.server.lb_class,
            without_slices: WithoutSlices::NotServed,
        };
        tracing::info!(version = env!("CARGO_PKG_VERSION"), node = settings.node, "speaker starts");
        tokio::select! {
            () = run(client, settings, layer2, wire) => return Err(Failure::AnsweringEnded),
            stop = shutdown::requested(until_stdin_closes) => stop?,
        }
        tracing::info!("speaker stops");
        Ok(())
    })
}
