//! Label and field selectors in the query form (`app=web,tier in (a,b),!x`).

use serde_json::Value;

use super::ApiError;

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
    path: Vec<String>,
    value: String,
    equal: bool,
}

impl Filter {
    pub(super) fn parse(labels: &str, fields: &str) -> Result<Self, ApiError> {
        let labels = split(labels).into_iter().map(label).collect::<Result<_, _>>()?;
        let fields = split(fields).into_iter().map(field).collect::<Result<_, _>>()?;
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
        let field = |field: &Field| {
            let found = field.path.iter().try_fold(object, |object, step| object.get(step));
            let text = match found {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Null) | None => String::new(),
                Some(other) => other.to_string(),
            };
            (text == field.value) == field.equal
        };
        self.labels.iter().all(label) && self.fields.iter().all(field)
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
    let path = path.trim().split('.').map(str::to_owned).collect();
    Ok(Field { path, value: value.trim().to_owned(), equal })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
            ("", "spec.nodeName=", true),
        ] {
            let filter = Filter::parse(labels, fields).unwrap();
            assert_eq!(filter.matches(&object), expected, "{labels} {fields}");
        }
        for (labels, fields) in [("=", ""), ("a b", ""), ("a in b", ""), ("", "metadata.name")] {
            assert_eq!(Filter::parse(labels, fields).unwrap_err().code, 400, "{labels} {fields}");
        }
    }
}
