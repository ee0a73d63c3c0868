//! What is refused, and how.

use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use lbk8s::Store;
use lbk8s::objects::metallb::IPAddressPool;
use serde_json::{Value, json};

use super::api::{
    CONFIG_MAPS, MERGE, NAMESPACES, POOLS, Raw, SERVICES, config_map, pool, refused, service, version,
};

#[tokio::test]
async fn a_second_create_already_exists() {
    let store = Store::default();
    let api = Raw::of(&store);
    api.post(SERVICES, &service("a")).await.unwrap();
    let status = refused(api.post(SERVICES, &service("a")).await, 409);
    assert_eq!(status.reason, "AlreadyExists");
    assert_eq!(status.message, r#"services "a" already exists"#);
    api.post(POOLS, &pool("a")).await.unwrap();
    let status = refused(api.post(POOLS, &pool("a")).await, 409);
    assert_eq!(status.message, r#"ipaddresspools.metallb.io "a" already exists"#);
}

#[tokio::test]
async fn a_write_on_top_of_an_older_version_is_a_conflict() {
    let store = Store::default();
    let api = Raw::of(&store);
    for (path, object) in [(SERVICES, service("a")), (POOLS, pool("a")), (CONFIG_MAPS, config_map("a"))] {
        let own = format!("{path}/a");
        let old = api.post(path, &object).await.unwrap();
        let new = api.merge(&own, json!({"metadata": {"labels": {"x": "1"}}})).await.unwrap();
        assert_eq!(refused(api.put(&own, &old).await, 409).reason, "Conflict");
        let guarded =
            |by: &Value| json!({"metadata": {"resourceVersion": version(by), "labels": {"x": "2"}}});
        assert_eq!(refused(api.merge(&own, guarded(&old)).await, 409).reason, "Conflict");
        if path != CONFIG_MAPS {
            let status = json!({"metadata": {"resourceVersion": version(&old)}, "status": {}});
            assert_eq!(refused(api.merge(&format!("{own}/status"), status).await, 409).reason, "Conflict");
        }
        assert_eq!(api.get(&own).await.unwrap(), new, "a refused write changes nothing");
        api.merge(&own, guarded(&new)).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let store = Store::default();
    let api = Raw::of(&store);
    for path in [format!("{SERVICES}/a"), format!("{SERVICES}/a/status"), "/api/v1/nodes/a".to_owned()] {
        assert_eq!(refused(api.get(&path).await, 404).reason, "NotFound");
        refused(api.merge(&path, json!({"metadata": {"labels": {"a": "b"}}})).await, 404);
    }
    let status = refused(api.delete(&format!("{POOLS}/a")).await, 404);
    assert_eq!(status.message, r#"ipaddresspools.metallb.io "a" not found"#);
    refused(api.put(&format!("{CONFIG_MAPS}/a/status"), &config_map("a")).await, 404);
    for path in ["/api/v1/frogs", "/apis/frogs.io/v1/frogs", "/api/v2/services", "/nothing"] {
        refused(api.get(path).await, 404);
    }
}

#[tokio::test]
async fn a_create_in_an_unknown_namespace_names_the_namespace() {
    let store = Store::default();
    let api = Raw::of(&store);
    let status = refused(api.post("/api/v1/namespaces/nowhere/services", &service("a")).await, 404);
    assert_eq!(status.message, r#"namespaces "nowhere" not found"#);
}

#[tokio::test]
async fn an_object_that_contradicts_its_path_is_a_bad_request() {
    let store = Store::default();
    let api = Raw::of(&store);
    api.post(SERVICES, &service("a")).await.unwrap();
    let own = format!("{SERVICES}/a");
    refused(api.put(&own, &service("b")).await, 400);
    refused(api.merge(&own, json!({"metadata": {"name": "b"}})).await, 400);
    let mut elsewhere = service("c");
    elsewhere["metadata"]["namespace"] = json!("kube-system");
    refused(api.post(SERVICES, &elsewhere).await, 400);
    for (field, value) in [("kind", "Pod"), ("apiVersion", "v2"), ("apiVersion", "apps/v1")] {
        let mut other = service("a");
        other[field] = json!(value);
        refused(api.put(&own, &other).await, 400);
        other["metadata"]["name"] = json!("d");
        refused(api.post(SERVICES, &other).await, 400);
    }
}

#[tokio::test]
async fn an_update_that_names_another_namespace_is_a_bad_request() {
    let store = Store::default();
    let api = Raw::of(&store);
    let mut object = api.post(SERVICES, &service("a")).await.unwrap();
    object["metadata"]["namespace"] = json!("kube-system");
    refused(api.put(&format!("{SERVICES}/a"), &object).await, 400);
}

#[tokio::test]
async fn a_body_that_is_no_object_is_a_bad_request() {
    let store = Store::default();
    let api = Raw::of(&store);
    api.post(SERVICES, &service("a")).await.unwrap();
    let own = format!("{SERVICES}/a");
    let json = "application/json";
    for body in ["", "{", "[]", "5", "null", r#"{"metadata": {"name": "b"}"#] {
        refused(api.send("POST", SERVICES, json, body).await, 400);
        refused(api.send("PUT", &own, json, body).await, 400);
        refused(api.send("PATCH", &own, MERGE, body).await, 400);
    }
    refused(api.send("DELETE", &own, json, "{").await, 400);
    assert_eq!(api.names(SERVICES).await, ["a"]);
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_told_with_its_place() {
    let store = Store::default();
    let api = Raw::of(&store);
    let mut object = service("a");
    object["spec"]["ports"] = json!([{"port": 80}, {"port": "81"}]);
    let status = refused(api.post(SERVICES, &object).await, 400);
    assert!(status.message.contains("spec.ports[1].port"), "{}", status.message);

    api.post(SERVICES, &service("a")).await.unwrap();
    let answer = api.merge(&format!("{SERVICES}/a"), json!({"metadata": {"labels": {"x": 1}}})).await;
    let status = refused(answer, 400);
    assert!(status.message.contains("metadata.labels.x"), "{}", status.message);

    // The real server answers 422 for custom resources, whose schema it checks later than it decodes.
    let mut object = pool("a");
    object["spec"]["addresses"] = json!("192.0.2.0/24");
    let status = api.post(POOLS, &object).await.unwrap_err();
    assert!(matches!(status.code, 400 | 422) && status.message.contains("spec.addresses"), "{status:?}");
    assert_eq!(api.names(POOLS).await, Vec::<String>::new());
}

#[tokio::test]
async fn strict_validation_names_unknown_fields_in_create_and_update() {
    let store = Store::default();
    let api = Raw::of(&store);
    let strict = "fieldValidation=Strict";
    for (path, object, unknown) in [
        (SERVICES, service("a"), json!({"prots": [], "ports": [{"port": 1, "potocol": "TCP"}]})),
        (POOLS, pool("a"), json!({"addresses": [], "autoassign": true})),
    ] {
        let mut wrong = object.clone();
        wrong["spec"] = unknown;
        let named: &[&str] = if path == SERVICES {
            &[r#"unknown field "spec.prots""#, r#"unknown field "spec.ports[0].potocol""#]
        } else {
            &[r#"unknown field "spec.autoassign""#]
        };
        let created = api.post(&format!("{path}?{strict}"), &object).await.unwrap();
        let status = refused(api.put(&format!("{path}/a?{strict}"), &wrong).await, 400);
        wrong["metadata"]["name"] = json!("b");
        let again = refused(api.post(&format!("{path}?{strict}"), &wrong).await, 400);
        for name in named {
            assert!(status.message.contains(name) && again.message.contains(name), "{}", again.message);
        }
        assert_eq!(api.get(&format!("{path}/a")).await.unwrap(), created);
    }
}

#[tokio::test]
async fn strict_validation_names_unknown_fields_in_a_patch() {
    let store = Store::default();
    let pools: Api<IPAddressPool> = Api::default_namespaced(store.client());
    let object = serde_json::from_value(pool("a")).unwrap();
    pools.create(&PostParams::default(), &object).await.unwrap();
    // The second `kubectl apply` of a custom resource is this request.
    let patch = Patch::Merge(json!({"spec": {"autoassign": false}}));
    match pools.patch("a", &PatchParams::default().validation_strict(), &patch).await {
        Err(kube::Error::Api(status)) => {
            assert!(matches!(status.code, 400 | 422), "{status:?}");
            assert!(status.message.contains(r#"unknown field "spec.autoassign""#), "{status:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn unknown_fields_are_dropped_where_they_are_not_refused() {
    let store = Store::default();
    let api = Raw::of(&store);
    for (path, object) in [(SERVICES, service("a")), (POOLS, pool("a"))] {
        let own = format!("{path}/a");
        let mut more = object.clone();
        more["spec"]["invented"] = json!({"by": "us"});
        let created = api.post(path, &more).await.unwrap();
        assert_eq!(created["spec"].get("invented"), None, "{path}");
        let patch = json!({"spec": {"invented": "again"}, "metadata": {"invented": 1}});
        assert_eq!(api.merge(&own, patch).await.unwrap(), created, "{path}");
    }
}

#[tokio::test]
async fn an_object_needs_a_name() {
    let store = Store::default();
    let api = Raw::of(&store);
    let mut object = service("a");
    object["metadata"] = json!({});
    assert_eq!(refused(api.post(SERVICES, &object).await, 422).reason, "Invalid");
    object["metadata"] = json!({"name": ""});
    refused(api.post(SERVICES, &object).await, 422);
}

#[tokio::test]
async fn a_create_does_not_come_with_a_resource_version() {
    let store = Store::default();
    let api = Raw::of(&store);
    let read = api.post(CONFIG_MAPS, &config_map("a")).await.unwrap();
    api.delete(&format!("{CONFIG_MAPS}/a")).await.unwrap();
    // "resourceVersion should not be set on objects to be created", as an internal error.
    refused(api.post(CONFIG_MAPS, &read).await, 500);
}

#[tokio::test]
async fn a_dry_run_of_a_write_changes_nothing() {
    let store = Store::default();
    let api = Raw::of(&store);
    let own = format!("{CONFIG_MAPS}/a?dryRun=All");
    let created = api.post(CONFIG_MAPS, &config_map("a")).await.unwrap();
    let mut next = created.clone();
    next["data"] = json!({"b": "2"});
    // The store may refuse a dry run; what it may not do is write.
    let _ = api.post(&format!("{CONFIG_MAPS}?dryRun=All"), &config_map("b")).await;
    let _ = api.put(&own, &next).await;
    let _ = api.merge(&own, json!({"data": {"c": "3"}})).await;
    assert_eq!(api.get(CONFIG_MAPS).await.unwrap()["items"], json!([created]));
}

#[tokio::test]
async fn a_dry_run_of_a_deletion_deletes_nothing() {
    let store = Store::default();
    let api = Raw::of(&store);
    api.post(CONFIG_MAPS, &config_map("a")).await.unwrap();
    // kubectl says it in the body, others in the query.
    let _ = api.delete(&format!("{CONFIG_MAPS}/a?dryRun=All")).await;
    assert_eq!(api.names(CONFIG_MAPS).await, ["a"]);
    let _ = api.delete_with(&format!("{CONFIG_MAPS}/a"), json!({"dryRun": ["All"]})).await;
    assert_eq!(api.names(CONFIG_MAPS).await, ["a"]);
}

#[tokio::test]
async fn methods_that_make_no_sense_are_not_allowed() {
    let store = Store::default();
    let api = Raw::of(&store);
    api.post(SERVICES, &service("a")).await.unwrap();
    let own = format!("{SERVICES}/a");
    let json = "application/json";
    for (method, path) in [
        ("POST", own.as_str()),
        ("PUT", SERVICES),
        ("PATCH", SERVICES),
        ("POST", "/api/v1/services"),
        ("PUT", NAMESPACES),
    ] {
        let status = refused(api.send(method, path, json, &service("a").to_string()).await, 405);
        assert_eq!(status.reason, "MethodNotAllowed");
    }
}

#[tokio::test]
async fn patch_types_that_are_not_served_say_so() {
    let store = Store::default();
    let api = Raw::of(&store);
    api.post(SERVICES, &service("a")).await.unwrap();
    for content_type in ["application/json", "text/plain", "application/strange-patch+json"] {
        let answer = api.send("PATCH", &format!("{SERVICES}/a"), content_type, "{}").await;
        assert_eq!(refused(answer, 415).reason, "UnsupportedMediaType");
    }
    let charset = format!("{MERGE}; charset=utf-8");
    api.send("PATCH", &format!("{SERVICES}/a"), &charset, "{}").await.unwrap();
}

#[tokio::test]
async fn query_values_that_are_no_numbers_are_bad_requests() {
    let store = Store::default();
    let api = Raw::of(&store);
    for query in ["resourceVersion=abc", "limit=x", "labelSelector=a%20b%20c", "fieldSelector=x"] {
        refused(api.get(&format!("{SERVICES}?{query}")).await, 400);
    }
}

#[tokio::test]
async fn a_dry_run_answers_what_would_have_become() {
    let store = Store::default();
    let api = Raw::of(&store);
    api.post(SERVICES, &service("a")).await.unwrap();
    let before = (store.resource_version(), api.get(SERVICES).await.unwrap());
    let made = api.post(&format!("{SERVICES}?dryRun=All"), &service("b")).await.unwrap();
    assert!(made["spec"]["clusterIP"].is_string(), "{made}");
    let patch = json!({"spec": {"type": "LoadBalancer"}});
    let changed = api.merge(&format!("{SERVICES}/a?dryRun=All"), patch).await.unwrap();
    assert_eq!(changed["spec"]["externalTrafficPolicy"], "Cluster");
    refused(api.post(&format!("{SERVICES}?dryRun=All"), &service("a")).await, 409);
    refused(api.delete(&format!("{SERVICES}/b?dryRun=All")).await, 404);
    assert_eq!((store.resource_version(), api.get(SERVICES).await.unwrap()), before);
    // The address that was shown was not given.
    let next = api.post(SERVICES, &service("c")).await.unwrap();
    assert_eq!(next["spec"]["clusterIP"], made["spec"]["clusterIP"]);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let store = Store::default();
    let api = Raw::of(&store);
    let mut object = config_map("a");
    object["data"]["a"] = json!("x".repeat(4 << 20));
    assert_eq!(refused(api.post(CONFIG_MAPS, &object).await, 413).reason, "RequestEntityTooLarge");
    object["data"]["a"] = json!("x".repeat(1 << 20));
    api.post(CONFIG_MAPS, &object).await.unwrap();
}
