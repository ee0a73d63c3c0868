//! Which pool a Service gets its address from: by namespace, by labels, by priority.

use serde_json::{Value, json};

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::object::{Object, pool, service};

use crate::worlds::{labelled, pools_known};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("by_namespace_first_priority_then_second_then_the_default", by_namespace),
        case("by_priority_alone", by_priority),
        case("by_namespace_and_namespace_labels", by_namespace_or_labels),
        case("by_service_labels", by_service_labels),
        case("by_namespace_and_service_labels", by_both),
        case("by_namespace_labels_and_a_change_of_them_takes_effect", by_namespace_labels),
    ]
}

const FIRST: &str = "192.168.3.200";
const SECOND: &str = "192.168.3.210";
const DEFAULT: &str = "192.168.3.220";

/// Two pools of one address each, of priorities 20 and 50 for whom `allocation` says, and a pool for everybody.
async fn pools(cluster: &mut Cluster, allocation: Value) -> Result {
    let allocated = |priority: u32| {
        let mut allocation = allocation.clone();
        allocation["priority"] = json!(priority);
        allocation
    };
    cluster
        .create_all(&[
            pool("default", &["192.168.3.220-192.168.3.229"]),
            pool("second", &["192.168.3.210/32"]).spec("serviceAllocation", allocated(50)),
            pool("first", &["192.168.3.200/32"]).spec("serviceAllocation", allocated(20)),
        ])
        .await?;
    pools_known(cluster, &["default", "second", "first"]).await
}

/// Three Services like this one get addresses from the first, the second and the default pool, in this order.
async fn first_second_default(cluster: &mut Cluster, like: impl Fn(&str) -> Object) -> Result {
    for (name, expected) in [("a", FIRST), ("b", SECOND), ("c", DEFAULT)] {
        let made = cluster.create(&like(name)).await?;
        let namespace = made["metadata"]["namespace"].as_str().unwrap_or_default();
        cluster.shows(&format!("{namespace}/{name}"), &[expected]).await?;
    }
    Ok(())
}

/// A Service that the first two pools are not for gets an address of the default pool.
async fn others_get_the_default(cluster: &mut Cluster, other: &Object) -> Result {
    let made = cluster.create(other).await?;
    let text = |field: &str| made["metadata"][field].as_str().unwrap_or_default().to_owned();
    let name = format!("{}/{}", text("namespace"), text("name"));
    let shown = cluster.address(&name).await?.to_string();
    assert!(shown.starts_with("192.168.3.22"), "{name} got {shown}");
    Ok(())
}

async fn by_namespace(cluster: &mut Cluster) -> Result {
    let tenant = cluster.namespace(json!({})).await?;
    pools(cluster, json!({"namespaces": [tenant]})).await?;
    others_get_the_default(cluster, &service("other")).await?;
    cluster.delete("Service", "other").await?;
    first_second_default(cluster, |name| service(name).namespace(&tenant)).await
}

async fn by_priority(cluster: &mut Cluster) -> Result {
    pools(cluster, json!({})).await?;
    first_second_default(cluster, service).await
}

async fn by_namespace_or_labels(cluster: &mut Cluster) -> Result {
    let named = cluster.namespace(json!({})).await?;
    let labelled_one = cluster.namespace(json!({"team": "red"})).await?;
    let allocation = json!({"namespaces": [named], "namespaceSelectors": labelled("team", "red")});
    pools(cluster, allocation).await?;
    others_get_the_default(cluster, &service("other")).await?;
    cluster.delete("Service", "other").await?;
    let namespaces = [&named, &labelled_one, &named];
    for ((name, expected), namespace) in
        [("a", FIRST), ("b", SECOND), ("c", DEFAULT)].into_iter().zip(namespaces)
    {
        cluster.create(&service(name).namespace(namespace)).await?;
        cluster.shows(&format!("{namespace}/{name}"), &[expected]).await?;
    }
    Ok(())
}

async fn by_service_labels(cluster: &mut Cluster) -> Result {
    pools(cluster, json!({"serviceSelectors": labelled("tier", "gold")})).await?;
    others_get_the_default(cluster, &service("other")).await?;
    cluster.delete("Service", "other").await?;
    first_second_default(cluster, |name| service(name).label("tier", "gold")).await
}

async fn by_both(cluster: &mut Cluster) -> Result {
    let tenant = cluster.namespace(json!({})).await?;
    pools(cluster, json!({"namespaces": [tenant], "serviceSelectors": labelled("tier", "gold")})).await?;
    others_get_the_default(cluster, &service("label").label("tier", "gold")).await?;
    others_get_the_default(cluster, &service("namespace").namespace(&tenant)).await?;
    cluster.delete("Service", "label").await?;
    cluster.delete("Service", &format!("{tenant}/namespace")).await?;
    first_second_default(cluster, |name| service(name).namespace(&tenant).label("tier", "gold")).await
}

async fn by_namespace_labels(cluster: &mut Cluster) -> Result {
    let tenant = cluster.namespace(json!({"team": "red"})).await?;
    let later = cluster.namespace(json!({})).await?;
    pools(cluster, json!({"namespaceSelectors": labelled("team", "red")})).await?;
    others_get_the_default(cluster, &service("early").namespace(&later)).await?;
    cluster.delete("Service", &format!("{later}/early")).await?;
    cluster.create(&service("a").namespace(&tenant)).await?;
    cluster.shows(&format!("{tenant}/a"), &[FIRST]).await?;
    cluster.patch("Namespace", &later, json!({"metadata": {"labels": {"team": "red"}}})).await?;
    // The change may be told after the Service: the one that asks again for each look gets it in the end.
    crate::wait::until("the label takes effect", async || {
        cluster.create(&service("b").namespace(&later)).await?;
        let shown = cluster.address(&format!("{later}/b")).await?.to_string();
        if shown == SECOND {
            return Ok(());
        }
        cluster.delete("Service", &format!("{later}/b")).await?;
        Err(shown.into())
    })
    .await
}
