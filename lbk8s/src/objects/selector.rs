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
    let mut all: Vec<Selector> = Vec::new();
    for (index, selector) in selectors.into_iter().flatten().enumerate() {
        let path = format!("{path}[{index}]");
        let Some(selector) = read(object, &path, selector, problems) else { continue };
        // What is written twice is nearly always meant to be something else.
        if let Some(first) = all.iter().position(|known| means_the_same(known, &selector)) {
            let message = format!("says the same as the one at [{first}]; write it once");
            problems.push(Problem::new(object, "InvalidSelector", path, message));
        }
        all.push(selector);
    }
    all
}

/// Whether two selectors differ at most in the order in which they are written.
fn means_the_same(one: &Selector, other: &Selector) -> bool {
    one.match_labels == other.match_labels && sorted(one) == sorted(other)
}

/// The expressions of a selector, in an order that says nothing.
fn sorted(selector: &Selector) -> Vec<(String, String, Vec<String>)> {
    let entry = |requirement: &Requirement| {
        let mut values = requirement.values.clone();
        values.sort();
        (requirement.key.clone(), format!("{:?}", requirement.operator), values)
    };
    let mut expressions: Vec<_> = selector.match_expressions.iter().map(entry).collect();
    expressions.sort();
    expressions
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
    for (index, value) in values.iter().enumerate() {
        if !is_label_value(value) {
            return Some(("values", format!("{value:?} is no value of a label")));
        }
        if values[..index].contains(value) {
            return Some(("values", format!("{value:?} stands there twice; write it once")));
        }
    }
    None
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
        let requirement = Requirement { key: requirement.key.clone(), operator, values };
        if match_expressions.contains(&requirement) {
            let message = "stands there twice; write it once";
            problems.push(Problem::new(object, "InvalidSelector", path, message));
            return None;
        }
        match_expressions.push(requirement);
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
        let twice = json!({"matchExpressions": [
            {"key": "a", "operator": "Exists"}, {"key": "a", "operator": "Exists"},
        ]});
        for (selectors, expected) in [
            (json!([{"matchLabels": {"a": "b"}}, {"matchLabels": {"a": "c"}}]), vec![]),
            (json!([expression("example.com/a", "In", &["b", ""])]), vec![]),
            (
                json!([expression("a", "In", &["b", "c"]), expression("a", "In", &["c", "b"])]),
                vec!["spec.nodeSelectors[1]: says the same as the one at [0]; write it once"],
            ),
            (
                json!([expression("a", "In", &["b", "b"])]),
                vec![
                    "spec.nodeSelectors[0].matchExpressions[0].values: \"b\" stands there twice; write it once",
                ],
            ),
            (
                json!([expression("a b", "Exists", &[])]),
                vec!["spec.nodeSelectors[0].matchExpressions[0].key: \"a b\" is no key of a label"],
            ),
            (
                json!([expression("a", "NotIn", &["-b"])]),
                vec!["spec.nodeSelectors[0].matchExpressions[0].values: \"-b\" is no value of a label"],
            ),
            (
                json!([twice]),
                vec!["spec.nodeSelectors[0].matchExpressions[1]: stands there twice; write it once"],
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
