//! `lbd run`: both roles on the embedded store, filled from manifest files, on this host's interfaces.

mod files;
mod show;

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use lbk8s::objects::annotations::GATEWAYS;
use lbk8s::speaker::{Rules, WithoutSlices};
use lbk8s::watching::explain_client;
use lbk8s::{Store, controller, speaker};
use lbnet::{HostAddresses, Layer2, StartError};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::LocalSet;

use self::files::Files;
use self::show::{Show, note, warn};
use crate::cli::{RunArguments, WireArguments};
use crate::exit::Outcome;
use crate::{host, logs, shutdown};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(crate) fn main(arguments: &RunArguments) -> Outcome {
    // What matters is shown as it happens; the log is for what goes wrong besides.
    logs::start("warn,kube_client=off");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, serve(arguments))
}

async fn serve(arguments: &RunArguments) -> Outcome {
    let store = Store::default();
    let show = Show::default();
    let mut files = Files::new(arguments.manifests.clone());
    let node = arguments.node_name.clone().unwrap_or_else(host::name);
    // The objects are there before anybody decides: their order breaks ties.
    files.look(&store, &show);
    register(store.client(), &node).await;

    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn_local(show.clone().follow(store.client()));
    let notices = show.clone();
    let settings = controller::Settings {
        identity: node.clone(),
        lost_addresses: arguments.lost_addresses.into(),
        ..controller::Settings::default()
    };
    let client = store.client();
    tasks.spawn_local(async move {
        controller::run(client, settings, move |notice| notices.notice(notice)).await;
    });
    if let Some(answering) = answer(&arguments.wire) {
        let settings = speaker::Settings {
            node,
            namespace: lbk8s::CONFIG_NAMESPACE.to_owned(),
            class: None,
            rules: Rules { without_slices: WithoutSlices::Served, ..Rules::default() },
            interfaces: lbnet::Settings::from(&arguments.wire).interfaces,
            state: None,
        };
        let client = store.client();
        tasks.spawn_local(async move {
            speaker::run(client, settings, speaker::Wiring::alone(answering), std::future::pending()).await;
        });
    }
    if let Some(at) = arguments.listen {
        match TcpListener::bind(at).await {
            Ok(listener) => {
                let store = store.clone();
                note(&format!("the store listens on http://{}", listener.local_addr()?));
                tasks.spawn_local(async move { store.serve(listener).await });
            }
            Err(error) => {
                warn(&format!("the store does not listen on {at}: {error}. Choose another port"));
            }
        }
    }
    let mut looking = tokio::time::interval(LOOK_EVERY);
    let stop = shutdown::requested(false);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            stopped = &mut stop => return Ok(stopped?),
            _ = looking.tick() => files.look(&store, &show),
            // The roles never end by themselves; a panic in one was printed and ends the command.
            Some(ended) = tasks.join_next() => ended.map_err(std::io::Error::other)?,
        }
    }
}

/// Answers on the chosen interfaces; on those of them that are there, if some are not.
fn answer(arguments: &WireArguments) -> Option<(Layer2, UnboundedReceiver<lbnet::Event>)> {
    let mut settings = lbnet::Settings::from(arguments);
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

/// This host as a node, so that it is a candidate for every address, and so that its own addresses and those of
/// its gateways are given to nobody.
async fn register(client: Client, name: &str) {
    let host = HostAddresses::read().await.unwrap_or_else(|error| {
        warn(&format!("this host's own addresses are not known: {error}. A Service may get one of them"));
        HostAddresses::default()
    });
    let gateways = host.gateways.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some([("kubernetes.io/hostname".to_owned(), name.to_owned())].into()),
        annotations: (!gateways.is_empty()).then(|| [(GATEWAYS.to_owned(), gateways)].into()),
        ..ObjectMeta::default()
    };
    let own = host.own.iter().map(|address| json!({"type": "InternalIP", "address": address}));
    let status = json!({"status": {"addresses": own.collect::<Vec<_>>()}});
    let node = Node { metadata, ..Node::default() };
    let nodes = Api::<Node>::all(client.clone());
    match Api::<Node>::all(client).create(&PostParams::default(), &node).await {
        // A manifest may have made it.
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => warn(&format!("this host cannot be a node: {}", explain_client(&error))),
        Ok(_) => {
            let patched = nodes.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await;
            if let Err(error) = patched {
                warn(&format!("this host's own addresses are not known: {}", explain_client(&error)));
            }
        }
    }
}
