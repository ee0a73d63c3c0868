//! `cargo run --release -p benches -- report [--json] [--strict]`, and `-- cluster --kubeconfig FILE` for a cluster's
//! figures.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use benches::asker::Asker;
use benches::cluster::{self, Plan, Server};
use benches::site::Result;
use benches::table::{self, Verdicts};
use benches::{Figure, Group, failover};
use clap::{Args, Parser, Subcommand, ValueEnum};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::task::LocalSet;

/// What this project promises in figures, measured on this machine.
#[derive(Debug, Parser)]
struct Cli {
    /// Print one JSON object a line
    #[arg(long, global = true)]
    json: bool,
    /// Exit with code 3 if a target is missed or could not be measured
    #[arg(long, global = true)]
    strict: bool,
    #[command(subcommand)]
    command: Command,
}

/// The exit code of `--strict` when a target is not met.
const MISSED: u8 = 3;

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure every figure and print one table
    Report {
        /// Measure only these
        #[arg(long, value_name = "GROUPS", value_delimiter = ',')]
        only: Vec<Group>,
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
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut printer = Printer { json: cli.json, verdicts: Verdicts::default() };
    let measured = match cli.command {
        Command::Report { only } => {
            let groups = if only.is_empty() { benches::all() } else { only };
            // No thread exists yet: some figures are taken in network namespaces.
            lblab::sandbox::enter()
                .map_err(Into::into)
                .and_then(|()| benches::measure(&groups))
                .and_then(|figures| printer.print(&figures))
        }
        Command::Failover { nodes, runs, heartbeat, loss_minutes, only } => {
            let parts = if only.is_empty() { failover::Part::value_variants().to_vec() } else { only };
            let plan = failover::Plan { nodes, runs, heartbeat, loss_minutes, parts };
            lblab::sandbox::enter().map_err(Into::into).and_then(|()| failing_over(&plan, &mut printer))
        }
        Command::Cluster(arguments) => in_cluster(&arguments).and_then(|figures| printer.print(&figures)),
    };
    match measured.and_then(|()| printer.finish()) {
        Ok(()) if cli.strict && !printer.verdicts.all_met() => ExitCode::from(MISSED),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "report: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints tables, each as soon as it is measured, and counts the verdicts.
struct Printer {
    json: bool,
    verdicts: Verdicts,
}

impl Printer {
    fn print(&mut self, figures: &[Figure]) -> Result<()> {
        self.verdicts.add(figures);
        let mut out = io::stdout().lock();
        if self.json {
            return Ok(table::print_json(&mut out, figures)?);
        }
        if cfg!(debug_assertions) {
            writeln!(out, "This is a debug build; for figures that count use --release.\n")?;
        }
        table::print_table(&mut out, figures)?;
        Ok(writeln!(out)?)
    }

    /// Prints the summary; with `--json` to standard error, so that standard output holds figures only.
    fn finish(&self) -> Result<()> {
        if self.json {
            return Ok(self.verdicts.print(&mut io::stderr().lock())?);
        }
        Ok(self.verdicts.print(&mut io::stdout().lock())?)
    }
}

fn failing_over(plan: &failover::Plan, printer: &mut Printer) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, failover::measure(plan, |figures| printer.print(figures)))
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
