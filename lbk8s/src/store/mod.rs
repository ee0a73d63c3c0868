//! The embedded store: a Kubernetes API in this process, without a cluster.
//!
//! It is what the reconcilers run on when there is no cluster (`lbd run --manifests`), and what tests run
//! them on, with faults injected. It is a [`tower::Service`], so that [`Store::client`] needs no socket, and
//! [`Store::serve`] puts the same service on a TCP port for other processes. It keeps the real server's
//! semantics where a client can tell (list and watch with resource versions and bookmarks, 409, 410, the
//! patches, the status subresource, selectors, dry runs, the defaulting of Services, discovery and tables for
//! kubectl) and nothing beyond: no server-side apply, no admission, no users, no garbage collection.
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
//! | `table` | objects as rows of a table, for kubectl |
//! | `columns`, `json_path`, `ago` | what the columns say |
//! | `discovery` | what is served |
//! | `openapi` | the schemas of the kinds |
//! | `definition` | the definitions of custom kinds |
//! | `patch` | merge patch (RFC 7396) and JSON patch (RFC 6902) |
//! | `strategic` | strategic merge patch |
//! | `selector` | label and field selectors |
//! | `metadata` | what the server gives to metadata, and what it holds writers to |
//! | `service` | what the API server fills in on Services |
//! | `cluster_ips` | the cluster addresses of Services |
//! | `namespace` | what the API server fills in on Namespaces |
//! | `event` | Events, which two API groups share |
//! | `answer` | answers and errors as the API writes them |
//! | `serve` | the tower service, and the TCP port |
//! | `access` | who may use the port |
//! | `keep`, `kept_files` | what is in it, on disk |
//! | `restore` | a store that begins with what the last process has left |
//! | `direct` | what manifests use, without a request in between |
//! | `faults` | faults on demand, and a count of the writes |

mod access;
mod ago;
mod answer;
mod cluster_ips;
mod columns;
mod decode;
mod definition;
mod direct;
mod discovery;
mod event;
mod faults;
mod json_path;
mod keep;
mod kept_files;
mod kind;
mod list;
mod log;
mod metadata;
mod namespace;
mod openapi;
mod patch;
mod restore;
mod route;
mod selector;
mod serve;
mod service;
mod strategic;
mod table;
mod verbs;
mod watch;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

pub use access::{Access, AccessError};
pub use answer::ApiError;
use cluster_ips::ClusterIps;
pub use faults::{Fault, Faults, Verb};
pub use kept_files::KeepError;
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

#[derive(Debug, Default)]
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
        let store = Self::of(kinds, State::default(), bookmark_every);
        store.make_namespaces();
        store
    }

    /// Makes the namespaces that every cluster has.
    fn make_namespaces(&self) {
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            self.ensure_namespace(name);
        }
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
