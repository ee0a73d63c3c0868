//! `lbd speaker`.

use lbk8s::speaker::{Rules, Settings, run};
use lbnet::Layer2;

use crate::cli::SpeakerArguments;
use crate::exit::{Failure, Outcome};
use crate::{client, logs, shutdown};

pub(crate) fn main(arguments: SpeakerArguments) -> Outcome {
    logs::start("info,kube_client=off");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = client::connect(&arguments.server).await?;
        let on_lan = lbnet::Settings::from(&arguments.wire);
        let interfaces = on_lan.interfaces.clone();
        let (layer2, wire) = Layer2::start(on_lan)?;
        let until_stdin_closes = arguments.server.until_stdin_closes;
        let rules = Rules {
            ignore_exclude: arguments.ignore_exclude_lb,
            follow_config_map: arguments.server.follow_config_map(),
            beside_metallb: arguments.server.beside_metallb,
            ..Rules::default()
        };
        let settings = Settings {
            node: arguments.node_name,
            namespace: arguments.server.namespace(),
            class: arguments.server.lb_class,
            rules,
            interfaces,
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
