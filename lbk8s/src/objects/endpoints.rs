//! `EndpointSlice` as ownership sees it: where a service can be served.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use lbcore::{Endpoints, ServiceKey};
use serde::{Deserialize, Serialize};

/// The label that names a slice's service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The parts of a slice that we look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceView {
    /// Namespace and name of the slice.
    pub key: ServiceKey,
    /// The service it belongs to.
    pub service: Option<ServiceKey>,
    any: bool,
    /// Nodes with an endpoint that is ready, and with one that serves while it terminates; by name.
    ready: Box<[Box<str>]>,
    terminating: Box<[Box<str>]>,
}

impl SliceView {
    /// Reads a slice.
    #[must_use]
    pub fn read(slice: &EndpointSlice) -> Self {
        let namespace: Arc<str> = slice.namespace().unwrap_or_default().into();
        let key = ServiceKey::new(namespace.clone(), slice.name_any());
        let service = slice.labels().get(SERVICE_NAME);
        let (mut any, mut of_ready, mut of_terminating) = (false, BTreeSet::new(), BTreeSet::new());
        for endpoint in &slice.endpoints {
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            // "A nil value should be interpreted as true" (discovery/v1 EndpointConditions.ready).
            let ready = conditions.ready.unwrap_or(true);
            // An endpoint that is terminating may serve on: last choice for Local, but a choice.
            let serving = conditions.serving.unwrap_or(ready);
            any |= ready || serving;
            let nodes = if ready { &mut of_ready } else { &mut of_terminating };
            if ready || serving {
                nodes.extend(endpoint.node_name.as_deref());
            }
        }
        let sorted = |nodes: BTreeSet<&str>| nodes.into_iter().map(Into::into).collect();
        Self {
            key,
            service: service.map(|name| ServiceKey::new(namespace, name.as_str())),
            any,
            ready: sorted(of_ready),
            terminating: sorted(of_terminating),
        }
    }

    /// What several slices of one service say together.
    #[must_use]
    pub fn together<'a>(slices: impl IntoIterator<Item = &'a Self>) -> Endpoints {
        let (mut any, mut ready, mut terminating) = (false, BTreeSet::new(), BTreeSet::new());
        for slice in slices {
            any |= slice.any;
            ready.extend(slice.ready.iter().map(ToString::to_string));
            terminating.extend(slice.terminating.iter().map(ToString::to_string));
        }
        Endpoints::Known { any, ready, terminating }
    }
}
