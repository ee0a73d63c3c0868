//! Kubernetes objects, read once into values of our own.
//!
//! Reading never fails as a whole: what is wrong with an object is a [`Problem`] of that object, with the
//! field's path, and every other object is read all the same.

pub mod advertisement;
pub mod annotations;
#[cfg(feature = "speaker")]
pub mod announced;
pub mod config;
pub mod config_map;
pub mod endpoints;
#[cfg(feature = "speaker")]
pub mod exclude;
pub mod facts;
pub mod leftovers;
pub mod metallb;
pub mod namespace;
pub mod node;
pub mod pool;
pub(crate) mod selector;
pub mod service;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use kube::ResourceExt;
use lbcore::ServiceKey;
use lbcore::pool::PoolProblemKind;
use serde::{Deserialize, Serialize};

/// Which object something is about. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// As in `v1` or `metallb.io/v1beta1`.
    pub api_version: Cow<'static, str>,
    /// As in `Service`.
    pub kind: Cow<'static, str>,
    /// Empty for cluster-scoped kinds.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
    /// The identity (`metadata.uid`); empty where it is not known.
    pub uid: Arc<str>,
}

impl ObjectRef {
    /// The reference of an object.
    pub fn of<K: kube::Resource<DynamicType = ()>>(object: &K) -> Self {
        Self {
            api_version: K::api_version(&()),
            kind: K::kind(&()),
            namespace: object.meta().namespace.as_deref().unwrap_or_default().into(),
            name: object.name_any().into(),
            uid: object.meta().uid.as_deref().unwrap_or_default().into(),
        }
    }

    /// An object of MetalLB's of which no more than the name is known.
    pub(crate) fn unknown(kind: &'static str, name: &str) -> Self {
        Self {
            api_version: "metallb.io/v1beta1".into(),
            kind: kind.into(),
            namespace: crate::CONFIG_NAMESPACE.into(),
            name: name.into(),
            uid: Arc::default(),
        }
    }

    /// The name as that of a service.
    #[must_use]
    pub fn key(&self) -> ServiceKey {
        ServiceKey::new(self.namespace.clone(), self.name.clone())
    }

    /// Whether both name the same object, whatever its identity.
    #[must_use]
    pub fn same_name(&self, other: &Self) -> bool {
        (&self.kind, &self.namespace, &self.name) == (&other.kind, &other.namespace, &other.name)
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something is not in force as it is written.
    Error,
    /// It is in force, but probably not meant.
    Warning,
}

/// Something that is wrong with an object. If it is an error, the object, or the part of it that the message
/// names, is not in force as written; what was in force before stays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
#[error("{object}: {path}: {message}")]
pub struct Problem {
    /// The object at fault.
    pub object: ObjectRef,
    /// The field at fault, as in `spec.addresses[1]`.
    pub path: String,
    /// How bad it is.
    pub severity: Severity,
    /// A short, stable word for machines: what kind of problem it is.
    pub code: Cow<'static, str>,
    /// What was found, what was expected, and what to do.
    pub message: String,
    /// The faulty part of the field's text, in bytes, if it is not the whole: first and behind the last.
    #[serde(skip)]
    pub span: Option<(usize, usize)>,
}

impl Problem {
    pub(crate) fn new(
        object: &ObjectRef,
        code: &'static str,
        path: impl Into<String>,
        message: impl fmt::Display,
    ) -> Self {
        Self {
            object: object.clone(),
            path: path.into(),
            severity: Severity::Error,
            code: code.into(),
            message: message.to_string(),
            span: None,
        }
    }

    /// A fault of a pool as `lbcore` sees it.
    pub(crate) fn of_pool(object: &ObjectRef, path: impl Into<String>, kind: &PoolProblemKind) -> Self {
        let (code, span) = match kind {
            PoolProblemKind::NoAddresses => ("NoAddresses", None),
            PoolProblemKind::Range(error) => ("InvalidAddress", Some((error.span.start, error.span.end))),
            PoolProblemKind::OverlapsItself { .. } | PoolProblemKind::OverlapsPool { .. } => {
                ("Overlap", None)
            }
            PoolProblemKind::ReservedOutside { .. } => ("ReservedOutside", None),
            PoolProblemKind::ReservedTwice { .. } => ("ReservedTwice", None),
            PoolProblemKind::DuplicateName => ("DuplicateName", None),
        };
        Self { span, ..Self::new(object, code, path, kind) }
    }

    pub(crate) fn warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }
}

/// When an object was created, in microseconds since the Unix epoch; 0 if it does not say.
pub(crate) fn created<K: ResourceExt>(object: &K) -> i64 {
    object.creation_timestamp().map_or(0, |time| time.0.as_microsecond())
}
