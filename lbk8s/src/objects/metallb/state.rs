//! `ConfigurationState`: whether what is configured is in force, as one component sees it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// Everything of a `ConfigurationState` but its status: nothing.
#[expect(clippy::duplicated_attributes, reason = "the columns differ in name and path")]
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "ConfigurationState",
    namespaced,
    no_spec,
    status = "ConfigurationStateStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "Whether the configuration is in force, as one component sees it.",
    printcolumn(name = "Result", type_ = "string", json_path = ".status.result"),
    printcolumn(name = "ErrorSummary", type_ = "string", json_path = ".status.errorSummary", priority = 10),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct ConfigurationStateFields {}

/// `status` of a `ConfigurationState`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigurationStateStatus {
    /// Whether all of it is in force.
    pub result: Verdict,
    /// All that is wrong, a line each.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error_summary: String,
    /// One condition: that of the component.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rules::conditions")]
    pub conditions: Vec<Condition>,
}

/// Whether a configuration is in force.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Verdict {
    /// All of it is.
    Valid,
    /// Something of it is not.
    Invalid,
    /// Nothing was read yet.
    #[default]
    Unknown,
}
