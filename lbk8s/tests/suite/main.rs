//! The tests of this crate in one program, a module a subject: `cargo test -p lbk8s --test suite store::`.

mod analysis;
mod annotations;
mod controller;
mod definitions;
mod harness;
mod lease;
mod manifest;
mod service_parsing;
mod simulation;
mod speaker;
mod store;
