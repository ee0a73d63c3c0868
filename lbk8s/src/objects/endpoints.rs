//! `EndpointSlice` as ownership sees it: where a service can be served.

use std::collections::BTreeSet;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use lbcore::{Endpoints, ServiceKey};

/// The label that names a slice's service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The parts of a slice that we look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceView {
    /// Namespace and name of the slice.
    pub key: ServiceKey,
    /// The service it belongs to.
    pub service: Option<ServiceKey>,
    any: bool,
    ready: BTreeSet<String>,
    terminating: BTreeSet<String>,
}

impl SliceView {
    /// Reads a slice.
    #[must_use]
    pub fn read(slice: &EndpointSlice) -> Self {
        let namespace = slice.namespace().unwrap_or_default();
        let service = slice.labels().get(SERVICE_NAME);
        let mut view = Self {
            key: ServiceKey::new(namespace.as_str(), slice.name_any()),
            service: service.map(|name| ServiceKey::new(namespace.as_str(), name.as_str())),
            any: false,
            ready: BTreeSet::new(),
            terminating: BTreeSet::new(),
        };
        for endpoint in &slice.endpoints {
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            // "A nil value should be interpreted as true" (discovery/v1 EndpointConditions.ready).
            let ready = conditions.ready.unwrap_or(true);
            // An endpoint that is terminating may serve on: last choice for Local, but a choice.
            let serving = conditions.serving.unwrap_or(ready);
            view.any |= ready || serving;
            let nodes = if ready { &mut view.ready } else { &mut view.terminating };
            if ready || serving {
                nodes.extend(endpoint.node_name.clone());
            }
        }
        view
    }

    /// What several slices of one service say together.
    #[must_use]
    pub fn together<'a>(slices: impl IntoIterator<Item = &'a Self>) -> Endpoints {
        let (mut any, mut ready, mut terminating) = (false, BTreeSet::new(), BTreeSet::new());
        for slice in slices {
            any |= slice.any;
            ready.extend(slice.ready.iter().cloned());
            terminating.extend(slice.terminating.iter().cloned());
        }
        Endpoints::Known { any, ready, terminating }
    }
}
