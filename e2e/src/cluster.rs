//! A cluster, and all that a test does with it.

mod api;
mod barriers;
mod definitions;
mod install;
mod nodes;
mod pods;
mod programs;
mod tidy;

use std::path::{Path, PathBuf};
use std::rc::Rc;

use kube::Client;
use tokio::task::AbortHandle;

use crate::Result;
use crate::daemon::Daemon;
use crate::embedded::stand_in_for_kube_proxy;
use crate::plane::{Kind, Plane};
use crate::real::kube_proxy;
use crate::site::Site;
pub use definitions::Before;
use pods::Pod;
use programs::Programs;
pub use programs::lbd;

/// A cluster. It ends with this value.
pub struct Cluster {
    /// Its hosts and wires.
    pub site: Site,
    /// Its API server.
    pub plane: Plane,
    client: Client,
    programs: Programs,
    proxies: Proxies,
    pods: Vec<Pod>,
    next_pod: u8,
    /// How many things were made under names of their own.
    made: u32,
    folder: PathBuf,
}

/// What passes connections on, on every node.
#[derive(Debug)]
enum Proxies {
    StandIns(Vec<AbortHandle>),
    Real(Vec<Daemon>),
}

/// What a cluster is to be like.
#[derive(Debug, Clone)]
pub struct Builder {
    plane: Kind,
    nodes: u8,
    folder: PathBuf,
}

impl Builder {
    /// A cluster with three nodes of both families; its files go to a folder of its own under the system's folder
    /// for such.
    #[must_use]
    pub fn new(plane: Kind) -> Self {
        // Threads of one process have clusters of their own.
        let thread =
            format!("{:?}", std::thread::current().id()).replace(|it: char| !it.is_ascii_digit(), "");
        let folder = std::env::temp_dir().join(format!("lbd-e2e-{}-{thread}", std::process::id()));
        Self { plane, nodes: 3, folder }
    }

    /// With this many nodes.
    #[must_use]
    pub fn nodes(self, nodes: u8) -> Self {
        Self { nodes, ..self }
    }

    /// Builds it: nodes, API server and kube-proxy, but none of our programs yet.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn build(self) -> Result<Cluster> {
        std::fs::create_dir_all(&self.folder)?;
        let site = Site::new(self.nodes).await?;
        let plane = Plane::start(self.plane, &site, &self.folder).await?;
        let client = plane.client();
        install::install(&plane, &client, &site).await?;
        let proxies = match &plane {
            Plane::Embedded(_) => Proxies::StandIns(
                site.nodes.iter().map(|node| stand_in(client.clone(), Rc::clone(&node.host))).collect(),
            ),
            Plane::Real(real) => {
                let mut proxies = Vec::new();
                for node in &site.nodes {
                    proxies.push(kube_proxy(real, node).await?);
                }
                Proxies::Real(proxies)
            }
        };
        let programs = Programs::default();
        let (pods, next_pod) = (Vec::new(), 1);
        Ok(Cluster { site, plane, client, programs, proxies, pods, next_pod, made: 0, folder: self.folder })
    }
}

fn stand_in(client: Client, host: Rc<lblab::Host>) -> AbortHandle {
    let work = async move {
        if let Err(error) = stand_in_for_kube_proxy(client, &host).await {
            panic!("the stand-in for kube-proxy on {}: {error}", host.name());
        }
    };
    tokio::task::spawn_local(work).abort_handle()
}

impl Cluster {
    /// A client that may do everything.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Which API server it has.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.plane.kind()
    }

    /// Where its files are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Brings the API server back, and what is under it, if a test has left them stopped.
    ///
    /// # Errors
    /// What the system says.
    pub async fn restored(&mut self) -> Result {
        if let Plane::Real(real) = &mut self.plane {
            real.restore_etcd().await?;
        }
        if self.plane.serves() { Ok(()) } else { self.plane.serve().await }
    }

    /// Fails if a program has ended by itself that should run.
    ///
    /// # Errors
    /// One has; its last words are told.
    pub fn lives(&mut self) -> Result {
        self.programs.live()?;
        if let Plane::Real(real) = &mut self.plane {
            real.lives()?;
        }
        if let Proxies::Real(proxies) = &mut self.proxies {
            for proxy in proxies {
                proxy.lives()?;
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("site", &self.site).field("pods", &self.pods).finish_non_exhaustive()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Proxies::StandIns(stand_ins) = &self.proxies {
            stand_ins.iter().for_each(AbortHandle::abort);
        }
        // Logs of what failed have been told.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
