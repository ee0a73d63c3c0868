//! What MetalLB leaves behind in a cluster that it was taken out of, and what of it still runs.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use super::{ObjectRef, Problem};

/// The labels of MetalLB's pods: of its manifests, and of its chart. Each with a name for its watch.
pub const SELECTORS: [(&str, &str); 2] = [
    ("Pod of MetalLB's manifests", "app=metallb"),
    ("Pod of MetalLB's chart", "app.kubernetes.io/name=metallb"),
];
/// The webhook that MetalLB's controller serves.
pub const WEBHOOK: &str = "metallb-webhook-configuration";

/// Something of MetalLB's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Leftover {
    /// A pod of its controller: it gives addresses.
    Controller(ObjectRef),
    /// A pod of its speaker: it answers for addresses.
    Speaker(ObjectRef),
    /// The configuration of its webhook, without which nobody answers to the API server.
    Webhook(ObjectRef),
}

impl Leftover {
    /// What a pod is, and whether it runs: not, if it is not placed yet, or has ended, or is to be deleted and is not
    /// ready. The last is so for good on a node that died: nobody there can say that it has ended.
    #[must_use]
    pub fn of_pod(pod: &Pod) -> Option<(Self, bool)> {
        let object = ObjectRef::of(pod);
        let label = |key: &str| pod.labels().get(key).map(String::as_str);
        let leftover = match label("component").or_else(|| label("app.kubernetes.io/component")) {
            Some("speaker") => Self::Speaker(object),
            Some("controller") => Self::Controller(object),
            _ => return None,
        };
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let placed = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
        let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let is_ready = conditions.any(|it| it.type_ == "Ready" && it.status == "True");
        let is_lost = pod.metadata.deletion_timestamp.is_some() && !is_ready;
        Some((leftover, placed && !is_lost && !matches!(phase, Some("Succeeded" | "Failed"))))
    }

    /// The webhook.
    #[must_use]
    pub fn webhook() -> Self {
        Self::Webhook(ObjectRef {
            api_version: "admissionregistration.k8s.io/v1".into(),
            kind: "ValidatingWebhookConfiguration".into(),
            namespace: "".into(),
            name: WEBHOOK.into(),
            uid: "".into(),
        })
    }

    fn object(&self) -> &ObjectRef {
        match self {
            Self::Controller(object) | Self::Speaker(object) | Self::Webhook(object) => object,
        }
    }
}

/// All that is there of MetalLB.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftovers(BTreeSet<Leftover>);

impl Leftovers {
    /// Something is there, or is gone.
    pub fn set(&mut self, leftover: Leftover, present: bool) {
        self.0.retain(|known| !known.object().same_name(leftover.object()));
        if present {
            self.0.insert(leftover);
        }
    }

    /// A pod of this namespace and name is gone.
    pub fn pod_gone(&mut self, namespace: &str, name: &str) {
        self.0.retain(|known| {
            let object = known.object();
            (&*object.kind, &*object.namespace, &*object.name) != ("Pod", namespace, name)
        });
    }

    /// The pods among them.
    pub fn pods(&self) -> impl Iterator<Item = &ObjectRef> {
        self.0.iter().map(Leftover::object).filter(|object| object.kind == "Pod")
    }

    /// Whether MetalLB's controller runs.
    #[must_use]
    pub fn controller_runs(&self) -> bool {
        self.0.iter().any(|it| matches!(it, Leftover::Controller(_)))
    }

    /// Whether one of MetalLB's speakers runs.
    #[must_use]
    pub fn speakers_run(&self) -> bool {
        self.0.iter().any(|it| matches!(it, Leftover::Speaker(_)))
    }

    /// What is wrong, each kind told of once. `beside`: lbd was told to work all the same.
    pub fn problems(&self, beside: bool) -> impl Iterator<Item = Problem> {
        let first = |is: fn(&Leftover) -> bool| self.0.iter().find(|it| is(it));
        let so =
            |held_back: &str| if beside { String::new() } else { format!(" {held_back} until it is gone.") };
        let controller = first(|it| matches!(it, Leftover::Controller(_))).map(|it| {
            let why = so("lbd gives no addresses");
            let message =
                format!("MetalLB's controller still runs, and gives addresses.{why} Delete its Deployment");
            Problem::new(it.object(), "MetalLBRuns", "metadata.labels", message)
        });
        let speaker = first(|it| matches!(it, Leftover::Speaker(_))).map(|it| {
            let why = so("lbd answers for none");
            let message = format!(
                "MetalLB's speakers still run, and answer for addresses.{why} Delete their DaemonSet"
            );
            Problem::new(it.object(), "MetalLBRuns", "metadata.labels", message)
        });
        // As long as MetalLB's controller runs, it serves its webhook.
        let left = first(|it| matches!(it, Leftover::Webhook(_))).filter(|_| controller.is_none());
        let webhook = left.map(|it| {
            let message = "MetalLB's webhook is left, and nobody serves it: every edit of a pool is refused. Delete it: \
                           kubectl delete validatingwebhookconfiguration metallb-webhook-configuration";
            Problem::new(it.object(), "WebhookLeft", "webhooks", message)
        });
        controller.into_iter().chain(speaker).chain(webhook)
    }
}
