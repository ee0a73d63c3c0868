//! `lbd controller`.

use lbk8s::controller::{Settings, log, run};

use crate::cli::ControllerArguments;
use crate::exit::Outcome;
use crate::{client, logs, shutdown};

pub(crate) fn main(arguments: ControllerArguments) -> Outcome {
    logs::start("info,kube_client=off");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = client::connect(&arguments.server).await?;
        let until_stdin_closes = arguments.server.until_stdin_closes;
        let settings = Settings {
            namespace: arguments.server.namespace,
            class: arguments.server.lb_class,
            lost_addresses: arguments.lost_addresses.into(),
            ..Settings::default()
        };
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            namespace = settings.namespace,
            "controller starts"
        );
        tokio::select! {
            () = run(client, settings, log) => {}
            stop = shutdown::requested(until_stdin_closes) => stop?,
        }
        tracing::info!("controller stops");
        Ok(())
    })
}
