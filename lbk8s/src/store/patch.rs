//! Merge patch (RFC 7396), JSON patch (RFC 6902), and strategic merge patch for built-in kinds.

use json_patch::PatchOperation;
use serde_json::Value;

use super::strategic::Strategy;
use super::{ApiError, Kind};

/// A change of an object, as a client says it.
#[derive(Debug, Clone)]
pub(super) enum Patch<'k> {
    /// Objects are merged, null removes, everything else replaces.
    Merge(Value),
    /// Operations one after the other; all or none.
    Json(json_patch::Patch),
    /// Objects are merged, and lists by their keys.
    Strategic(Strategy<'k>, Value),
}

/// In which language a patch is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum PatchType<'k> {
    Merge,
    Json,
    Strategic(Strategy<'k>),
}

impl<'k> PatchType<'k> {
    /// The one that a `Content-Type` names, if objects of the kind can be patched in it.
    pub(super) fn of(kind: &'k Kind, content_type: &str) -> Result<Self, ApiError> {
        match (content_type.split(';').next().unwrap_or_default().trim(), Strategy::of(kind)) {
            ("application/merge-patch+json", _) => Ok(Self::Merge),
            ("application/json-patch+json", _) => Ok(Self::Json),
            ("application/strategic-merge-patch+json", Some(strategy)) => Ok(Self::Strategic(strategy)),
            _ => Err(ApiError::unsupported_patch(kind, content_type)),
        }
    }
}

impl<'k> Patch<'k> {
    pub(super) fn read(written: PatchType<'k>, body: Value) -> Result<Self, ApiError> {
        match written {
            PatchType::Merge => Ok(Self::Merge(body)),
            PatchType::Strategic(strategy) => Ok(Self::Strategic(strategy, body)),
            PatchType::Json => serde_json::from_value(body)
                .map(Self::Json)
                .map_err(|error| ApiError::bad_request(format!("the body is not a JSON patch: {error}"))),
        }
    }

    /// `object` with the change.
    pub(super) fn apply(self, mut object: Value) -> Result<Value, ApiError> {
        match self {
            Self::Merge(patch) => json_patch::merge(&mut object, &patch),
            Self::Strategic(strategy, patch) => strategy.apply(&mut object, patch)?,
            Self::Json(patch) => {
                for operation in patch.0 {
                    if !is_test_of_absence(&operation, &object) {
                        json_patch::patch(&mut object, &[operation])
                            .map_err(|error| ApiError::patch_failed(&error))?;
                    }
                }
            }
        }
        Ok(object)
    }
}

/// To RFC 6902 a field that is not there has no value to test. The API server takes it for null, and its clients
/// ask in this way whether there are no finalizers yet.
fn is_test_of_absence(operation: &PatchOperation, object: &Value) -> bool {
    let PatchOperation::Test(test) = operation else { return false };
    test.value.is_null() && object.pointer(test.path.as_str()).is_none()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_examples_of_rfc_7396_appendix_a_hold() {
        for (original, patch, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a":"b"}), json!(["c"]), json!(["c"])),
            (json!({"a":"foo"}), json!(null), json!(null)),
            (json!({"a":"foo"}), json!("bar"), json!("bar")),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            let applied = Patch::Merge(patch.clone()).apply(original.clone()).unwrap();
            assert_eq!(applied, result, "{original} + {patch}");
        }
    }

    #[test]
    fn a_field_that_is_not_there_is_null_to_a_test() {
        let object = json!({"a": {"b": 1}});
        let apply = |value: Value, path: &str| {
            let patch = json!([{"op": "test", "path": path, "value": value}]);
            let patch = Patch::read(PatchType::Json, patch).unwrap();
            patch.apply(object.clone()).map_err(|error| error.code)
        };
        assert_eq!(apply(json!(null), "/c"), Ok(object.clone()));
        assert_eq!(apply(json!(null), "/c/d"), Ok(object.clone()));
        assert_eq!(apply(json!(1), "/a/b"), Ok(object.clone()));
        assert_eq!(apply(json!(null), "/a/b"), Err(422));
        assert_eq!(apply(json!(1), "/c"), Err(422));
    }
}
