//! The tests of this crate in one program, a module a subject: `cargo test -p lbcore --test suite claims::`.

mod allocation;
mod bookkeeping;
mod claims;
mod defects;
mod model;
mod properties;
mod reassign;
mod release_history;
mod reservations;
mod retention;
mod walkthrough;
