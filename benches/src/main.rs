//! `cargo run --release -p benches -- report [--json]`, and `-- cluster --kubeconfig FILE` for a cluster's figures.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use benches::asker::Asker;
use benches::cluster::{self, Plan, Server};
use benches::site::Result;
use benches::{Figure, Group, failover};
use clap::{Args, Parser, Subcommand, ValueEnum};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::task::LocalSet;

/// What this project promises in figures, measured on this machine.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure every figure and print one table
    Report {
        /// Measure only these
        #[arg(long, value_name = "GROUPS", value_delimiter = ',')]
        only: Vec<Group>,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Measure what happens when the owner of an address fails or gives it up, and what it costs to notice
    Failover {
        /// Nodes with a speaker
        #[arg(long, value_name = "COUNT", default_value_t = 3)]
        #[arg(value_parser = clap::value_parser!(u8).range(2..=60))]
        nodes: u8,
        /// How often each is done
        #[arg(long, value_name = "COUNT", default_value_t = 10)]
        runs: usize,
        /// Milliseconds between heartbeats
        #[arg(long, value_name = "MS", default_value_t = 100)]
        heartbeat: u64,
        /// Minutes for which one packet in twenty is lost
        #[arg(long, value_name = "MINUTES", default_value_t = 10)]
        loss_minutes: u32,
        /// Measure only these
        #[arg(long, value_name = "PARTS", value_delimiter = ',')]
        only: Vec<failover::Part>,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Measure how soon services have addresses in a cluster where `lbd controller` runs
    Cluster(ClusterArguments),
}

#[derive(Debug, Args)]
struct ClusterArguments {
    /// The way to the cluster
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
    /// The namespace of pools
    #[arg(long, value_name = "NAME", default_value = lbk8s::CONFIG_NAMESPACE)]
    namespace: String,
    /// How many services are present while some are measured one at a time
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_value = "10,3000,5000")]
    present: Vec<usize>,
    /// How many services wait for an address at once
    #[arg(long, value_name = "COUNT", default_value_t = 5_000)]
    at_once: usize,
    /// How many services are measured one at a time
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    samples: usize,
    /// Ask by ARP too, out of this interface of this host: the LAN must be one that a speaker announces on
    #[arg(long, value_name = "NAME")]
    arp_interface: Option<String>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let (measured, json) = match Cli::parse().command {
        Command::Report { only, json } => {
            let groups = if only.is_empty() { benches::all() } else { only };
            // No thread exists yet: some figures are taken in network namespaces.
            (lblab::sandbox::enter().map_err(Into::into).and_then(|()| benches::measure(&groups)), json)
        }
        Command::Failover { nodes, runs, heartbeat, loss_minutes, only, json } => {
            let parts = if only.is_empty() { failover::Part::value_variants().to_vec() } else { only };
            let plan = failover::Plan { nodes, runs, heartbeat, loss_minutes, parts };
            let measured = lblab::sandbox::enter().map_err(Into::into);
            (measured.and_then(|()| failing_over(&plan, json)).map(|()| Vec::new()), json)
        }
        Command::Cluster(arguments) => (in_cluster(&arguments), arguments.json),
    };
    match measured.and_then(|figures| Ok(print(&figures, json)?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "report: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Each table is printed when it is there: all of it takes a while.
fn failing_over(plan: &failover::Plan, json: bool) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tables = |figures: &[Figure]| {
        print(figures, json)?;
        if !json {
            writeln!(io::stdout())?;
        }
        Ok(())
    };
    LocalSet::new().block_on(&runtime, failover::measure(plan, tables))
}

fn in_cluster(arguments: &ClusterArguments) -> Result<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = connect(&arguments.kubeconfig).await?;
        let name = format!("Kubernetes {}", client.apiserver_version().await?.git_version);
        let asker = arguments.arp_interface.as_deref().map(Asker::on_interface).transpose()?;
        // By its kubeconfig: the embedded store has none.
        let real = true;
        let server = Server { client, namespace: &arguments.namespace, name: &name, real, asker };
        let (present, at_once, samples) = (arguments.present.clone(), arguments.at_once, arguments.samples);
        cluster::measure(server, &Plan { present, at_once, samples }, None).await
    })
}

async fn connect(kubeconfig: &Path) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

fn print(figures: &[Figure], json: bool) -> io::Result<()> {
    if figures.is_empty() {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    if json {
        for figure in figures {
            writeln!(out, "{}", serde_json::to_string(figure).map_err(io::Error::other)?)?;
        }
        return Ok(());
    }
    if cfg!(debug_assertions) {
        writeln!(out, "This is a debug build; for figures that count use --release.\n")?;
    }
    let rows = figures.iter().map(|figure| {
        let value = format!("{} {}", rounded(figure.value), figure.unit);
        let baseline = figure.baseline.as_ref().map_or(String::new(), |(what, value)| {
            let times = figure.ratio().map(|ratio| format!(" ({} times ours)", rounded(ratio)));
            format!("{what}: {} {}{}", rounded(*value), figure.unit, times.unwrap_or_default())
        });
        let also =
            figure.also.as_ref().map(|(what, value)| format!("{what}: {} {}", rounded(*value), figure.unit));
        let beside = also.map_or(baseline, |also| also.trim_end().to_owned());
        [figure.figure.clone(), value, figure.target.to_owned(), beside]
    });
    let header = ["figure", "value", "target", "baseline in the same run"].map(str::to_owned);
    let table: Vec<[String; 4]> = std::iter::once(header).chain(rows).collect();
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    for [figure, value, target, baseline] in &table {
        let [a, b, c] = widths;
        writeln!(out, "{figure:<a$}  {value:>b$}  {target:<c$}  {baseline}")?;
    }
    Ok(())
}

/// Three digits that count, as people read them.
fn rounded(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
