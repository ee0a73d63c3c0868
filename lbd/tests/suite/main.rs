//! The command line, run as a process, in one program: `cargo test -p lbd --test suite cluster::`.

mod cluster;
mod command_sessions;
#[cfg(feature = "demo")]
mod demo;
mod deploy;
mod shell;
