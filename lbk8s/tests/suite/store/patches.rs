//! Merge patch, JSON patch, the status subresource, and the generation of custom resources.

use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use lbk8s::Store;
use serde_json::{Value, json};

use super::api::{
    CONFIG_MAPS, POOLS, Raw, SERVICES, config_map, load_balancer, pool, refused, service, version,
};

#[tokio::test]
async fn a_merge_patch_merges_objects_replaces_lists_and_removes_by_null() {
    let store = Store::default();
    let api = Raw::of(&store);
    let mut object = service("a");
    object["metadata"]["labels"] = json!({"keep": "1", "change": "1", "drop": "1"});
    object["spec"]["ports"] = json!([{"name": "a", "port": 80}, {"name": "b", "port": 81}]);
    api.post(SERVICES, &object).await.unwrap();
    let patch = json!({
        "metadata": {"labels": {"change": "2", "drop": null, "new": "2", "never": null}},
        "spec": {"ports": [{"port": 90}]},
    });
    let patched = api.merge(&format!("{SERVICES}/a"), patch).await.unwrap();
    assert_eq!(patched["metadata"]["labels"], json!({"keep": "1", "change": "2", "new": "2"}));
    assert_eq!(patched["spec"]["ports"], json!([{"port": 90, "protocol": "TCP", "targetPort": 90}]));
    assert_eq!(patched["spec"]["selector"], json!({"app": "a"}));
}

#[tokio::test]
async fn a_patch_may_make_what_was_not_there() {
    let store = Store::default();
    let api = Raw::of(&store);
    api.post(CONFIG_MAPS, &config_map("a")).await.unwrap();
    let patch = json!({"metadata": {"annotations": {"a/b": "c"}}, "binaryData": {"x": null, "y": "eQ=="}});
    let patched = api.merge(&format!("{CONFIG_MAPS}/a"), patch).await.unwrap();
    assert_eq!(patched["metadata"]["annotations"], json!({"a/b": "c"}));
    assert_eq!(patched["binaryData"], json!({"y": "eQ=="}));
    assert_eq!(patched["data"], json!({"a": "1"}));
}

#[tokio::test]
async fn two_patches_of_different_fields_both_stay() {
    let store = Store::default();
    let api: Api<Service> = Api::default_namespaced(store.client());
    let object = serde_json::from_value(service("a")).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
    let label = |key: &str| Patch::Merge(json!({"metadata": {"labels": {key: "1"}}}));
    let (params, one, two) = (PatchParams::default(), label("one"), label("two"));
    let (first, second) = tokio::join!(api.patch("a", &params, &one), api.patch("a", &params, &two));
    first.unwrap();
    second.unwrap();
    assert_eq!(api.get("a").await.unwrap().labels().len(), 2);
}

#[tokio::test]
async fn a_create_sets_no_status() {
    let store = Store::default();
    let api = Raw::of(&store);
    let mut object = load_balancer("a");
    object["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
    let created = api.post(SERVICES, &object).await.unwrap();
    assert!(created["status"]["loadBalancer"]["ingress"].is_null(), "{created}");
    let mut object = pool("a");
    object["status"] = json!({"assignedIPv4": 5});
    assert_eq!(api.post(POOLS, &object).await.unwrap().get("status"), None);
}

#[tokio::test]
async fn a_main_write_leaves_the_status_alone() {
    let store = Store::default();
    let api = Raw::of(&store);
    let address = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ipMode": "VIP"}]}});
    let counts = json!({"assignedIPv4": 1, "assignedIPv6": 0, "availableIPv4": 3, "availableIPv6": 0});
    for (path, object, status) in [(SERVICES, load_balancer("a"), address), (POOLS, pool("a"), counts)] {
        let own = format!("{path}/a");
        api.post(path, &object).await.unwrap();
        api.merge(&format!("{own}/status"), json!({"status": status})).await.unwrap();
        let patched = api.merge(&own, json!({"status": null})).await.unwrap();
        assert_eq!(patched["status"], status);
        let mut next = api.get(&own).await.unwrap();
        next.as_object_mut().unwrap().remove("status");
        next["metadata"]["labels"] = json!({"x": "1"});
        let written = api.put(&own, &next).await.unwrap();
        assert_eq!((&written["status"], &written["metadata"]["labels"]["x"]), (&status, &json!("1")));
    }
}

#[tokio::test]
async fn a_status_write_leaves_the_spec_alone() {
    let store = Store::default();
    let api = Raw::of(&store);
    for (path, object) in [(SERVICES, load_balancer("a")), (POOLS, pool("a"))] {
        let own = format!("{path}/a");
        let created = api.post(path, &object).await.unwrap();
        let patch = json!({"spec": {"addresses": [], "ports": [{"port": 1}]}, "status": {}});
        let patched = api.merge(&format!("{own}/status"), patch).await.unwrap();
        assert_eq!(patched["spec"], created["spec"]);
        let mut next = api.get(&own).await.unwrap();
        next["spec"]["addresses"] = json!(["198.51.100.0/24"]);
        next["spec"]["ports"] = json!([{"port": 2}]);
        let written = api.put(&format!("{own}/status"), &next).await.unwrap();
        assert_eq!(written["spec"], created["spec"]);
    }
}

#[tokio::test]
async fn a_status_write_may_change_the_metadata_of_builtins_only() {
    let store = Store::default();
    let api = Raw::of(&store);
    for (path, object, changes) in [(SERVICES, load_balancer("a"), true), (POOLS, pool("a"), false)] {
        api.post(path, &object).await.unwrap();
        let patch = json!({"metadata": {"annotations": {"a/b": "c"}, "labels": {"x": "y"}}});
        let patched = api.merge(&format!("{path}/a/status"), patch).await.unwrap();
        assert_eq!(patched["metadata"]["annotations"]["a/b"] == "c", changes, "{patched}");
        assert_eq!(patched["metadata"]["labels"]["x"] == "y", changes, "{patched}");
    }
}

#[tokio::test]
async fn a_status_write_that_removes_what_is_not_there_changes_nothing() {
    let store = Store::default();
    let api = Raw::of(&store);
    for (path, object) in [(SERVICES, service("a")), (SERVICES, load_balancer("b")), (POOLS, pool("a"))] {
        let own = format!("{path}/{}/status", object["metadata"]["name"].as_str().unwrap());
        let created = api.post(path, &object).await.unwrap();
        let patched = api.merge(&own, json!({"status": null})).await.unwrap();
        assert_eq!(patched, created);
        let mut written = created.clone();
        written.as_object_mut().unwrap().remove("status");
        assert_eq!(version(&api.put(&own, &written).await.unwrap()), version(&created));
    }
}

#[tokio::test]
async fn every_service_has_a_load_balancer_status() {
    let store = Store::default();
    let api = Raw::of(&store);
    for object in [service("a"), load_balancer("b")] {
        let created = api.post(SERVICES, &object).await.unwrap();
        assert_eq!(created["status"], json!({"loadBalancer": {}}));
    }
}

#[tokio::test]
async fn the_status_is_read_at_its_own_path_too() {
    let store = Store::default();
    let api = Raw::of(&store);
    let created = api.post(POOLS, &pool("a")).await.unwrap();
    assert_eq!(api.get(&format!("{POOLS}/a/status")).await.unwrap(), created);
}

#[tokio::test]
async fn the_generation_of_a_custom_resource_counts_changes_of_its_spec() {
    let store = Store::default();
    let api = Raw::of(&store);
    let own = format!("{POOLS}/a");
    let mut object = pool("a");
    object["metadata"]["generation"] = json!(7);
    let generation = |answer: Value| answer["metadata"]["generation"].as_i64();
    assert_eq!(generation(api.post(POOLS, &object).await.unwrap()), Some(1));
    for (path, patch, expected) in [
        (own.clone(), json!({"spec": {"autoAssign": false}}), 2),
        (own.clone(), json!({"metadata": {"labels": {"x": "1"}}}), 2),
        (own.clone(), json!({"metadata": {"generation": 9}}), 2),
        (format!("{own}/status"), json!({"status": {"assignedIPv4": 1}}), 2),
        (own.clone(), json!({"spec": {"autoAssign": false}}), 2),
        (own.clone(), json!({"spec": {"autoAssign": null}}), 3),
    ] {
        assert_eq!(generation(api.merge(&path, patch.clone()).await.unwrap()), Some(expected), "{patch}");
    }
}

#[tokio::test]
async fn a_json_patch_does_its_operations_in_order_or_none() {
    let store = Store::default();
    let api = Raw::of(&store);
    let own = format!("{CONFIG_MAPS}/a");
    let created = api.post(CONFIG_MAPS, &config_map("a")).await.unwrap();
    let half = json!([
        {"op": "add", "path": "/data/b", "value": "2"},
        {"op": "test", "path": "/data/a", "value": "other"},
    ]);
    assert_eq!(refused(api.operate(&own, half).await, 422).reason, "Invalid");
    refused(api.operate(&own, json!([{"op": "remove", "path": "/data/z"}])).await, 422);
    refused(api.operate(&own, json!([{"op": "replace", "path": "", "value": null}])).await, 400);
    for body in [json!({"data": {}}), json!([{"op": "frog", "path": "/data"}]), json!(null)] {
        refused(api.operate(&own, body).await, 400);
    }
    assert_eq!(api.get(&own).await.unwrap(), created);
    let whole = json!([
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "move", "from": "/data/a", "path": "/data/b"},
        {"op": "add", "path": "/metadata/labels", "value": {"x~y": "1"}},
        {"op": "remove", "path": "/metadata/labels/x~0y"},
        {"op": "test", "path": "/data/b", "value": "1"},
    ]);
    let patched = api.operate(&own, whole).await.unwrap();
    assert_eq!((&patched["data"], patched["metadata"].get("labels")), (&json!({"b": "1"}), None));
}

#[tokio::test]
async fn finalizers_come_and_go_as_kubes_helper_asks() {
    let store = Store::default();
    let api = Raw::of(&store);
    for (path, object) in [(SERVICES, service("a")), (POOLS, pool("a")), (CONFIG_MAPS, config_map("a"))] {
        let own = format!("{path}/a");
        api.post(path, &object).await.unwrap();
        // There are none yet: the field is not there, and null to a test.
        let first = json!([
            {"op": "test", "path": "/metadata/finalizers", "value": null},
            {"op": "add", "path": "/metadata/finalizers", "value": ["lbd.io/one"]},
        ]);
        api.operate(&own, first.clone()).await.unwrap();
        refused(api.operate(&own, first).await, 422);
        let second = json!([
            {"op": "test", "path": "/metadata/finalizers", "value": ["lbd.io/one"]},
            {"op": "add", "path": "/metadata/finalizers/-", "value": "lbd.io/two"},
        ]);
        api.operate(&own, second).await.unwrap();
        api.delete(&own).await.unwrap();
        let remove = |name: &str| {
            json!([
                {"op": "test", "path": "/metadata/finalizers/0", "value": name},
                {"op": "remove", "path": "/metadata/finalizers/0"},
            ])
        };
        refused(api.operate(&own, remove("lbd.io/two")).await, 422);
        api.operate(&own, remove("lbd.io/one")).await.unwrap();
        api.operate(&own, remove("lbd.io/two")).await.unwrap();
        refused(api.get(&own).await, 404);
    }
}

#[tokio::test]
async fn a_json_patch_may_be_bound_to_a_version() {
    let store = Store::default();
    let api = Raw::of(&store);
    let own = format!("{POOLS}/a");
    let old = api.post(POOLS, &pool("a")).await.unwrap();
    let label = |by: &Value, text: &str| {
        json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": version(by)},
            {"op": "add", "path": "/metadata/labels", "value": {"x": text}},
        ])
    };
    let new = api.operate(&own, label(&old, "1")).await.unwrap();
    refused(api.operate(&own, label(&old, "2")).await, 422);
    api.operate(&own, label(&new, "2")).await.unwrap();
    // One that sets the version instead conflicts as an update does.
    let set = json!([
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version(&old)},
        {"op": "add", "path": "/metadata/labels", "value": {"x": "3"}},
    ]);
    assert_eq!(refused(api.operate(&own, set).await, 409).reason, "Conflict");
    let status = json!([{"op": "add", "path": "/status", "value": {"assignedIPv4": 3}}]);
    assert_eq!(api.operate(&own, status.clone()).await.unwrap().get("status"), None);
    let written = api.operate(&format!("{own}/status"), status).await.unwrap();
    assert_eq!(written["status"]["assignedIPv4"], 3);
}
