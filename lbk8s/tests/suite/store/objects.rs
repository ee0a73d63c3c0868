//! Create, get, list, update: what the server gives to an object, and what no writer changes.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Namespace, Node, Service};
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use lbk8s::Store;
use serde_json::{Value, json};

use super::api::{
    Answer, CONFIG_MAPS, LEASES, NAMESPACES, POOLS, Raw, SERVICES, config_map, names, namespace, pool,
    refused, service, version,
};

#[tokio::test]
async fn what_is_read_is_what_the_create_answered() {
    let store = Store::default();
    let api = Raw::of(&store);
    for (path, object) in [
        (SERVICES, service("a")),
        (POOLS, pool("a")),
        (CONFIG_MAPS, config_map("a")),
        (NAMESPACES, namespace("a")),
    ] {
        let created = api.post(path, &object).await.unwrap();
        let read = api.get(&format!("{path}/a")).await.unwrap();
        assert_eq!(created, read);
        assert_eq!((&read["apiVersion"], &read["kind"]), (&object["apiVersion"], &object["kind"]));
        assert_eq!(read["metadata"]["name"], "a");
    }
}

#[tokio::test]
async fn an_object_gets_the_namespace_of_its_path() {
    let store = Store::default();
    let created = Raw::of(&store).post(SERVICES, &service("a")).await.unwrap();
    assert_eq!(created["metadata"]["namespace"], "default");
}

#[tokio::test]
async fn uid_and_creation_time_are_the_servers_whatever_the_writer_says() {
    let store = Store::default();
    let api = Raw::of(&store);
    let mut object = config_map("a");
    object["metadata"]["uid"] = json!("11111111-1111-4111-8111-111111111111");
    object["metadata"]["creationTimestamp"] = json!("2001-01-01T00:00:00Z");
    let created = api.post(CONFIG_MAPS, &object).await.unwrap()["metadata"].clone();
    assert_ne!(created["uid"], object["metadata"]["uid"]);
    assert_ne!(created["creationTimestamp"], object["metadata"]["creationTimestamp"]);

    // The real server refuses some of these and passes over others; the object stays as it is in both cases.
    let path = format!("{CONFIG_MAPS}/a");
    object["metadata"]["uid"] = created["uid"].clone();
    let _ = api.put(&path, &object).await;
    let _ = api.merge(&path, json!({"metadata": {"creationTimestamp": null, "uid": null}})).await;
    let _ = api.merge(&path, json!({"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z"}})).await;
    let read = api.get(&path).await.unwrap();
    for field in ["uid", "creationTimestamp", "name", "namespace"] {
        assert_eq!(read["metadata"][field], created[field], "{field}");
    }
}

#[tokio::test]
async fn an_object_made_again_is_another_object() {
    let store = Store::default();
    let api = Raw::of(&store);
    let path = format!("{POOLS}/a");
    let first = api.post(POOLS, &pool("a")).await.unwrap();
    api.delete(&path).await.unwrap();
    let second = api.post(POOLS, &pool("a")).await.unwrap();
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
    // A writer that still means the first one is refused.
    let mut late = first.clone();
    late["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    assert!(api.put(&path, &late).await.is_err());
    refused(api.put(&path, &first).await, 409);
}

#[tokio::test]
async fn creation_times_tell_the_order_of_creation() {
    let store = Store::default();
    let api: Api<Service> = Api::default_namespaced(store.client());
    let mut times = Vec::new();
    for number in 0..200 {
        let object = serde_json::from_value(service(&format!("s{number}"))).unwrap();
        let created = api.create(&PostParams::default(), &object).await.unwrap();
        times.push(created.creation_timestamp().unwrap().0);
    }
    assert!(times.is_sorted_by(|one, next| one < next));
}

#[tokio::test]
async fn resource_versions_grow_with_every_write_to_anything() {
    let store = Store::default();
    let api = Raw::of(&store);
    let writes = [
        api.post(SERVICES, &service("a")).await,
        api.post(POOLS, &pool("a")).await,
        api.merge(&format!("{SERVICES}/a"), json!({"metadata": {"labels": {"x": "y"}}})).await,
        api.merge(&format!("{POOLS}/a/status"), json!({"status": {"assignedIPv4": 1}})).await,
    ];
    let mut versions: Vec<u64> =
        writes.into_iter().map(|answer| version(&answer.unwrap()).parse().unwrap()).collect();
    versions.push(api.version(SERVICES).await.parse().unwrap());
    assert!(versions[..4].is_sorted_by(|one, next| one < next), "{versions:?}");
    assert_eq!(versions[3], versions[4], "a list of anything is of the latest version");
    assert_eq!(store.resource_version(), versions[4]);
}

#[tokio::test]
async fn generate_name_gives_every_object_a_name_of_its_own() {
    let store = Store::default();
    let api = Raw::of(&store);
    let mut object = config_map("x");
    object["metadata"] = json!({"generateName": "web-"});
    let mut names = BTreeSet::new();
    for _ in 0..50 {
        let created = api.post(CONFIG_MAPS, &object).await.unwrap();
        let name = created["metadata"]["name"].as_str().unwrap().to_owned();
        assert!(name.starts_with("web-") && name.len() == "web-".len() + 5, "{name}");
        names.insert(name);
    }
    assert_eq!(names.len(), 50);
    // A name of its own goes first.
    object["metadata"]["name"] = json!("own");
    assert_eq!(api.post(CONFIG_MAPS, &object).await.unwrap()["metadata"]["name"], "own");
}

#[tokio::test]
async fn a_list_is_of_its_kind_and_ordered_by_namespace_and_name() {
    let store = Store::default();
    let api = Raw::of(&store);
    api.post(NAMESPACES, &namespace("a")).await.unwrap();
    for (path, name) in [(SERVICES, "c"), (SERVICES, "b"), ("/api/v1/namespaces/a/services", "z")] {
        api.post(path, &service(name)).await.unwrap();
    }
    let list = api.get("/api/v1/services").await.unwrap();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("ServiceList"), &json!("v1")));
    assert_eq!(names(&list), ["z", "b", "c"]);
    assert_eq!(api.names(SERVICES).await, ["b", "c"]);
    assert_eq!(list["metadata"]["continue"], Value::Null);
    // A namespace that is not there is an empty one to those who read.
    assert_eq!(api.names("/api/v1/namespaces/nowhere/services").await, Vec::<String>::new());
}

#[tokio::test]
async fn an_update_replaces_everything_that_is_the_writers() {
    let store = Store::default();
    let api = Raw::of(&store);
    let mut object = config_map("a");
    object["metadata"]["labels"] = json!({"x": "1"});
    let created = api.post(CONFIG_MAPS, &object).await.unwrap();
    let mut next = config_map("a");
    next["data"] = json!({"b": "2"});
    let updated = api.put(&format!("{CONFIG_MAPS}/a"), &next).await.unwrap();
    assert_eq!(updated["data"], json!({"b": "2"}));
    assert_eq!(updated["metadata"]["labels"], Value::Null);
    assert_eq!(updated["metadata"]["uid"], created["metadata"]["uid"]);
}

#[tokio::test]
async fn an_update_that_changes_nothing_makes_no_version_and_no_event() {
    let store = Store::default();
    let api = Raw::of(&store);
    for (path, object) in [(SERVICES, service("a")), (POOLS, pool("a")), (CONFIG_MAPS, config_map("a"))] {
        let own = format!("{path}/a");
        let created = api.post(path, &object).await.unwrap();
        let mut watch = api.watch(path, &format!("resourceVersion={}", version(&created))).await;
        assert_eq!(api.put(&own, &created).await.unwrap(), created);
        assert_eq!(api.merge(&own, json!({})).await.unwrap(), created);
        api.delete(&own).await.unwrap();
        assert_eq!(watch.change().await.short(), "DELETED a");
    }
}

#[tokio::test]
async fn a_patch_that_removes_what_is_not_there_changes_nothing() {
    let store = Store::default();
    let api = Raw::of(&store);
    for (path, object) in [(SERVICES, service("a")), (POOLS, pool("a")), (CONFIG_MAPS, config_map("a"))] {
        let created = api.post(path, &object).await.unwrap();
        for field in ["labels", "annotations"] {
            let patch = json!({"metadata": {field: {"gone": null}}});
            assert_eq!(api.merge(&format!("{path}/a"), patch).await.unwrap(), created);
        }
    }
}

#[tokio::test]
async fn a_service_written_back_by_a_typed_client_is_unchanged() {
    let store = Store::default();
    let services: Api<Service> = Api::default_namespaced(store.client());
    let mut object: Service = serde_json::from_value(service("a")).unwrap();
    object.spec.as_mut().unwrap().type_ = Some("LoadBalancer".to_owned());
    let created = services.create(&PostParams::default(), &object).await.unwrap();
    let again = services.replace("a", &PostParams::default(), &created).await.unwrap();
    assert_eq!(again.resource_version(), created.resource_version());
    let again = services.replace_status("a", &PostParams::default(), &created).await.unwrap();
    assert_eq!(again.resource_version(), created.resource_version());
}

#[tokio::test]
async fn null_says_that_a_field_of_a_builtin_is_absent() {
    let store = Store::default();
    let api = Raw::of(&store);
    let mut object = service("a");
    object["spec"]["type"] = json!("LoadBalancer");
    for field in ["externalTrafficPolicy", "sessionAffinity", "clusterIP", "ipFamilies", "ipFamilyPolicy"] {
        object["spec"][field] = Value::Null;
    }
    object["metadata"]["labels"] = Value::Null;
    let created = api.post(SERVICES, &object).await.unwrap();
    let spec = &created["spec"];
    assert_eq!(
        [&spec["externalTrafficPolicy"], &spec["sessionAffinity"], &spec["ipFamilyPolicy"]],
        [&json!("Cluster"), &json!("None"), &json!("SingleStack")]
    );
    assert!(spec["clusterIP"].is_string() && spec["ipFamilies"].is_array(), "{spec}");
    assert_eq!(created["metadata"].get("labels"), None);
}

#[tokio::test]
async fn every_namespace_carries_its_name_as_a_label() {
    let store = Store::default();
    let api: Api<Namespace> = Api::all(store.client());
    let object = serde_json::from_value(namespace("shop")).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
    for namespace in api.list(&ListParams::default()).await.unwrap() {
        let label = namespace.labels().get("kubernetes.io/metadata.name");
        assert_eq!(label, Some(&namespace.name_any()), "{}", namespace.name_any());
    }
}

#[tokio::test]
async fn a_node_brings_its_status_along() {
    let store = Store::default();
    let api: Api<Node> = Api::all(store.client());
    let node = json!({
        "metadata": {"name": "n1"},
        "status": {"conditions": [{"type": "NetworkUnavailable", "status": "True"}]},
    });
    let created = api.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await.unwrap();
    let conditions = created.status.and_then(|status| status.conditions).unwrap_or_default();
    assert_eq!(conditions.len(), 1, "Node is the one kind whose status a create may set");
}

#[tokio::test]
async fn an_event_is_one_object_in_both_of_its_groups() {
    let store = Store::default();
    let api = Raw::of(&store);
    let event = json!({
        "metadata": {"name": "e1"}, "eventTime": "2026-01-01T00:00:00.000000Z", "action": "IPAllocated",
        "reason": "IPAllocated", "type": "Normal", "note": "Assigned IP", "reportingController": "c",
        "reportingInstance": "i", "regarding": {"kind": "Service", "namespace": "default", "name": "web"},
    });
    api.post("/apis/events.k8s.io/v1/namespaces/default/events", &event).await.unwrap();
    // This is how `kubectl describe service web` asks.
    let fields = "fieldSelector=involvedObject.kind%3DService%2CinvolvedObject.name%3Dweb";
    let list = api.get(&format!("/api/v1/namespaces/default/events?{fields}")).await.unwrap();
    assert_eq!(names(&list), ["e1"]);
    assert_eq!(list["items"][0]["message"], "Assigned IP");
}

/// Replaces a new object without saying which version is meant; the answer of the store.
async fn replaced_blindly(path: &str, object: Value) -> Answer {
    let store = Store::default();
    let api = Raw::of(&store);
    let mut blind = api.post(path, &object).await.unwrap();
    blind["metadata"]["labels"] = json!({"blind": "yes"});
    blind["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let answer = api.put(&format!("{path}/a"), &blind).await;
    // A patch may be blind everywhere.
    api.merge(&format!("{path}/a"), json!({"metadata": {"labels": {"blind": "patch"}}})).await.unwrap();
    answer
}

#[tokio::test]
async fn most_builtins_may_be_replaced_without_a_version() {
    replaced_blindly(SERVICES, service("a")).await.unwrap();
    replaced_blindly(CONFIG_MAPS, config_map("a")).await.unwrap();
}

#[tokio::test]
async fn a_lease_is_not_replaced_without_a_version() {
    let lease = json!({"metadata": {"name": "a"}, "spec": {"holderIdentity": "one"}});
    refused(replaced_blindly(LEASES, lease).await, 422);
}

#[tokio::test]
async fn a_custom_resource_is_not_replaced_without_a_version() {
    refused(replaced_blindly(POOLS, pool("a")).await, 422);
}

#[tokio::test]
async fn both_groups_write_and_follow_the_same_events() {
    let store = Store::default();
    let api = Raw::of(&store);
    let (core, new) =
        ("/api/v1/namespaces/default/events", "/apis/events.k8s.io/v1/namespaces/default/events");
    let from = format!("resourceVersion={}", store.resource_version());
    let mut in_core = api.watch(core, &format!("{from}&fieldSelector=involvedObject.name%3Dweb")).await;
    let mut in_new = api.watch(new, &format!("{from}&fieldSelector=regarding.name%3Dweb")).await;
    let event = json!({
        "metadata": {"name": "e1"}, "message": "one", "reason": "r", "type": "Normal",
        "involvedObject": {"kind": "Service", "name": "web"}, "source": {"component": "c"},
    });
    api.post(core, &event).await.unwrap();
    let read = api.get(&format!("{new}/e1")).await.unwrap();
    assert_eq!(
        (&read["apiVersion"], &read["note"], read.get("message")),
        (&json!("events.k8s.io/v1"), &json!("one"), None)
    );
    let patched = api.merge(&format!("{new}/e1"), json!({"note": "two"})).await.unwrap();
    assert_eq!(patched["note"], "two");
    // Neither group takes the other's names, and writing back what was read changes nothing.
    assert_eq!(api.merge(&format!("{new}/e1"), json!({"message": "three"})).await.unwrap(), patched);
    assert_eq!(api.put(&format!("{new}/e1"), &patched).await.unwrap(), patched);
    refused(api.post(new, &json!({"metadata": {"name": "e1"}})).await, 409);
    api.delete(&format!("{core}/e1")).await.unwrap();
    for (watch, field) in [(&mut in_core, "message"), (&mut in_new, "note")] {
        for (expected, text) in [("ADDED e1", "one"), ("MODIFIED e1", "two"), ("DELETED e1", "two")] {
            let told = watch.change().await;
            assert_eq!((told.short().as_str(), told.object()[field].as_str()), (expected, Some(text)));
        }
    }
}

#[tokio::test]
async fn a_namespace_says_whether_it_is_going() {
    let store = Store::default();
    let api = Raw::of(&store);
    let own = format!("{NAMESPACES}/shop");
    let mut object = namespace("shop");
    object["metadata"]["finalizers"] = json!(["lbd.io/test"]);
    assert_eq!(api.post(NAMESPACES, &object).await.unwrap()["status"]["phase"], "Active");
    api.delete(&own).await.unwrap();
    assert_eq!(api.names(&format!("{NAMESPACES}?fieldSelector=status.phase%3DTerminating")).await, ["shop"]);
}
