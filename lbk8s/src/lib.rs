//! LoadBalancer services on Kubernetes: what is read, what is decided by [`lbcore`], and what is written.
//!
//! ```text
//!   watches ──► views (small structs of our own) ──► lbcore: allocate, own ──► patches, events, announcements
//! ```
//!
//! Both roles are a pure part and an edge. The pure part ([`controller::Controller`], [`speaker::Speaker`])
//! takes what the watches tell and says what is to be done; it knows no client and no clock. The edge
//! ([`controller::run`], [`speaker::run`]) watches, writes, and tries again.
//!
//! | module | feature | the idea |
//! |---|---|---|
//! | [`objects`] | | Kubernetes objects become values of `lbcore` |
//! | [`schema`] | | unknown fields and wrong types in an object |
//! | [`manifest`] | | YAML files as objects, with the line of every field |
//! | [`offline`] | | plans, checks and explanations of manifests, without a cluster |
//! | [`watching`] | | watches as a stream of changes |
//! | [`controller`] | `controller` | who holds which address |
//! | [`speaker`] | `speaker` | which node answers, and the answering |
//! | [`durations`] | either | durations, counted by class |
//! | [`exchange`] | `speaker` | hosts without a cluster tell each other what is held |
//! | [`state_file`] | `speaker`, `store` | what is known, on disk |
//! | [`store`] | `store` | a Kubernetes API in this process |
//! | [`words`] | | reasons and codes, with what they mean |

pub mod configuration_state;
#[cfg(feature = "controller")]
pub mod controller;
pub mod convert;
pub mod crds;
#[cfg(any(feature = "controller", feature = "speaker"))]
pub mod durations;
pub mod events;
#[cfg(feature = "speaker")]
pub mod exchange;
pub mod manifest;
pub mod objects;
pub mod offline;
pub mod schema;
#[cfg(any(feature = "controller", feature = "speaker"))]
mod several;
#[cfg(feature = "speaker")]
pub mod speaker;
#[cfg(any(feature = "speaker", feature = "store"))]
pub mod state_file;
#[cfg(feature = "store")]
pub mod store;
pub mod suggest;
pub mod upkeep;
pub mod watching;
pub mod words;

pub use objects::{ObjectRef, Problem};
#[cfg(feature = "store")]
pub use store::Store;

/// The namespace in which MetalLB's objects live unless told otherwise.
pub const CONFIG_NAMESPACE: &str = "metallb-system";
/// The group of what has no counterpart in MetalLB: our annotations, conditions and objects.
pub const GROUP: &str = "lbd.io";
