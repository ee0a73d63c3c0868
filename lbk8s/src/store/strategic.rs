//! Strategic merge patch: a merge patch that knows which lists are keyed (`patchMergeKey` of the API's types).
//!
//! `kubectl apply`, `edit` and `patch` send it for built-in kinds. Entries of a keyed list are merged with those of the
//! same key; every other list is replaced. Directives say the rest: `$patch` (`delete`, `replace`, `merge`),
//! `$retainKeys`, `$deleteFromPrimitiveList/LIST` and `$setElementOrder/LIST`.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use super::{ApiError, Kind};

type Fields = Map<String, Value>;

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// How a list is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    /// Entries are objects, told apart by this field.
    By(&'static str),
    /// Entries are values; each is there once.
    Set,
}

/// The keyed lists of built-in kinds, by the kind and by the path without indexes.
const LISTS: [(&str, &str, List); 20] = [
    ("", "metadata.ownerReferences", List::By("uid")),
    ("", "metadata.finalizers", List::Set),
    ("", "status.conditions", List::By("type")),
    ("Service", "spec.ports", List::By("port")),
    ("Node", "spec.podCIDRs", List::Set),
    ("Node", "status.addresses", List::By("type")),
    ("Pod", "spec.containers", List::By("name")),
    ("Pod", "spec.containers.env", List::By("name")),
    ("Pod", "spec.containers.ports", List::By("containerPort")),
    ("Pod", "spec.containers.volumeMounts", List::By("mountPath")),
    ("Pod", "spec.initContainers", List::By("name")),
    ("Pod", "spec.initContainers.env", List::By("name")),
    ("Pod", "spec.initContainers.ports", List::By("containerPort")),
    ("Pod", "spec.initContainers.volumeMounts", List::By("mountPath")),
    ("Pod", "spec.volumes", List::By("name")),
    ("Pod", "spec.imagePullSecrets", List::By("name")),
    ("Pod", "spec.hostAliases", List::By("ip")),
    ("Pod", "spec.topologySpreadConstraints", List::By("topologyKey")),
    ("Pod", "status.podIPs", List::By("ip")),
    ("Pod", "status.hostIPs", List::By("ip")),
];

/// The keyed lists of one kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strategy<'k>(&'k str);

impl<'k> Strategy<'k> {
    /// That of a built-in kind. Custom ones have none.
    pub(super) fn of(kind: &'k Kind) -> Option<Self> {
        (!kind.custom).then_some(Self(&kind.kind))
    }

    fn list(self, path: &str) -> Option<List> {
        let template = path.strip_prefix("spec.template.").filter(|_| self.0 == "Deployment");
        let (kind, path) = template.map_or((self.0, path), |path| ("Pod", path));
        let is_it = |(of, at, _): &&(&str, &str, List)| (of.is_empty() || *of == kind) && *at == path;
        LISTS.iter().find(is_it).map(|(_, _, list)| *list)
    }

    /// `object` with the change.
    pub(super) fn apply(self, object: &mut Value, patch: Value) -> Result<(), ApiError> {
        match (object, patch) {
            (Value::Object(object), Value::Object(patch)) => self.merge(object, patch, ""),
            _ => Err(ApiError::bad_request("the body is not a strategic merge patch: it is no object")),
        }
    }

    fn merge(self, object: &mut Fields, mut patch: Fields, at: &str) -> Result<(), ApiError> {
        match patch.remove(PATCH).as_ref().map(Value::as_str) {
            None | Some(Some("merge")) => {}
            Some(Some("replace")) => {
                *object = patch;
                return Ok(());
            }
            Some(Some("delete")) => {
                object.clear();
                return Ok(());
            }
            Some(other) => {
                let why = format!("{PATCH}: {other:?} is none of \"delete\", \"merge\" and \"replace\"");
                return Err(ApiError::bad_request(why));
            }
        }
        if let Some(kept) = patch.remove(RETAIN) {
            let kept = kept.as_array().cloned().unwrap_or_default();
            object.retain(|field, _| kept.contains(&json!(field)));
        }
        let (orders, changes): (Fields, Fields) =
            patch.into_iter().partition(|(field, _)| field.starts_with(ORDER));
        for (field, value) in changes {
            if let Some(list) = field.strip_prefix(DELETE) {
                let gone = value.as_array().cloned().unwrap_or_default();
                let entries = object.get_mut(list).and_then(Value::as_array_mut);
                if let Some(entries) = entries {
                    entries.retain(|entry| !gone.contains(entry));
                }
                continue;
            }
            let inner = if at.is_empty() { field.clone() } else { format!("{at}.{field}") };
            let order = orders.get(&format!("{ORDER}{field}"));
            self.set(object, field, value, order, &inner)?;
        }
        // An order alone sorts what is there.
        for (field, order) in &orders {
            let field = field.trim_start_matches(ORDER);
            let inner = if at.is_empty() { field.to_owned() } else { format!("{at}.{field}") };
            if let (Some(list), Some(Value::Array(entries))) = (self.list(&inner), object.get_mut(field)) {
                let served = entries.clone();
                sort(entries, &served, order, list);
            }
        }
        Ok(())
    }

    fn set(
        self,
        object: &mut Fields,
        field: String,
        value: Value,
        order: Option<&Value>,
        at: &str,
    ) -> Result<(), ApiError> {
        match (value, self.list(at)) {
            (Value::Null, _) => drop(object.remove(&field)),
            (Value::Object(patch), _) => {
                let inner = object.entry(field).or_insert_with(|| json!({}));
                if !inner.is_object() {
                    *inner = json!({});
                }
                inner.as_object_mut().map_or(Ok(()), |inner| self.merge(inner, patch, at))?;
            }
            (Value::Array(patch), Some(list)) => {
                let entries = object.entry(field).or_insert_with(|| json!([]));
                let served = entries.as_array().cloned().unwrap_or_default();
                let mut merged = self.merge_list(served.clone(), patch, list, at)?;
                if let Some(order) = order {
                    sort(&mut merged, &served, order, list);
                }
                *entries = Value::Array(merged);
            }
            (value, _) => drop(object.insert(field, value)),
        }
        Ok(())
    }

    fn merge_list(
        self,
        mut entries: Vec<Value>,
        patch: Vec<Value>,
        list: List,
        at: &str,
    ) -> Result<Vec<Value>, ApiError> {
        let List::By(key) = list else {
            for value in patch {
                if !entries.contains(&value) {
                    entries.push(value);
                }
            }
            return Ok(entries);
        };
        let replaces = |entry: &Value| entry[PATCH] == "replace";
        if patch.iter().any(replaces) {
            return Ok(patch.into_iter().filter(|entry| !replaces(entry)).collect());
        }
        for change in patch {
            let Value::Object(change) = change else {
                return Err(ApiError::bad_request(format!("{at}: {change} is no object")));
            };
            let Some(value) = change.get(key).cloned() else {
                let entry = Value::Object(change);
                return Err(ApiError::internal(&format!(
                    "{at}: {entry} does not contain declared merge key: {key}"
                )));
            };
            if change.get(PATCH) == Some(&json!("delete")) {
                entries.retain(|entry| entry[key] != value);
                continue;
            }
            let position = entries.iter().position(|entry| entry[key] == value);
            let position = position.unwrap_or_else(|| {
                entries.push(json!({}));
                entries.len() - 1
            });
            if let Some(entry) = entries[position].as_object_mut() {
                self.merge(entry, change, at)?;
            }
        }
        Ok(entries)
    }
}

/// Brings the entries that `order` names into that order. The others, which only the server knows, stay among them where
/// they were before as far as that can be.
fn sort(entries: &mut Vec<Value>, served: &[Value], order: &Value, list: List) {
    let same = |one: &Value, other: &Value| match list {
        List::By(key) => one[key] == other[key],
        List::Set => one == other,
    };
    let order = order.as_array().map(Vec::as_slice).unwrap_or_default();
    let place = |all: &[Value], entry: &Value| all.iter().position(|other| same(other, entry));
    let (mut named, others): (Vec<Value>, Vec<Value>) =
        std::mem::take(entries).into_iter().partition(|entry| place(order, entry).is_some());
    named.sort_by_key(|entry| place(order, entry));
    let before = |one: &Value, other: &Value| match (place(served, one), place(served, other)) {
        (Some(one), Some(other)) => one.cmp(&other) == Ordering::Less,
        _ => false,
    };
    let mut named = named.into_iter().peekable();
    for other in others {
        while let Some(next) = named.next_if(|next| !before(&other, next)) {
            entries.push(next);
        }
        entries.push(other);
    }
    entries.extend(named);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(entries: &[(i64, &str)]) -> Value {
        let entries = entries.iter().map(|(port, name)| json!({"port": port, "name": name}));
        json!(entries.collect::<Vec<_>>())
    }

    fn patched(kind: &'static str, mut object: Value, patch: Value) -> Result<Value, u16> {
        Strategy(kind).apply(&mut object, patch).map(|()| object).map_err(|error| error.code)
    }

    #[test]
    fn entries_of_a_keyed_list_are_merged_and_other_lists_replaced() {
        let object = json!({"spec": {"ports": ports(&[(1, "a"), (2, "b")]), "externalIPs": ["x", "y"]}});
        let patch =
            json!({"spec": {"ports": [{"port": 2, "nodePort": 9}, {"port": 3}], "externalIPs": ["z"]}});
        let expected = json!({"spec": {
            "ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "b", "nodePort": 9}, {"port": 3}],
            "externalIPs": ["z"],
        }});
        assert_eq!(patched("Service", object.clone(), patch.clone()), Ok(expected));
        // A list of that name in another kind has no key.
        assert_eq!(patched("ConfigMap", object, patch.clone()), Ok(patch));
    }

    #[test]
    fn directives_delete_replace_retain_and_order() {
        let object =
            json!({"a": {"b": 1, "c": 2}, "spec": {"ports": ports(&[(1, "a"), (2, "b"), (3, "c")])}});
        for (patch, expected) in [
            (json!({"a": {"$patch": "delete"}}), json!({"a": {}})),
            (json!({"a": {"$patch": "replace", "d": 3}}), json!({"a": {"d": 3}})),
            (json!({"a": {"$patch": "merge", "d": 3}}), json!({"a": {"b": 1, "c": 2, "d": 3}})),
            (json!({"a": {"$retainKeys": ["c", "d"], "d": 3}}), json!({"a": {"c": 2, "d": 3}})),
            (json!({"a": null}), json!({"a": null})),
            (
                json!({"spec": {"ports": [{"port": 1, "$patch": "delete"}]}}),
                json!({"spec": {"ports": ports(&[(2, "b"), (3, "c")])}}),
            ),
            (
                json!({"spec": {"ports": [{"$patch": "replace"}, {"port": 7, "name": "x"}]}}),
                json!({"spec": {"ports": ports(&[(7, "x")])}}),
            ),
            (
                json!({"spec": {"$setElementOrder/ports": [{"port": 3}, {"port": 1}]}}),
                json!({"spec": {"ports": ports(&[(2, "b"), (3, "c"), (1, "a")])}}),
            ),
            (
                json!({"spec": {
                    "$setElementOrder/ports": [{"port": 4}, {"port": 3}, {"port": 2}],
                    "ports": [{"port": 4, "name": "d"}, {"port": 1, "$patch": "delete"}],
                }}),
                json!({"spec": {"ports": ports(&[(4, "d"), (3, "c"), (2, "b")])}}),
            ),
        ] {
            let result = patched("Service", object.clone(), patch.clone()).unwrap();
            for (field, expected) in expected.as_object().unwrap() {
                assert_eq!(result.get(field).unwrap_or(&Value::Null), expected, "{patch}");
            }
        }
    }

    #[test]
    fn a_set_of_values_grows_and_shrinks() {
        let object = json!({"metadata": {"finalizers": ["a", "b"]}});
        let patch =
            json!({"metadata": {"finalizers": ["c", "a"], "$deleteFromPrimitiveList/finalizers": ["b"]}});
        assert_eq!(patched("Service", object, patch), Ok(json!({"metadata": {"finalizers": ["a", "c"]}})));
    }

    #[test]
    fn a_template_of_pods_is_merged_as_a_pod_is() {
        let object = json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "x"}]}}}});
        let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "tty": true}]}}}});
        let expected = json!({"name": "a", "image": "x", "tty": true});
        let result = patched("Deployment", object, patch).unwrap();
        assert_eq!(result["spec"]["template"]["spec"]["containers"], json!([expected]));
    }

    #[test]
    fn what_is_no_strategic_patch_is_refused() {
        let object = json!({"spec": {"ports": []}});
        for (patch, code) in [
            (json!([]), 400),
            (json!({"spec": {"$patch": "burn"}}), 400),
            (json!({"spec": {"ports": [5]}}), 400),
            (json!({"spec": {"ports": [{"name": "x"}]}}), 500),
        ] {
            assert_eq!(patched("Service", object.clone(), patch.clone()), Err(code), "{patch}");
        }
    }
}
