//! The objects of a cluster as manifests, and what becomes of them when others are applied: for `lbd plan`, `lbd check` and
//! `lbd explain`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use futures::future::try_join_all;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use lbk8s::ObjectRef;
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
        if let Some(object) = manifest.value.as_object_mut() {
            // It is written by those whose it is, and by no file.
            object.remove("status");
        }
        if let Some(live) = objects.remove(&identity(manifest, namespace)) {
            let text = live.value["metadata"]["annotations"][APPLIED].as_str();
            let last: Value = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            let mut wanted = manifest.value.clone();
            if let Some(metadata) = wanted["metadata"].as_object_mut() {
                // kubectl notes it as empty if there is none, and leaves what others annotated.
                metadata.entry("annotations").or_insert_with(|| Map::new().into());
            }
            manifest.value = merged(&live.value, &last, &wanted);
            families(&live.value, &wanted, &mut manifest.value);
        }
    }
    let kept: Vec<Manifest> = objects.into_values().cloned().collect();
    Manifests { objects: kept.into_iter().chain(changed.objects).collect(), ..changed }
}

/// A Service that is to have other families gets its addresses inside the cluster anew, as far as the file does not name
/// them.
fn families(live: &Value, wanted: &Value, merged: &mut Value) {
    let other = |field: &str| merged["spec"][field] != live["spec"][field];
    if !(other("ipFamilyPolicy") || other("ipFamilies")) {
        return;
    }
    // Of what others wrote only the policy or the list is the file's.
    let unnamed =
        ["clusterIP", "clusterIPs", "ipFamilies"].map(|field| (field, wanted["spec"][field].is_null()));
    if let Some(spec) = merged["spec"].as_object_mut() {
        for (field, _) in unnamed.into_iter().filter(|(_, unnamed)| *unnamed) {
            spec.remove(field);
        }
    }
}

/// What makes it the same object: its group, its kind, its namespace and its name.
fn identity(manifest: &Manifest, namespace: &str) -> (String, String, String, String) {
    let own = manifest.reference();
    let group = own.api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let namespace = match &*own.kind {
        "Namespace" | "Node" => "",
        _ if !own.namespace.is_empty() => &own.namespace,
        "Service" => "default",
        _ => namespace,
    };
    (group.to_owned(), own.kind.to_string(), namespace.to_owned(), own.name.to_string())
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
    let named = |object: &ObjectRef| (object.kind.to_string(), object.namespace.clone(), object.name.clone());
    let at_fault: BTreeSet<_> = findings.iter().map(|finding| named(&finding.problem.object)).collect();
    let mut texts = BTreeMap::new();
    for manifest in &world.objects {
        let reference = manifest.reference();
        if at_fault.contains(&named(&reference)) {
            let mut value = manifest.value.clone();
            if let Some(metadata) = value["metadata"].as_object_mut() {
                metadata.remove("managedFields");
                if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                    annotations.remove(APPLIED);
                }
            }
            let text = serde_saphyr::to_string(&value).unwrap_or_default();
            let mut read = Manifests::default();
            read.read(&PathBuf::from(format!("{reference} in the cluster")), &text);
            texts.extend(read.objects.pop().map(|manifest| (named(&reference), manifest)));
        }
    }
    let located = |finding: Finding| match texts.get(&named(&finding.problem.object)) {
        Some(manifest) => finding.located_in(manifest),
        None => finding,
    };
    findings.into_iter().map(located).collect()
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
    fn what_others_annotate_and_what_the_cluster_writes_stays() {
        let of = |value| Manifests { objects: vec![Manifest::in_no_file(value)], ..Manifests::default() };
        let last = json!({"metadata": {"annotations": {}}, "spec": {"type": "LoadBalancer"}}).to_string();
        let before = of(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "namespace": "default", "annotations": {
                APPLIED: last, "metallb.io/loadBalancerIPs": "10.0.0.9",
            }},
            "spec": {"type": "LoadBalancer", "clusterIPs": ["10.96.0.1"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"},
            "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.9"}]}},
        }));
        let file = |spec: Value| {
            of(json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec,
                "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}},
            }))
        };
        let same = applied(&before, file(json!({"type": "LoadBalancer"})), "lb").objects.remove(0).value;
        assert_eq!(same["metadata"]["annotations"]["metallb.io/loadBalancerIPs"], "10.0.0.9");
        assert_eq!(same["status"]["loadBalancer"]["ingress"][0]["ip"], "10.0.0.9");
        assert_eq!(same["spec"]["clusterIPs"], json!(["10.96.0.1"]));
        let wide = json!({"type": "LoadBalancer", "ipFamilyPolicy": "RequireDualStack"});
        let wide = applied(&before, file(wide), "lb").objects.remove(0).value;
        assert_eq!((&wide["spec"]["clusterIPs"], &wide["spec"]["ipFamilies"]), (&Value::Null, &Value::Null));
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
