//! What the controller watches: only what it needs, each object reduced as it arrives.

use futures::stream::SelectAll;
use k8s_openapi::api::core::v1::{Namespace, Node, Service};
use kube::api::DynamicObject;
use kube::{Api, Client, ResourceExt};
use lbcore::ServiceKey;

use super::Settings;
use crate::ObjectRef;
use crate::configuration_state::{self, Component, Says};
use crate::controller::Change;
use crate::objects::config::ConfigChange;
use crate::objects::facts::NodeFacts;
use crate::objects::leftovers::SELECTORS;
use crate::objects::metallb::{ConfigurationState, bgp};
use crate::objects::namespace::NamespaceView;
use crate::objects::node;
use crate::objects::service::ServiceView;
use crate::watching::{Watch, config, configuration, follow, follow_slowly, leftovers, named, optional};

/// What a watch tells the controller.
#[derive(Debug)]
pub(super) enum Heard {
    /// Something about the world.
    Change(Change),
    /// What our own `ConfigurationState` says.
    State(Says),
}

/// Those that are waited for before anything is decided.
pub(super) const WATCHES: [&str; 9] = [
    "IPAddressPool",
    "L2Advertisement",
    "ConfigMap",
    "Namespace",
    "Node",
    "NodeFacts",
    "Service",
    SELECTORS[0].0,
    SELECTORS[1].0,
];

pub(super) fn watches(client: &Client, settings: &Settings) -> SelectAll<Watch<Heard>> {
    let class = settings.class.clone();
    let namespace = settings.namespace.as_str();
    let set = |change| Heard::Change(change);
    let own = [
        named(
            "Namespace",
            follow(Api::<Namespace>::all(client.clone()), config(), |it| {
                (it.name_any(), NamespaceView::read(it))
            }),
            move |(name, view)| set(Change::Namespace(name, Some(view))),
            move |_, name, _| set(Change::Namespace(name, None)),
        ),
        named(
            "Node",
            follow(Api::<Node>::all(client.clone()), config(), |it| (it.name_any(), node::addresses(it))),
            move |(name, addresses)| set(Change::Node(name, Some(addresses))),
            move |_, name, _| set(Change::Node(name, None)),
        ),
        named(
            "NodeFacts",
            follow(Api::<NodeFacts>::namespaced(client.clone(), namespace), config(), |facts| {
                (facts.name_any(), facts.spec.clone())
            }),
            move |(name, facts)| set(Change::Facts(name, Some(Box::new(facts)))),
            move |_, name, _| set(Change::Facts(name, None)),
        ),
        named(
            "Service",
            // One that takes another type is told to be gone.
            follow(
                Api::<Service>::all(client.clone()),
                config().fields("spec.type=LoadBalancer"),
                move |it| ServiceView::read(it, &class),
            ),
            move |view| set(Change::Service(Box::new(view))),
            move |namespace, name, uid| set(Change::ServiceGone(ServiceKey::new(namespace, name), uid)),
        ),
    ];
    let gone = move |namespace, name| set(Change::PodGone(namespace, name));
    let pods = leftovers(client, namespace, move |it, runs| set(Change::Leftover(it, runs)), gone);
    let configuration = configuration(client, namespace, move |it| set(Change::Config(it)));
    let all = configuration.into_iter().chain(own).chain(pods).chain(bgp(client, namespace));
    futures::stream::select_all(all.chain([state(client, namespace)]))
}

/// MetalLB's objects for BGP.
fn bgp(client: &Client, namespace: &str) -> impl Iterator<Item = Watch<Heard>> {
    bgp::KINDS.into_iter().map(move |kind| {
        let resource = bgp::resource(kind);
        let object = move |namespace: String, name: String| ObjectRef {
            api_version: format!("metallb.io/{}", kind.1).into(),
            kind: kind.0.into(),
            namespace: namespace.into(),
            name: name.into(),
            uid: "".into(),
        };
        let change =
            |object, present| Heard::Change(Change::Config(Box::new(ConfigChange::Bgp { object, present })));
        optional(
            follow_slowly(
                Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource),
                config(),
                |it| (it.namespace().unwrap_or_default(), it.name_any(), it.uid().unwrap_or_default()),
            ),
            move |(namespace, name, uid)| {
                change(ObjectRef { uid: uid.into(), ..object(namespace, name) }, true)
            },
            move |namespace, name| change(object(namespace, name), false),
        )
    })
}

fn state(client: &Client, namespace: &str) -> Watch<Heard> {
    let only_ours = config().fields(&format!("metadata.name={}", Component::Controller.object()));
    optional(
        follow_slowly(Api::<ConfigurationState>::namespaced(client.clone(), namespace), only_ours, |state| {
            configuration_state::read(&Component::Controller, state)
        }),
        Heard::State,
        |_, _| Heard::State(None),
    )
}
