//! As much of Kubernetes' `JSONPath` as columns of our definitions are written in: `.spec.addresses`,
//! `.interfaces[*].name`, `.ports[0]`.

use serde_json::Value;

/// The first value at `path`; a table shows no other.
pub(super) fn first<'v>(object: &'v Value, path: &str) -> Option<&'v Value> {
    path.split(['.', '[']).filter(|step| !step.is_empty()).try_fold(object, |value, step| {
        match step.strip_suffix(']') {
            Some("*") => value.get(0),
            Some(index) => value.get(index.parse::<usize>().ok()?),
            None => value.get(step),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_the_first_value() {
        let object = json!({"a": {"b": [{"c": 1}, {"c": 2}]}});
        for (path, expected) in [
            (".a.b", Some(json!([{"c": 1}, {"c": 2}]))),
            (".a.b[*].c", Some(json!(1))),
            (".a.b[1].c", Some(json!(2))),
            (".a.b[2].c", None),
            (".a.c", None),
            (".a[*]", None),
        ] {
            assert_eq!(first(&object, path).cloned(), expected, "{path}");
        }
    }
}
