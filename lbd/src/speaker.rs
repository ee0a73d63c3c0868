//! `lbd speaker`.

use std::sync::Arc;

use lbk8s::speaker::{Rules, Settings, State, Wiring, inspector, run};
use lbnet::Layer2;
use lbnet::membership::carrier::Carrier;

use crate::cli::SpeakerArguments;
use crate::exit::{Failure, Outcome};
use crate::http::Asked;
use crate::{client, http, logs, shutdown};

pub(crate) fn main(arguments: SpeakerArguments) -> Outcome {
    logs::start("info,kube_client=off");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = client::connect(&arguments.server.cluster).await?;
        let state = arguments.state_dir.as_deref().map(State::open);
        let mut carrier = arguments.together.carrier(&arguments.node_name)?;
        carrier.records = state.as_ref().map(State::records).unwrap_or_default();
        let permit = Arc::clone(&carrier.permit);
        let on_lan = lbnet::Settings { permit, ..lbnet::Settings::from(&arguments.wire) };
        let interfaces = on_lan.interfaces.clone();
        let (layer2, wire) = Layer2::start(on_lan)?;
        let members = Carrier::start(carrier)?;
        if !arguments.peers.is_empty() {
            let at = |address| std::net::SocketAddr::new(address, members.0.port());
            members.0.set_contacts(arguments.peers.into_iter().map(at).collect());
        }
        let until_stdin_closes = arguments.server.until_stdin_closes;
        let rules = Rules {
            ignore_exclude: arguments.ignore_exclude_lb,
            follow_config_map: arguments.server.follow_config_map(),
            beside_metallb: arguments.server.beside_metallb,
            together: Some(arguments.together.failback()),
            move_on_cordon: arguments.together.move_on_cordon,
            ..Rules::default()
        };
        let settings = Settings {
            node: arguments.node_name,
            namespace: arguments.server.namespace(),
            class: arguments.server.lb_class,
            rules,
            interfaces,
            state,
        };
        let (inspector, questions) = inspector();
        let wiring =
            Wiring { layer2, wire, members: Some(members), questions: Some(questions), beside: None };
        let asked = Asked { speaker: Some(inspector), controller: None, metrics: arguments.metrics };
        let told = http::serve(arguments.http, asked);
        tracing::info!(version = env!("CARGO_PKG_VERSION"), node = settings.node, "speaker starts");
        let stop = shutdown::requested(until_stdin_closes);
        let stop = async {
            match stop.await {
                Ok(()) => tracing::info!("speaker stops: others take over what it answers for"),
                Err(error) => tracing::error!(%error, "it cannot be heard that this process is to stop"),
            }
        };
        tokio::select! {
            stopped = run(client, settings, wiring, stop) => if !stopped {
                return Err(Failure::AnsweringEnded);
            },
            () = told => {}
        }
        tracing::info!("speaker has stopped");
        Ok(())
    })
}
