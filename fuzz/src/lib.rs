//! What must hold of each parser for every input.
//!
//! A check takes any bytes and panics if the parser, or what comes out of it, is not as promised. `fuzz/run`
//! feeds the checks from a fuzzer; `cargo test` feeds them the files under `fuzz/seeds`, so that an input that
//! was found once is a test from then on.

pub mod annotations;
pub mod arp;
mod bpf;
pub mod config_map;
pub mod echo;
mod frames;
pub mod manifests;
pub mod ndp;
pub mod pools;
pub mod ranges;
pub mod responder;

use std::borrow::Cow;

/// A check: panics if what must hold does not.
pub type Check = fn(&[u8]);

/// Every check, under the name of its target and of its folder in `fuzz/seeds`.
pub const CHECKS: [(&str, Check); 9] = [
    ("ranges", ranges::check),
    ("config_map", config_map::check),
    ("annotations", annotations::check),
    ("manifests", manifests::check),
    ("pools", pools::check),
    ("arp", arp::check),
    ("ndp", ndp::check),
    ("echo", echo::check),
    ("responder", responder::check),
];

/// The input as text. What is no UTF-8 becomes a character of three bytes: good for finding wrong offsets.
fn text(data: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(data)
}
