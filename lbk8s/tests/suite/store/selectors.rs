//! Label and field selectors, in lists and in watches.

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::ListParams;
use lbk8s::Store;
use serde_json::json;

use super::api::{
    CONFIG_MAPS, POOLS, Raw, SERVICES, Told, config_map, load_balancer, pool, refused, service,
};

/// Services a (app=web, tier=front), b (app=web, tier=back), c (app=db) and d without labels.
async fn site() -> (Store, Raw) {
    let store = Store::default();
    let api = Raw::of(&store);
    for (name, labels) in [
        ("a", json!({"app": "web", "tier": "front"})),
        ("b", json!({"app": "web", "tier": "back"})),
        ("c", json!({"app": "db"})),
        ("d", json!({})),
    ] {
        let mut object = service(name);
        object["metadata"]["labels"] = labels;
        api.post(SERVICES, &object).await.unwrap();
    }
    (store, api)
}

#[tokio::test]
async fn label_selectors_choose_by_equality_and_by_sets() {
    let (store, _) = site().await;
    let api: Api<Service> = Api::default_namespaced(store.client());
    for (selector, expected) in [
        ("app=web", "ab"),
        ("app==web,tier=back", "b"),
        ("app!=web", "cd"),
        ("app in (web,db)", "abc"),
        ("app notin (web)", "cd"),
        ("tier", "ab"),
        ("!tier", "cd"),
        ("app,tier!=front", "bc"),
        ("app in (web),tier notin (front,side)", "b"),
        ("app=nothing", ""),
    ] {
        let list = api.list(&ListParams::default().labels(selector)).await.unwrap();
        let names: String = list.into_iter().filter_map(|service| service.metadata.name).collect();
        assert_eq!(names, expected, "{selector}");
    }
}

#[tokio::test]
async fn field_selectors_choose_by_name_namespace_and_the_kinds_own_fields() {
    let (store, raw) = site().await;
    raw.post(SERVICES, &load_balancer("e")).await.unwrap();
    let api: Api<Service> = Api::all(store.client());
    for (selector, expected) in [
        ("metadata.name=a", "a"),
        ("metadata.name!=a,metadata.namespace=default", "bcde"),
        ("metadata.namespace=kube-system", ""),
        ("spec.type=LoadBalancer", "e"),
        ("metadata.name==b", "b"),
    ] {
        let list = api.list(&ListParams::default().fields(selector)).await.unwrap();
        let names: String = list.into_iter().filter_map(|service| service.metadata.name).collect();
        assert_eq!(names, expected, "{selector}");
    }
}

#[tokio::test]
async fn a_field_that_cannot_be_selected_by_is_refused() {
    let (_store, api) = site().await;
    for (path, field) in [
        (SERVICES, "spec.loadBalancerClass"),
        (SERVICES, "spec.tpye"),
        (POOLS, "spec.autoAssign"),
        (CONFIG_MAPS, "data.a"),
    ] {
        let status = refused(api.get(&format!("{path}?fieldSelector={field}%3Dx")).await, 400);
        assert!(status.message.contains("field label not supported"), "{}", status.message);
    }
}

#[tokio::test]
async fn a_watch_tells_of_objects_that_come_to_match_and_cease_to() {
    let store = Store::default();
    let api = Raw::of(&store);
    let mut watch = api.watch(POOLS, "resourceVersion=0&labelSelector=team%3Dx").await;
    let own = format!("{POOLS}/a");
    let label = |team: Option<&str>| json!({"metadata": {"labels": {"team": team}}});
    api.post(POOLS, &pool("a")).await.unwrap();
    api.merge(&own, label(Some("x"))).await.unwrap();
    api.merge(&own, json!({"spec": {"autoAssign": false}})).await.unwrap();
    api.merge(&own, label(Some("y"))).await.unwrap();
    api.merge(&own, json!({"spec": {"autoAssign": true}})).await.unwrap();
    api.merge(&own, label(Some("x"))).await.unwrap();
    api.merge(&own, label(None)).await.unwrap();
    api.delete(&own).await.unwrap();
    let mut marker = pool("marker");
    marker["metadata"]["labels"] = json!({"team": "x"});
    api.post(POOLS, &marker).await.unwrap();
    assert_eq!(
        watch.until("ADDED marker").await,
        ["ADDED a", "MODIFIED a", "DELETED a", "ADDED a", "DELETED a", "ADDED marker"]
    );
}

#[tokio::test]
async fn an_object_that_ceases_to_match_is_told_in_its_last_matching_form() {
    let store = Store::default();
    let api = Raw::of(&store);
    let mut object = config_map("a");
    object["metadata"]["labels"] = json!({"team": "x"});
    api.post(CONFIG_MAPS, &object).await.unwrap();
    let mut watch = api.watch(CONFIG_MAPS, "resourceVersion=0&labelSelector=team%3Dx").await;
    let patched =
        api.merge(&format!("{CONFIG_MAPS}/a"), json!({"metadata": {"labels": null}})).await.unwrap();
    assert_eq!(watch.change().await.short(), "ADDED a");
    let Told::Deleted(last) = watch.change().await else { panic!("it was deleted to this watch") };
    // The version is that of the change, so that the watch resumes behind it.
    assert_eq!(last["metadata"]["resourceVersion"], patched["metadata"]["resourceVersion"]);
    assert_eq!(last["metadata"]["labels"]["team"], "x");
}

#[tokio::test]
async fn a_watch_by_name_hears_of_that_object_only() {
    let (_store, api) = site().await;
    let mut watch = api.watch(SERVICES, "resourceVersion=0&fieldSelector=metadata.name%3Db").await;
    for name in ["a", "b", "c"] {
        let patch = json!({"metadata": {"annotations": {"x": "1"}}});
        api.merge(&format!("{SERVICES}/{name}"), patch).await.unwrap();
    }
    api.delete(&format!("{SERVICES}/b")).await.unwrap();
    assert_eq!(watch.until("DELETED b").await, ["ADDED b", "MODIFIED b", "DELETED b"]);
}

#[tokio::test]
async fn a_watch_by_type_hears_when_a_service_becomes_a_load_balancer() {
    let (_store, api) = site().await;
    let mut watch = api.watch(SERVICES, "resourceVersion=0&fieldSelector=spec.type%3DLoadBalancer").await;
    let own = format!("{SERVICES}/a");
    for kind in ["LoadBalancer", "NodePort", "LoadBalancer"] {
        api.merge(&own, json!({"spec": {"type": kind}})).await.unwrap();
    }
    api.delete(&own).await.unwrap();
    assert_eq!(watch.until("DELETED a").await, ["ADDED a", "DELETED a"]);
    assert_eq!(watch.until("DELETED a").await, ["ADDED a", "DELETED a"]);
}
