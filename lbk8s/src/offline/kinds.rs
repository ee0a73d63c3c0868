//! The kinds of objects that matter, and what is wrong with an object as one of its kind.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Service};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::manifest::Manifest;
use crate::objects::annotations::{self, OWN_PREFIX, UNKNOWN_ANNOTATION};
use crate::objects::config_map::{self, NOT_SERVED};
use crate::objects::metallb::{IPAddressPool, L2Advertisement};
use crate::objects::{ObjectRef, Problem};
use crate::schema::{INVALID_VALUE, UNKNOWN_FIELD, What, check};
use crate::suggest;

/// A kind that plans and checks look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Pool,
    Advertisement,
    ConfigMap,
    Namespace,
    Node,
    Service,
}

/// An object of such a kind.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is taken apart at once")]
pub(super) enum Object {
    Pool(IPAddressPool),
    Advertisement(L2Advertisement),
    ConfigMap(ConfigMap),
    Namespace(Namespace),
    Node(Node),
    Service(Service),
}

const METALLB: &str = "metallb.io/";
/// MetalLB's other kinds: BGP's, and those that it writes itself.
const OF_BGP: [&str; 4] = ["BGPPeer", "BGPAdvertisement", "BFDProfile", "Community"];
const WRITTEN: [&str; 3] = ["ServiceL2Status", "ServiceBGPStatus", "ConfigurationState"];
const OURS: [&str; 2] = ["IPAddressPool", "L2Advertisement"];

impl Kind {
    /// The kind of a manifest; `None` of one that is nobody's business here. A kind of MetalLB's that is not
    /// served is a problem.
    pub(super) fn of(manifest: &Manifest, problems: &mut Vec<Problem>) -> Option<Self> {
        let reference = manifest.reference();
        let (version, kind) = (&*reference.api_version, &*reference.kind);
        if !version.starts_with(METALLB) {
            return match (version, kind) {
                ("v1", "Namespace") => Some(Self::Namespace),
                ("v1", "Node") => Some(Self::Node),
                ("v1", "Service") => Some(Self::Service),
                ("v1", "ConfigMap") if *reference.name == *config_map::NAME => Some(Self::ConfigMap),
                _ => None,
            };
        }
        let found = match kind {
            "IPAddressPool" => Some(Self::Pool),
            "L2Advertisement" => Some(Self::Advertisement),
            _ => None,
        };
        if found.is_some() && version == "metallb.io/v1beta1" {
            return found;
        }
        let problem = if found.is_some() {
            let message = format!("{version:?} is not served; write metallb.io/v1beta1");
            Problem::new(&reference, "UnknownVersion", "apiVersion", message)
        } else if OF_BGP.contains(&kind) {
            Problem::new(&reference, NOT_SERVED, "kind", format!("{kind} is BGP's, which lbd does not serve"))
                .warning()
        } else if WRITTEN.contains(&kind) {
            return None;
        } else {
            let near = suggest::nearest(kind, OURS.iter().chain(&OF_BGP).copied());
            let message = format!("{kind:?} is no kind of {version}{}", suggest::hint(near));
            Problem::new(&reference, "UnknownKind", "kind", message)
        };
        problems.push(problem);
        None
    }
}

/// The reference of an object with the namespace in which it counts; `None` if it counts nowhere.
pub(super) fn reference(
    manifest: &Manifest,
    kind: Kind,
    namespace: &str,
    problems: &mut Vec<Problem>,
) -> Option<ObjectRef> {
    let own = manifest.reference();
    let in_namespace = |namespace: &str| ObjectRef { namespace: namespace.into(), ..own.clone() };
    match kind {
        Kind::Namespace | Kind::Node => Some(in_namespace("")),
        Kind::Service if own.namespace.is_empty() => Some(in_namespace("default")),
        Kind::Service => Some(own),
        _ if *own.namespace == *namespace => Some(own),
        _ if own.namespace.is_empty() => {
            let message = format!("is missing; taken to be {namespace:?}, elsewhere nobody reads the object");
            problems.push(Problem::new(&own, "NoNamespace", "metadata.namespace", message).warning());
            Some(in_namespace(namespace))
        }
        Kind::ConfigMap => None,
        _ => {
            let message = format!("{:?} is read by nobody; write {namespace:?}", own.namespace);
            problems.push(Problem::new(&own, "WrongNamespace", "metadata.namespace", message));
            None
        }
    }
}

/// The object, if all values fit their fields. Says what is wrong with it.
pub(super) fn decode(
    manifest: &Manifest,
    kind: Kind,
    reference: &ObjectRef,
    problems: &mut Vec<Problem>,
) -> Option<Object> {
    let mut value = manifest.value.clone();
    if !reference.namespace.is_empty() {
        value["metadata"]["namespace"] = json!(&*reference.namespace);
    }
    match kind {
        Kind::Pool => {
            unknown_annotations(&value, reference, problems);
            typed::<IPAddressPool>(value, reference, problems).map(Object::Pool)
        }
        Kind::Advertisement => {
            typed::<L2Advertisement>(value, reference, problems).map(Object::Advertisement)
        }
        Kind::ConfigMap => typed::<ConfigMap>(value, reference, problems).map(Object::ConfigMap),
        Kind::Namespace => typed::<Namespace>(value, reference, problems).map(Object::Namespace),
        Kind::Node => typed::<Node>(value, reference, problems).map(Object::Node),
        Kind::Service => typed::<Service>(value, reference, problems).map(Object::Service),
    }
}

fn typed<T: DeserializeOwned + schemars::JsonSchema>(
    value: Value,
    reference: &ObjectRef,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    for fault in check::<T>(&value) {
        let path = fault.path.to_string();
        problems.push(match &fault.what {
            What::Unknown => {
                let message = format!(
                    "is no field of {}{}",
                    reference.kind,
                    suggest::hint(suggest::field::<T>(&fault.path))
                );
                Problem::new(reference, UNKNOWN_FIELD, path, message)
            }
            What::Mismatch(why) => Problem::new(reference, INVALID_VALUE, path, why),
        });
    }
    serde_json::from_value(value).ok()
}

/// Annotations under our own prefix that nobody reads: most likely misspelt.
fn unknown_annotations(value: &Value, reference: &ObjectRef, problems: &mut Vec<Problem>) {
    let written = value["metadata"]["annotations"].as_object().into_iter().flatten();
    for (key, _) in written.filter(|(key, _)| key.starts_with(OWN_PREFIX)) {
        if !annotations::ON_POOLS.contains(&key.as_str()) {
            let near = suggest::nearest(key, annotations::ON_POOLS);
            let message = format!("is no annotation of a pool{}", suggest::hint(near));
            problems.push(Problem::new(reference, UNKNOWN_ANNOTATION, annotations::path(key), message));
        }
    }
}
