//! Finalizers, preconditions, and namespaces that go.

use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};
use lbk8s::Store;
use lbk8s::objects::metallb::IPAddressPool;
use serde_json::{Value, json};

use super::api::{
    CONFIG_MAPS, NAMESPACES, POOLS, Raw, SERVICES, config_map, namespace, pool, refused, service, version,
};

fn with_finalizer(mut object: Value) -> Value {
    object["metadata"]["finalizers"] = json!(["lbd.io/test"]);
    object
}

#[tokio::test]
async fn what_is_deleted_is_gone_at_once() {
    let store = Store::default();
    let api = Raw::of(&store);
    let own = format!("{SERVICES}/a");
    let created = api.post(SERVICES, &service("a")).await.unwrap();
    let mut watch = api.watch(SERVICES, &format!("resourceVersion={}", version(&created))).await;
    api.delete(&own).await.unwrap();
    refused(api.get(&own).await, 404);
    refused(api.delete(&own).await, 404);
    // The last form comes under the version of the deletion, from which a watch can resume.
    let told = watch.change().await;
    assert_eq!(told.short(), "DELETED a");
    assert_eq!(told.object()["metadata"]["uid"], created["metadata"]["uid"]);
    assert_eq!(told.object()["spec"], created["spec"]);
    assert!(told.version() > version(&created).parse().unwrap());
}

#[tokio::test]
async fn a_finalizer_holds_an_object_until_it_is_taken_away() {
    let store = Store::default();
    let api = Raw::of(&store);
    let own = format!("{POOLS}/a");
    let created = api.post(POOLS, &with_finalizer(pool("a"))).await.unwrap();
    let mut watch = api.watch(POOLS, &format!("resourceVersion={}", version(&created))).await;
    api.delete(&own).await.unwrap();
    let marked = api.get(&own).await.unwrap();
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    // It cannot be marked twice, and no writer takes the mark away.
    api.delete(&own).await.unwrap();
    assert_eq!(api.get(&own).await.unwrap(), marked);
    let patch = json!({"metadata": {"deletionTimestamp": null, "labels": {"x": "1"}}});
    let patched = api.merge(&own, patch).await.unwrap();
    assert_eq!(patched["metadata"]["deletionTimestamp"], marked["metadata"]["deletionTimestamp"]);
    refused(api.post(POOLS, &pool("a")).await, 409);
    api.merge(&own, json!({"metadata": {"finalizers": null}})).await.unwrap();
    refused(api.get(&own).await, 404);
    assert_eq!(watch.until("DELETED a").await, ["MODIFIED a", "MODIFIED a", "DELETED a"]);
}

#[tokio::test]
async fn nobody_but_a_deletion_marks_an_object_as_going() {
    let store = Store::default();
    let api = Raw::of(&store);
    let mut object = config_map("a");
    object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let created = api.post(CONFIG_MAPS, &object).await.unwrap();
    assert_eq!(created["metadata"].get("deletionTimestamp"), None);
    let patch = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    let _ = api.merge(&format!("{CONFIG_MAPS}/a"), patch).await;
    assert_eq!(api.get(&format!("{CONFIG_MAPS}/a")).await.unwrap(), created);
}

#[tokio::test]
async fn a_deletion_may_be_bound_to_a_uid_or_a_version() {
    let store = Store::default();
    let api: Api<IPAddressPool> = Api::default_namespaced(store.client());
    let object = serde_json::from_value(pool("a")).unwrap();
    let created = api.create(&PostParams::default(), &object).await.unwrap().metadata;
    let wrong_uid = Preconditions { uid: Some("no".to_owned()), resource_version: None };
    let wrong_version = Preconditions { uid: None, resource_version: Some("1".to_owned()) };
    for wrong in [wrong_uid, wrong_version] {
        match api.delete("a", &DeleteParams::default().preconditions(wrong)).await {
            Err(kube::Error::Api(status)) => assert_eq!(status.code, 409),
            other => panic!("{other:?}"),
        }
    }
    let right = Preconditions { uid: created.uid, resource_version: created.resource_version };
    api.delete("a", &DeleteParams::default().preconditions(right)).await.unwrap();
}

#[tokio::test]
async fn a_namespace_takes_its_objects_with_it() {
    let store = Store::default();
    let api = Raw::of(&store);
    api.post(NAMESPACES, &namespace("shop")).await.unwrap();
    let shop = |path: &str| path.replace("/default/", "/shop/");
    for (path, object) in [(SERVICES, service("a")), (POOLS, pool("a")), (CONFIG_MAPS, config_map("a"))] {
        api.post(&shop(path), &object).await.unwrap();
        api.post(path, &object).await.unwrap();
    }
    let since = format!("resourceVersion={}", store.resource_version());
    let mut watches = Vec::new();
    for path in ["/api/v1/services", "/apis/metallb.io/v1beta1/ipaddresspools"] {
        watches.push(api.watch(path, &since).await);
    }
    api.delete(&format!("{NAMESPACES}/shop")).await.unwrap();
    for mut watch in watches {
        let told = watch.change().await;
        assert_eq!(told.short(), "DELETED a");
        assert_eq!(told.object()["metadata"]["namespace"], "shop");
    }
    for path in [SERVICES, POOLS, CONFIG_MAPS] {
        assert_eq!(api.names(&shop(path)).await, Vec::<String>::new());
        assert_eq!(api.names(path).await, ["a"], "other namespaces keep theirs");
        refused(api.get(&format!("{}/a", shop(path))).await, 404);
    }
    refused(api.post(&shop(SERVICES), &service("b")).await, 404);
    api.post(NAMESPACES, &namespace("shop")).await.unwrap();
    api.post(&shop(SERVICES), &service("b")).await.unwrap();
}

#[tokio::test]
async fn a_namespace_held_by_a_finalizer_takes_its_objects_when_it_goes() {
    let store = Store::default();
    let api = Raw::of(&store);
    let own = format!("{NAMESPACES}/shop");
    api.post(NAMESPACES, &with_finalizer(namespace("shop"))).await.unwrap();
    api.post(&format!("{own}/services"), &service("a")).await.unwrap();
    api.delete(&own).await.unwrap();
    api.merge(&own, json!({"metadata": {"finalizers": null}})).await.unwrap();
    refused(api.get(&own).await, 404);
    assert_eq!(api.names("/api/v1/services").await, Vec::<String>::new(), "nothing lives in no namespace");
}
