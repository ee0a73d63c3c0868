//! What this node tells of itself, in its `NodeFacts`.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::ObjectMeta;
use kube::{Api, Client};
use lbnet::{HostAddresses, Interface};
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use crate::objects::facts::{InterfaceFacts, NodeFacts, NodeFactsFields, Taken};
use crate::upkeep::Upkeep;
use crate::watching::explain_client;

/// How often addresses and routes are read again; interfaces are followed as they change.
const EVERY: Duration = Duration::from_secs(30);
/// Changes that come together are told together.
const TOGETHER: Duration = Duration::from_millis(20);

/// The facts of this node as they are, and as they are told.
pub(super) struct Facts {
    told: Upkeep<(), Told>,
    /// The interfaces that can answer; `None` before the first word of them.
    interfaces: Option<Vec<Interface>>,
    host: Host,
    taken: BTreeSet<Taken>,
    /// Interfaces on whose LANs nobody hears this node.
    unheard: BTreeSet<String>,
    nodes: BTreeSet<IpAddr>,
    due: Instant,
    /// Addresses and routes on their way from the kernel.
    reading: FuturesUnordered<BoxFuture<'static, io::Result<Host>>>,
}

/// What the object says; `None` if there is none.
type Told = Option<NodeFactsFields>;

/// Addresses of the host that change without its interfaces.
#[derive(Debug, Clone, Default, PartialEq)]
struct Host {
    own: BTreeSet<IpAddr>,
    gateways: BTreeSet<IpAddr>,
}

impl Host {
    /// Asks the kernel, for the addresses of these interfaces and for all routes.
    async fn read(answering: BTreeSet<u32>) -> io::Result<Self> {
        let gateways = HostAddresses::read().await?.gateways;
        let table = lbnet::host::interfaces().await?;
        let interfaces = table.interfaces().values().filter(|it| answering.contains(&it.index));
        // An address with the length of a host may be a virtual one of somebody else's making.
        let nets = interfaces.flat_map(|it| it.addresses.iter().copied());
        let own = nets.filter(|net| net.prefix_len() < net.max_prefix_len()).map(|net| net.addr());
        Ok(Self { own: own.collect(), gateways })
    }
}

impl Facts {
    pub(super) fn new(client: &Client, namespace: &str, node: &str) -> Self {
        let api: Api<NodeFacts> = Api::namespaced(client.clone(), namespace);
        let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(client.clone());
        let name = node.to_owned();
        let told = Upkeep::new("NodeFacts", move |(), facts: Told| {
            let (api, nodes, name) = (api.clone(), nodes.clone(), name.clone());
            async move {
                put(&api, &nodes, &name, facts.unwrap_or_default())
                    .await
                    .map_err(|error| explain_client(&error))
            }
        });
        Self {
            told,
            interfaces: None,
            host: Host::default(),
            taken: BTreeSet::new(),
            unheard: BTreeSet::new(),
            nodes: BTreeSet::new(),
            due: Instant::now(),
            reading: FuturesUnordered::new(),
        }
    }

    /// The object of this node says this, or is gone.
    pub(super) fn seen(&mut self, facts: Option<NodeFactsFields>) {
        self.told.seen((), facts);
    }

    /// On the LAN of an interface this node is heard, or is not.
    pub(super) fn set_heard(&mut self, interface: String, heard: bool) {
        let changed = if heard { self.unheard.remove(&interface) } else { self.unheard.insert(interface) };
        if changed {
            self.tell();
        }
    }

    /// Whether the other nodes can know what this one is.
    pub(super) fn are_told(&self) -> bool {
        self.told.is_shown(&())
    }

    /// These interfaces can answer.
    pub(super) fn set_interfaces(&mut self, interfaces: Vec<Interface>) {
        // At the start the rest is read first, and then told together with them.
        let is_first = self.interfaces.replace(interfaces).is_none();
        self.due = self.due.min(Instant::now() + TOGETHER);
        if !is_first {
            self.tell();
        }
    }

    /// These addresses are other nodes': with some networks each node is the next hop to its own pods, and no gateway.
    pub(super) fn set_nodes(&mut self, nodes: BTreeSet<IpAddr>) {
        if self.nodes != nodes {
            self.nodes = nodes;
            self.tell();
        }
    }

    /// What this node is like now, if that is known.
    pub(super) fn current(&self) -> Option<&NodeFactsFields> {
        self.told.wanted(&())?.as_ref()
    }

    /// These addresses turned out to be another station's.
    pub(super) fn set_taken(&mut self, taken: BTreeSet<Taken>) {
        if self.taken != taken {
            self.taken = taken;
            self.tell();
        }
    }

    /// Writes what has changed, and reads what changes by itself, until something was read or written.
    pub(super) async fn work(&mut self) {
        loop {
            let due = self.due;
            tokio::select! {
                () = sleep_until(due) => {
                    self.due = Instant::now() + EVERY;
                    let answering = self.interfaces.iter().flatten().map(|it| it.index).collect();
                    self.reading.push(Host::read(answering).boxed());
                }
                Some(host) = self.reading.next() => {
                    match host {
                        Ok(host) => self.host = host,
                        Err(error) => {
                            tracing::warn!(%error, "addresses and routes of this node cannot be read; trying again");
                        }
                    }
                    return self.tell();
                }
                () = self.told.step() => return,
            }
        }
    }

    fn tell(&mut self) {
        let Some(interfaces) = &self.interfaces else { return };
        let facts = |it: &Interface| {
            let mac = it.mac.map(|mac| mac.to_string()).unwrap_or_default();
            let subnets = it.addresses.iter().map(ToString::to_string).collect();
            let unheard = self.unheard.contains(&it.name);
            InterfaceFacts { name: it.name.clone(), mac, subnets, unheard }
        };
        let link_local = |address: &&IpAddr| match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        let text = |addresses: &BTreeSet<IpAddr>| -> Vec<String> {
            addresses.iter().filter(|it| !link_local(it)).map(ToString::to_string).collect()
        };
        let mut interfaces: Vec<InterfaceFacts> = interfaces.iter().map(facts).collect();
        interfaces.sort_by(|a, b| a.name.cmp(&b.name));
        self.told.want(
            (),
            Some(NodeFactsFields {
                interfaces,
                gateways: text(&self.host.gateways.difference(&self.nodes).copied().collect()),
                addresses: text(&self.host.own),
                taken: self.taken.iter().cloned().collect(),
            }),
        );
    }
}

async fn put(
    api: &Api<NodeFacts>,
    nodes: &Api<k8s_openapi::api::core::v1::Node>,
    name: &str,
    facts: NodeFactsFields,
) -> Result<Told, kube::Error> {
    let mut patch = json!({"gateways": null, "addresses": null, "taken": null});
    if let (Some(patch), Ok(serde_json::Value::Object(facts))) =
        (patch.as_object_mut(), serde_json::to_value(&facts))
    {
        patch.extend(facts);
    }
    match api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(facts) => return Ok(Some(facts.spec)),
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => return Err(error),
    }
    // With its Node the object goes too.
    let owner = nodes.get_metadata(name).await.ok().and_then(|node| node.metadata.uid);
    let owner = owner.map(|uid| OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: name.to_owned(),
        uid,
        ..OwnerReference::default()
    });
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        owner_references: owner.map(|owner| vec![owner]),
        ..ObjectMeta::default()
    };
    let facts = NodeFacts { metadata, spec: facts };
    Ok(Some(api.create(&PostParams::default(), &facts).await?.spec))
}
