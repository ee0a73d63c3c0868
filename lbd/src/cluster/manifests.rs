//! The objects of a cluster as manifests, and what becomes of them when others are applied: for `lbd plan`, `lbd check` and
//! `lbd explain`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use futures::future::try_join_all;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use lbk8s::manifest::{Manifest, Manifests};
use lbk8s::objects::config_map;
use lbk8s::offline::Finding;
use serde_json::{Map, Value};

use super::{Server, run};
use crate::cli::ClusterArguments;
use crate::exit::Failure;

/// The kinds that count, and whether they are read in all namespaces.
const KINDS: [(&str, &str, &str, bool); 6] = [
    ("", "v1", "Namespace", true),
    ("", "v1", "Node", true),
    ("metallb.io", "v1beta1", "IPAddressPool", false),
    ("metallb.io", "v1beta1", "L2Advertisement", false),
    ("", "v1", "ConfigMap", false),
    ("", "v1", "Service", true),
];
/// What the API server notes for itself.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Reads everything that counts, in any order.
pub(crate) fn read(server: &ClusterArguments, namespace: &str) -> Result<Manifests, Failure> {
    run(async { of(&Server::of(server).await?, namespace).await })
}

/// The same by a client.
pub(super) async fn of(server: &Server, namespace: &str) -> Result<Manifests, Failure> {
    let lists = KINDS.iter().map(|kind| list(server, namespace, *kind));
    let values = try_join_all(lists).await?.into_iter().flatten();
    Ok(Manifests { objects: values.map(Manifest::in_no_file).collect(), ..Manifests::default() })
}

async fn list(
    server: &Server,
    namespace: &str,
    (group, version, kind, everywhere): (&str, &str, &str, bool),
) -> Result<Vec<Value>, Failure> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = if everywhere {
        Api::all_with(server.client.clone(), &resource)
    } else {
        Api::namespaced_with(server.client.clone(), namespace, &resource)
    };
    let mut parameters = ListParams::default();
    if kind == "ConfigMap" {
        parameters = parameters.fields(&format!("metadata.name={}", config_map::NAME));
    }
    let objects = match api.list(&parameters).await {
        Ok(list) => list.items,
        // A cluster without these kinds has none of their objects.
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(error) => return Err(server.fail(&resource.plural, &error)),
    };
    let value = |object: DynamicObject| {
        let mut value = serde_json::to_value(object).map_err(std::io::Error::other)?;
        // The items of a list leave out what they are.
        value["apiVersion"] = resource.api_version.clone().into();
        value["kind"] = resource.kind.clone().into();
        Ok(value)
    };
    objects.into_iter().map(value).collect()
}

/// The objects as they are once `change` has been applied, as kubectl does it: what a file no longer has and had when it
/// was applied last goes, and what others wrote stays.
pub(crate) fn applied(before: &Manifests, change: Manifests, namespace: &str) -> Manifests {
    let mut objects: BTreeMap<_, &Manifest> =
        before.objects.iter().map(|manifest| (identity(manifest, namespace), manifest)).collect();
    let mut changed = change;
    for manifest in &mut changed.objects {
        if let Some(live) = objects.remove(&identity(manifest, namespace)) {
            let text = live.value["metadata"]["annotations"][APPLIED].as_str();
            let last: Value = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            manifest.value = merged(&live.value, &last, &manifest.value);
        }
    }
    let kept: Vec<Manifest> = objects.into_values().cloned().collect();
    Manifests { objects: kept.into_iter().chain(changed.objects).collect(), ..changed }
}

/// What makes it the same object: its kind, its namespace and its name.
fn identity(manifest: &Manifest, namespace: &str) -> (String, String, String) {
    let own = manifest.reference();
    let namespace = match &*own.kind {
        "Namespace" | "Node" => "",
        _ if !own.namespace.is_empty() => &own.namespace,
        "Service" => "default",
        _ => namespace,
    };
    (own.kind.to_string(), namespace.to_owned(), own.name.to_string())
}

fn merged(live: &Value, last: &Value, wanted: &Value) -> Value {
    let (Value::Object(live), Value::Object(wanted)) = (live, wanted) else { return wanted.clone() };
    let empty = Map::new();
    let last = last.as_object().unwrap_or(&empty);
    let mut whole = live.clone();
    whole.retain(|key, _| wanted.contains_key(key) || !last.contains_key(key));
    for (key, value) in wanted {
        let before = live.get(key).unwrap_or(&Value::Null);
        let value = merged(before, last.get(key).unwrap_or(&Value::Null), value);
        // A field that is written as null is one that is not wanted.
        if value.is_null() {
            whole.remove(key)
        } else {
            whole.insert(key.clone(), value)
        };
    }
    Value::Object(whole)
}

/// Findings with the text of the objects at fault, as a cluster has them.
pub(crate) fn with_text(findings: Vec<Finding>, world: &Manifests) -> Vec<Finding> {
    let mut texts = Manifests::default();
    for manifest in &world.objects {
        if findings.iter().any(|finding| manifest.is(&finding.problem.object)) {
            let mut value = manifest.value.clone();
            if let Some(metadata) = value["metadata"].as_object_mut() {
                metadata.remove("managedFields");
                if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                    annotations.remove(APPLIED);
                }
            }
            let text = serde_saphyr::to_string(&value).unwrap_or_default();
            texts.read(&PathBuf::from(format!("{} in the cluster", manifest.reference())), &text);
        }
    }
    findings.into_iter().map(|finding| finding.located_in(&texts)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_applied_takes_the_place_of_what_was_applied_and_of_nothing_else() {
        let live = json!({"spec": {"a": 1, "b": 2, "list": [1, 2]}, "status": {"ip": "x"}});
        let last = json!({"spec": {"a": 1, "list": [1, 2]}});
        let wanted = json!({"spec": {"list": [3], "c": {"d": 1}}});
        let expected = json!({"spec": {"b": 2, "list": [3], "c": {"d": 1}}, "status": {"ip": "x"}});
        assert_eq!(merged(&live, &last, &wanted), expected);
        assert_eq!(merged(&live, &Value::Null, &json!({"spec": {"a": null}})), {
            json!({"spec": {"b": 2, "list": [1, 2]}, "status": {"ip": "x"}})
        });
    }

    #[test]
    fn an_object_is_the_same_by_its_name_where_it_counts() {
        let manifest = |value| Manifest::in_no_file(value);
        let pool =
            json!({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": "a"}});
        let before = Manifests {
            objects: vec![manifest(json!({
                "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
                "metadata": {"name": "a", "namespace": "lb", "creationTimestamp": "2026-01-01T00:00:00Z"},
            }))],
            ..Manifests::default()
        };
        let change = Manifests { objects: vec![manifest(pool)], ..Manifests::default() };
        let after = applied(&before, change, "lb");
        assert_eq!(after.objects.len(), 1);
        assert_eq!(after.objects[0].value["metadata"]["creationTimestamp"], "2026-01-01T00:00:00Z");
    }
}
