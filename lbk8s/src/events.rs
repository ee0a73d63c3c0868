//! Events on objects: what people read in `kubectl describe`.
//!
//! The recorder of kube-runtime joins events that differ in their note only and sends the first note again.
//! Here every event is sent for a change and says something new, so each is an object of its own.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as KubeEvent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Client};

use crate::ObjectRef;

/// How serious an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// For information.
    Normal,
    /// Somebody should look.
    Warning,
}

impl Severity {
    /// As in an event's `type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Something to tell about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The object.
    pub about: ObjectRef,
    /// How serious it is.
    pub severity: Severity,
    /// MetalLB's word for it, as in `IPAllocated`.
    pub reason: &'static str,
    /// The sentence for people.
    pub note: String,
}

/// Sends events under one name.
#[derive(Clone)]
pub struct Recorder {
    client: Client,
    controller: String,
    instance: String,
}

/// Kubernetes refuses longer notes.
const LONGEST_NOTE: usize = 1024;
/// Kubernetes refuses names of more than 253 bytes; the moment behind ours takes up to 33.
const LONGEST_NAME: usize = 220;

/// One that takes longer is lost.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(10);

/// As much of `text` as fits into `bytes`.
fn shorten(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

impl Recorder {
    /// A recorder for a component (`metallb-controller`, as MetalLB calls it) and this instance of it.
    #[must_use]
    pub fn new(client: Client, controller: impl Into<String>, instance: impl Into<String>) -> Self {
        Self { client, controller: controller.into(), instance: instance.into() }
    }

    /// Sends an event. One that cannot be sent is logged and lost: events are no state.
    pub async fn send(&self, event: Event) {
        let Event { about, severity, reason, note } = event;
        let now = Timestamp::now();
        let namespace = if about.namespace.is_empty() { "default" } else { &*about.namespace };
        let object = KubeEvent {
            metadata: ObjectMeta {
                name: Some(format!("{}.{:x}", shorten(&about.name, LONGEST_NAME), now.as_nanosecond())),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(self.controller.clone()),
            reporting_instance: Some(self.instance.clone()),
            action: Some(reason.to_owned()),
            reason: Some(reason.to_owned()),
            note: Some(shorten(&note, LONGEST_NOTE).to_owned()),
            type_: Some(severity.as_str().to_owned()),
            regarding: Some(ObjectReference {
                api_version: Some(about.api_version.to_string()),
                kind: Some(about.kind.to_string()),
                namespace: Some(about.namespace.to_string()).filter(|namespace| !namespace.is_empty()),
                name: Some(about.name.to_string()),
                uid: Some(about.uid.to_string()).filter(|uid| !uid.is_empty()),
                ..ObjectReference::default()
            }),
            ..KubeEvent::default()
        };
        let api: Api<KubeEvent> = Api::namespaced(self.client.clone(), namespace);
        let sent = tokio::time::timeout(DEADLINE, api.create(&PostParams::default(), &object)).await;
        let error = match sent {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(crate::watching::explain_client(&error)),
            Err(_) => Some(format!("no answer within {DEADLINE:?}")),
        };
        if let Some(error) = error {
            tracing::warn!(%about, reason, note, error, "an event could not be recorded");
        }
    }
}
