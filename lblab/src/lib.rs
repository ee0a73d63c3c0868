//! A LAN on one machine, made of network namespaces: for the demo, for tests and for measurements.
//!
//! It needs no other program (no `ip`, no `arping`, no `curl`) and no root: [`sandbox::enter`] makes the
//! process root in a user namespace of its own. All namespaces are anonymous, so that nothing is left
//! behind when the process ends, however it ends.
//!
//! ```text
//!        the process's own namespace
//!   ┌──────────────────────────────────┐
//!   │  br0  192.168.3.1                │
//!   └──┬──────────┬──────────┬─────────┘
//!     n1         n2          c             Host: a thread in a namespace of its own,
//!   eth0 .11   eth0 .12    eth0 .100       plugged in by Lan::plug, cut by Lan::cut
//! ```
//!
//! | module | the idea |
//! |---|---|
//! | [`sandbox`] | entering namespaces, and processes that end with this one |
//! | [`host`] | a host, and what runs on it |
//! | [`lan`] | bridges and cables |
//! | [`net`] | the netlink verbs |
//! | [`client`] | somebody outside the cluster, who asks by ARP and fetches by HTTP |
//! | [`connecting`] | new connections, one after another without end |
//! | [`lasting`] | connections that are there already, and what becomes of them |
//! | [`proxy`] | the stand-in for kube-proxy, and for pods |
//! | [`watch`] | asking every millisecond who has an address |
//! | [`simulated`] | a network in virtual time, by a seed |
//! | `suite` | tests that run inside the sandbox (a feature) |

pub mod client;
pub mod connecting;
pub mod host;
pub mod lan;
pub mod lasting;
pub mod net;
pub mod proxy;
pub mod sandbox;
pub mod simulated;
#[cfg(feature = "suite")]
pub mod suite;
pub mod watch;

use std::io;

pub use host::Host;
pub use lan::{Bridge, Lan, Port};
pub use net::{Net, Nic};

/// Why the laboratory could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The kernel does not let this user make namespaces.
    #[error(
        "this kernel does not let you make {what} ({source}); run the same command as root (sudo), or allow it: \
         sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0 or \
         user.max_user_namespaces=15000, whichever your system has"
    )]
    Forbidden {
        /// What could not be made.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A netlink request failed.
    #[error("{doing}: {source}")]
    Netlink {
        /// What was being done.
        doing: String,
        /// What the kernel said.
        source: rtnetlink::Error,
    },
    /// A link is not there.
    #[error("there is no link {0:?} in the namespace")]
    NoLink(String),
    /// A link did not get a carrier in time.
    #[error("link {0} got no carrier within {1:?}")]
    NoCarrier(u32, std::time::Duration),
    /// A host's thread has ended.
    #[error("host {0:?} has ended")]
    HostEnded(String),
    /// Anything else the kernel said.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl LabError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    pub(crate) fn netlink(doing: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Netlink { doing, source }
    }
}
