//! The stand-in for the endpoint slice controller: for each Service with a selector, one slice of each of its families.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};
use lbk8s::watching::{Watched, config, follow};

type Key = (String, String);

/// Keeps the slices, until the future is dropped.
pub(super) async fn keep(client: Client) {
    let mut services = follow(Api::<Service>::all(client.clone()), config(), Service::clone).fuse();
    let mut pods = follow(Api::<Pod>::all(client.clone()), config(), Pod::clone).fuse();
    let (mut known, mut running) = (BTreeMap::<Key, Service>::new(), BTreeMap::<Key, Pod>::new());
    loop {
        let touched: BTreeSet<Key> = tokio::select! {
            Some(told) = services.next() => match told {
                Watched::Set(service) => {
                    let key = key(&service);
                    known.insert(key.clone(), service);
                    [key].into()
                }
                Watched::Gone { namespace, name, .. } => {
                    known.remove(&(namespace.clone(), name.clone()));
                    [(namespace, name)].into()
                }
                _ => continue,
            },
            Some(told) = pods.next() => {
                let changed = match told {
                    Watched::Set(pod) => {
                        let before = running.insert(key(&pod), pod.clone());
                        [Some(pod), before]
                    }
                    Watched::Gone { namespace, name, .. } => [running.remove(&(namespace, name)), None],
                    _ => continue,
                };
                let touches = |service: &Service| changed.iter().flatten().any(|pod| selects(service, pod));
                known.iter().filter(|(_, service)| touches(service)).map(|(key, _)| key.clone()).collect()
            }
        };
        for key in touched {
            for family in ["IPv4", "IPv6"] {
                let service = known.get(&key).filter(|service| has_family(service, family));
                let slice = service.and_then(|service| slice(service, family, &running));
                write(&client, &key, family, slice).await;
            }
        }
    }
}

fn key<K: ResourceExt>(object: &K) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn has_family(service: &Service, family: &str) -> bool {
    let families = service.spec.as_ref().and_then(|spec| spec.ip_families.as_ref());
    families.into_iter().flatten().any(|own| own == family)
}

fn selects(service: &Service, pod: &Pod) -> bool {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let matches = |(name, value): (&String, &String)| pod.labels().get(name) == Some(value);
    service.namespace() == pod.namespace()
        && selector.is_some_and(|selector| !selector.is_empty() && selector.iter().all(matches))
}

/// The slice of one family; none for a Service without a selector, whose slices others write.
fn slice(service: &Service, family: &str, pods: &BTreeMap<Key, Pod>) -> Option<EndpointSlice> {
    let spec = service.spec.as_ref()?;
    spec.selector.as_ref()?;
    let chosen = pods.values().filter(|pod| selects(service, pod));
    let endpoints = chosen.filter_map(|pod| {
        let status = pod.status.as_ref()?;
        let addresses = status.pod_ips.iter().flatten().map(|address| address.ip.clone());
        let address = addresses.into_iter().find(|address| address.contains(':') == (family == "IPv6"))?;
        let is_ready =
            |it: &&k8s_openapi::api::core::v1::PodCondition| it.type_ == "Ready" && it.status == "True";
        let ready = status.conditions.iter().flatten().any(|condition| is_ready(&condition));
        let terminating = pod.metadata.deletion_timestamp.is_some();
        let conditions = EndpointConditions {
            ready: Some(ready && !terminating),
            serving: Some(ready),
            terminating: Some(terminating),
        };
        Some(Endpoint {
            addresses: vec![address],
            conditions: Some(conditions),
            node_name: pod.spec.as_ref()?.node_name.clone(),
            ..Endpoint::default()
        })
    });
    let ports = spec.ports.iter().flatten().map(|port| EndpointPort {
        name: port.name.clone(),
        port: Some(8080),
        protocol: port.protocol.clone(),
        ..EndpointPort::default()
    });
    Some(EndpointSlice {
        address_type: family.to_owned(),
        endpoints: endpoints.collect(),
        ports: Some(ports.collect()),
        metadata: ObjectMeta {
            labels: Some([("kubernetes.io/service-name".to_owned(), service.name_any())].into()),
            ..ObjectMeta::default()
        },
    })
}

async fn write(client: &Client, (namespace, service): &Key, family: &str, slice: Option<EndpointSlice>) {
    let name = format!("{service}-{}", family.to_lowercase());
    let api: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let there = api.get_opt(&name).await.ok().flatten();
    // A write that fails here fails the test that waits for it.
    match (slice, there) {
        (Some(mut slice), there) => {
            slice.metadata.name = Some(name.clone());
            let wanted = (&slice.endpoints, &slice.ports);
            match there {
                Some(there) if (&there.endpoints, &there.ports) == wanted => {}
                Some(_) => drop(api.replace(&name, &PostParams::default(), &slice).await),
                None => drop(api.create(&PostParams::default(), &slice).await),
            }
        }
        (None, Some(_)) => drop(api.delete(&name, &DeleteParams::default()).await),
        (None, None) => {}
    }
}
