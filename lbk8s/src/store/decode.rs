//! From what a writer sends to what is stored: an object of its kind, without unknown fields, nulls and empties.

use serde_json::{Value, json};

use super::{ApiError, Kind};
use crate::schema::{FieldPath, Step, What};

/// What becomes of fields that the kind does not have (`fieldValidation` in a query).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum FieldValidation {
    /// They are dropped, as an API server does if it is told nothing.
    #[default]
    Ignore,
    /// The write is refused.
    Strict,
}

/// The API server leaves these out when they are empty, so that a write of empty ones changes nothing.
const ABSENT_IF_EMPTY: [&str; 5] =
    ["labels", "annotations", "finalizers", "ownerReferences", "managedFields"];

impl Kind {
    /// Makes of `object` what is stored of it, or says why it is not one of this kind. Afterwards its metadata
    /// is an object, and every field that the kind has is of the field's type.
    pub(super) fn decode(&self, object: &mut Value, validation: FieldValidation) -> Result<(), ApiError> {
        self.identify(object)?;
        // The fields of built-in kinds and all metadata are typed: there, null is no value.
        if self.custom {
            object.get_mut("metadata").into_iter().for_each(drop_nulls);
            drop_null_fields(object);
        } else {
            drop_nulls(object);
        }
        let faults = (self.check)(object);
        if let Some(fault) = faults.iter().find(|fault| matches!(fault.what, What::Mismatch(_))) {
            let version = self.api_version();
            if self.custom {
                // The definition's schema says so, of an object that could be read.
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                return Err(ApiError::invalid(self, name, &fault.to_string()));
            }
            let why = format!("{} in version {version:?} cannot be handled: {fault}", self.kind);
            return Err(ApiError::bad_request(why));
        }
        if validation == FieldValidation::Strict && !faults.is_empty() {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            return Err(ApiError::not_strict(&faults));
        }
        for fault in &faults {
            remove(object, &fault.path);
        }
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.retain(|field, value| !(ABSENT_IF_EMPTY.contains(&field.as_str()) && is_empty(value)));
        }
        self.store_form(object);
        Ok(())
    }

    /// Checks that the object is of the kind of the path, and says so in it.
    fn identify(&self, object: &mut Value) -> Result<(), ApiError> {
        let Some(fields) = object.as_object_mut() else {
            return Err(ApiError::bad_request("the body is not an object"));
        };
        for (field, expected) in [("apiVersion", self.api_version()), ("kind", self.kind.clone())] {
            match fields.get(field).and_then(Value::as_str) {
                Some(found) if found != expected => {
                    let why =
                        format!("the {field} of the object is {found:?}, that of the path is {expected:?}");
                    return Err(ApiError::bad_request(why));
                }
                Some(_) => {}
                None => drop(fields.insert(field.to_owned(), Value::String(expected))),
            }
        }
        if fields.get("metadata").is_none_or(Value::is_null) {
            fields.insert("metadata".to_owned(), json!({}));
        }
        Ok(())
    }
}

fn drop_null_fields(value: &mut Value) {
    value.as_object_mut().into_iter().for_each(|fields| fields.retain(|_, value| !value.is_null()));
}

fn drop_nulls(value: &mut Value) {
    drop_null_fields(value);
    match value {
        Value::Object(fields) => fields.values_mut().for_each(drop_nulls),
        Value::Array(entries) => entries.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn remove(object: &mut Value, path: &FieldPath) {
    let [parents @ .., Step::Key(last)] = path.steps() else { return };
    let parent = parents.iter().try_fold(object, |value, step| match step {
        Step::Key(key) => value.get_mut(key),
        Step::Index(index) => value.get_mut(index),
    });
    if let Some(Value::Object(fields)) = parent {
        fields.remove(last);
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(entries) => entries.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Kinds;

    fn decoded(api_version: &str, kind: &str, object: Value) -> Result<Value, u16> {
        let (kinds, mut object) = (Kinds::default(), object);
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let kind = kinds.find(group, version, kind).unwrap();
        kind.decode(&mut object, FieldValidation::Ignore).map_err(|error| error.code)?;
        Ok(object)
    }

    #[test]
    fn what_says_nothing_is_left_out() {
        let ports = json!([{"port": 80, "name": null, "invented": 1}]);
        let object = json!({
            "metadata": {"labels": {}, "annotations": {"a": null}, "finalizers": [], "name": "a"},
            "spec": {"ports": ports, "type": null, "selector": {}}, "status": null,
        });
        let expected = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"},
            "spec": {"ports": [{"port": 80}], "selector": {}},
        });
        assert_eq!(decoded("v1", "Service", object), Ok(expected));
    }

    #[test]
    fn no_shape_of_an_object_gets_through_that_is_not_its_kinds() {
        for object in [
            json!(null),
            json!([]),
            json!("x"),
            json!({"metadata": "x"}),
            json!({"metadata": []}),
            json!({"metadata": {"labels": []}}),
            json!({"spec": []}),
            json!({"status": "x"}),
            json!({"status": {"loadBalancer": 5}}),
            json!({"kind": "Pod"}),
        ] {
            assert_eq!(decoded("v1", "Service", object.clone()), Err(400), "{object}");
        }
    }
}
