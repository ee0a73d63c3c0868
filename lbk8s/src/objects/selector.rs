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

/// Whether a text can be the value of a label: at most 63 letters, digits, dashes, underscores and dots, with a letter or
/// digit at both ends (Kubernetes' `IsValidLabelValue`).
fn is_label_value(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let ends = [text.bytes().next(), text.bytes().next_back()];
    text.len() <= 63
        && text.bytes().all(inner)
        && ends.into_iter().flatten().all(|it| it.is_ascii_alphanumeric())
}

/// Whether a text can be the key of a label: a name, perhaps behind a DNS name and a slash (`IsQualifiedName`).
fn is_label_key(text: &str) -> bool {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let is_dns = |prefix: &str| {
        let part = |part: &str| {
            let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            !part.is_empty() && part.bytes().all(inner) && !part.starts_with('-') && !part.ends_with('-')
        };
        prefix.len() <= 253 && prefix.split('.').all(part)
    };
    !name.is_empty() && is_label_value(name) && prefix.is_none_or(is_dns)
}

/// What is wrong with the key of a requirement or with its values, and where that is below it.
fn fault(key: &str, values: &[String]) -> Option<(&'static str, String)> {
    if !is_label_key(key) {
        return Some(("key", format!("{key:?} is no key of a label")));
    }
    let bad = values.iter().find(|value| !is_label_value(value));
    bad.map(|value| ("values", format!("{value:?} is no value of a label")))
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
        if let Some((field, message)) = fault(&requirement.key, &values) {
            problems.push(Problem::new(object, "InvalidSelector", format!("{path}.{field}"), message));
            return None;
        }
        match_expressions.push(Requirement { key: requirement.key.clone(), operator, values });
    }
    let match_labels = selector.match_labels.clone().unwrap_or_default();
    for (key, value) in &match_labels {
        if let Some((_, message)) = fault(key, std::slice::from_ref(value)) {
            problems.push(Problem::new(object, "InvalidSelector", format!("{path}.matchLabels"), message));
            return None;
        }
    }
    Some(Selector { match_labels, match_expressions })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn problems(selectors: &Value) -> Vec<String> {
        let object = ObjectRef::unknown("L2Advertisement", "a");
        let selectors: Vec<LabelSelector> = serde_json::from_value(selectors.clone()).unwrap();
        let mut problems = Vec::new();
        read_all(&object, "spec.nodeSelectors", Some(&selectors), &mut problems);
        problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
    }

    fn expression(key: &str, operator: &str, values: &[&str]) -> Value {
        json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]})
    }

    #[test]
    fn what_metallb_refuses_in_a_selector_is_told_with_its_place() {
        for (selectors, expected) in [
            (json!([{"matchLabels": {"a": "b"}}, {"matchLabels": {"a": "c"}}]), vec![]),
            (json!([expression("example.com/a", "In", &["b", ""])]), vec![]),
            (
                json!([expression("a b", "Exists", &[])]),
                vec!["spec.nodeSelectors[0].matchExpressions[0].key: \"a b\" is no key of a label"],
            ),
            (
                json!([expression("a", "NotIn", &["-b"])]),
                vec!["spec.nodeSelectors[0].matchExpressions[0].values: \"-b\" is no value of a label"],
            ),
            (
                json!([{"matchLabels": {"/a": "b"}}]),
                vec!["spec.nodeSelectors[0].matchLabels: \"/a\" is no key of a label"],
            ),
        ] {
            assert_eq!(problems(&selectors), expected, "{selectors}");
        }
    }

    #[test]
    fn keys_and_values_are_as_kubernetes_takes_them() {
        let long = "a".repeat(64);
        for (key, good) in [
            ("a", true),
            ("node-role.kubernetes.io/control-plane", true),
            ("A_b.c-d", true),
            ("", false),
            ("a/", false),
            ("a/b/c", false),
            ("Upper.case/a", false),
            ("-a", false),
            (long.as_str(), false),
        ] {
            assert_eq!(is_label_key(key), good, "{key}");
        }
        assert!(
            is_label_value("") && is_label_value("1.2_3") && !is_label_value(&long) && !is_label_value("a.")
        );
    }
}
