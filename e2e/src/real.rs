//! A real control plane: etcd, kube-apiserver and kube-controller-manager on the bridge, kube-proxy on each node.
//!
//! Which flags, and why a kubelet is not needed, is told in `e2e/README.md`.

mod credentials;
mod metrics;
mod programs;
mod proxy;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use nix::sys::signal::Signal;

pub use proxy::kube_proxy;

use crate::Result;
use crate::daemon::Daemon;
use crate::role::Role;
use crate::site::Site;
use crate::wait::until;
use credentials::Credentials;
use programs::{start_etcd, start_manager, start_server};

/// Where the programs are: what `e2e/controlplane/build` prints.
pub const PROGRAMS: &str = "CONTROL_PLANE";

/// The programs at work.
pub struct ControlPlane {
    programs: PathBuf,
    folder: PathBuf,
    credentials: Credentials,
    client: Client,
    manager: Daemon,
    server: Option<Daemon>,
    etcd: Option<Daemon>,
    /// How many writes of Services' statuses it had counted when the case began.
    counted: u64,
    /// It was started anew since this was last set to false. For a moment after that it knows no roles, and forbids all.
    pub(crate) restarted: bool,
}

impl ControlPlane {
    /// Starts them, and waits until they are ready.
    ///
    /// # Errors
    /// One of them does not start.
    pub async fn start(_: &Site, folder: &Path) -> Result<Self> {
        let programs = std::env::var_os(PROGRAMS).map(PathBuf::from).ok_or_else(|| {
            format!(
                "{PROGRAMS} does not say where the programs of Kubernetes are: use e2e/run, which builds them"
            )
        })?;
        let folder = folder.to_owned();
        let credentials = Credentials::make(&programs, &folder)?;
        let etcd = start_etcd(&programs, &folder).await?;
        let mut server = start_server(&programs, &folder).await?;
        until("the API server has a certificate", async || {
            server.lives()?;
            Ok(std::fs::metadata(folder.join("certificates/apiserver.crt")).map(drop)?)
        })
        .await?;
        let client = connect(&credentials.admin()).await?;
        ready(&client, &mut server).await?;
        let manager = start_manager(&programs, &folder, &credentials).await?;
        Ok(Self {
            programs,
            folder,
            credentials,
            client,
            manager,
            server: Some(server),
            etcd: Some(etcd),
            counted: 0,
            restarted: false,
        })
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(crate) fn kubeconfig(&self, role: Role) -> PathBuf {
        self.credentials.of(role)
    }

    /// The kubeconfig of a person: `viewer` is in the group of deploy/viewer.yaml, `stranger` in none.
    pub(crate) fn somebody(&self, name: &str) -> PathBuf {
        self.credentials.somebody(name)
    }

    /// The kubeconfig of somebody who may do everything.
    #[must_use]
    pub fn admin(&self) -> PathBuf {
        self.credentials.admin()
    }

    /// Where its programs are.
    #[must_use]
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// Where its logs are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn stop_serving(&mut self) -> Result {
        if let Some(mut server) = self.server.take() {
            server.kill()?;
        }
        Ok(())
    }

    pub(crate) fn serves(&self) -> bool {
        self.server.is_some()
    }

    pub(crate) async fn serve(&mut self) -> Result {
        let mut server = start_server(&self.programs, &self.folder).await?;
        ready(&self.client, &mut server).await?;
        (self.restarted, self.counted) = (true, 0);
        self.server = Some(server);
        Ok(())
    }

    /// Freezes the API server, or lets it go on: connections stay open and nothing comes.
    ///
    /// # Errors
    /// It does not run.
    pub fn freeze(&mut self, frozen: bool) -> Result {
        let server = self.server.as_ref().ok_or("the API server does not run")?;
        server.signal(if frozen { Signal::SIGSTOP } else { Signal::SIGCONT })
    }

    /// Kills etcd.
    ///
    /// # Errors
    /// What the system says.
    pub fn kill_etcd(&mut self) -> Result {
        self.restarted = true;
        self.etcd.take().ok_or("etcd does not run")?.kill()
    }

    /// Starts etcd anew with the same data, if it was killed.
    ///
    /// # Errors
    /// What the system says.
    pub async fn restore_etcd(&mut self) -> Result {
        if self.etcd.is_none() {
            self.etcd = Some(start_etcd(&self.programs, &self.folder).await?);
        }
        if let Some(server) = &mut self.server {
            ready(&self.client, server).await?;
        }
        Ok(())
    }

    /// How many writes of Services' statuses the API server has counted since the case began, or since its own start.
    ///
    /// # Errors
    /// It does not say.
    pub async fn status_writes(&self) -> Result<u64> {
        Ok(metrics::status_writes(&self.client).await?.saturating_sub(self.counted))
    }

    /// A case begins: what is asked of this one counts from now on.
    ///
    /// # Errors
    /// The API server does not say what it has counted.
    pub async fn begin(&mut self) -> Result {
        self.restarted = false;
        self.counted = metrics::status_writes(&self.client).await?;
        Ok(())
    }

    /// Fails if one of them has ended by itself.
    ///
    /// # Errors
    /// One has.
    pub fn lives(&mut self) -> Result {
        if let Some(etcd) = &mut self.etcd {
            etcd.lives()?;
        }
        if let Some(server) = &mut self.server {
            server.lives()?;
        }
        self.manager.lives()
    }

    /// The most memory that each has had, in MiB.
    ///
    /// # Errors
    /// One has ended.
    pub fn peak_memory(&mut self) -> Result<Vec<(&'static str, u64)>> {
        let mut memory = vec![("kube-controller-manager", self.manager.peak_memory()?)];
        if let Some(etcd) = &mut self.etcd {
            memory.push(("etcd", etcd.peak_memory()?));
        }
        if let Some(server) = &mut self.server {
            memory.push(("kube-apiserver", server.peak_memory()?));
        }
        Ok(memory.into_iter().map(|(name, kib)| (name, kib / 1024)).collect())
    }
}

impl std::fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlPlane").field("folder", &self.folder).finish_non_exhaustive()
    }
}

async fn ready(client: &Client, server: &mut Daemon) -> Result {
    until("the API server is ready", async || {
        server.lives()?;
        let request = http::Request::get("/readyz").body(Vec::new())?;
        let answer = tokio::time::timeout(Duration::from_secs(2), client.request_text(request)).await??;
        if answer == "ok" { Ok(()) } else { Err(answer.into()) }
    })
    .await
}

/// A client with the rights of a kubeconfig.
pub(crate) async fn connect(kubeconfig: &Path) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

/// Runs kubectl with all rights on these arguments; what it prints.
pub(crate) async fn kubectl(plane: &ControlPlane, arguments: &[&str]) -> Result<String> {
    let admin = plane.admin();
    kubectl_on(plane, &["--kubeconfig", &admin.to_string_lossy()], arguments).await
}

/// Runs kubectl on the server that `server` says; what it prints.
pub(crate) async fn kubectl_on(plane: &ControlPlane, server: &[&str], arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(plane.programs.join("kubectl"));
    command.args(server).args(arguments).env("HOME", &plane.folder);
    // A thread that is started for this begins in the namespace of the one that starts it.
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("kubectl {}: {said}", arguments.join(" ")).into())
}
