//! Label selectors (`metav1.LabelSelector`), as pools and advertisements use them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Labels;

/// A label selector: all of its requirements must hold. An empty selector matches every object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// Labels that must be there with exactly these values.
    pub match_labels: BTreeMap<String, String>,
    /// Further requirements.
    pub match_expressions: Vec<Requirement>,
}

/// One entry of `matchExpressions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// The label it is about.
    pub key: String,
    /// What must hold for its value.
    pub operator: Operator,
    /// The values that `In` and `NotIn` compare with.
    #[serde(default)]
    pub values: Vec<String>,
}

/// The operators of `matchExpressions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// The label is there, with one of the values.
    In,
    /// The label is absent, or has none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

impl Selector {
    /// A selector for one label with one value.
    pub fn label(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { match_labels: BTreeMap::from([(key.into(), value.into())]), match_expressions: Vec::new() }
    }

    /// Whether an object with `labels` is chosen.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value.as_str()))
            && self.match_expressions.iter().all(|requirement| requirement.holds(labels))
    }
}

impl Requirement {
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let listed = |value: &str| self.values.iter().any(|listed| listed == value);
        match self.operator {
            Operator::In => value.is_some_and(listed),
            Operator::NotIn => !value.is_some_and(listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

/// Whether any of `selectors` chooses an object with `labels`; none do if there are none.
pub(crate) fn any_matches(selectors: &[Selector], labels: &Labels) -> bool {
    selectors.iter().any(|selector| selector.matches(labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_follow_kubernetes() {
        let with = |value: &str| Labels::from([("tier".to_owned(), value.to_owned())]);
        let rule = |operator, values: &[&str]| Selector {
            match_expressions: vec![Requirement {
                key: "tier".to_owned(),
                operator,
                values: values.iter().map(|value| (*value).to_owned()).collect(),
            }],
            ..Selector::default()
        };
        for (selector, on_web, on_none) in [
            (rule(Operator::In, &["web", "db"]), true, false),
            (rule(Operator::In, &["db"]), false, false),
            (rule(Operator::NotIn, &["web"]), false, true),
            (rule(Operator::Exists, &[]), true, false),
            (rule(Operator::DoesNotExist, &[]), false, true),
            (Selector::default(), true, true),
            (Selector::label("tier", "web"), true, false),
        ] {
            assert_eq!(selector.matches(&with("web")), on_web, "{selector:?}");
            assert_eq!(selector.matches(&Labels::new()), on_none, "{selector:?}");
        }
    }
}
