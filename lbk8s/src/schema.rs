//! Whether an object is one of its kind: fields that nobody reads, and values of the wrong type.

mod place;

use std::cell::RefCell;
use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

use self::place::{Place, Seen};

/// The code of a field that nobody reads.
pub const UNKNOWN_FIELD: &str = "UnknownField";
/// The code of a value that does not fit its field.
pub const INVALID_VALUE: &str = "InvalidValue";

/// Something in an object that its kind does not have or does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it is.
    pub path: FieldPath,
    /// What is wrong.
    pub what: What,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The kind has no such field; it would be passed over in silence.
    Unknown,
    /// The value does not fit the field: the decoder's own words.
    Mismatch(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Unknown => write!(f, "unknown field {:?}", self.path.to_string()),
            What::Mismatch(why) if self.path.0.is_empty() => f.write_str(why),
            What::Mismatch(why) => write!(f, "{}: {why}", self.path),
        }
    }
}

/// The way to a field from the top of an object, as in `spec.ports[1].port`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldPath(Vec<Step>);

/// One step of a [`FieldPath`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A field of an object.
    Key(String),
    /// An entry of a list.
    Index(usize),
}

impl FieldPath {
    /// The steps, from the top.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Reads what `Display` writes. Keys with dots in them cannot be told apart from steps.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut steps = Vec::new();
        for part in text.split('.').filter(|part| !part.is_empty()) {
            let (key, indexes) = part.split_once('[').map_or((part, ""), |(key, rest)| (key, rest));
            if !key.is_empty() {
                steps.push(Step::Key(key.to_owned()));
            }
            let indexes = indexes.split('[').filter_map(|index| index.trim_end_matches(']').parse().ok());
            steps.extend(indexes.map(Step::Index));
        }
        Self(steps)
    }
}

impl From<Vec<Step>> for FieldPath {
    fn from(steps: Vec<Step>) -> Self {
        Self(steps)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// All that is wrong with `object` as a `T`. A value of the wrong type hides unknown fields behind it.
#[must_use]
pub fn check<T: DeserializeOwned>(object: &Value) -> Vec<Fault> {
    let seen = RefCell::new(Seen::default());
    let decoded = T::deserialize(Place::top(object, &seen));
    faults(seen.into_inner(), decoded.err())
}

fn faults(seen: Seen, error: Option<serde_json::Error>) -> Vec<Fault> {
    // Types made by a derive look for neither; they say what the object is and are checked by that.
    let of_any_object = ["apiVersion", "kind"].map(|key| FieldPath(vec![Step::Key(key.to_owned())]));
    let unknown = seen.unknown.into_iter().filter(|path| !of_any_object.contains(path));
    let mut faults: Vec<Fault> = unknown.map(|path| Fault { path, what: What::Unknown }).collect();
    let mismatch = error.map(|error| What::Mismatch(error.to_string()));
    faults.extend(mismatch.map(|what| Fault { path: seen.failed.unwrap_or_default(), what }));
    faults
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use serde_json::json;

    use super::*;
    use crate::objects::metallb::IPAddressPool;

    #[test]
    fn unknown_fields_and_wrong_types_are_found_where_they_are() {
        let faults =
            |object: Value| check::<Service>(&object).iter().map(ToString::to_string).collect::<Vec<_>>();
        let object = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "lables": {}},
            "spec": {"prots": [], "ports": [{"port": 80}, {"port": 81, "potocol": "TCP"}]}
        });
        assert_eq!(
            faults(object),
            [
                r#"unknown field "metadata.lables""#,
                r#"unknown field "spec.ports[1].potocol""#,
                r#"unknown field "spec.prots""#
            ]
        );
        let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {}, "spec": {"ports": [{"port": "80"}]}});
        assert_eq!(faults(object), [r#"spec.ports[0].port: invalid type: string "80", expected i32"#]);
    }

    #[test]
    fn a_list_is_no_object_of_any_kind() {
        let faults = check::<Service>(&json!({"metadata": {}, "spec": []}));
        assert_eq!(faults[0].to_string(), "spec: invalid type: sequence, expected ServiceSpec");
        let faults = check::<IPAddressPool>(&json!({"metadata": {}, "spec": [["192.0.2.0/24"]]}));
        assert_eq!(faults[0].to_string(), "spec: invalid type: sequence, expected struct IPAddressPoolSpec");
    }

    #[test]
    fn a_missing_field_is_told_of_the_object_that_lacks_it() {
        let faults = check::<Service>(&json!({"metadata": {}, "spec": {"ports": [{"port": 80}, {}]}}));
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(faults.is_empty(), "{faults:?}");
        let faults = check::<IPAddressPool>(&json!({"metadata": {}}));
        assert_eq!(faults[0].to_string(), "missing field `spec`");
    }

    #[test]
    fn a_key_with_dots_is_one_step() {
        let labels = json!({"metadata": {"labels": {"app.kubernetes.io/name": 5}}});
        let path = &check::<Service>(&labels)[0].path;
        let steps = ["metadata", "labels", "app.kubernetes.io/name"].map(|key| Step::Key(key.to_owned()));
        assert_eq!(path.steps(), steps);
    }

    #[test]
    fn paths_survive_being_written_and_read() {
        for text in ["spec.ports[1].port", "metadata", "spec.addresses[0]", "a[0][12].b"] {
            assert_eq!(FieldPath::parse(text).to_string(), text);
        }
    }
}
