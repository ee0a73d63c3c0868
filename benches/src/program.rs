//! `lbd` as a process of its own, on a store that this process serves.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::{Api, Client};
use lbk8s::Store;
use lbk8s::store::Verb;
use lblab::Host;
use lblab::sandbox::Process;
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::sync::oneshot;

use crate::process::peak_bytes;
use crate::site::{Result, SERVER, Site};

/// The program: what `LBD` names, else the one beside this program.
///
/// # Errors
/// There is none; the message says how to make it.
pub fn lbd() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("LBD") {
        return Ok(PathBuf::from(named));
    }
    let beside = std::env::current_exe()?.with_file_name("lbd");
    if beside.exists() {
        return Ok(beside);
    }
    Err("there is no lbd beside this program: cargo build --release -p lbd makes it".into())
}

/// A store on a TCP port of this process, served by a thread, until it is dropped.
#[derive(Debug)]
pub struct Served {
    store: Store,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    /// Serves a store in the calling thread's network namespace that holds nothing but the pools' namespace.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn start() -> Result<Self> {
        let store = Store::default();
        let namespace = serde_json::from_value(json!({"metadata": {"name": lbk8s::CONFIG_NAMESPACE}}))?;
        Api::<Namespace>::all(store.client()).create(&PostParams::default(), &namespace).await?;
        let listener = TcpListener::bind((SERVER, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let served = store.clone();
        let serve = move || {
            runtime.block_on(async {
                // The listener is sound: it has been bound above.
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                tokio::select! {
                    () = served.serve(listener) => {}
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(serve)?;
        Ok(Self { store, address, stop: Some(stop), thread: Some(thread) })
    }

    /// A client over TCP, as `lbd` has.
    ///
    /// # Errors
    /// The address makes no URL.
    pub fn client(&self) -> Result<Client> {
        Ok(Client::try_from(kube::Config::new(self.url().parse()?))?)
    }

    /// A client without a socket in between.
    #[must_use]
    pub fn inside(&self) -> Client {
        self.store.client()
    }

    /// The status writes of services so far.
    #[must_use]
    pub fn status_writes(&self) -> u64 {
        self.store.faults().writes(Verb::Patch, "services/status")
    }

    /// Starts `lbd controller`.
    ///
    /// # Errors
    /// What the system says.
    pub fn controller(&self) -> Result<Lbd> {
        Ok(Lbd(Process::start("controller", &mut self.command(&["controller"])?)?))
    }

    /// Starts `lbd speaker` on the site's node, which is called `n`.
    ///
    /// # Errors
    /// What the system says.
    pub async fn speaker(&self, site: &Site) -> Result<Lbd> {
        self.speaker_on(&site.node, &[]).await
    }

    /// Starts `lbd speaker` on a host, as the node of its name.
    ///
    /// # Errors
    /// What the system says.
    pub async fn speaker_on(&self, host: &Host, arguments: &[&str]) -> Result<Lbd> {
        self.start_speaker(host, arguments, Stdio::null()).await
    }

    /// The same, with a log in a file of its own, which is empty at first.
    ///
    /// # Errors
    /// What the system says.
    pub async fn speaker_logging(&self, host: &Host, arguments: &[&str], log: &Path) -> Result<Lbd> {
        self.start_speaker(host, arguments, File::create(log)?.into()).await
    }

    async fn start_speaker(&self, host: &Host, arguments: &[&str], log: Stdio) -> Result<Lbd> {
        let mut command = self.command(&["speaker", "--node-name", host.name(), "--insecure-membership"])?;
        command.args(arguments).stderr(log);
        Ok(Lbd(host.start(format!("the speaker of {}", host.name()), command).await?))
    }

    fn command(&self, role: &[&str]) -> Result<Command> {
        let mut command = Command::new(lbd()?);
        command.args(role).args(["--until-stdin-closes", "--server", &self.url()]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command)
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic has been printed by the thread.
            let _ = thread.join();
        }
    }
}

/// A running `lbd`, until it is dropped.
#[derive(Debug)]
pub struct Lbd(Process);

impl Lbd {
    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(self.0.signal(signal)?)
    }

    /// Kills it without a word.
    ///
    /// # Errors
    /// It has ended.
    pub fn kill(&mut self) -> Result<()> {
        Ok(self.0.child().kill()?)
    }

    /// Its number.
    #[must_use]
    pub fn pid(&mut self) -> u32 {
        self.0.child().id()
    }

    /// Whether it has not ended yet.
    ///
    /// # Errors
    /// What the system says.
    pub fn runs(&mut self) -> Result<bool> {
        Ok(self.0.child().try_wait()?.is_none())
    }

    /// The most bytes that it has had in memory so far.
    ///
    /// # Errors
    /// It has ended.
    pub fn peak_bytes(&mut self) -> Result<f64> {
        if let Some(status) = self.0.child().try_wait()? {
            return Err(format!("lbd {} ended: {status}", self.0.name()).into());
        }
        Ok(peak_bytes(self.0.child().id()))
    }
}
