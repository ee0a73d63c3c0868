//! What the objects of the API server tell of Services and their owners: for all who may read them, also while no process
//! of lbd can be asked.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Service;
use kube::api::ListParams;
use kube::{Api, Client, Resource, ResourceExt};
use lbcore::{Grant, ServiceKey};
use lbk8s::controller::CONDITION;
use lbk8s::controller::view::{HeldView, PoolView, Standing, State, UseView};
use lbk8s::objects::facts::NodeFacts;
use lbk8s::objects::metallb::{IPAddressPool, SECOND_FAMILY, ServiceL2Status};
use lbk8s::objects::service::{ServiceView, Wish};
use lbk8s::watching::explain_client;
use serde::de::DeserializeOwned;

/// What the API server has.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// The Services that show an address or wait for one, as far as they say so themselves.
    pub(super) services: Vec<Standing>,
    /// Of each Service the node that answers, with the interfaces; and (`true`) that for its IPv6 address, where it has one
    /// of its own.
    pub(super) owners: BTreeMap<(ServiceKey, bool), (String, Vec<String>)>,
    /// Of each node the hardware addresses of its interfaces.
    pub(super) macs: BTreeMap<String, BTreeMap<String, String>>,
    pub(super) pools: Vec<PoolView>,
    /// What could not be read, and why.
    pub(super) unread: Vec<(&'static str, String)>,
}

impl Objects {
    /// Reads all of them.
    pub(super) async fn read(client: &Client, namespace: &str) -> Self {
        let services: Api<Service> = Api::all(client.clone());
        let balanced = ListParams::default().fields("spec.type=LoadBalancer");
        let (services, statuses, facts, pools) = tokio::join!(
            services.list(&balanced),
            all::<ServiceL2Status>(client, namespace),
            all::<NodeFacts>(client, namespace),
            all::<IPAddressPool>(client, namespace),
        );
        let mut read = Self::default();
        read.services =
            read.take("Services", services.map(|list| list.items)).iter().filter_map(standing).collect();
        for object in read.take("ServiceL2Statuses", statuses) {
            let second = object.name_any().ends_with(SECOND_FAMILY);
            let Some(status) = object.status else { continue };
            let Ok(key) = format!("{}/{}", status.service_namespace, status.service_name).parse() else {
                continue;
            };
            let interfaces = status.interfaces.into_iter().map(|interface| interface.name).collect();
            read.owners.insert((key, second), (status.node, interfaces));
        }
        for facts in read.take("NodeFacts", facts) {
            let macs = facts.spec.interfaces.iter().map(|it| (it.name.clone(), it.mac.clone())).collect();
            read.macs.insert(facts.name_any(), macs);
        }
        read.pools = read.take("IPAddressPools", pools).iter().map(pool).collect();
        read
    }

    fn take<K>(&mut self, what: &'static str, read: Result<Vec<K>, kube::Error>) -> Vec<K> {
        read.unwrap_or_else(|error| {
            self.unread.push((what, explain_client(&error)));
            Vec::new()
        })
    }
}

async fn all<K>(client: &Client, namespace: &str) -> Result<Vec<K>, kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    Ok(api.list(&ListParams::default()).await?.items)
}

/// What a Service shows of what became of its wish; nothing if it is another's. It does not tell which class we serve:
/// those of any class count that show an address of ours.
fn standing(service: &Service) -> Option<Standing> {
    let view = ServiceView::read(service, &None);
    let pool = view.pool_on_record();
    if view.wish == Wish::Nothing || view.wish == Wish::NotOurs && pool.is_none() {
        return None;
    }
    let condition = view.condition(CONDITION).filter(|condition| condition.status != "True");
    let held: Vec<HeldView> = view
        .addresses()
        .into_iter()
        .map(|address| HeldView::given(address, pool.unwrap_or_default(), Grant::Adopted))
        .collect();
    Some(Standing {
        state: if held.is_empty() { State::Pending } else { State::Served },
        reason: condition.map(|condition| condition.reason.clone().into()),
        text: condition.map(|condition| condition.message.clone()),
        service: view.key,
        held,
    })
}

/// A pool as its status has it, which says nothing of what is kept by name or avoided.
fn pool(pool: &IPAddressPool) -> PoolView {
    let status = pool.status.clone().unwrap_or_default();
    let used = |assigned: i64, available: i64| {
        let count = |number: i64| u128::try_from(number).unwrap_or_default();
        let (used, free) = (count(assigned), count(available));
        let whole = UseView { total: used + free, used, reserved: 0, avoided: 0, free };
        (whole.total > 0).then_some(whole)
    };
    PoolView {
        name: pool.name_any(),
        ranges: pool.spec.addresses.clone(),
        ipv4: used(status.assigned_ipv4, status.available_ipv4),
        ipv6: used(status.assigned_ipv6, status.available_ipv6),
    }
}
