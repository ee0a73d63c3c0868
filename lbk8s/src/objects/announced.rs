//! A Service as announcing sees it: what it shows, and where that came from.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lbcore::{Labels, ServiceKey};
use serde::{Deserialize, Serialize};

use super::ObjectRef;
use super::service::{Kept, ServiceView, Wish};

/// The parts of a Service that a speaker looks at. Each node keeps those of all Services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnnouncedService {
    /// Namespace and name.
    pub key: ServiceKey,
    /// The whole reference, for events.
    pub object: ObjectRef,
    /// The addresses that it shows; none if it is not ours, or of another type.
    pub addresses: Box<[IpAddr]>,
    /// The pool recorded beside them.
    pub recorded_pool: Option<Box<str>>,
    /// What is recorded of addresses that their pool no longer has.
    pub kept: BTreeMap<IpAddr, Kept>,
    /// Its labels.
    pub labels: Labels,
    /// `externalTrafficPolicy: Local`.
    pub local: bool,
    /// Different nodes are to answer for its two families.
    #[serde(default)]
    pub spread: bool,
}

impl From<ServiceView> for AnnouncedService {
    fn from(view: ServiceView) -> Self {
        let addresses = match view.wish {
            Wish::Addresses(_) | Wish::Unclear(_) => view.addresses(),
            Wish::Nothing | Wish::NotOurs => Vec::new(),
        };
        let recorded_pool = view.pool_on_record().map(Into::into);
        Self {
            key: view.key,
            object: view.object,
            addresses: addresses.into(),
            recorded_pool,
            kept: view.kept,
            labels: view.labels,
            local: view.local,
            spread: view.spread,
        }
    }
}
