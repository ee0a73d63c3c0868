//! Frames as they are on the wire.
//!
//! Parsing never panics, whatever the bytes. The length of a frame is checked once, by `parse`; bytes
//! beyond it are padding and not looked at.

mod arp;

pub use arp::{ARP_FRAME_LEN, ArpFrame, LONGEST_ARP_FRAME, Malformed, Operation};
