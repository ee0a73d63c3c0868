//! The definitions of custom kinds, made once.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::Kind;

static DEFINITIONS: LazyLock<Vec<CustomResourceDefinition>> = LazyLock::new(crate::crds::all);

/// The definition of a kind, if it is one of ours.
pub(super) fn definition(kind: &Kind) -> Option<&'static CustomResourceDefinition> {
    let is_of =
        |it: &&CustomResourceDefinition| it.spec.group == kind.group && it.spec.names.kind == kind.kind;
    DEFINITIONS.iter().filter(|_| kind.custom).find(is_of)
}
