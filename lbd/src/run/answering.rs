//! The part of `lbd run` that answers, alone or together with other hosts.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use kube::Client;
use lbk8s::speaker::{
    Beside, Inspector, Members, Questions, Rules, Settings, State, Wiring, WithoutSlices, inspector, run,
};
use lbnet::membership::carrier::{Carrier, CarrierSettings};
use lbnet::{Layer2, StartError};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use super::show::warn;
use crate::cli::RunArguments;
use crate::exit::Failure;

/// All that answering takes.
pub(super) struct Answering {
    settings: Settings,
    layer2: Layer2,
    wire: UnboundedReceiver<lbnet::Event>,
    members: Option<Members>,
    pub(super) inspector: Inspector,
    questions: Questions,
}

impl Answering {
    /// Begins to listen; nothing where this process has no right to it.
    pub(super) fn start(
        arguments: &RunArguments,
        node: &str,
        own: &BTreeSet<IpAddr>,
    ) -> Result<Option<Self>, Failure> {
        let state = arguments.state_dir.as_deref().map(State::open);
        let carrier = match &arguments.peers[..] {
            [] => None,
            _ => Some(arguments.together.carrier(node)?),
        };
        let carrier = carrier.map(|carrier| {
            let records = state.as_ref().map(State::records).unwrap_or_default();
            CarrierSettings { records, ..carrier }
        });
        let mut on_lan = lbnet::Settings::from(&arguments.wire);
        if let Some(carrier) = &carrier {
            on_lan.permit = Arc::clone(&carrier.permit);
        }
        let interfaces = on_lan.interfaces.clone();
        let (layer2, wire) = match carrier {
            // A host that others count on does not start by halves.
            Some(_) => Layer2::start(on_lan)?,
            None => match listen(on_lan) {
                Some(answering) => answering,
                None => return Ok(None),
            },
        };
        let members = carrier.map(Carrier::start).transpose()?;
        if let Some((carrier, _)) = &members {
            let at = |address| SocketAddr::new(address, carrier.port());
            // One list does for all hosts.
            let others = arguments.peers.iter().copied().filter(|peer| !own.contains(peer));
            carrier.set_contacts(others.map(at).collect::<BTreeSet<_>>());
        }
        let rules = Rules {
            without_slices: WithoutSlices::Served,
            together: members.as_ref().map(|_| arguments.together.failback()),
            members_are_nodes: members.is_some(),
            ..Rules::default()
        };
        let settings = Settings {
            node: node.to_owned(),
            namespace: lbk8s::CONFIG_NAMESPACE.to_owned(),
            class: None,
            rules,
            interfaces,
            state,
        };
        let (inspector, questions) = inspector();
        Ok(Some(Self { settings, layer2, wire, members, inspector, questions }))
    }

    /// Whether there are other hosts to be heard.
    pub(super) fn hears_others(&self) -> bool {
        self.members.is_some()
    }

    /// Answers until it is told to stop, and others have taken over.
    pub(super) async fn run(self, client: Client, beside: Beside, stopped: oneshot::Receiver<()>) {
        let wiring = Wiring {
            layer2: self.layer2,
            wire: self.wire,
            members: self.members,
            questions: Some(self.questions),
            beside: Some(beside),
        };
        // Whoever would tell it to stop may have gone: then it is to stop too.
        let stop = async { drop(stopped.await) };
        run(client, self.settings, wiring, stop).await;
    }
}

/// Answers on the chosen interfaces; on those of them that are there, if some are not.
fn listen(mut settings: lbnet::Settings) -> Option<(Layer2, UnboundedReceiver<lbnet::Event>)> {
    loop {
        match Layer2::start(settings.clone()) {
            Ok(started) => return Some(started),
            Err(error) => {
                let chosen = &mut settings.interfaces.only;
                if let StartError::NoInterface { name, .. } = &error
                    && chosen.len() > 1
                {
                    warn(&error.to_string());
                    chosen.retain(|pattern| pattern.name() != Some(name));
                } else {
                    warn(&format!("nobody answers ARP or NDP: {error}. Addresses are given all the same"));
                    return None;
                }
            }
        }
    }
}
