//! The figures, a file for each subject.

pub mod allocation;
pub mod answering;
pub mod cluster;
pub mod flood;
pub mod memory;
pub mod takeover;
pub mod wire;
