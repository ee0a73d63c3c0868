//! What the shipped definitions take and refuse, by the real server's word.

use serde_json::{Value, json};

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::object::{Object, advertisement, pool};
use crate::plane::{Kind, Plane};
use crate::real::kubectl;

pub(super) fn cases() -> Vec<Case> {
    let cases = vec![
        case("objects_written_for_metallb_are_taken_and_stay_as_they_are", taken),
        case("a_pool_that_cannot_be_right_is_refused", refused_pools),
        case("an_advertisement_that_cannot_be_right_is_refused", refused_advertisements),
        case("kubectl_shows_the_columns_that_metallb_shows", columns),
    ];
    cases.into_iter().map(|case| case.only_on(Kind::Real)).collect()
}

/// Every part of `written` is in `found`; what the server adds does not count.
fn contains(found: &Value, written: &Value) -> bool {
    match (found, written) {
        (Value::Object(found), Value::Object(written)) => {
            written.iter().all(|(field, value)| found.get(field).is_some_and(|found| contains(found, value)))
        }
        _ => found == written,
    }
}

async fn taken(cluster: &mut Cluster) -> Result {
    let allocation = json!({
        "priority": 10,
        "namespaces": ["a", "b"],
        "namespaceSelectors": [{"matchLabels": {"team": "red"}}],
        "serviceSelectors": [{"matchExpressions": [{"key": "tier", "operator": "In", "values": ["gold"]}]}],
    });
    let full = pool("full", &["192.168.10.0/24", "192.168.9.1 - 192.168.9.5", "fc00:f853:0ccd:e799::/124"])
        .spec("autoAssign", json!(false))
        .spec("avoidBuggyIPs", json!(true))
        .spec("serviceAllocation", allocation);
    let preferred =
        json!([{"weight": 1, "preference": {}}, {"weight": 100, "preference": {"matchLabels": {"a": "b"}}}]);
    let all = advertisement("full")
        .spec("ipAddressPools", json!(["full", "not-there"]))
        .spec("ipAddressPoolSelectors", json!([{"matchLabels": {"zone": "a"}}]))
        .spec("nodeSelectors", json!([{"matchExpressions": [{"key": "k", "operator": "Exists"}]}]))
        .spec("interfaces", json!(["eth0", "bond0.7"]))
        .spec("serviceSelectors", json!([{"matchLabels": {"tier": "gold"}}]))
        .spec("preferredNodeSelectors", preferred);
    for object in [full, pool("small", &["10.0.0.7/32"]), all] {
        let kind = object.0["kind"].as_str().unwrap_or_default().to_owned();
        let name = object.0["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        cluster.create(&object).await?;
        let found = cluster.get(&kind, &name).await?;
        assert!(contains(&found["spec"], &object.0["spec"]), "{kind} {name} became {found}");
    }
    // MetalLB's schema requires no spec of an advertisement.
    let mut bare = advertisement("bare");
    bare.0.as_object_mut().ok_or("an object")?.remove("spec");
    cluster.create(&bare).await.map(drop)
}

/// The server refuses each of these, as invalid.
async fn refuses(cluster: &Cluster, objects: Vec<(&str, Object)>) -> Result {
    for (what, object) in objects {
        match cluster.create(&object).await {
            Ok(made) => return Err(format!("{what} was taken: {made}").into()),
            Err(error) => assert!(error.to_string().contains("422"), "{what}: {error}"),
        }
    }
    Ok(())
}

async fn refused_pools(cluster: &mut Cluster) -> Result {
    let of = |addresses: &[&str]| pool("bad", addresses);
    let priority = json!({"priority": "first"});
    let operator = json!({"serviceSelectors": [{"matchExpressions": [{"key": "a", "operator": "Is"}]}]});
    let values = json!({"serviceSelectors": [{"matchExpressions": [{"key": "a", "operator": "In"}]}]});
    refuses(
        cluster,
        vec![
            ("no addresses", of(&[])),
            ("a prefix that is too long", of(&["10.0.0.0/33"])),
            ("an address without a prefix", of(&["10.0.0.1"])),
            ("a word", of(&["everything"])),
            ("a range from one family to the other", of(&["10.0.0.1-fd00::1"])),
            ("a priority that is no number", of(&["10.0.0.0/24"]).spec("serviceAllocation", priority)),
            ("an unknown operator", of(&["10.0.0.0/24"]).spec("serviceAllocation", operator)),
            ("an operator without its values", of(&["10.0.0.0/24"]).spec("serviceAllocation", values)),
        ],
    )
    .await
}

async fn refused_advertisements(cluster: &mut Cluster) -> Result {
    let preferring = |weight: i32| {
        let preferred = json!([{"weight": weight, "preference": {}}]);
        advertisement("bad").spec("preferredNodeSelectors", preferred)
    };
    refuses(
        cluster,
        vec![
            ("a weight of 0", preferring(0)),
            ("a weight of 101", preferring(101)),
            ("interfaces that are no list", advertisement("bad").spec("interfaces", json!("eth0"))),
        ],
    )
    .await
}

async fn columns(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("default", &["192.168.3.200-192.168.3.209"]), advertisement("all")]).await?;
    let Plane::Real(real) = &cluster.plane else { return Err("it runs on the real one only".into()) };
    for (kind, expected) in [
        ("ipaddresspools", vec!["NAME", "AUTO ASSIGN", "AVOID BUGGY IPS", "ADDRESSES"]),
        ("l2advertisements", vec!["NAME", "IPADDRESSPOOLS", "IPADDRESSPOOL SELECTORS", "INTERFACES"]),
    ] {
        let shown = kubectl(real, &["get", kind, "--namespace", "metallb-system"]).await?;
        let header: Vec<&str> = shown.lines().next().unwrap_or_default().split("  ").map(str::trim).collect();
        let header: Vec<&str> = header.into_iter().filter(|column| !column.is_empty()).collect();
        assert_eq!(header, expected, "{shown}");
    }
    Ok(())
}
