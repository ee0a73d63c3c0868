//! The API server under a cluster: the embedded store, or a real control plane.

use std::path::Path;

use kube::Client;

use crate::Result;
use crate::embedded::Embedded;
use crate::real::ControlPlane;
use crate::role::Role;
use crate::site::Site;

/// Which API server a cluster has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The embedded store, with stand-ins for what Kubernetes brings.
    Embedded,
    /// The programs of Kubernetes.
    Real,
}

/// An API server at work. It ends with this value.
#[derive(Debug)]
pub enum Plane {
    /// The embedded store.
    Embedded(Embedded),
    /// A real control plane.
    Real(Box<ControlPlane>),
}

impl Plane {
    /// Starts it on the bridge of the site; its files go to `folder`.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(kind: Kind, site: &Site, folder: &Path) -> Result<Self> {
        Ok(match kind {
            Kind::Embedded => Self::Embedded(Embedded::start().await?),
            Kind::Real => Self::Real(Box::new(ControlPlane::start(site, folder).await?)),
        })
    }

    /// Which one it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Embedded(_) => Kind::Embedded,
            Self::Real(_) => Kind::Real,
        }
    }

    /// A client that may do everything.
    #[must_use]
    pub fn client(&self) -> Client {
        match self {
            Self::Embedded(embedded) => embedded.client(),
            Self::Real(real) => real.client(),
        }
    }

    /// The arguments by which our programs find it, with the rights of a role.
    #[must_use]
    pub fn way(&self, role: Role) -> Vec<String> {
        match self {
            Self::Embedded(embedded) => vec!["--server".to_owned(), embedded.url()],
            Self::Real(real) => {
                vec!["--kubeconfig".to_owned(), real.kubeconfig(role).to_string_lossy().into_owned()]
            }
        }
    }

    /// Takes the API server away from everybody.
    ///
    /// # Errors
    /// What the system says.
    pub fn stop_serving(&mut self) -> Result {
        match self {
            Self::Embedded(embedded) => {
                embedded.stop_serving();
                Ok(())
            }
            Self::Real(real) => real.stop_serving(),
        }
    }

    /// Whether it can be asked.
    #[must_use]
    pub fn serves(&self) -> bool {
        match self {
            Self::Embedded(embedded) => embedded.serves(),
            Self::Real(real) => real.serves(),
        }
    }

    /// Brings it back, with all that was in it.
    ///
    /// # Errors
    /// What the system says.
    pub async fn serve(&mut self) -> Result {
        match self {
            Self::Embedded(embedded) => embedded.serve().await,
            Self::Real(real) => real.serve().await,
        }
    }
}
