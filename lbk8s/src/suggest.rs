//! What was probably meant by a word that nobody knows.

use schemars::JsonSchema;
use serde_json::Value;

use crate::schema::{FieldPath, Step};

/// The known word that is nearest to `written`, if one is near enough to be meant.
#[must_use]
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may be wrong; in a short word, one.
    let most = (written.chars().count() / 3).max(1);
    let lower = written.to_lowercase();
    let distance = |word: &str| strsim::osa_distance(&lower, &word.to_lowercase());
    let ranked = known.into_iter().map(|word| (distance(word), word));
    ranked.filter(|(distance, _)| *distance <= most).min().map(|(_, word)| word)
}

/// The end of a message: the word that was probably meant.
pub fn hint(near: Option<impl std::fmt::Display>) -> String {
    near.map_or(String::new(), |near| format!("; did you mean {near}?"))
}

/// The field of `T` that was probably meant by the last step of a path.
pub(crate) fn field<T: JsonSchema>(path: &FieldPath) -> Option<String> {
    let (last, parents) = path.steps().split_last()?;
    let Step::Key(written) = last else { return None };
    let known = fields::<T>(parents);
    nearest(written, known.iter().map(String::as_str)).map(str::to_owned)
}

/// The fields that `T` has at a path.
fn fields<T: JsonSchema>(path: &[Step]) -> Vec<String> {
    let root = schemars::schema_for!(T).to_value();
    let mut at = &root;
    for step in path {
        at = resolve(&root, at);
        let next = match step {
            Step::Key(key) => at["properties"].get(key).or_else(|| at.get("additionalProperties")),
            Step::Index(_) => at.get("items"),
        };
        let Some(next) = next else { return Vec::new() };
        at = next;
    }
    let properties = resolve(&root, at)["properties"].as_object();
    properties.map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
}

/// Follows references, and of alternatives the first that is not null.
fn resolve<'v>(root: &'v Value, schema: &'v Value) -> &'v Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        return resolve(root, &root["$defs"][name]);
    }
    for alternatives in ["anyOf", "allOf", "oneOf"] {
        let first = schema[alternatives].as_array().into_iter().flatten().find(|it| it["type"] != "null");
        if let Some(first) = first {
            return resolve(root, first);
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;

    use super::*;
    use crate::objects::metallb::IPAddressPool;

    #[test]
    fn fields_are_found_at_every_depth() {
        let fields = |path: &str| fields::<IPAddressPool>(FieldPath::parse(path).steps());
        assert!(fields("spec").contains(&"addresses".to_owned()));
        assert!(fields("spec.serviceAllocation").contains(&"namespaceSelectors".to_owned()));
        assert!(fields("spec.serviceAllocation.serviceSelectors[0]").contains(&"matchLabels".to_owned()));
        assert_eq!(fields("spec.nothing"), Vec::<String>::new());
        let ports = super::fields::<Service>(FieldPath::parse("spec.ports[1]").steps());
        assert!(ports.contains(&"protocol".to_owned()), "{ports:?}");
    }

    #[test]
    fn a_word_is_near_if_few_letters_are_wrong() {
        for (written, expected) in [
            ("adresses", Some("addresses")),
            ("autoassign", Some("autoAssign")),
            ("avoidBugyIPs", Some("avoidBuggyIPs")),
            ("frog", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, ["addresses", "autoAssign", "avoidBuggyIPs"]), expected, "{written}");
        }
    }
}
