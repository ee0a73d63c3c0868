//! Label and field selectors in the query form (`app=web,tier in (a,b),!x`).

use serde_json::Value;

use super::{ApiError, Kind};

/// Which objects a list or a watch is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    labels: Vec<Label>,
    fields: Vec<Field>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Label {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    path: String,
    value: String,
    equal: bool,
}

/// The fields beside name and namespace by which objects of a kind can be chosen. Custom resources have none.
fn selectable(kind: &Kind) -> &'static [&'static str] {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Service") => &["spec.clusterIP", "spec.type"],
        ("", "Node") => &["spec.unschedulable"],
        ("", "Namespace") => &["status.phase"],
        ("", "Pod") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        ("", "Event") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("events.k8s.io", "Event") => &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingController",
            "type",
        ],
        _ => &[],
    }
}

impl Filter {
    pub(super) fn parse(kind: &Kind, labels: &str, fields: &str) -> Result<Self, ApiError> {
        let labels = split(labels).into_iter().map(label).collect::<Result<_, _>>()?;
        let fields = split(fields).into_iter().map(field).collect::<Result<Vec<_>, _>>()?;
        let known = [&["metadata.name", "metadata.namespace"], selectable(kind)].concat();
        if let Some(field) = fields.iter().find(|field| !known.contains(&field.path.as_str())) {
            return Err(ApiError::bad_request(format!("field label not supported: {}", field.path)));
        }
        Ok(Self { labels, fields })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        let value = |key: &str| object["metadata"]["labels"].get(key).and_then(Value::as_str);
        let label = |label: &Label| match label {
            Label::In(key, values) => value(key).is_some_and(|value| values.iter().any(|it| it == value)),
            Label::NotIn(key, values) => value(key).is_none_or(|value| !values.iter().any(|it| it == value)),
            Label::Exists(key) => value(key).is_some(),
            Label::Absent(key) => value(key).is_none(),
        };
        let field = |field: &Field| (text(object, &field.path) == field.value) == field.equal;
        self.labels.iter().all(label) && self.fields.iter().all(field)
    }
}

/// The value of a selectable field as text; empty if it is not there.
fn text(object: &Value, path: &str) -> String {
    let found = path.split('.').try_fold(object, |object, step| object.get(step));
    match (path, found) {
        // The source of a core event is named in a field of its own, or by who reports it.
        ("source", _) => {
            let component = &object["source"]["component"];
            let named = if component.is_string() { component } else { &object["reportingComponent"] };
            named.as_str().unwrap_or_default().to_owned()
        }
        ("spec.unschedulable" | "spec.hostNetwork", None) => "false".to_owned(),
        (_, Some(Value::String(text))) => text.clone(),
        (_, Some(Value::Null) | None) => String::new(),
        (_, Some(other)) => other.to_string(),
    }
}

/// Splits at commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_u32);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn label(text: &str) -> Result<Label, ApiError> {
    let fail = || ApiError::bad_request(format!("unable to parse the label selector {text:?}"));
    let key = |text: &str| {
        let key = text.trim();
        let fits = !key.is_empty() && key.chars().all(|it| it.is_ascii_alphanumeric() || "-_./".contains(it));
        if fits { Ok(key.to_owned()) } else { Err(fail()) }
    };
    let values = |text: &str| -> Result<Vec<String>, ApiError> {
        let inner = text.trim().strip_prefix('(').and_then(|text| text.strip_suffix(')')).ok_or_else(fail)?;
        Ok(inner.split(',').map(|value| value.trim().to_owned()).collect())
    };
    if let Some(rest) = text.strip_prefix('!') {
        return Ok(Label::Absent(key(rest)?));
    }
    if let Some((name, list)) = text.split_once(" notin ") {
        return Ok(Label::NotIn(key(name)?, values(list)?));
    }
    if let Some((name, list)) = text.split_once(" in ") {
        return Ok(Label::In(key(name)?, values(list)?));
    }
    if let Some((name, value)) = text.split_once("!=") {
        return Ok(Label::NotIn(key(name)?, vec![value.trim().to_owned()]));
    }
    if let Some((name, value)) = text.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return Ok(Label::In(key(name)?, vec![value.trim().to_owned()]));
    }
    Ok(Label::Exists(key(text)?))
}

fn field(text: &str) -> Result<Field, ApiError> {
    let (path, value, equal) = match (text.split_once("!="), text.split_once('=')) {
        (Some((path, value)), _) => (path, value, false),
        (None, Some((path, value))) => (path, value.strip_prefix('=').unwrap_or(value), true),
        (None, None) => {
            return Err(ApiError::bad_request(format!("unable to parse the field selector {text:?}")));
        }
    };
    Ok(Field { path: path.trim().to_owned(), value: value.trim().to_owned(), equal })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::Kinds;

    fn kind(name: &str) -> Kind {
        Kinds::default().find("", "v1", name).unwrap().clone()
    }

    #[test]
    fn selectors_choose_as_the_api_server_does() {
        let object = json!({
            "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web", "tier": "front"}},
            "spec": {"type": "LoadBalancer"}
        });
        for (labels, fields, expected) in [
            ("", "", true),
            ("app=web", "", true),
            ("app==web,tier!=back", "", true),
            ("app in (db, web),tier", "", true),
            ("app notin (web)", "", false),
            ("!app", "", false),
            ("!zone,zone!=a,zone notin (a,b)", "", true),
            ("zone=a", "", false),
            ("", "metadata.name=web", true),
            ("", "metadata.name=web,metadata.namespace!=default", false),
            ("", "spec.type=LoadBalancer", true),
            ("", "spec.clusterIP=", true),
        ] {
            let filter = Filter::parse(&kind("Service"), labels, fields).unwrap();
            assert_eq!(filter.matches(&object), expected, "{labels} {fields}");
        }
        for (labels, fields) in [("=", ""), ("a b", ""), ("a in b", ""), ("", "metadata.name")] {
            assert_eq!(
                Filter::parse(&kind("Service"), labels, fields).unwrap_err().code,
                400,
                "{labels} {fields}"
            );
        }
    }

    #[test]
    fn fields_are_chosen_by_what_they_mean() {
        let (node, event) = (kind("Node"), kind("Event"));
        for (kind, object, fields, expected) in [
            (&node, json!({}), "spec.unschedulable=false", true),
            (&node, json!({"spec": {"unschedulable": true}}), "spec.unschedulable=true", true),
            (&event, json!({"source": {"component": "a"}, "reportingComponent": "b"}), "source=a", true),
            (&event, json!({"reportingComponent": "b"}), "source=b", true),
            (&event, json!({"reportingComponent": "b"}), "source!=b", false),
        ] {
            let filter = Filter::parse(kind, "", fields).unwrap();
            assert_eq!(filter.matches(&object), expected, "{object} {fields}");
        }
    }
}
