//! The stand-in for kube-proxy: on every node it takes connections to the addresses of Services and passes them to
//! their pods.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Client, ResourceExt};
use lbk8s::watching::{Watched, config, follow};
use lblab::Host;
use lblab::proxy::Proxy;

use crate::Result;

type Key = (String, String);
/// Addresses with their backends.
type Routes = BTreeMap<SocketAddr, BTreeSet<SocketAddr>>;

/// Does kube-proxy's part on one node, until the future is dropped.
///
/// # Errors
/// What the kernel says.
pub async fn stand_in_for_kube_proxy(client: Client, host: &Host) -> Result {
    let mut services = follow(Api::<Service>::all(client.clone()), config(), Service::clone).fuse();
    let mut slices = follow(Api::<EndpointSlice>::all(client), config(), EndpointSlice::clone).fuse();
    let (mut known, mut known_slices) =
        (BTreeMap::<Key, Service>::new(), BTreeMap::<Key, EndpointSlice>::new());
    let (mut proxy, mut routes) = (Proxy::default(), BTreeMap::<Key, Routes>::new());
    loop {
        let service: Key = tokio::select! {
            Some(told) = services.next() => match told {
                Watched::Set(service) => {
                    let key = (service.namespace().unwrap_or_default(), service.name_any());
                    known.insert(key.clone(), service);
                    key
                }
                Watched::Gone { namespace, name, .. } => {
                    let key = (namespace, name);
                    known.remove(&key);
                    key
                }
                _ => continue,
            },
            Some(told) = slices.next() => {
                let slice = match told {
                    Watched::Set(slice) => {
                        let key = (slice.namespace().unwrap_or_default(), slice.name_any());
                        known_slices.insert(key, slice.clone());
                        Some(slice)
                    }
                    Watched::Gone { namespace, name, .. } => known_slices.remove(&(namespace, name)),
                    _ => None,
                };
                let Some(slice) = slice else { continue };
                let Some(service) = slice.labels().get("kubernetes.io/service-name") else { continue };
                (slice.namespace().unwrap_or_default(), service.clone())
            }
        };
        let wanted = known.get(&service).map(|it| wanted(it, &known_slices, host.name())).unwrap_or_default();
        let before = routes.remove(&service).unwrap_or_default();
        if before == wanted {
            routes.insert(service, before);
            continue;
        }
        routes.insert(service, wanted.clone());
        let used: BTreeSet<IpAddr> = routes.values().flat_map(|it| it.keys().map(SocketAddr::ip)).collect();
        before.keys().filter(|at| !wanted.contains_key(at)).for_each(|at| proxy.refuse(*at));
        for gone in before.keys().map(SocketAddr::ip).filter(|address| !used.contains(address)) {
            proxy.forget(host, gone).await?;
        }
        for (address, backends) in wanted {
            if before.get(&address) != Some(&backends) {
                proxy.serve(host, address, backends.into_iter().collect()).await?;
            }
        }
    }
}

/// Where connections to a Service go on a node. Without an endpoint they are refused.
fn wanted(service: &Service, slices: &BTreeMap<Key, EndpointSlice>, node: &str) -> Routes {
    let Some(spec) = &service.spec else { return Routes::new() };
    let local = spec.external_traffic_policy.as_deref() == Some("Local");
    let name = service.name_any();
    let own = slices.values().filter(|slice| {
        slice.namespace() == service.namespace()
            && slice.labels().get("kubernetes.io/service-name") == Some(&name)
    });
    let serves = |endpoint: &&k8s_openapi::api::discovery::v1::Endpoint| {
        let conditions = endpoint.conditions.clone().unwrap_or_default();
        conditions.ready.unwrap_or(true) && (!local || endpoint.node_name.as_deref() == Some(node))
    };
    let endpoints = own.flat_map(|slice| slice.endpoints.iter().filter(serves));
    let backends: BTreeSet<SocketAddr> = endpoints
        .flat_map(|endpoint| endpoint.addresses.iter().filter_map(|address| address.parse::<IpAddr>().ok()))
        .map(|address| SocketAddr::new(address, 8080))
        .collect();
    let ingress =
        service.status.iter().filter_map(|it| it.load_balancer.as_ref()?.ingress.as_ref()).flatten();
    let addresses = ingress.filter_map(|entry| entry.ip.as_ref()?.parse::<IpAddr>().ok());
    let mut routes = Routes::new();
    for address in addresses {
        let fitting: BTreeSet<_> =
            backends.iter().filter(|it| it.is_ipv4() == address.is_ipv4()).copied().collect();
        // Only connections are passed on here.
        let ports = spec.ports.iter().flatten().filter(|port| port.protocol.as_deref() != Some("UDP"));
        for port in ports.filter_map(|port| u16::try_from(port.port).ok()) {
            if !fitting.is_empty() {
                routes.insert(SocketAddr::new(address, port), fitting.clone());
            }
        }
    }
    routes
}
