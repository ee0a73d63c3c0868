//! The tests of this crate that need no namespace, in one program: `cargo test -p lbnet --test suite frames::`.

mod announcer;
mod frames;
#[cfg(feature = "membership")]
mod membership;
mod netlink;
