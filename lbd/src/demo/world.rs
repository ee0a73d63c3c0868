//! A cluster for the demo: an embedded store, a controller process, and a speaker process on each node.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node as KubeNode, Service};
use k8s_openapi::api::events::v1::Event;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use lbk8s::Store;
use lbk8s::manifest::Manifests;
use lbk8s::manifest::apply::Applier;
use lblab::sandbox::Process;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::lan::{DemoLan, STORE};
use super::stand_in::StandIn;
use crate::exit::Failure;

/// Everything that is one cluster. Dropping it ends its processes.
pub(super) struct World<'l> {
    lan: &'l DemoLan,
    store: Store,
    client: Client,
    serving: AbortHandle,
    controller: Logged,
    speakers: Vec<Logged>,
    stand_in: StandIn<'l>,
}

/// A process whose log is read.
struct Logged {
    process: Process,
    lines: Receiver<String>,
    /// The lines read so far.
    log: Vec<Value>,
}

/// How long anything may take before the demo gives up.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(2);

impl<'l> World<'l> {
    /// Starts a cluster on the nodes of the LAN. Its pods are numbered from `first_pod`: two clusters on one LAN
    /// must not share any.
    pub(super) async fn start(lan: &'l DemoLan, first_pod: u8) -> Result<Self, Failure> {
        let store = Store::default();
        let client = store.client();
        let nodes: Api<KubeNode> = Api::all(client.clone());
        for node in &lan.nodes {
            let labels = [("kubernetes.io/hostname".to_owned(), node.name().to_owned())];
            let metadata = ObjectMeta {
                name: Some(node.name().to_owned()),
                labels: Some(labels.into()),
                ..ObjectMeta::default()
            };
            let object = KubeNode { metadata, ..KubeNode::default() };
            nodes.create(&PostParams::default(), &object).await.map_err(std::io::Error::other)?;
            // Where the speakers of the other nodes look for this one's.
            let at = json!({"status": {"addresses": [{"type": "InternalIP", "address": node.nic.address}]}});
            let patched = nodes.patch_status(node.name(), &PatchParams::default(), &Patch::Merge(at)).await;
            patched.map_err(std::io::Error::other)?;
        }
        let listener = TcpListener::bind((STORE, 0)).await?;
        let address = listener.local_addr()?;
        let served = store.clone();
        let serving = tokio::task::spawn_local(async move { served.serve(listener).await }).abort_handle();

        let mut command = own("controller", address)?;
        let controller = Logged::new(Process::start("the controller", &mut command)?);
        let mut speakers = Vec::new();
        for node in &lan.nodes {
            let mut command = own("speaker", address)?;
            // Nobody else is on this LAN.
            command.args(["--node-name", node.name(), "--insecure-membership"]);
            // Two clusters on one LAN have a port each.
            let port = lbnet::membership::carrier::PORT + u16::from(first_pod);
            command.args(["--membership-port", &port.to_string()]);
            let process = node.host.start(format!("the speaker of {}", node.name()), command).await?;
            speakers.push(Logged::new(process));
        }
        let stand_in = StandIn::new(lan, client.clone(), first_pod);
        Ok(Self { lan, store, client, serving, controller, speakers, stand_in })
    }

    pub(super) fn lan(&self) -> &'l DemoLan {
        self.lan
    }

    pub(super) fn stand_in(&mut self) -> &mut StandIn<'l> {
        &mut self.stand_in
    }

    /// Creates the objects of a manifest, as `kubectl apply -f` would, and lets the stand-in run their pods.
    pub(super) async fn apply(&mut self, name: &str, text: &str) -> Result<(), Failure> {
        let manifests = read(name, text)?;
        // Each manifest has an applier of its own: what another one made is not its to delete.
        let applied = Applier::default().apply(&self.store, &manifests);
        if let Some((place, fault)) = applied.faults.first() {
            return Err(std::io::Error::other(format!("{place}: {fault}")).into());
        }
        for manifest in &manifests.objects {
            if manifest.value["kind"] == "Service" {
                self.stand_in.run_pods(&manifest.value).await?;
            }
        }
        Ok(())
    }

    /// Deletes the objects of a manifest, as `kubectl delete -f` would.
    pub(super) async fn delete(&mut self, name: &str, text: &str) -> Result<(), Failure> {
        let manifests = read(name, text)?;
        let mut applier = Applier::default();
        applier.apply(&self.store, &manifests);
        applier.apply(&self.store, &Manifests::default());
        for manifest in &manifests.objects {
            if manifest.value["kind"] == "Service" {
                self.stand_in.stop_pods(&manifest.value).await?;
            }
        }
        Ok(())
    }

    /// Waits until the Service's status fits; what it shows then.
    pub(super) async fn service(
        &mut self,
        namespace: &str,
        name: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<Value, Failure> {
        let api: Api<Service> = Api::namespaced(self.client.clone(), namespace);
        let started = Instant::now();
        loop {
            let service = api.get_opt(name).await.map_err(std::io::Error::other)?;
            let value = serde_json::to_value(service).map_err(std::io::Error::other)?;
            if fits(&value["status"]) {
                return Ok(value["status"].clone());
            }
            self.give_up_after(started, &format!("Service {namespace}/{name} shows {}", value["status"]))?;
            tokio::time::sleep(POLL).await;
        }
    }

    /// Kills the speaker of a node without a word.
    pub(super) fn kill_speaker(&mut self, node: &str) -> Result<(), Failure> {
        let of = |logged: &Logged| logged.process.name().ends_with(node);
        if let Some(at) = self.speakers.iter().position(of) {
            let mut logged = self.speakers.swap_remove(at);
            logged.process.child().kill()?;
        }
        Ok(())
    }

    /// Asks that a node's addresses go elsewhere, or no more, as `lbd drain` does.
    pub(super) async fn drain(&self, node: &str, drained: bool) -> Result<(), Failure> {
        let value = drained.then_some("true");
        let patch = json!({"metadata": {"annotations": {lbk8s::objects::annotations::DRAIN: value}}});
        let nodes: Api<KubeNode> = Api::all(self.client.clone());
        nodes
            .patch(node, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(std::io::Error::other)?;
        Ok(())
    }

    /// Waits for an event on a Service; its sentence.
    pub(super) async fn event(&mut self, name: &str, reason: &str) -> Result<String, Failure> {
        let api: Api<Event> = Api::all(self.client.clone());
        let started = Instant::now();
        loop {
            let events = api.list(&kube::api::ListParams::default()).await.map_err(std::io::Error::other)?;
            let ours = |event: &&Event| {
                event.reason.as_deref() == Some(reason)
                    && event.regarding.as_ref().and_then(|about| about.name.as_deref()) == Some(name)
            };
            if let Some(event) = events.items.iter().rfind(ours) {
                return Ok(event.note.clone().unwrap_or_default());
            }
            self.give_up_after(started, &format!("no event {reason} on {name}"))?;
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits for a line in the controller's log, among those that it has not shown before.
    pub(super) async fn controller_says(&mut self, message: &str) -> Result<Value, Failure> {
        let seen = self.controller.log.len();
        let started = Instant::now();
        loop {
            self.controller.read();
            let found = self.controller.log[seen..].iter().find(|line| line["message"] == message);
            if let Some(line) = found.cloned() {
                return Ok(line);
            }
            self.give_up_after(started, &format!("the controller's log does not say {message:?}"))?;
            tokio::time::sleep(POLL).await;
        }
    }

    /// Fails if it took too long, or if a process has died; with its last words.
    fn give_up_after(&mut self, started: Instant, otherwise: &str) -> Result<(), Failure> {
        for logged in [&mut self.controller].into_iter().chain(&mut self.speakers) {
            if let Some(status) = logged.process.child().try_wait()? {
                let last = logged.last_words();
                let name = logged.process.name();
                return Err(std::io::Error::other(format!("{name} ended ({status}): {last}")).into());
            }
        }
        if started.elapsed() < PATIENCE {
            return Ok(());
        }
        let last = self.controller.last_words();
        Err(std::io::Error::other(format!(
            "after {PATIENCE:?}: {otherwise}; the controller said last: {last}"
        ))
        .into())
    }
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Logged {
    fn new(mut process: Process) -> Self {
        let (sender, lines) = channel();
        if let Some(log) = process.child().stderr.take() {
            // The thread ends with the pipe.
            std::thread::spawn(move || {
                for line in BufReader::new(log).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Self { process, lines, log: Vec::new() }
    }

    fn last_words(&mut self) -> String {
        self.read();
        let last = &self.log[self.log.len().saturating_sub(3)..];
        last.iter().map(Value::to_string).collect::<Vec<_>>().join("; ")
    }

    fn read(&mut self) {
        for line in self.lines.try_iter() {
            self.log.push(serde_json::from_str(&line).unwrap_or(Value::String(line)));
        }
    }
}

/// This very program in another role.
fn own(role: &str, store: SocketAddr) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([role, "--until-stdin-closes", "--server", &format!("http://{store}")]);
    command.env("RUST_LOG", "info").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    Ok(command)
}

fn read(name: &str, text: &str) -> Result<Manifests, Failure> {
    let mut manifests = Manifests::default();
    manifests.read(std::path::Path::new(name), text);
    match manifests.errors.first() {
        Some(error) => Err(std::io::Error::other(error.to_string()).into()),
        None => Ok(manifests),
    }
}
