//! Questions to a cluster that runs: what its objects say, and what its speakers and its controller say themselves.

mod explain;
mod found;
pub(crate) mod history;
pub(crate) mod manifests;
pub(crate) mod members;
mod objects;
pub(crate) mod pools;
mod reach;
mod report;
pub(crate) mod status;
pub(crate) mod top;

use std::future::Future;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Client;
use lbk8s::watching::explain_client;

pub(crate) use self::explain::explain;
use self::found::{Found, Source};
use crate::cli::{AskArguments, ClusterArguments};
use crate::client;
use crate::exit::Failure;

/// An API server.
#[derive(Clone)]
struct Server {
    client: Client,
    url: String,
}

impl Server {
    async fn of(arguments: &ClusterArguments) -> Result<Self, Failure> {
        let (client, url) = client::connect_named(arguments).await?;
        Ok(Self { client, url })
    }

    /// It does not tell what it is asked for.
    fn fail(&self, what: &str, error: &kube::Error) -> Failure {
        let why = match error {
            kube::Error::Api(status) if matches!(status.code, 401 | 403) => format!(
                "{what} may not be read: {}. The roles lbd-viewer (deploy/viewer.yaml) have what is needed",
                status.message
            ),
            kube::Error::Api(status) => format!("{what} cannot be read: {}", status.message),
            other => format!("the API server is not reached: {}", explain_client(other)),
        };
        Failure::Cluster { url: self.url.clone(), why }
    }
}

/// Runs a question to its end.
fn run<T>(question: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(question)
}

/// Asks everybody once.
fn ask(arguments: &AskArguments) -> Result<Found, Failure> {
    run(async { Source::of(arguments).await?.ask().await })
}

/// How long ago that was, as kubectl writes it.
fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).max(SignedDuration::ZERO).as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A text, or a dash.
fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}
