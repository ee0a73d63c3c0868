//! `lbd run`: both roles on the embedded store, filled from manifest files, on this host's interfaces.

mod answering;
mod check;
pub(crate) mod control;
mod exchange;
mod files;
mod show;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use lbk8s::objects::annotations::GATEWAYS;
use lbk8s::speaker::Beside;
use lbk8s::store::Kinds;
use lbk8s::watching::explain_client;
use lbk8s::{Store, controller};
use lbnet::HostAddresses;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use self::answering::Answering;
use self::control::Control;
use self::exchange::Exchange;
use self::files::Files;
use self::show::{Show, note, warn};
use crate::cli::RunArguments;
use crate::exit::{Failure, Outcome};
use crate::http::Asked;
use crate::{host, http, logs, shutdown};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(crate) fn main(arguments: &RunArguments) -> Outcome {
    // What matters is shown as it happens; the log is for what goes wrong besides.
    logs::start("warn,kube_client=off");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, serve(arguments))
}

async fn serve(arguments: &RunArguments) -> Outcome {
    let access = arguments.listening.access()?;
    let state = arguments.state_dir.as_deref();
    let store = match state {
        Some(folder) => {
            let (store, problems) = Store::kept_in(folder, Kinds::default())?;
            for problem in problems {
                warn(&problem.to_string());
            }
            store
        }
        None => Store::default(),
    };
    let show = Show::default();
    let mut files = Files::new(arguments.manifests.clone(), state);
    let node = arguments.node_name.clone().unwrap_or_else(host::name);
    // The objects are there before anybody decides: their order breaks ties.
    files.look(&store, &show);
    let own = register(store.client(), &node).await;

    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn_local(show.clone().follow(store.client()));
    let inspector = controller::Inspector::default();
    let settings = controller::Settings {
        identity: node.clone(),
        inspector: inspector.clone(),
        lost_addresses: arguments.lost_addresses.into(),
        ..controller::Settings::default()
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let (says, said) = mpsc::unbounded_channel();
    let (listener, news) = mpsc::unbounded_channel();
    let beside = Beside { news: listener, says: said };
    let answering = Answering::start(arguments, &node, &own)?;
    let hears_others = answering.as_ref().is_some_and(Answering::hears_others);
    let exchange = Exchange::new(store.client(), settings, show.clone(), state, says.clone());
    tasks.spawn_local(exchange.run(news, hears_others));
    if !arguments.checks.is_empty() {
        tasks.spawn_local(check::run(arguments.checks.iter().cloned().collect(), says));
    }
    let is_answering = answering.is_some();
    if let Some(at) = arguments.http {
        let speaker = answering.as_ref().map(|answering| answering.inspector.clone());
        let metrics = arguments.metrics.clone();
        tasks.spawn_local(http::serve(at, Asked { speaker, controller: Some(inspector), metrics }));
    }
    if let Some(answering) = answering {
        tasks.spawn_local(answering.run(store.client(), beside, stopped));
    }
    if let Some(path) = &arguments.control {
        match Control::open(path).await {
            Ok(control) => drop(tasks.spawn_local(control.serve(store.client(), node))),
            Err(error) => warn(&format!("nobody can drain this host by {}: {error}", path.display())),
        }
    }
    if let Some(at) = arguments.listening.at() {
        match TcpListener::bind(at).await {
            Ok(listener) => {
                let store = store.clone();
                let scheme = arguments.listening.scheme();
                note(&format!("the store listens on {scheme}://{}", listener.local_addr()?));
                tasks.spawn_local(async move { store.serve_to(listener, &access).await });
            }
            Err(error) => {
                warn(&format!("the store does not listen on {at}: {error}. Choose another port"));
            }
        }
    }
    let mut looking = tokio::time::interval(LOOK_EVERY);
    let asked = shutdown::requested(false);
    tokio::pin!(asked);
    let mut stop = Some(stop);
    loop {
        tokio::select! {
            asked = &mut asked, if stop.is_some() => {
                asked?;
                stop = None;
                if !is_answering {
                    return Ok(());
                }
            }
            _ = looking.tick() => files.look(&store, &show),
            // Only the one that answers ends by itself, when others have taken over; a panic in one was printed and
            // ends the command.
            Some(ended) = tasks.join_next() => {
                ended.map_err(std::io::Error::other)?;
                return if stop.is_none() { Ok(()) } else { Err(Failure::AnsweringEnded) };
            }
        }
    }
}

/// This host as a node, so that it is a candidate for every address, and so that its own addresses and those of
/// its gateways are given to nobody. Returns its own addresses.
async fn register(client: Client, name: &str) -> BTreeSet<IpAddr> {
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
    let (nodes, params) = (Api::<Node>::all(client), PatchParams::default());
    let made = match nodes.create(&PostParams::default(), &node).await {
        // A manifest may have made it, or the last run: what it says of this host is from then.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let patch = json!({"metadata": {"annotations": node.metadata.annotations}});
            nodes.patch(name, &params, &Patch::Merge(patch)).await
        }
        made => made,
    };
    if let Err(error) = made {
        warn(&format!("this host cannot be a node: {}", explain_client(&error)));
    } else if let Err(error) = nodes.patch_status(name, &params, &Patch::Merge(status)).await {
        warn(&format!("this host's own addresses are not known: {}", explain_client(&error)));
    }
    host.own
}
