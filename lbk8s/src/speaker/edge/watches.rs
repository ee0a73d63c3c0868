//! What the speaker watches: only what it needs, each object reduced as it arrives.

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures::stream::SelectAll;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Client, ResourceExt};
use lbcore::ServiceKey;
use lbnet::Pattern;

use super::Settings;
use super::statuses;
use crate::Problem;
use crate::configuration_state::{self, Component, Says};
use crate::objects::announced::AnnouncedService;
use crate::objects::endpoints::SliceView;
use crate::objects::exclude;
use crate::objects::facts::NodeFacts;
use crate::objects::leftovers::SELECTORS;
use crate::objects::metallb::{ConfigurationState, L2Status, ServiceL2Status};
use crate::objects::node;
use crate::objects::service::ServiceView;
use crate::speaker::Change;
use crate::watching::{Watch, config, configuration, follow, follow_slowly, leftovers, named, optional};

/// What a watch tells the speaker.
#[derive(Debug)]
pub(super) enum Heard {
    /// Something about the world.
    Change(Box<Change>),
    /// A node is there in this form, its speaker may be at these addresses, and this is the word by which somebody asked
    /// for an even spread last.
    Node(Box<(lbcore::Node, BTreeSet<IpAddr>, Option<String>)>),
    /// A node is gone.
    NodeGone(String),
    /// What a node's speaker tells of it; with `None` it tells no more.
    Facts(String, Option<Box<NodeFacts>>),
    /// What one of our own `ServiceL2Status` says; with `None` it is gone.
    Status(String, Option<L2Status>),
    /// What our own `ConfigurationState` says.
    State(Says),
    /// The interfaces that announce nothing, and the object that says so; with `None`, those that do not by default.
    Exclude(Option<Box<Excluding>>),
}

/// What `metallb-excludel2` says, and the object itself.
pub(super) type Excluding = (Result<Vec<Pattern>, Problem>, ConfigMap);

/// Those that are waited for before anything is announced.
pub(super) const WATCHES: [&str; 11] = [
    "IPAddressPool",
    "L2Advertisement",
    "ConfigMap",
    "Node",
    "NodeFacts",
    "Service",
    "EndpointSlice",
    "ServiceL2Status",
    SELECTORS[0].0,
    SELECTORS[1].0,
    exclude::NAME,
];

pub(super) fn watches(client: &Client, settings: &Settings) -> SelectAll<Watch<Heard>> {
    let class = settings.class.clone();
    let namespace = settings.namespace.as_str();
    let key = |namespace: String, name: String| ServiceKey::new(namespace, name);
    let set = |change| Heard::Change(Box::new(change));
    let own = [
        named(
            "Node",
            follow(Api::<Node>::all(client.clone()), config(), |it| {
                Box::new((node::read(it), node::internal_addresses(it), node::rebalance(it)))
            }),
            Heard::Node,
            |_, name, _| Heard::NodeGone(name),
        ),
        named(
            "NodeFacts",
            follow(Api::<NodeFacts>::namespaced(client.clone(), namespace), config(), NodeFacts::clone),
            |facts| Heard::Facts(facts.name_any(), Some(Box::new(facts))),
            |_, name, _| Heard::Facts(name, None),
        ),
        named(
            "Service",
            // One that takes another type is told to be gone.
            follow(
                Api::<Service>::all(client.clone()),
                config().fields("spec.type=LoadBalancer"),
                move |it| AnnouncedService::from(ServiceView::read(it, &class)),
            ),
            move |view| set(Change::Service(Box::new(view))),
            move |namespace, name, _| set(Change::ServiceGone(key(namespace, name))),
        ),
        named(
            "EndpointSlice",
            follow(Api::<EndpointSlice>::all(client.clone()), config(), SliceView::read),
            move |slice| set(Change::Slice(slice)),
            move |namespace, name, _| set(Change::SliceGone(key(namespace, name))),
        ),
        named(
            "ServiceL2Status",
            follow(
                Api::<ServiceL2Status>::namespaced(client.clone(), namespace),
                config().labels(&statuses::of_node(&settings.node)),
                |it| (it.name_any(), it.status.clone().unwrap_or_default()),
            ),
            |(name, status)| Heard::Status(name, Some(status)),
            |_, name, _| Heard::Status(name, None),
        ),
    ];
    let gone = move |namespace, name| set(Change::PodGone(namespace, name));
    let pods = leftovers(client, namespace, move |it, runs| set(Change::Leftover(it, runs)), gone);
    let configuration = configuration(client, namespace, move |it| set(Change::Config(it)));
    let all = configuration.into_iter().chain(own).chain(pods);
    futures::stream::select_all(all.chain([state(client, settings), excluded(client, namespace)]))
}

fn state(client: &Client, settings: &Settings) -> Watch<Heard> {
    let component = Component::Speaker(settings.node.clone());
    let only_ours = config().fields(&format!("metadata.name={}", component.object()));
    optional(
        follow_slowly(
            Api::<ConfigurationState>::namespaced(client.clone(), &settings.namespace),
            only_ours,
            move |state| configuration_state::read(&component, state),
        ),
        Heard::State,
        |_, _| Heard::State(None),
    )
}

fn excluded(client: &Client, namespace: &str) -> Watch<Heard> {
    let only_it = config().fields(&format!("metadata.name={}", exclude::NAME));
    named(
        exclude::NAME,
        follow(Api::<ConfigMap>::namespaced(client.clone(), namespace), only_it, |map| {
            let mut kept = map.clone();
            kept.metadata.managed_fields = None;
            Box::new((exclude::read(map), kept))
        }),
        |read| Heard::Exclude(Some(read)),
        |_, _, _| Heard::Exclude(None),
    )
}
