//! LoadBalancer addresses for Kubernetes clusters that have no cloud.
//!
//! This is the thin end: arguments, wiring, output and exit codes. What is decided, is decided in `lbcore`;
//! what is watched and written, in `lbk8s`; what goes over the wire, in `lbnet`.
//!
//! The program is [`main`] alone. It is a library so that the end-to-end tests have the same `lbd` as a program of their
//! own package, which cargo builds with them and with the same features.

mod attention;
mod cli;
mod client;
mod cluster;
mod columns;
mod controller;
#[cfg(feature = "demo")]
mod demo;
mod drain;
mod exit;
mod host;
mod http;
mod install;
mod logs;
mod offline;
mod rebalance;
#[cfg(test)]
mod reference;
mod run;
mod shell;
mod shutdown;
mod speaker;
mod wire;

use std::process::ExitCode;

use crate::cli::{Cli, Command};

/// Runs the command that the arguments of this process name, and returns its exit code.
///
/// Call it before any thread is started: the demo enters namespaces of its own, which a process with threads cannot.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::from_arguments();
    let result = match cli.command {
        #[cfg(feature = "demo")]
        Command::Demo(arguments) => demo::main(&arguments),
        Command::Run(arguments) => run::main(&arguments),
        Command::Controller(arguments) => controller::main(arguments),
        Command::Speaker(arguments) => speaker::main(arguments),
        Command::Drain(arguments) => drain::main(&arguments, true),
        Command::Undrain(arguments) => drain::main(&arguments, false),
        Command::Rebalance(arguments) => rebalance::main(&arguments),
        Command::Status(arguments) => cluster::status::main(&arguments),
        Command::Pools(arguments) => cluster::pools::main(&arguments),
        Command::Members(arguments) => cluster::members::main(&arguments),
        Command::History(arguments) => cluster::history::main(&arguments),
        Command::Top(arguments) => cluster::top::main(&arguments),
        Command::Plan(arguments) => offline::plan::main(&arguments),
        Command::Check(arguments) => offline::check::main(&arguments),
        Command::Explain(arguments) => offline::explain::main(&arguments),
        Command::Whohas(arguments) => wire::whohas::main(&arguments),
        Command::Announce(arguments) => wire::announce::main(&arguments),
        Command::Convert(arguments) => offline::convert::main(&arguments),
        Command::Crds => install::crds(),
        Command::Manifests(arguments) => install::manifests(&arguments),
        Command::Completions(arguments) => shell::completions(&arguments),
        Command::Man(arguments) => shell::man(&arguments),
        Command::Version => cli::print_version(),
    };
    exit::report(result)
}
