//! The processes of lbd that can be asked over HTTP, and the way to each.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::api::ListParams;
use kube::client::Body;
use kube::{Api, Client, Config, ResourceExt};
use lbk8s::watching::explain_client;
use serde::de::DeserializeOwned;

use crate::client::client;

/// Whoever does not answer for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(4);
/// The label of our pods, and the one that says what a pod is.
const OURS: &str = "app.kubernetes.io/name=lbd";
const COMPONENT: &str = "app.kubernetes.io/component";

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Speaker,
    Controller,
    /// It may be both: `lbd run`, or an address that was given.
    Any,
}

/// A process of lbd.
#[derive(Clone)]
pub(super) struct Process {
    /// Its pod, or where it is.
    pub(super) name: String,
    /// The node it runs on, where that is known.
    pub(super) node: Option<String>,
    pub(super) role: Role,
    way: Result<Way, String>,
}

/// How requests get there.
#[derive(Clone)]
struct Way {
    client: Client,
    before: String,
}

/// Why a process did not say what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Silence {
    /// It has no such thing: no such address, or it is not of that role.
    NotThere,
    /// Whoever asks may not.
    Forbidden(String),
    /// Anything else.
    Failed(String),
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

impl Process {
    /// The process that listens at an address.
    pub(super) fn at(address: SocketAddr) -> Self {
        let url: Result<http::Uri, _> = format!("http://{address}").parse();
        let client = url
            .map_err(|error| error.to_string())
            .and_then(|url| client(Config::new(url), PATIENCE).map_err(|failure| failure.to_string()));
        let way = client.map(|client| Way { client, before: String::new() });
        Self { name: address.to_string(), node: None, role: Role::Any, way }
    }

    /// What it says under this path.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Silence> {
        let way = self.way.as_ref().map_err(|why| Silence::Failed(why.clone()))?;
        let request = http::Request::get(format!("{}{path}", way.before)).body(Body::empty());
        let request = request.map_err(|error| Silence::Failed(error.to_string()))?;
        let exchange = async {
            let answer = way.client.send(request).await.map_err(|error| explain_client(&error))?;
            let status = answer.status();
            // Its length is no more than what it says of itself, or what comes in time.
            let body = answer.into_body().collect_bytes().await.map_err(|error| explain_client(&error))?;
            Ok((status, body))
        };
        let (status, body) = match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(answer) => answer.map_err(Silence::Failed)?,
            Err(_) => {
                return Err(Silence::Failed(format!(
                    "it did not answer within {} seconds",
                    PATIENCE.as_secs()
                )));
            }
        };
        match status {
            StatusCode::NOT_FOUND => Err(Silence::NotThere),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Silence::Forbidden(said(&body))),
            status if !status.is_success() => Err(Silence::Failed(format!("{}: {}", status, said(&body)))),
            _ => serde_json::from_slice(&body).map_err(|error| {
                Silence::Failed(format!(
                    "its answer is not one of lbd {}: {error}",
                    env!("CARGO_PKG_VERSION")
                ))
            }),
        }
    }
}

/// What is said of a failure: by the API server, by lbd itself, or by something else in its place.
fn said(body: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = json["message"].as_str().or_else(|| json["error"].as_str());
    let plain = String::from_utf8_lossy(body);
    text.unwrap_or_else(|| plain.trim().lines().next().unwrap_or_default()).chars().take(300).collect()
}

/// The pods of lbd in a namespace, by name.
pub(super) async fn pods(client: &Client, namespace: &str) -> Result<Vec<Process>, kube::Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut found: Vec<Process> = pods
        .list(&ListParams::default().labels(OURS))
        .await?
        .iter()
        .filter(|pod| !matches!(phase(pod), "Succeeded" | "Failed"))
        .map(|pod| of_pod(client, namespace, pod))
        .collect();
    found.sort_by(|a, b| (&a.node, &a.name).cmp(&(&b.node, &b.name)));
    Ok(found)
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

/// A pod is asked through the API server, which reaches it from where it is: by the pod's address.
fn of_pod(client: &Client, namespace: &str, pod: &Pod) -> Process {
    let name = pod.name_any();
    let role = match pod.labels().get(COMPONENT).map(String::as_str) {
        Some("speaker") => Role::Speaker,
        Some("controller") => Role::Controller,
        _ => Role::Any,
    };
    let phase = phase(pod);
    let listens = pod.spec.iter().flat_map(|spec| &spec.containers).find_map(listens);
    let way = match listens {
        _ if phase != "Running" => Err(format!("its pod is {phase}")),
        None => Err("its pod does not say by LBD_HTTP where it listens".to_owned()),
        Some(at) if at.ip().is_loopback() => Err(format!(
            "it listens on {at}, which only its own node reaches; write LBD_HTTP=[::]:{} into its pod",
            at.port()
        )),
        Some(at) => {
            let before = format!("/api/v1/namespaces/{namespace}/pods/{name}:{}/proxy", at.port());
            Ok(Way { client: client.clone(), before })
        }
    };
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    Process { name, node, role, way }
}

fn listens(container: &Container) -> Option<SocketAddr> {
    let variable = container.env.iter().flatten().find(|variable| variable.name == "LBD_HTTP")?;
    variable.value.as_deref()?.parse().ok()
}
