//! A cluster without machines: nodes, pods and clients in network namespaces, the programs as they are shipped, and
//! under them either the embedded store or a real control plane of Kubernetes. One suite runs on both.
//!
//! ```text
//!   the API ── embedded: the store, over HTTP             real: etcd, kube-apiserver, kube-controller-manager
//!      │
//!   ── br0 ────┬────────────┬────────────┬─────────────┬── 192.168.3.0/24, fd00:3::/64
//!          n1 lbd speaker   n2           n3            c  asks by ARP and NDP, fetches by HTTP
//!             kube-proxy, or its stand-in
//!             pods
//! ```
//!
//! | module | the idea |
//! |---|---|
//! | [`cluster`] | a cluster, and all that a test does with it |
//! | [`site`] | the hosts, and the wires between them |
//! | [`plane`] | the two kinds of API server |
//! | [`embedded`] | the embedded store, with stand-ins for what Kubernetes brings |
//! | [`real`] | the programs of Kubernetes |
//! | [`role`] | the two programs, by whose rights they work |
//! | [`daemon`] | a process with a log |
//! | [`object`] | the objects that tests write |
//! | [`seen`] | what the objects show |
//! | [`reached`] | what is seen from outside: by ARP, NDP and HTTP |
//! | [`wait`] | waiting for a condition, with a deadline |
//! | [`case`] | a behaviour, and what it needs |
//! | [`suite`] | all cases, run on either |
//! | `laws` | what holds after every trouble |
//! | `page` | pages of the documentation whose commands are tried |
//! | `worlds` | what many cases begin with |
//! | [`cases`] | the cases |

pub mod case;
pub mod cases;
pub mod cluster;
pub mod daemon;
pub mod embedded;
mod laws;
pub mod object;
mod page;
pub mod plane;
pub mod reached;
pub mod real;
pub mod role;
pub mod seen;
pub mod site;
pub mod suite;
pub mod wait;
mod worlds;

/// What a test comes to: nothing, or a sentence that says what is wrong.
pub type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;
