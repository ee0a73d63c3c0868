//! The edge of the speaker: watches, and carries the effects to the LAN.

use futures::stream::{FuturesUnordered, SelectAll};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Client};
use lbcore::{Interfaces, ServiceKey};
use lbnet::{Event as WireEvent, Layer2, Rule};
use tokio::sync::mpsc;

use super::on_wire::OnWire;
use super::{Change, Effect, Speaker, WithoutSlices};
use crate::events::{Event, Recorder, Severity};
use crate::objects::endpoints::SliceView;
use crate::objects::node;
use crate::objects::service::{Class, ServiceView};
use crate::watching::{Progress, Told, Watch, config, configuration, follow, named};

/// How to run the speaker.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node it runs on, as its Node object is called.
    pub node: String,
    /// The namespace of the configuration objects.
    pub namespace: String,
    /// The class of Services that are ours.
    pub class: Class,
    /// Whether Services without endpoint slices are served.
    pub without_slices: WithoutSlices,
}

const WATCHES: [&str; 6] =
    ["IPAddressPool", "L2Advertisement", "ConfigMap", "Node", "Service", "EndpointSlice"];

/// Runs the speaker until the future is dropped. `layer2` and what it tells belong to it; when it ends,
/// nothing is announced any more. It ends by itself only if the thread that answers has ended.
pub async fn run(
    client: Client,
    settings: Settings,
    layer2: Layer2,
    mut wire: mpsc::UnboundedReceiver<WireEvent>,
) {
    let mut watches = watches(&client, &settings);
    let mut progress = Progress::new(WATCHES);
    let mut speaker = Speaker::new(&settings.node, settings.without_slices);
    let recorder = Recorder::new(client, "metallb-speaker", &settings.node);
    let mut on_wire = OnWire::new(&settings.node);
    let mut events = FuturesUnordered::new();
    loop {
        let effects = tokio::select! {
            Some(told) = watches.next() => match told {
                Told::Change(change) => speaker.apply(change),
                Told::Synced(watch) if progress.synced(watch) => begin(&mut speaker),
                Told::Absent(watch) if progress.absent(watch) => begin(&mut speaker),
                Told::Synced(_) | Told::Absent(_) => Vec::new(),
                Told::Failed(watch, error) => {
                    progress.failed(watch, error);
                    Vec::new()
                }
            },
            event = wire.recv() => {
                // Without the thread that answers there is nothing left to do.
                let Some(event) = event else { return };
                let told = on_wire.tell(event, &speaker);
                events.extend(told.into_iter().map(|event| send(recorder.clone(), event)));
                Vec::new()
            }
            told = on_wire.confirmed(&speaker) => {
                events.extend(told.into_iter().map(|event| send(recorder.clone(), event)));
                Vec::new()
            }
            Some(()) = events.next() => Vec::new(),
        };
        for effect in effects {
            if let Effect::Withdraw { address, .. } = &effect {
                on_wire.withdrawn(*address);
            }
            let told = carry_out(effect, &layer2, &settings.node);
            events.extend(told.map(|event| send(recorder.clone(), event)));
        }
    }
}

fn begin(speaker: &mut Speaker) -> Vec<Effect> {
    let effects = speaker.apply(Change::Synced);
    if speaker.is_node() {
        tracing::info!("everything is known; announcing");
    } else {
        let nodes: Vec<&str> = speaker.nodes().collect();
        let nodes = nodes.join(", ");
        tracing::warn!(
            nodes,
            "there is no Node of this name; this speaker owns no address until there is one"
        );
    }
    effects
}

fn watches(client: &Client, settings: &Settings) -> SelectAll<Watch<Change>> {
    let class = settings.class.clone();
    let key = |namespace: String, name: String| ServiceKey::new(namespace, name);
    let own = [
        named(
            "Node",
            follow(Api::<Node>::all(client.clone()), config(), node::read),
            Change::Node,
            |_, name, _| Change::NodeGone(name),
        ),
        named(
            "Service",
            follow(Api::<Service>::all(client.clone()), config(), move |it| ServiceView::read(it, &class)),
            |view| Change::Service(Box::new(view)),
            move |namespace, name, _| Change::ServiceGone(key(namespace, name)),
        ),
        named(
            "EndpointSlice",
            follow(Api::<EndpointSlice>::all(client.clone()), config(), SliceView::read),
            Change::Slice,
            move |namespace, name, _| Change::SliceGone(key(namespace, name)),
        ),
    ];
    let configuration = configuration(client, &settings.namespace, Change::Config);
    futures::stream::select_all(configuration.into_iter().chain(own))
}

/// Carries out an effect; the event that goes with it.
fn carry_out(effect: Effect, layer2: &Layer2, node: &str) -> Option<Event> {
    match effect {
        Effect::Announce { address, interfaces, is_new } => {
            tracing::info!(%address, is_new, "announcing");
            let rule = rule(interfaces);
            if is_new {
                layer2.announce_new(address, rule);
            } else {
                layer2.announce(address, rule);
            }
            None
        }
        Effect::Withdraw { address, why } => {
            tracing::info!(%address, why, "withdrawn");
            layer2.withdraw(address);
            None
        }
        Effect::Nobody { service, address, why } => {
            tracing::warn!(%address, service = %service, why, "nobody announces it");
            Some(Event {
                about: service,
                severity: Severity::Warning,
                reason: "announceFailed",
                note: format!("nobody announces {address}: {why}"),
            })
        }
        Effect::Owner { service, address, apart } => Some(Event {
            about: service,
            severity: Severity::Normal,
            reason: "nodeAssigned",
            note: format!(
                "announcing {address} from node {node:?} with protocol \"layer2\"{}",
                told_apart(apart)
            ),
        }),
    }
}

fn told_apart(apart: bool) -> &'static str {
    if apart {
        "; no node can announce both families of the Service, so they are announced separately"
    } else {
        ""
    }
}

fn rule(interfaces: Interfaces) -> Rule {
    match interfaces {
        Interfaces::All => Rule::any(),
        Interfaces::Named(names) => Rule::named(names),
    }
}

fn send(recorder: Recorder, event: Event) -> impl Future<Output = ()> {
    async move { recorder.send(event).await }.boxed()
}
