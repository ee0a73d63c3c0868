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

pub(crate) use self::explain::explain;
use self::found::{Found, Source};
use crate::cli::AskArguments;
use crate::exit::Failure;

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
