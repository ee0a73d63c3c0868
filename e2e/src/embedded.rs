//! The embedded store as the API server of a cluster, with stand-ins for the endpoint slice controller and kube-proxy.

mod proxies;
mod slices;

use std::net::SocketAddr;

use kube::Client;
use lbk8s::Store;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

pub use proxies::stand_in_for_kube_proxy;

use crate::Result;
use crate::site::SERVER;

/// The store, served over HTTP on the bridge.
#[derive(Debug)]
pub struct Embedded {
    store: Store,
    address: SocketAddr,
    serving: Option<AbortHandle>,
    slices: AbortHandle,
}

impl Embedded {
    /// Starts an empty store. To be called inside a `LocalSet`.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn start() -> Result<Self> {
        let store = Store::default();
        let slices = tokio::task::spawn_local(slices::keep(store.client())).abort_handle();
        let address = SocketAddr::from((SERVER, 6443));
        let mut embedded = Self { store, address, serving: None, slices };
        embedded.serve().await?;
        Ok(embedded)
    }

    /// The store itself, for its faults and its counts.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn client(&self) -> Client {
        self.store.client()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn stop_serving(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
    }

    pub(crate) fn serves(&self) -> bool {
        self.serving.is_some()
    }

    pub(crate) async fn serve(&mut self) -> Result {
        let listener = TcpListener::bind(self.address).await?;
        let store = self.store.clone();
        let serving = tokio::task::spawn_local(async move { store.serve(listener).await });
        self.serving = Some(serving.abort_handle());
        Ok(())
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.stop_serving();
        self.slices.abort();
    }
}
