//! The embedded store as the API server of a cluster, with stand-ins for the endpoint slice controller and kube-proxy.

mod proxies;
mod slices;

use std::net::SocketAddr;

use kube::Client;
use lbk8s::Store;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

pub use proxies::stand_in_for_kube_proxy;

use crate::Result;
use crate::site::SERVER;
use crate::wait::{PATIENCE, until};

/// The store, served over HTTP on the bridge.
#[derive(Debug)]
pub struct Embedded {
    store: Store,
    address: SocketAddr,
    serving: Option<AbortHandle>,
    slices: AbortHandle,
    /// Connections that nobody answers on.
    dead: Vec<TcpStream>,
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
        let mut embedded = Self { store, address, serving: None, slices, dead: Vec::new() };
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

    /// Accepts connections, and says nothing to anybody, until so many wait for an answer. They are left open: who
    /// waits has to find out by himself that nobody is there any more.
    pub(crate) async fn play_dead(&mut self, connections: usize) -> Result {
        self.stop_serving();
        let free = async || Ok(TcpListener::bind(self.address).await?);
        let listener = until("the port is free", free).await?;
        while self.dead.len() < connections {
            self.dead.push(tokio::time::timeout(PATIENCE, listener.accept()).await??.0);
        }
        Ok(())
    }

    pub(crate) async fn serve(&mut self) -> Result {
        let free = async || Ok(TcpListener::bind(self.address).await?);
        let listener = until("the port is free", free).await?;
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
