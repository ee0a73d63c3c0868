//! Tests that run in namespaces of their own: the body of a `harness = false` test.

use std::io::Write;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sched::{CloneFlags, unshare};
use tokio::runtime;
use tokio::task::LocalSet;

use crate::LabError;

/// A test: a name that states a fact, and the future that shows it.
#[derive(Debug)]
pub struct Case {
    trial: Trial,
}

impl Case {
    /// A test that runs on a thread of its own, in a network namespace of its own, inside a `LocalSet`.
    pub fn new<F, E>(name: &str, body: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<(), E>>,
        E: std::fmt::Display,
    {
        let run = move || {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| {
                Failed::from(LabError::Forbidden { what: "a network namespace", source: errno.into() })
            })?;
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            let result = LocalSet::new().block_on(&runtime, body());
            result.map_err(|error| Failed::from(error.to_string()))
        };
        Self { trial: Trial::test(name, run) }
    }
}

/// Enters the sandbox and runs the tests. A sandbox that cannot be had fails loudly: nothing was tested.
#[must_use]
pub fn main(cases: impl FnOnce() -> Vec<Case>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    if arguments.list {
        return libtest_mimic::run(&arguments, cases().into_iter().map(|case| case.trial).collect())
            .exit_code();
    }
    if let Err(error) = crate::sandbox::enter() {
        let _ = writeln!(std::io::stderr(), "FAILED: the tests could not run: {error}");
        return ExitCode::FAILURE;
    }
    // Each test runs on a thread that enters a namespace and ends: never on the main thread, and not many at a
    // time, so that a busy machine does not turn waiting into failing.
    arguments.test_threads = Some(arguments.test_threads.unwrap_or(2).max(2));
    libtest_mimic::run(&arguments, cases().into_iter().map(|case| case.trial).collect()).exit_code()
}
