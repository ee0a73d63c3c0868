//! The counters in a pool's status.

use serde_json::{Value, json};

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::object::{pool, service};
use crate::wait::until;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("it_counts_from_the_beginning_at_assignments_growth_and_deletion", counts),
        case("an_edit_by_hand_is_undone", edited),
    ]
}

/// Waits until the status says this: assigned and available, of IPv4 and then of IPv6.
async fn says(cluster: &mut Cluster, [assigned4, available4, assigned6, available6]: [u64; 4]) -> Result {
    let expected = json!({
        "assignedIPv4": assigned4, "availableIPv4": available4,
        "assignedIPv6": assigned6, "availableIPv6": available6,
    });
    until(&format!("the pool says {expected}"), async || {
        let status: Value = cluster.get("IPAddressPool", "dual").await?["status"].clone();
        let counters = ["assignedIPv4", "availableIPv4", "assignedIPv6", "availableIPv6"];
        let fits = counters.iter().all(|counter| status[counter] == expected[counter]);
        if fits { Ok(()) } else { Err(status.to_string().into()) }
    })
    .await
}

async fn counts(cluster: &mut Cluster) -> Result {
    cluster.create(&pool("dual", &["192.168.3.200-192.168.3.203", "fd00:3::f0/126"])).await?;
    says(cluster, [0, 4, 0, 4]).await?;
    cluster.create(&service("a").spec("ipFamilyPolicy", json!("RequireDualStack"))).await?;
    says(cluster, [1, 3, 1, 3]).await?;
    cluster.create(&service("b")).await?;
    says(cluster, [2, 2, 1, 3]).await?;
    let grown = json!({"addresses": ["192.168.3.200-192.168.3.207", "fd00:3::f0/125"]});
    cluster.change("IPAddressPool", "dual", grown).await?;
    says(cluster, [2, 6, 1, 7]).await?;
    cluster.delete("Service", "a").await?;
    says(cluster, [1, 7, 0, 8]).await
}

async fn edited(cluster: &mut Cluster) -> Result {
    cluster.create(&pool("dual", &["192.168.3.200-192.168.3.203", "fd00:3::f0/126"])).await?;
    says(cluster, [0, 4, 0, 4]).await?;
    cluster.patch_status("IPAddressPool", "dual", json!({"assignedIPv4": 77})).await?;
    says(cluster, [0, 4, 0, 4]).await
}
