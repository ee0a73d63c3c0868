//! `Namespace` as allocation sees it.

use k8s_openapi::api::core::v1;
use kube::ResourceExt;
use lbcore::{Labels, Namespace};

use super::annotations::{self, RELEASE, read as annotation};
use super::{ObjectRef, Problem};

/// A namespace, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamespaceView {
    /// What allocation looks at.
    pub namespace: Namespace,
    /// What cannot be read; it counts as not there.
    pub problems: Vec<Problem>,
}

impl NamespaceView {
    /// Reads a namespace.
    #[must_use]
    pub fn read(namespace: &v1::Namespace) -> Self {
        let mut problems = Vec::new();
        let object = ObjectRef::of(namespace);
        let release =
            annotation(&object, namespace.annotations(), RELEASE, &mut problems, annotations::release);
        let labels = namespace.labels().into();
        Self { namespace: Namespace { labels, release: release.unwrap_or_default() }, problems }
    }
}

impl From<Labels> for NamespaceView {
    fn from(labels: Labels) -> Self {
        Self { namespace: labels.into(), problems: Vec::new() }
    }
}
