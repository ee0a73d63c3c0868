//! `ConfigurationState`: each component says whether what is configured is in force, in one object of its own.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::ObjectMeta;
use kube::{Api, Client};
use serde_json::json;

use crate::Problem;
use crate::objects::Severity;
use crate::objects::metallb::{ConfigurationState, ConfigurationStateStatus, Verdict};
use crate::upkeep::Upkeep;
use crate::watching::explain_client;

/// Who says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Component {
    /// The controller.
    Controller,
    /// The speaker of a node.
    Speaker(String),
}

/// The label that names the component.
const COMPONENT: &str = "metallb.io/component-type";
/// The label that names a speaker's node.
const NODE: &str = "metallb.io/node-name";

impl Component {
    /// The name of its object.
    #[must_use]
    pub fn object(&self) -> String {
        match self {
            Self::Controller => "controller".to_owned(),
            Self::Speaker(node) => format!("speaker-{node}"),
        }
    }

    fn condition(&self) -> &'static str {
        match self {
            Self::Controller => "poolReconcilerValid",
            Self::Speaker(_) => "configReconcilerValid",
        }
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        match self {
            Self::Controller => BTreeMap::from([label(COMPONENT, "controller")]),
            // Labels are shorter than names can be.
            Self::Speaker(node) => {
                let node = node.get(..63).unwrap_or(node).trim_end_matches(['.', '-']);
                BTreeMap::from([label(COMPONENT, "speaker"), label(NODE, node)])
            }
        }
    }
}

/// What an object says: nothing yet, or what is wrong, line by line; an empty text if nothing is.
pub type Says = Option<String>;

/// What a component has to say when these are the problems. Warnings are in force.
#[must_use]
pub fn says<'a>(problems: impl IntoIterator<Item = &'a Problem>) -> Says {
    let errors = problems.into_iter().filter(|problem| problem.severity == Severity::Error);
    let lines: BTreeSet<String> = errors.map(ToString::to_string).collect();
    Some(lines.into_iter().collect::<Vec<_>>().join("\n"))
}

/// What an object says already.
#[must_use]
pub fn read(component: &Component, state: &ConfigurationState) -> Says {
    let status = state.status.as_ref()?;
    let condition = status.conditions.iter().find(|it| it.type_ == component.condition())?;
    let holds = match (status.result, condition.status.as_str()) {
        (Verdict::Valid, "True") => status.error_summary.is_empty(),
        (Verdict::Invalid, "False") => condition.message == status.error_summary,
        _ => false,
    };
    holds.then(|| status.error_summary.clone())
}

/// Keeps the object of a component up to date.
#[must_use]
pub fn keep(client: &Client, namespace: &str, component: &Component) -> Upkeep<(), Says> {
    let api: Api<ConfigurationState> = Api::namespaced(client.clone(), namespace);
    let component = component.clone();
    Upkeep::new("ConfigurationState", move |(), says: Says| {
        let (api, component) = (api.clone(), component.clone());
        async move { put(&api, &component, says).await.map_err(|error| explain_client(&error)) }
    })
}

async fn put(api: &Api<ConfigurationState>, component: &Component, says: Says) -> Result<Says, kube::Error> {
    let name = component.object();
    let before = if let Some(state) = api.get_opt(&name).await? {
        state
    } else {
        let labels = Some(component.labels());
        let metadata = ObjectMeta { name: Some(name.clone()), labels, ..ObjectMeta::default() };
        let state = ConfigurationState { metadata, ..ConfigurationState::default() };
        api.create(&PostParams::default(), &state).await?
    };
    let status = status(component, &before, says.as_deref().unwrap_or_default());
    let patch = Patch::Merge(json!({"status": {
        "result": status.result,
        // What is empty is not written, and would stay as it was.
        "errorSummary": (!status.error_summary.is_empty()).then_some(status.error_summary),
        "conditions": status.conditions,
    }}));
    let after = api.patch_status(&name, &PatchParams::default(), &patch).await?;
    Ok(read(component, &after))
}

fn status(component: &Component, before: &ConfigurationState, errors: &str) -> ConfigurationStateStatus {
    let valid = errors.is_empty();
    let word = if valid { "True" } else { "False" };
    let conditions = before.status.as_ref().map(|status| &status.conditions[..]).unwrap_or_default();
    let known = conditions.iter().find(|it| it.type_ == component.condition() && it.status == word);
    let condition = Condition {
        type_: component.condition().to_owned(),
        status: word.to_owned(),
        reason: if valid { "Reconciled" } else { "ConfigurationError" }.to_owned(),
        message: errors.to_owned(),
        last_transition_time: known
            .map_or_else(|| Time(Timestamp::now()), |it| it.last_transition_time.clone()),
        observed_generation: None,
    };
    ConfigurationStateStatus {
        result: if valid { Verdict::Valid } else { Verdict::Invalid },
        error_summary: errors.to_owned(),
        conditions: vec![condition],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let component = Component::Speaker("n1".to_owned());
        for errors in ["", "one\ntwo"] {
            let status = status(&component, &ConfigurationState::default(), errors);
            let state = ConfigurationState { status: Some(status), ..ConfigurationState::default() };
            assert_eq!(read(&component, &state).as_deref(), Some(errors));
            assert_eq!(read(&Component::Controller, &state), None, "another component's condition");
        }
        assert_eq!(read(&component, &ConfigurationState::default()), None);
    }

    #[test]
    fn the_labels_of_long_names_are_labels() {
        let long = format!("{}.example", "n".repeat(62));
        assert_eq!(Component::Speaker(long).labels()[NODE], "n".repeat(62));
    }
}
