//! `metav1.LabelSelector` as `lbcore` knows it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use lbcore::Selector;
use lbcore::selector::{Operator, Requirement};

use super::{ObjectRef, Problem};

/// Reads the selectors of one field; those that are wrong are reported and left out.
pub(crate) fn read_all(
    object: &ObjectRef,
    path: &str,
    selectors: Option<&Vec<LabelSelector>>,
    problems: &mut Vec<Problem>,
) -> Vec<Selector> {
    let selectors = selectors.into_iter().flatten().enumerate();
    selectors
        .filter_map(|(index, selector)| read(object, &format!("{path}[{index}]"), selector, problems))
        .collect()
}

pub(crate) fn read(
    object: &ObjectRef,
    path: &str,
    selector: &LabelSelector,
    problems: &mut Vec<Problem>,
) -> Option<Selector> {
    let mut match_expressions = Vec::new();
    for (index, requirement) in selector.match_expressions.iter().flatten().enumerate() {
        let path = format!("{path}.matchExpressions[{index}]");
        let values = requirement.values.clone().unwrap_or_default();
        let operator = match requirement.operator.as_str() {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            other => {
                let message = format!("{other:?} is no operator; use In, NotIn, Exists or DoesNotExist");
                problems.push(Problem::new(object, "InvalidSelector", format!("{path}.operator"), message));
                return None;
            }
        };
        let wants_values = matches!(operator, Operator::In | Operator::NotIn);
        if wants_values == values.is_empty() {
            let message = if wants_values {
                "is empty; In and NotIn need values"
            } else {
                "must be empty with Exists and DoesNotExist"
            };
            problems.push(Problem::new(object, "InvalidSelector", format!("{path}.values"), message));
            return None;
        }
        match_expressions.push(Requirement { key: requirement.key.clone(), operator, values });
    }
    let match_labels = selector.match_labels.clone().unwrap_or_default();
    Some(Selector { match_labels, match_expressions })
}
