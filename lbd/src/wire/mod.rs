//! The commands that speak on the wire without a cluster: asking who has an address, and answering for some.

pub(crate) mod announce;
pub(crate) mod whohas;
