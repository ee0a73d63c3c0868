//! The command line.

mod ask;
mod listen;
mod offline;
mod server;
mod together;
mod wire;

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use lbcore::ServiceKey;
use lbnet::Pattern;

pub(crate) use self::ask::{AskArguments, HistoryArguments, ShownArguments, StatusArguments, TopArguments};
use self::listen::ListenArguments;
pub(crate) use self::offline::{
    CheckArguments, ConvertArguments, ExplainArguments, LostAddresses, PlanArguments, WorldArguments,
};
pub(crate) use self::server::{ClusterArguments, ServerArguments, WhereArguments};
use self::together::TogetherArguments;
use self::wire::WireArguments;
use crate::exit::{EXIT_CODES, Outcome};

/// LoadBalancer addresses for Kubernetes clusters that have no cloud.
///
/// A Service of type LoadBalancer gets an address out of your own ranges, and one node answers ARP and NDP for
/// it. lbd reads the objects and annotations of MetalLB's layer-2 mode as they are.
#[derive(Debug, Parser)]
#[command(name = "lbd", disable_version_flag = true, after_help = format!("{}\n\n{EXIT_CODES}", examples()))]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// What this process was told. As a plugin of kubectl it has another name.
    pub(crate) fn from_arguments() -> Self {
        let called = std::env::args_os().next().map(PathBuf::from);
        let is_plugin = called.as_deref().and_then(std::path::Path::file_stem).is_some_and(|it| it == PLUGIN);
        let command = Self::command();
        let command = if is_plugin { command.bin_name("kubectl lb") } else { command };
        Self::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
    }
}

/// How a plugin is called that kubectl finds as `kubectl lb`.
const PLUGIN: &str = "kubectl-lb";

/// The end of `lbd --help`.
fn examples() -> String {
    let demo = if cfg!(feature = "demo") {
        "  lbd demo                                  see the whole story, without root and without a cluster\n"
    } else {
        ""
    };
    format!("Begin with:\n{demo}{EXAMPLES}")
}

const EXAMPLES: &str = "\
\x20 lbd run --manifests pool.yaml services/   serve Services from files on this host
  lbd plan -f pool.yaml -f services/        what every Service would get, and why, offline
  lbd check -f pool.yaml                    what is wrong with manifests, offline
  lbd whohas 192.168.3.253                  who answers for an address on the LAN
  lbd controller                            in a cluster, once
  lbd speaker --node-name $NODE_NAME        in a cluster, on every node
  lbd status                                how a cluster is, and what needs attention

Installed as kubectl-lb it is a plugin of kubectl: kubectl lb status";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the whole story on a LAN of namespaces on this machine; changes nothing outside of them
    #[cfg(feature = "demo")]
    Demo(DemoArguments),
    /// Serve the Services of manifest files on this host, without a cluster
    Run(RunArguments),
    /// Give addresses to the Services of a cluster (one replica)
    Controller(ControllerArguments),
    /// Answer on this node for the addresses it owns (on every node)
    Speaker(SpeakerArguments),
    /// Show how a cluster is: what needs attention first, then its speakers, pools and Services
    Status(StatusArguments),
    /// Show the pools of a cluster, and how full they are
    Pools(ShownArguments),
    /// Show the speakers of a cluster, and what they answer for
    Members(ShownArguments),
    /// Show who has answered for an address, since when, and why
    History(HistoryArguments),
    /// Watch addresses, owners, moves and frames live, on the whole screen
    Top(TopArguments),
    /// Send the addresses of a node elsewhere before it is worked on, without a question unanswered
    Drain(DrainArguments),
    /// Let a node that was drained answer again; what has moved stays where it is
    Undrain(DrainArguments),
    /// Spread addresses evenly over the nodes again, without a question unanswered
    Rebalance(RebalanceArguments),
    /// Show what every Service of manifests would get, and why; or what they would change in a cluster (--cluster)
    #[command(after_help = VERDICTS)]
    Plan(PlanArguments),
    /// Show all that is wrong with manifests, or with the objects of a cluster (--cluster)
    #[command(after_help = VERDICTS)]
    Check(CheckArguments),
    /// Show why a Service has its address or waits, why this node answers, and what the LAN says; of manifests (-f),
    /// which pools were looked at for it, in which order, and why each was passed over
    Explain(ExplainArguments),
    /// Ask the LAN who has an address: every station that answers, and how fast
    #[command(after_help = WHOHAS_CODES)]
    Whohas(WhohasArguments),
    /// Answer for addresses on this host, and tell the LAN: without a cluster, without pools
    Announce(AnnounceArguments),
    /// Turn a ConfigMap of MetalLB before v0.13 into today's objects
    Convert(ConvertArguments),
    /// Print the definitions of the kinds that a cluster needs (CRDs)
    Crds,
    /// Print the manifests that install lbd in a cluster
    Manifests(ManifestsArguments),
    /// Print what completes the words of this command line in a shell
    #[command(after_help = COMPLETIONS)]
    Completions(CompletionsArguments),
    /// Write the manual pages, one for each command
    Man(ManArguments),
    /// Print the version
    Version,
}

const VERDICTS: &str = "\
An error is something that is not in force as it is written, a warning something that is in force but probably
not meant.

Exit codes:
  0  no errors (with --strict: no warnings either)
  1  errors
  2  the arguments are not right";

const WHOHAS_CODES: &str = "\
Asks past this host's own cache, by ARP or by neighbour solicitation. A host does not hear its own questions: what
this host answers itself is seen from another one only.

Exit codes:
  0  one station answers
  1  nobody answers, or it could not be asked
  2  the arguments are not right
  3  not permitted: no raw sockets
  4  more than one station answers";

const COMPLETIONS: &str = "\
To have it in every shell:
  lbd completions bash > /etc/bash_completion.d/lbd
  lbd completions zsh > \"${fpath[1]}/_lbd\"
  lbd completions fish > ~/.config/fish/completions/lbd.fish";

/// In which form to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For machines
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct WhohasArguments {
    /// The address, IPv4 or IPv6
    pub(crate) address: IpAddr,
    /// Ask on this interface (repeatable): a name, eth*, or a regular expression as in /^en(o|p)/. By default: on the
    /// interfaces that carry the address's subnet, or on all if there is none
    #[arg(long = "interface", short, value_name = "NAME")]
    pub(crate) interfaces: Vec<Pattern>,
    /// How often to ask
    #[arg(long, short = 'c', default_value_t = 3, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) count: u32,
    /// Milliseconds in which answers are heard after each question
    #[arg(long, short, default_value_t = 200, value_name = "MS")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub(crate) wait: u64,
    /// In which form to print
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct AnnounceArguments {
    /// The addresses, IPv4 or IPv6
    #[arg(required = true, value_name = "ADDRESS")]
    pub(crate) addresses: Vec<IpAddr>,
    /// Answer even if another station has the address; by default that is found out first
    #[arg(long)]
    pub(crate) no_probe: bool,
    #[command(flatten)]
    pub(crate) wire: WireArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ManifestsArguments {
    /// The image of the workloads. By default: lbd with this version
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// The folder to write them to, as in /usr/local/share/man/man1
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
}

#[cfg(feature = "demo")]
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Print one JSON object a line: each step with what the client saw, and last `{"done":true,...}`
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Manifests: files, or folders of .yaml, .yml and .json files. Objects are created in this order, and
    /// changes of the files are followed
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    pub(crate) manifests: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) listening: ListenArguments,
    #[command(flatten)]
    pub(crate) wire: WireArguments,
    /// What becomes of addresses that Services hold and no pool has any more
    #[arg(long, value_enum, default_value = "keep", value_name = "WHAT")]
    pub(crate) lost_addresses: LostAddresses,
    /// The name of this host as a node. By default: its host name
    #[arg(long, env = "LBD_NODE_NAME", value_name = "NAME", value_parser = not_empty)]
    pub(crate) node_name: Option<String>,
    /// Addresses of other hosts that run this with the same files: each address has one owner among them, and the next
    /// one when that fails
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "ADDRESS")]
    pub(crate) peers: Vec<IpAddr>,
    #[command(flatten)]
    pub(crate) together: TogetherArguments,
    /// Run this command every second; while it fails, this host does not answer for the Service (repeatable)
    #[arg(long = "check", value_name = "NAMESPACE/NAME=COMMAND", value_parser = check_command, requires = "peers")]
    pub(crate) checks: Vec<(ServiceKey, String)>,
    /// Keep what Services hold in this folder, and what is written over --listen, so that it is there after a restart
    #[arg(long, env = "LBD_STATE_DIR", value_name = "FOLDER")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Listen on this socket for lbd drain --socket and lbd rebalance --socket
    #[arg(long, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,
    /// Tell over HTTP how it goes, here: a page, /healthz, /readyz, /metrics, and JSON under /v1
    #[arg(long, env = "LBD_HTTP", value_name = "ADDRESS:PORT")]
    pub(crate) http: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) metrics: MetricsArguments,
}

/// Which metrics are told beside those that are always told.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct MetricsArguments {
    /// Tell of each address by itself in /metrics: as many series as there are addresses
    #[arg(long, env = "LBD_METRICS_BY_ADDRESS")]
    pub(crate) metrics_by_address: bool,
    /// Tell the same under the names of MetalLB's metrics too, for dashboards that are there already
    #[arg(long, env = "LBD_METALLB_METRIC_NAMES")]
    pub(crate) metallb_metric_names: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ControllerArguments {
    #[command(flatten)]
    pub(crate) server: ServerArguments,
    /// What becomes of addresses that Services hold and no pool has any more
    #[arg(long, value_enum, default_value = "keep", value_name = "WHAT", env = "LBD_LOST_ADDRESSES")]
    pub(crate) lost_addresses: LostAddresses,
    /// The name of this pod. By default: the host's name
    #[arg(long, env = "LBD_POD_NAME", value_name = "NAME", value_parser = not_empty)]
    pub(crate) pod_name: Option<String>,
    /// Tell over HTTP how it goes, here: a page, /healthz, /readyz, /metrics, and JSON under /v1
    #[arg(long, env = "LBD_HTTP", default_value = "127.0.0.1:7949", value_name = "ADDRESS:PORT")]
    pub(crate) http: SocketAddr,
    #[command(flatten)]
    pub(crate) metrics: MetricsArguments,
    /// Give addresses without holding the Lease: for tests of what happens when two do
    #[arg(long, hide = true)]
    pub(crate) without_lease: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DrainArguments {
    /// The node, as its Node object is called
    #[arg(value_name = "NODE", required_unless_present = "socket", conflicts_with = "socket")]
    pub(crate) node: Option<String>,
    /// In which form to print
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub(crate) output: Format,
    #[command(flatten)]
    pub(crate) server: WhereArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RebalanceArguments {
    /// In which form to print
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub(crate) output: Format,
    #[command(flatten)]
    pub(crate) server: WhereArguments,
}

#[derive(Debug, Args)]
pub(crate) struct SpeakerArguments {
    /// The name of this node, as its Node object is called
    #[arg(long, env = "LBD_NODE_NAME", value_name = "NAME", value_parser = not_empty)]
    pub(crate) node_name: String,
    #[command(flatten)]
    pub(crate) together: TogetherArguments,
    /// Addresses of other speakers, beside those of the Node objects
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "ADDRESS")]
    pub(crate) peers: Vec<IpAddr>,
    /// Keep what is known in this folder, so that a restart goes on without the API server
    #[arg(long, env = "LBD_STATE_DIR", value_name = "FOLDER")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Tell over HTTP how it goes, here: a page, /healthz, /readyz, /metrics, and JSON under /v1
    #[arg(long, env = "LBD_HTTP", default_value = "127.0.0.1:7948", value_name = "ADDRESS:PORT")]
    pub(crate) http: SocketAddr,
    #[command(flatten)]
    pub(crate) metrics: MetricsArguments,
    /// Let nodes with the label node.kubernetes.io/exclude-from-external-load-balancers announce too
    #[arg(long, env = "LBD_IGNORE_EXCLUDE_LB")]
    pub(crate) ignore_exclude_lb: bool,
    #[command(flatten)]
    pub(crate) wire: WireArguments,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

fn check_command(text: &str) -> Result<(ServiceKey, String), String> {
    let usage = || "write a Service and a command, as in default/web=\"curl -fs localhost:8080\"".to_owned();
    let (service, command) = text.split_once('=').ok_or_else(usage)?;
    if command.trim().is_empty() {
        return Err(usage());
    }
    Ok((service.parse().map_err(|error: lbcore::ParseKeyError| error.to_string())?, command.to_owned()))
}

fn not_empty(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("write a name".to_owned()) } else { Ok(text.to_owned()) }
}

/// `lbd version`.
pub(crate) fn print_version() -> Outcome {
    writeln!(std::io::stdout(), "lbd {}", env!("CARGO_PKG_VERSION"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_check_is_a_service_and_a_command() {
        let (service, command) = check_command("default/web=test a = b").unwrap();
        assert_eq!((service.to_string().as_str(), command.as_str()), ("default/web", "test a = b"));
        for text in ["", "default/web", "default/web=", "web=true", "=true"] {
            assert!(check_command(text).is_err(), "{text}");
        }
    }
}
