//! Tests that run in namespaces of their own: the body of a `harness = false` test.

use std::fmt::Display;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use libtest_mimic::{Arguments, Failed, Trial};
use nix::sched::{CloneFlags, unshare};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use crate::LabError;

/// A test: a name that states a fact, and the future that shows it.
pub struct Case {
    name: String,
    /// Why it cannot hold yet.
    not_yet: Option<String>,
    run: Box<dyn FnOnce() -> Result<(), Failed> + Send>,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case")
            .field("name", &self.name)
            .field("not_yet", &self.not_yet)
            .finish_non_exhaustive()
    }
}

impl Case {
    /// A test that runs on a thread of its own, in a network namespace of its own, inside a `LocalSet`.
    pub fn new<F, E>(name: &str, body: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<(), E>>,
        E: Display,
    {
        let run = move || {
            let result = in_own_namespace(body)?;
            result.map_err(|error| Failed::from(error.to_string()))
        };
        Self { name: name.to_owned(), not_yet: None, run: Box::new(run) }
    }

    /// Marks a test that cannot hold yet: it is listed with the reason, and runs only when ignored ones are asked for
    /// (`--ignored`).
    #[must_use]
    pub fn not_yet(self, why: &str) -> Self {
        Self { not_yet: Some(why.to_owned()), ..self }
    }

    /// Names the module of a test, as libtest does: `module::name`.
    #[must_use]
    pub fn of(self, module: &str) -> Self {
        Self { name: format!("{module}::{}", self.name), ..self }
    }

    fn into_trial(self) -> Trial {
        let trial = Trial::test(self.name, self.run);
        match self.not_yet {
            Some(why) => trial.with_kind(format!("not yet: {why}")).with_ignored_flag(true),
            None => trial,
        }
    }
}

/// A pool of equal fixtures that take long to make. Each lives on its own thread, in its own network namespace, and serves one
/// test at a time. Fixtures are made when tests need them, and dropped after the last test.
pub struct Shared<T> {
    make: fn() -> Making<T>,
    /// The maximum number of fixtures.
    at_most: usize,
    /// The fixtures so far, and the queue of tests.
    running: Mutex<Running<T>>,
}

/// The future that makes a fixture.
pub type Making<T> = LocalBoxFuture<'static, Result<T, String>>;
/// A test that uses a fixture.
pub type Body<T> = Box<dyn for<'a> FnOnce(&'a mut T) -> LocalBoxFuture<'a, Result<(), String>> + Send>;
type Job<T> = (Body<T>, oneshot::Sender<Result<(), String>>);
/// The queue of tests: an idle thread takes the next.
type Inbox<T> = Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Job<T>>>>;

struct Running<T> {
    /// Sender of the queue; `None` once the pool is being dropped.
    jobs: Option<mpsc::UnboundedSender<Job<T>>>,
    inbox: Inbox<T>,
    threads: Vec<JoinHandle<()>>,
    /// The number of queued and running tests.
    tests: usize,
}

impl<T> std::fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("at_most", &self.at_most).finish_non_exhaustive()
    }
}

impl<T: 'static> Shared<T> {
    /// A pool of at most `at_most` fixtures. `make` makes another one when a test finds all of them in use.
    #[must_use]
    pub fn new(at_most: usize, make: fn() -> Making<T>) -> Arc<Self> {
        let (jobs, inbox) = mpsc::unbounded_channel();
        let inbox = Arc::new(tokio::sync::Mutex::new(inbox));
        let running = Running { jobs: Some(jobs), inbox, threads: Vec::new(), tests: 0 };
        Arc::new(Self { make, at_most, running: Mutex::new(running) })
    }

    /// A test that uses one of the fixtures.
    #[must_use]
    pub fn case(self: &Arc<Self>, name: &str, body: Body<T>) -> Case {
        let shared = Arc::clone(self);
        Case {
            name: name.to_owned(),
            not_yet: None,
            run: Box::new(move || shared.run(body).map_err(Failed::from)),
        }
    }

    fn run(&self, body: Body<T>) -> Result<(), String> {
        let ended = || "the thread of what the tests share has ended".to_owned();
        let (done, result) = oneshot::channel();
        {
            let mut running = self.running();
            running.tests += 1;
            if running.threads.len() < running.tests.min(self.at_most) {
                let inbox = Arc::clone(&running.inbox);
                running.threads.push(start(self.make, inbox));
            }
            running.jobs.as_ref().and_then(|jobs| jobs.send((body, done)).ok()).ok_or_else(ended)?;
        }
        let result = result.blocking_recv().map_err(|_| ended());
        self.running().tests -= 1;
        result?
    }
}

impl<T> Shared<T> {
    fn running(&self) -> MutexGuard<'_, Running<T>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let threads = {
            let mut running = self.running();
            running.jobs = None;
            std::mem::take(&mut running.threads)
        };
        for thread in threads {
            // A panic has been printed by the thread.
            let _ = thread.join();
        }
    }
}

fn start<T: 'static>(make: fn() -> Making<T>, inbox: Inbox<T>) -> JoinHandle<()> {
    let serve = move || async move {
        let mut shared = make().await;
        loop {
            let Some((body, done)) = inbox.lock().await.recv().await else { return };
            let result = match &mut shared {
                Ok(shared) => AssertUnwindSafe(body(shared)).catch_unwind().await,
                Err(error) => Ok(Err(error.clone())),
            };
            // Whoever waited for it may have gone.
            let _ = done.send(result.unwrap_or_else(|_| Err("it panicked".to_owned())));
        }
    };
    std::thread::spawn(move || {
        if let Err(error) = in_own_namespace(serve) {
            let _ = writeln!(std::io::stderr(), "FAILED: {}", error.message().unwrap_or_default());
        }
    })
}

/// Runs a future on this thread, in a network namespace that becomes the thread's own.
fn in_own_namespace<F: Future>(body: impl FnOnce() -> F) -> Result<F::Output, Failed> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| {
        Failed::from(LabError::Forbidden { what: "a network namespace", source: errno.into() })
    })?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(LocalSet::new().block_on(&runtime, body()))
}

/// How many tests run side by side, unless the command line says otherwise. They mostly wait: two keep a machine of two
/// processors busy for a fifth of the time. With many more, a busy machine would turn waiting into failing.
const AT_ONCE: usize = 4;

/// Enters the sandbox and runs the tests. A sandbox that cannot be had fails loudly: nothing was tested.
#[must_use]
pub fn main(cases: impl FnOnce() -> Vec<Case>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    if arguments.list {
        return libtest_mimic::run(&arguments, cases().into_iter().map(Case::into_trial).collect())
            .exit_code();
    }
    if let Err(error) = crate::sandbox::enter() {
        let _ = writeln!(std::io::stderr(), "FAILED: the tests could not run: {error}");
        return ExitCode::FAILURE;
    }
    // Each test runs on a thread that enters a namespace and ends: never on the main thread.
    arguments.test_threads = Some(arguments.test_threads.unwrap_or(AT_ONCE).max(2));
    libtest_mimic::run(&arguments, cases().into_iter().map(Case::into_trial).collect()).exit_code()
}
