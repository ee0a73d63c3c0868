//! The speaker's decisions: which node announces which address.
#![cfg(feature = "speaker")]

mod decisions;
mod invariants;
mod nodes;
mod retention;
