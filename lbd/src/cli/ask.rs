//! Questions to a cluster that runs.

use std::net::{IpAddr, SocketAddr};

use clap::Args;

use super::Format;
use super::server::{ClusterArguments, NamespaceArguments};

/// Who is asked.
#[derive(Debug, Args)]
pub(crate) struct AskArguments {
    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
    /// Ask the speaker, the controller or the `lbd run` at this address (its --http), and no API server (repeatable)
    #[arg(long, value_delimiter = ',', value_name = "ADDRESS:PORT")]
    #[arg(conflicts_with_all = ["kubeconfig", "context", "server"])]
    pub(crate) at: Vec<SocketAddr>,
    #[command(flatten)]
    pub(crate) namespace: NamespaceArguments,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// Show it again whenever it changes, until interrupted
    #[arg(long, short)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) shown: ShownArguments,
}

/// A question without an object.
#[derive(Debug, Args)]
pub(crate) struct ShownArguments {
    /// In which form to print
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub(crate) output: Format,
    #[command(flatten)]
    pub(crate) ask: AskArguments,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArguments {
    /// The address of a Service
    pub(crate) address: IpAddr,
    #[command(flatten)]
    pub(crate) shown: ShownArguments,
}

#[derive(Debug, Args)]
pub(crate) struct TopArguments {
    #[command(flatten)]
    pub(crate) ask: AskArguments,
}
