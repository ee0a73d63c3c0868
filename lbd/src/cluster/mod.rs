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
pub(crate) mod running;
pub(crate) mod status;
pub(crate) mod top;

use std::future::Future;
use std::io::{self, Write};
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Client;
use lbk8s::watching::explain_client;

pub(crate) use self::explain::explain;
use self::found::{Found, Source};
use self::report::Report;
use self::status::BOLD;
use crate::cli::{AskArguments, ClusterArguments};
use crate::client;
use crate::columns::harmless;
use crate::exit::{Failure, Outcome};

/// An API server.
#[derive(Clone)]
struct Server {
    client: Client,
    url: String,
}

impl Server {
    async fn of(arguments: &ClusterArguments) -> Result<Self, Failure> {
        let (client, url) = client::connect_to_ask(arguments).await?;
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

/// A look at a great cluster costs it something: between two there is a second, or more if one takes long.
fn pause(took: Duration) -> Duration {
    Duration::from_secs(1).max(took * 4)
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

/// A table with its first line as a heading.
fn print(lines: &[String]) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    let (header, rest) = lines.split_first().map_or(("", &[][..]), |(first, rest)| (&**first, rest));
    writeln!(out, "{BOLD}{header}{BOLD:#}")?;
    rest.iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// There is nothing, or nobody could be asked: then it is said who.
fn nothing(report: &Report, otherwise: &str) -> Outcome {
    let mut err = anstream::stderr().lock();
    for problem in &report.problems {
        writeln!(err, "{}: {}", problem.severity.word(), harmless(&problem.text))?;
    }
    if report.problems.is_empty() {
        writeln!(err, "{otherwise}")?;
    }
    Err(Failure::Found)
}

/// A text, or a dash.
fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}
