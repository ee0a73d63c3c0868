//! A host of the LAN: one thread in a network namespace of its own.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread::JoinHandle;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use nix::sched::{CloneFlags, unshare};
use tokio::runtime::{self, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use crate::sandbox::Process;
use crate::{LabError, Net};

type Job = Box<dyn FnOnce() -> LocalBoxFuture<'static, ()> + Send>;

/// Owns the thread and the namespace. Dropping it ends both, and all that runs on the host as a task; child
/// processes keep the namespace until they end.
#[derive(Debug)]
pub struct Host {
    name: String,
    net: Net,
    netns: File,
    jobs: Option<mpsc::UnboundedSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// A host that is plugged in nowhere yet.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn new(name: &str) -> Result<Self, LabError> {
        let (ready, started) = oneshot::channel();
        let (jobs, inbox) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || serve(ready, inbox))
            .map_err(LabError::io(format!("starting host {name}")))?;
        let (net, netns) = started.await.map_err(|_| LabError::HostEnded(name.to_owned()))??;
        net.up(net.index("lo").await?).await?;
        Ok(Self { name: name.to_owned(), net, netns, jobs: Some(jobs), thread: Some(thread) })
    }

    /// The host's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The netlink verbs of its namespace.
    #[must_use]
    pub fn net(&self) -> &Net {
        &self.net
    }

    pub(crate) fn netns(&self) -> BorrowedFd<'_> {
        self.netns.as_fd()
    }

    /// Runs a future on the host's thread and waits for its result. Sockets it opens belong to the host; tasks it
    /// starts with `spawn_local` live as long as the host.
    ///
    /// # Errors
    /// [`LabError::HostEnded`], also when the job panicked.
    pub async fn run<F, T>(&self, job: impl FnOnce() -> F + Send + 'static) -> Result<T, LabError>
    where
        F: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        let (done, result) = oneshot::channel();
        // Whoever waited for the result may have gone.
        let job: Job = Box::new(move || job().map(move |value| drop(done.send(value))).boxed_local());
        let ended = || LabError::HostEnded(self.name.clone());
        let jobs = self.jobs.as_ref().expect("present until drop");
        jobs.send(job).map_err(|_| ended())?;
        result.await.map_err(|_| ended())
    }

    /// Starts a child process on the host.
    ///
    /// # Errors
    /// What the system says.
    pub async fn start(
        &self,
        name: impl Into<String>,
        mut command: std::process::Command,
    ) -> Result<Process, LabError> {
        let name = name.into();
        let doing = LabError::io(format!("starting {name} on {}", self.name));
        self.run(move || async move { Process::start(name, &mut command) }).await?.map_err(doing)
    }

    /// Writes the setting `/proc/sys/net/{key}` of the host; the key has slashes.
    ///
    /// # Errors
    /// What the kernel says, as in a container that has `/proc/sys` read-only.
    pub async fn sysctl(&self, key: &str, value: &'static str) -> Result<(), LabError> {
        let path = format!("/proc/sys/net/{key}");
        let doing = LabError::io(format!("writing {value} to {path} on {}", self.name));
        self.run(move || async move { std::fs::write(path, value) }).await?.map_err(doing)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic has been printed by the thread.
            let _ = thread.join();
        }
    }
}

type Ready = oneshot::Sender<Result<(Net, File), LabError>>;

/// The host's thread: enters the namespace, then serves jobs side by side until the host is dropped.
fn serve(ready: Ready, mut inbox: mpsc::UnboundedReceiver<Job>) {
    let (netns, runtime) = match enter() {
        Ok(entered) => entered,
        Err(error) => return drop(ready.send(Err(error))),
    };
    LocalSet::new().block_on(&runtime, async move {
        if ready.send(Net::open().map(|net| (net, netns))).is_err() {
            return;
        }
        while let Some(job) = inbox.recv().await {
            tokio::task::spawn_local(job());
        }
    });
}

fn enter() -> Result<(File, Runtime), LabError> {
    unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|errno| LabError::Forbidden { what: "a network namespace", source: errno.into() })?;
    let netns = File::open("/proc/thread-self/ns/net").map_err(LabError::io("opening the namespace"))?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(LabError::io("starting a runtime"))?;
    Ok((netns, runtime))
}
