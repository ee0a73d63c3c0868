//! What a cluster has beside us, in small: pods, their endpoint slices, and kube-proxy.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointSlice};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client};
use lblab::proxy::{Proxy, run_pod};
use serde_json::Value;

use super::lan::DemoLan;
use crate::exit::Failure;

/// One pod of each Service on each node, and kube-proxy's part for the addresses.
pub(super) struct StandIn<'l> {
    lan: &'l DemoLan,
    client: Client,
    proxies: Vec<Proxy>,
    next_number: u8,
    /// The number of each Service: the last part of its pods' addresses.
    numbers: BTreeMap<(String, String), u8>,
}

impl<'l> StandIn<'l> {
    pub(super) fn new(lan: &'l DemoLan, client: Client, first_pod: u8) -> Self {
        let proxies = lan.nodes.iter().map(|_| Proxy::default()).collect();
        Self { lan, client, proxies, next_number: first_pod, numbers: BTreeMap::new() }
    }

    /// Runs a pod on each node for every port of the Service, and says so in an endpoint slice.
    pub(super) async fn run_pods(&mut self, service: &Value) -> Result<(), Failure> {
        let (namespace, name) = key(service);
        let number = self.next_number;
        self.next_number += 1;
        self.numbers.insert((namespace.clone(), name.clone()), number);
        let mut endpoints = Vec::new();
        for node in &self.lan.nodes {
            let address = node.pod_address(number);
            for (_, target) in ports(service) {
                let page = format!("Welcome to {name}! This is its pod on {}.\n", node.name());
                run_pod(&node.host, (address, target), page).await?;
            }
            endpoints.push(Endpoint {
                addresses: vec![address.to_string()],
                conditions: Some(EndpointConditions { ready: Some(true), ..EndpointConditions::default() }),
                node_name: Some(node.name().to_owned()),
                ..Endpoint::default()
            });
        }
        let slice = EndpointSlice {
            address_type: "IPv4".to_owned(),
            endpoints,
            metadata: ObjectMeta {
                name: Some(format!("{name}-demo")),
                labels: Some([("kubernetes.io/service-name".to_owned(), name)].into()),
                ..ObjectMeta::default()
            },
            ports: None,
        };
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &namespace);
        api.create(&PostParams::default(), &slice).await.map_err(std::io::Error::other)?;
        Ok(())
    }

    /// The Service's pods are gone from its endpoint slice; the programs run on, unasked.
    pub(super) async fn stop_pods(&mut self, service: &Value) -> Result<(), Failure> {
        let (namespace, name) = key(service);
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &namespace);
        let deleted = api.delete(&format!("{name}-demo"), &DeleteParams::default()).await;
        deleted.map(drop).map_err(|error| std::io::Error::other(error).into())
    }

    /// What kube-proxy does on every node when a Service shows an address: take connections to it and pass them
    /// to the pods.
    pub(super) async fn route(&mut self, address: Ipv4Addr, service: &Value) -> Result<(), Failure> {
        let number = self.numbers.get(&key(service)).copied().unwrap_or_default();
        for (proxy, node) in self.proxies.iter_mut().zip(&self.lan.nodes) {
            for (port, target) in ports(service) {
                // The node's own pod first, so that the page tells which node took the connection.
                let own = SocketAddr::from((node.pod_address(number), target));
                let others = self.lan.nodes.iter().filter(|other| other.number != node.number);
                let others = others.map(|other| SocketAddr::from((other.pod_address(number), target)));
                proxy.serve(&node.host, (address, port), [own].into_iter().chain(others).collect()).await?;
            }
        }
        Ok(())
    }

    /// What kube-proxy does when no Service shows the address any more.
    pub(super) async fn unroute(&mut self, address: Ipv4Addr) -> Result<(), Failure> {
        for (proxy, node) in self.proxies.iter_mut().zip(&self.lan.nodes) {
            proxy.forget(&node.host, address).await?;
        }
        Ok(())
    }
}

fn key(service: &Value) -> (String, String) {
    let text = |field: &str| service["metadata"][field].as_str().map(str::to_owned);
    (text("namespace").unwrap_or_else(|| "default".to_owned()), text("name").unwrap_or_default())
}

/// Each port of a Service and the port of its pods.
fn ports(service: &Value) -> Vec<(u16, u16)> {
    let number = |value: &Value| value.as_u64().and_then(|it| u16::try_from(it).ok());
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    ports
        .filter_map(|port| {
            Some((number(&port["port"])?, number(&port["targetPort"]).or(number(&port["port"]))?))
        })
        .collect()
}
