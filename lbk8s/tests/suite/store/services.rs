//! What the server fills in on Services.

use std::collections::BTreeSet;
use std::net::IpAddr;

use lbk8s::Store;
use serde_json::{Value, json};

use super::api::{NAMESPACES, Raw, SERVICES, load_balancer, namespace, refused, service};

fn with(mut object: Value, spec: &Value) -> Value {
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    object
}

fn addresses(service: &Value) -> Vec<IpAddr> {
    serde_json::from_value(service["spec"]["clusterIPs"].clone()).unwrap()
}

fn families(service: &Value) -> Vec<&str> {
    service["spec"]["ipFamilies"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

#[tokio::test]
async fn a_service_gets_the_defaults_of_its_type() {
    let store = Store::default();
    let api = Raw::of(&store);
    for (kind, external) in [
        (Value::Null, Value::Null),
        (json!("NodePort"), json!("Cluster")),
        (json!("LoadBalancer"), json!("Cluster")),
    ] {
        let mut object = service("a");
        if !kind.is_null() {
            object["spec"]["type"] = kind.clone();
        }
        let created = api.post(SERVICES, &object).await.unwrap();
        let spec = &created["spec"];
        assert_eq!(spec["type"], if kind.is_null() { json!("ClusterIP") } else { kind });
        assert_eq!(spec["externalTrafficPolicy"], external);
        assert_eq!(
            (&spec["internalTrafficPolicy"], &spec["sessionAffinity"]),
            (&json!("Cluster"), &json!("None"))
        );
        assert_eq!((families(&created), &spec["ipFamilyPolicy"]), (vec!["IPv4"], &json!("SingleStack")));
        assert_eq!(spec["clusterIP"], spec["clusterIPs"][0]);
        assert!(matches!(addresses(&created)[..], [IpAddr::V4(_)]));
        let port = &spec["ports"][0];
        assert_eq!((&port["protocol"], &port["targetPort"]), (&json!("TCP"), &json!(80)));
        api.delete(&format!("{SERVICES}/a")).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_writer_says_goes_before_the_defaults() {
    let store = Store::default();
    let api = Raw::of(&store);
    let spec = json!({
        "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local", "sessionAffinity": "ClientIP",
        "ipFamilies": ["IPv6"], "ports": [{"port": 53, "protocol": "UDP", "targetPort": "dns"}],
    });
    let created = api.post(SERVICES, &with(load_balancer("a"), &spec)).await.unwrap();
    for (field, value) in spec.as_object().unwrap().iter().filter(|(field, _)| *field != "ports") {
        assert_eq!(created["spec"][field], *value, "{field}");
    }
    let port = &created["spec"]["ports"][0];
    assert_eq!((&port["protocol"], &port["targetPort"]), (&json!("UDP"), &json!("dns")));
    assert!(matches!(addresses(&created)[..], [IpAddr::V6(_)]));
}

#[tokio::test]
async fn families_follow_the_policy_and_the_order_asked_for() {
    let store = Store::default();
    let api = Raw::of(&store);
    let cases = [
        (json!({"ipFamilyPolicy": "PreferDualStack"}), ["IPv4", "IPv6"].as_slice(), "PreferDualStack"),
        (json!({"ipFamilyPolicy": "RequireDualStack"}), &["IPv4", "IPv6"], "RequireDualStack"),
        (
            json!({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}),
            &["IPv6", "IPv4"],
            "RequireDualStack",
        ),
        (
            json!({"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"]}),
            &["IPv6", "IPv4"],
            "PreferDualStack",
        ),
        (json!({"ipFamilies": ["IPv6", "IPv4"]}), &["IPv6", "IPv4"], "RequireDualStack"),
        (json!({"ipFamilyPolicy": "SingleStack"}), &["IPv4"], "SingleStack"),
        (json!({"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]}), &["IPv6"], "SingleStack"),
    ];
    for (position, (spec, expected, policy)) in cases.iter().enumerate() {
        let created = api.post(SERVICES, &with(service(&format!("s{position}")), spec)).await.unwrap();
        assert_eq!(families(&created), *expected, "{spec}");
        assert_eq!(created["spec"]["ipFamilyPolicy"], *policy, "{spec}");
        let of_addresses: Vec<&str> =
            addresses(&created).iter().map(|ip| if ip.is_ipv4() { "IPv4" } else { "IPv6" }).collect();
        assert_eq!(of_addresses, *expected, "{spec}");
    }
    for wrong in [json!({"ipFamilyPolicy": "Both"}), json!({"ipFamilies": ["IPv5"]})] {
        refused(api.post(SERVICES, &with(service("x"), &wrong)).await, 422);
    }
}

#[tokio::test]
async fn a_second_family_can_be_added_and_taken_away() {
    let store = Store::default();
    let api = Raw::of(&store);
    let own = format!("{SERVICES}/a");
    let first = addresses(&api.post(SERVICES, &service("a")).await.unwrap())[0];
    let policy = |policy: &str| json!({"spec": {"ipFamilyPolicy": policy}});
    let both = api.merge(&own, policy("RequireDualStack")).await.unwrap();
    assert_eq!((families(&both), addresses(&both)[0]), (vec!["IPv4", "IPv6"], first));
    assert_eq!(addresses(&both).len(), 2);
    let single = api.merge(&own, policy("SingleStack")).await.unwrap();
    assert_eq!((families(&single), addresses(&single)), (vec!["IPv4"], vec![first]));
}

#[tokio::test]
async fn cluster_addresses_stay_when_a_writer_leaves_them_out() {
    let store = Store::default();
    let api = Raw::of(&store);
    let own = format!("{SERVICES}/a");
    let spec = json!({"ipFamilyPolicy": "PreferDualStack"});
    let created = api.post(SERVICES, &with(service("a"), &spec)).await.unwrap();
    // As a manifest says it, which is applied again.
    let again = api.put(&own, &with(service("a"), &json!({"ports": [{"port": 81}]}))).await.unwrap();
    let emptied = api.put(&own, &with(service("a"), &json!({"clusterIP": ""}))).await.unwrap();
    let removed = api.merge(&own, json!({"spec": {"clusterIP": null, "clusterIPs": null}})).await.unwrap();
    for later in [again, emptied, removed] {
        assert_eq!(addresses(&later), addresses(&created));
        assert_eq!(families(&later), families(&created));
        assert_eq!(later["spec"]["clusterIP"], created["spec"]["clusterIP"]);
    }
}

#[tokio::test]
async fn cluster_addresses_are_unique_and_free_again_after_a_deletion() {
    let store = Store::default();
    let api = Raw::of(&store);
    api.post(NAMESPACES, &namespace("shop")).await.unwrap();
    let mut seen = BTreeSet::new();
    for number in 0..50 {
        for path in [SERVICES, "/api/v1/namespaces/shop/services"] {
            let created = api.post(path, &service(&format!("s{number}"))).await.unwrap();
            assert!(seen.insert(addresses(&created)[0]), "{created}");
        }
    }
    let taken = json!({"clusterIP": seen.first().unwrap()});
    refused(api.post(SERVICES, &with(service("x"), &taken)).await, 422);
    for path in [SERVICES, "/api/v1/namespaces/shop/services"] {
        for number in 0..50 {
            api.delete(&format!("{path}/s{number}")).await.unwrap();
        }
    }
    let created = api.post(SERVICES, &with(service("x"), &taken)).await.unwrap();
    assert_eq!(created["spec"]["clusterIP"], taken["clusterIP"]);
}

#[tokio::test]
async fn a_namespace_that_goes_frees_the_cluster_addresses_in_it() {
    let store = Store::default();
    let api = Raw::of(&store);
    api.post(NAMESPACES, &namespace("shop")).await.unwrap();
    let path = "/api/v1/namespaces/shop/services";
    let address = addresses(&api.post(path, &service("a")).await.unwrap())[0];
    api.delete(&format!("{NAMESPACES}/shop")).await.unwrap();
    api.post(SERVICES, &with(service("b"), &json!({"clusterIP": address}))).await.unwrap();
}

#[tokio::test]
async fn a_service_that_asks_for_another_address_keeps_its_own() {
    let store = Store::default();
    let api = Raw::of(&store);
    let first = addresses(&api.post(SERVICES, &service("a")).await.unwrap())[0];
    let second = addresses(&api.post(SERVICES, &service("b")).await.unwrap())[0];
    // Whatever the answer is: neither address is ever of two services.
    for wanted in [json!(second), json!("203.0.113.1"), json!("frog")] {
        let patch = json!({"spec": {"clusterIP": wanted, "clusterIPs": [wanted]}});
        let _ = api.merge(&format!("{SERVICES}/a"), patch).await;
    }
    let kept = api.get(&format!("{SERVICES}/a")).await.unwrap();
    assert_eq!(addresses(&kept), [first]);
    refused(api.post(SERVICES, &with(service("c"), &json!({"clusterIP": first}))).await, 422);
}

#[tokio::test]
async fn the_cluster_address_of_a_service_is_immutable() {
    let store = Store::default();
    let api = Raw::of(&store);
    let created = api.post(SERVICES, &service("a")).await.unwrap();
    let other = addresses(&api.post(SERVICES, &service("b")).await.unwrap())[0];
    for wanted in [json!(other), json!("10.96.77.77"), json!("203.0.113.1")] {
        let patch = json!({"spec": {"clusterIP": wanted, "clusterIPs": [wanted]}});
        refused(api.merge(&format!("{SERVICES}/a"), patch).await, 422);
    }
    assert_eq!(api.get(&format!("{SERVICES}/a")).await.unwrap(), created);
}

#[tokio::test]
async fn a_headless_service_has_no_cluster_address() {
    let store = Store::default();
    let api = Raw::of(&store);
    let own = format!("{SERVICES}/a");
    let created = api.post(SERVICES, &with(service("a"), &json!({"clusterIP": "None"}))).await.unwrap();
    let later = api.merge(&own, json!({"spec": {"ports": [{"port": 81}]}})).await.unwrap();
    let replaced = api.put(&own, &service("a")).await.unwrap();
    for service in [created, later, replaced] {
        let spec = &service["spec"];
        assert_eq!((&spec["clusterIP"], &spec["clusterIPs"]), (&json!("None"), &json!(["None"])));
        assert_eq!((families(&service), &spec["ipFamilyPolicy"]), (vec!["IPv4"], &json!("SingleStack")));
    }
}

#[tokio::test]
async fn an_external_name_has_neither_addresses_nor_families() {
    let store = Store::default();
    let api = Raw::of(&store);
    let external = json!({"type": "ExternalName", "externalName": "example.com"});
    let created = api.post(SERVICES, &with(service("a"), &external)).await.unwrap();
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
        assert_eq!(created["spec"].get(field), None, "{field}");
    }
    assert_eq!(created["spec"]["sessionAffinity"], "None");
}

#[tokio::test]
async fn a_load_balancer_that_becomes_an_external_name_shows_no_address() {
    let store = Store::default();
    let api = Raw::of(&store);
    let own = format!("{SERVICES}/a");
    api.post(SERVICES, &load_balancer("a")).await.unwrap();
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
    api.merge(&format!("{own}/status"), status).await.unwrap();
    let external = json!({"spec": {"type": "ExternalName", "externalName": "example.com"}});
    let changed = api.merge(&own, external).await.unwrap();
    assert_eq!(changed["status"], json!({"loadBalancer": {}}));
}

#[tokio::test]
async fn a_service_that_becomes_an_external_name_gives_its_cluster_address_back() {
    let store = Store::default();
    let api = Raw::of(&store);
    let own = format!("{SERVICES}/a");
    let old = addresses(&api.post(SERVICES, &service("a")).await.unwrap())[0];
    let external = json!({"spec": {"type": "ExternalName", "externalName": "example.com"}});
    let changed = api.merge(&own, external).await.unwrap();
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        assert_eq!(changed["spec"].get(field), None, "{field}");
    }
    // Somebody else gets the address; the way back leads to another one.
    api.post(SERVICES, &with(service("b"), &json!({"clusterIP": old}))).await.unwrap();
    let back = api.merge(&own, json!({"spec": {"type": "ClusterIP", "externalName": null}})).await.unwrap();
    assert_ne!(addresses(&back)[0], old);
}

#[tokio::test]
async fn what_belongs_to_a_load_balancer_goes_with_the_type() {
    let store = Store::default();
    let api = Raw::of(&store);
    let local = json!({"externalTrafficPolicy": "Local"});
    for kind in ["ClusterIP", "NodePort"] {
        let own = format!("{SERVICES}/a");
        let created = api.post(SERVICES, &with(load_balancer("a"), &local)).await.unwrap();
        let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
        api.merge(&format!("{own}/status"), status).await.unwrap();
        let changed = api.merge(&own, json!({"spec": {"type": kind}})).await.unwrap();
        assert_eq!(changed["status"], json!({"loadBalancer": {}}));
        assert_eq!(addresses(&changed), addresses(&created));
        assert_eq!(changed["spec"].get("externalTrafficPolicy").is_some(), kind == "NodePort");
        api.delete(&own).await.unwrap();
    }
}

#[tokio::test]
async fn the_class_of_a_load_balancer_goes_with_the_type() {
    let store = Store::default();
    let api = Raw::of(&store);
    let class = json!({"loadBalancerClass": "example.com/a"});
    api.post(SERVICES, &with(load_balancer("a"), &class)).await.unwrap();
    let changed = api.merge(&format!("{SERVICES}/a"), json!({"spec": {"type": "ClusterIP"}})).await.unwrap();
    assert_eq!(changed["spec"].get("loadBalancerClass"), None);
}

#[tokio::test]
async fn the_class_of_a_load_balancer_stays_as_it_was_chosen() {
    let store = Store::default();
    let api = Raw::of(&store);
    let own = format!("{SERVICES}/a");
    let class = json!({"loadBalancerClass": "example.com/a"});
    api.post(SERVICES, &with(load_balancer("a"), &class)).await.unwrap();
    for class in [json!("example.com/b"), Value::Null] {
        refused(api.merge(&own, json!({"spec": {"loadBalancerClass": class}})).await, 422);
    }
}

#[tokio::test]
async fn an_address_is_a_virtual_one_unless_the_writer_says_otherwise() {
    let store = Store::default();
    let api = Raw::of(&store);
    api.post(SERVICES, &load_balancer("a")).await.unwrap();
    let ingress = json!([
        {"ip": "192.0.2.1"}, {"ip": "192.0.2.2", "ipMode": "Proxy"}, {"hostname": "example.com"},
    ]);
    let patch = json!({"status": {"loadBalancer": {"ingress": ingress}}});
    let patched = api.merge(&format!("{SERVICES}/a/status"), patch.clone()).await.unwrap();
    assert_eq!(
        patched["status"]["loadBalancer"]["ingress"],
        json!([
            {"ip": "192.0.2.1", "ipMode": "VIP"}, {"ip": "192.0.2.2", "ipMode": "Proxy"},
            {"hostname": "example.com"},
        ])
    );
    // The same again is no change.
    assert_eq!(api.merge(&format!("{SERVICES}/a/status"), patch).await.unwrap(), patched);
}

#[tokio::test]
async fn a_refused_change_of_families_leaves_the_address_given() {
    let store = Store::default();
    let api = Raw::of(&store);
    let own = format!("{SERVICES}/a");
    let created = api.post(SERVICES, &service("a")).await.unwrap();
    let first = addresses(&created)[0];
    // The second address is none that the store can give.
    let spec = json!({"ipFamilyPolicy": "RequireDualStack", "clusterIPs": [first, "2001:db8::1"]});
    refused(api.merge(&own, json!({"spec": spec})).await, 422);
    assert_eq!(api.get(&own).await.unwrap(), created);
    refused(api.post(SERVICES, &with(service("b"), &json!({"clusterIP": first}))).await, 422);
}

#[tokio::test]
async fn a_field_of_another_type_is_refused() {
    let store = Store::default();
    let api = Raw::of(&store);
    for spec in [
        json!({"loadBalancerClass": "example.com/a"}),
        json!({"externalTrafficPolicy": "Local"}),
        json!({"type": "ExternalName", "externalName": "example.com", "clusterIP": "10.96.0.9"}),
        json!({"type": "NodePort", "allocateLoadBalancerNodePorts": false}),
    ] {
        refused(api.post(SERVICES, &with(service("a"), &spec)).await, 422);
    }
    let external = json!({"externalIPs": ["192.0.2.1"], "externalTrafficPolicy": "Local"});
    api.post(SERVICES, &with(service("a"), &external)).await.unwrap();
    // A class may come with the type.
    let balancer = json!({"spec": {"type": "LoadBalancer", "loadBalancerClass": "example.com/a"}});
    let changed = api.merge(&format!("{SERVICES}/a"), balancer).await.unwrap();
    assert_eq!(changed["spec"]["loadBalancerClass"], "example.com/a");
}
