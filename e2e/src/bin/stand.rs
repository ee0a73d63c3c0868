//! A cluster on a real control plane that stands until Ctrl-C, for a person to play with: `e2e/run up`. Or one that is
//! measured and goes: `e2e/run figures`, which names the program that measures and its arguments.

use std::io::Write;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use e2e::Result;
use e2e::cluster::{Builder, Cluster, lbd};
use e2e::object::{advertisement, pool, service};
use e2e::plane::{Kind, Plane};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

fn main() -> ExitCode {
    match stand() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "the cluster does not stand: {error}");
            ExitCode::FAILURE
        }
    }
}

fn stand() -> Result {
    lbd()?;
    lblab::sandbox::enter()?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut cluster = Builder::new(Kind::Real).build().await?;
        cluster.start().await?;
        if let [program, arguments @ ..] = &std::env::args().skip(1).collect::<Vec<_>>()[..] {
            return measure(&cluster, program, arguments).await;
        }
        let objects =
            [pool("default", &["192.168.3.200-192.168.3.249"]), advertisement("all"), service("web")];
        cluster.create_all(&objects).await?;
        cluster.pods("web", &["n1", "n2"]).await?;
        let address = cluster.address("web").await?;
        let node = cluster.serves(address, "web").await?;
        let Plane::Real(plane) = &cluster.plane else { unreachable!("it was asked for") };
        let (pid, client) = (std::process::id(), thread("c")?);
        let (programs, kubeconfig) = (plane.programs().display(), plane.admin());
        let kubeconfig = kubeconfig.display();
        let folder = cluster.folder().display();
        writeln!(
            std::io::stdout(),
            "Three nodes stand. Service web has {address}, and {node} answers for it.

export KUBECONFIG={kubeconfig}
alias kubectl='nsenter --target {pid} --net {programs}/kubectl'
alias client='nsenter --net=/proc/{pid}/task/{client}/ns/net'

kubectl get services --all-namespaces     the API server is in the namespace of the bridge
client curl http://{address}              outside of the cluster

Logs are in {folder}. Ctrl-C ends it all."
        )?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}

/// Lets the program that measures ask on the client.
async fn measure(cluster: &Cluster, program: &str, arguments: &[String]) -> Result {
    let Plane::Real(plane) = &cluster.plane else { unreachable!("it was asked for") };
    let mut command = Command::new(program);
    command.args(["cluster", "--kubeconfig"]).arg(plane.admin()).args(["--arp-interface", "eth0"]);
    command.args(arguments).stdin(Stdio::null());
    let mut process = cluster.site.client.start("report", command).await?;
    let status = loop {
        match process.child().try_wait()? {
            Some(status) => break status,
            None => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    if status.success() { Ok(()) } else { Err(format!("{program}: {status}").into()) }
}

/// The thread of this process that has this name: a host's thread is in the host's namespace.
fn thread(name: &str) -> Result<String> {
    for task in std::fs::read_dir("/proc/self/task")?.flatten() {
        if std::fs::read_to_string(task.path().join("comm"))?.trim() == name {
            return Ok(task.file_name().to_string_lossy().into_owned());
        }
    }
    Err(format!("there is no thread {name}").into())
}
