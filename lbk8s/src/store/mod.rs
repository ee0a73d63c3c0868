//! The embedded store: a Kubernetes API in this process, without a cluster.
//!
//! It is what the reconcilers run on when there is no cluster (`lbd run --manifests`), and what tests run
//! them on, with faults injected. It is a [`tower::Service`], so that [`Store::client`] needs no socket, and
//! [`Store::serve`] puts the same service on a TCP port for other processes. It keeps the real server's
//! semantics where a client can tell (list and watch with resource versions and bookmarks, 409, 410, merge
//! patch and JSON patch, the status subresource, selectors, dry runs, the defaulting of Services) and nothing
//! beyond: no admission, no users, no garbage collection.
//!
//! | file | the idea |
//! |---|---|
//! | `kind` | the kinds it is told about |
//! | `route` | a request's path and query |
//! | `log` | the objects, and the history of their changes |
//! | `decode` | from what a writer sends to what is stored |
//! | `verbs` | get, create, update, patch, delete |
//! | `list` | lists, whole and in pages |
//! | `watch` | the stream of changes |
//! | `patch` | merge patch (RFC 7396) and JSON patch (RFC 6902) |
//! | `selector` | label and field selectors |
//! | `metadata` | what the server gives to metadata, and what it holds writers to |
//! | `service` | what the API server fills in on Services |
//! | `cluster_ips` | the cluster addresses of Services |
//! | `namespace` | what the API server fills in on Namespaces |
//! | `event` | Events, which two API groups share |
//! | `answer` | answers and errors as the API writes them |
//! | `serve` | the tower service, and the TCP port |
//! | `direct` | what manifests use, without a request in between |
//! | `faults` | faults on demand, and a count of the writes |

mod answer;
mod cluster_ips;
mod decode;
mod direct;
mod event;
mod faults;
mod kind;
mod list;
mod log;
mod metadata;
mod namespace;
mod patch;
mod route;
mod selector;
mod serve;
mod service;
mod verbs;
mod watch;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

pub use answer::ApiError;
use cluster_ips::ClusterIps;
use decode::FieldValidation;
pub use faults::{Fault, Faults, Verb};
pub use kind::{Kind, Kinds};
use log::Log;

/// A Kubernetes API in this process. Clones are the same store.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kinds: Kinds,
    state: Mutex<State>,
    faults: Faults,
    /// How often a quiet watch is told that it is up to date.
    bookmark_every: Duration,
}

#[derive(Debug)]
struct State {
    log: Log,
    cluster_ips: ClusterIps,
    /// The last moment given to an object, in microseconds since the epoch.
    last_moment: i64,
}

/// The real server sends a bookmark about once a minute.
const BOOKMARK_EVERY: Duration = Duration::from_mins(1);

impl Default for Store {
    fn default() -> Self {
        Self::new(Kinds::default())
    }
}

impl Store {
    /// A store of these kinds that holds nothing but the namespaces every cluster has.
    #[must_use]
    pub fn new(kinds: Kinds) -> Self {
        Self::with_bookmarks(kinds, BOOKMARK_EVERY)
    }

    /// The same, with bookmarks as often as this.
    #[must_use]
    pub fn with_bookmarks(kinds: Kinds, bookmark_every: Duration) -> Self {
        let state = State { log: Log::default(), cluster_ips: ClusterIps::default(), last_moment: 0 };
        let store = Self::of(kinds, state, bookmark_every);
        if let Some(namespaces) = store.0.kinds.find("", "v1", "Namespace") {
            for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
                let namespace = serde_json::json!({"metadata": {"name": name}});
                let made = store.create(namespaces, None, namespace, FieldValidation::Ignore);
                made.expect("an empty store takes a namespace");
            }
        }
        store
    }

    fn of(kinds: Kinds, state: State, bookmark_every: Duration) -> Self {
        Self(Arc::new(Inner { kinds, state: Mutex::new(state), faults: Faults::default(), bookmark_every }))
    }

    /// A store of its own with the same content: what is done to it nobody sees.
    fn copy(&self) -> Self {
        let state = self.state();
        let (cluster_ips, last_moment) = (state.cluster_ips.clone(), state.last_moment);
        let copy = State { log: state.log.copy(), cluster_ips, last_moment };
        Self::of(self.0.kinds.clone(), copy, self.0.bookmark_every)
    }

    /// A client of this store, without a socket in between. Needs a tokio runtime.
    #[must_use]
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.clone(), "default")
    }

    /// The kinds that the store knows.
    #[must_use]
    pub fn kinds(&self) -> &Kinds {
        &self.0.kinds
    }

    /// Faults to inject, and the count of writes.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Forgets the history of changes, as the real server does after some minutes: a watch that resumes from
    /// before now is told 410.
    pub fn compact(&self) {
        self.state().log.compact();
    }

    /// The resource version of the latest change.
    #[must_use]
    pub fn resource_version(&self) -> u64 {
        self.state().log.version()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it was held would have left it between two complete states: there is no partial write.
        self.0.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
