//! Answers ARP and NDP for virtual addresses, on any host, for any reason.
//!
//! The protocol is pure: a [`Responder`] maps `(frame, view)` to an answer or a reason to drop it, an
//! [`Announcer`] maps `(claim, now)` to the announcements that are due, [`Conflicts`] and [`probe::Probes`] say
//! what to make of other stations with our addresses. None of them knows a socket or a clock. With the feature
//! `announce` (on by default) [`Layer2`] carries them on the real interfaces of this host: packet sockets with a
//! kernel filter and a thread on each, so that nothing else delays an answer, multicast groups, and interfaces followed
//! by netlink.
//!
//! ```no_run
//! use lbnet::{Layer2, Rule, Settings};
//!
//! let (layer2, _events) = Layer2::start(Settings::default())?;
//! layer2.announce([192, 168, 3, 253], Rule::any());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | the idea |
//! |---|---|
//! | [`wire`] | frames of ARP, neighbour discovery and echo, parsed and written |
//! | [`responder`] | what to answer, and why not |
//! | [`announcer`] | when to tell the LAN, within a frame budget |
//! | [`conflict`] | who else claims an address of ours |
//! | [`permit`] | the right to answer, which lapses by itself |
//! | [`probe`] | whether an address is free, before it is used for the first time |
//! | [`filter`] | what the kernel lets through to us |
//! | [`interface`] | which interfaces there are, and which of them answer for an address |
//! | `host` | the addresses, gateways and neighbours of this host, and what its kernel answers by itself |
//! | `socket` | the packet sockets, and those that join multicast groups |
//! | `layer2` | the loop |
//! | `whohas` | asking the LAN who has an address |
//! | `membership` | who else is there, who has died, and what each tells of itself |

pub mod announcer;
pub mod conflict;
pub mod filter;
#[cfg(feature = "announce")]
pub mod host;
pub mod interface;
#[cfg(feature = "announce")]
pub mod layer2;
#[cfg(feature = "membership")]
pub mod membership;
pub mod permit;
pub mod probe;
pub mod responder;
#[cfg(feature = "announce")]
pub mod socket;
#[cfg(feature = "announce")]
pub mod whohas;
pub mod wire;

pub use announcer::{Announcer, Profile};
pub use conflict::{Conflicts, Policy};
#[cfg(feature = "announce")]
pub use host::{HostAddresses, KernelAnswer};
pub use interface::{Interface, Pattern, Rule, Segments, Selection};
#[cfg(feature = "announce")]
pub use layer2::{Event, Layer2, Probed, Settings, Snapshot, StartError};
pub use permit::Permit;
pub use pnet_base::MacAddr;
pub use responder::{Claim, Counters, Drop, Responder, Verdict};
pub use wire::{Advertisement, ArpFrame, Malformed, NdpFrame, Solicitation};
