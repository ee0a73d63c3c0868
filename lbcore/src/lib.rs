//! Who holds which LoadBalancer address, which node answers for it, and why.
//!
//! Two pure decisions carry a load-balancer without a cloud, and both live here:
//!
//! ```text
//! allocate:  pools + requests + what is held            ->  who holds which address, and why
//! own:       address + advertisements + nodes           ->  which node answers for it, and why
//! ```
//!
//! Nothing in this crate does I/O, reads a clock, draws a random number or depends on the order of a
//! hash map: the same inputs give the same answer on every node and in every run. Every decision
//! comes with its reason as data ([`Grant`], [`Refusal`], [`PassedOver`]), so that events,
//! conditions, logs and command lines render one and the same truth.
//!
//! ```
//! use lbcore::{Allocator, Family, Outcome, PoolSpec, Request, ServiceKey};
//!
//! let mut allocator = Allocator::default();
//! allocator.set_pools(vec![PoolSpec::parse("default", ["192.168.3.251-192.168.3.254"])?]);
//!
//! let request = Request::new(ServiceKey::new("web", "nginx"), Family::V4);
//! let decision = allocator.request(request);
//! assert_eq!(decision.addresses(), ["192.168.3.251".parse::<std::net::IpAddr>()?]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | the idea |
//! |---|---|
//! | [`range`] | `a-b` and CIDR text becomes a checked [`AddressRange`] |
//! | [`pool`] | a pool's rules and its free addresses, never enumerated |
//! | [`request`] | what a service asks for |
//! | [`allocator`] | the decision of who holds which address |
//! | [`reason`] | why it was decided so |
//! | [`plan`] | what would happen, and the difference between two worlds |
//! | [`advertisement`] | which pools are announced from which nodes and interfaces |
//! | [`ownership`] | the decision of which node answers |

pub mod advertisement;
pub mod allocator;
mod family;
mod key;
mod labels;
pub mod ownership;
pub mod plan;
pub mod pool;
pub mod range;
pub mod reason;
pub mod request;
pub mod selector;

pub use advertisement::{Advertisement, Interfaces};
pub use allocator::{
    Allocator, Decision, Holding, LostAddresses, Namespace, Outcome, PoolsChanged, Remembered, Unreadable,
};
pub use family::{Families, Family};
pub use key::{ParseKeyError, ServiceKey};
pub use labels::Labels;
pub use ownership::{Announced, Endpoints, Node, Ownership, PassedOver, Reach, Service, elect, elect_beside};
pub use pool::{
    Counters, Exclusion, PoolProblem, PoolSpec, PoolState, Release, Reservation, ServiceAllocation,
    ServicePattern,
};
pub use range::{AddressRange, RangeError};
pub use reason::{Avoided, Grant, Loss, PoolVerdict, Refusal, Verdict};
pub use request::{Port, Protocol, Request, Sharing};
pub use selector::Selector;
