//! Services of both families.

use serde_json::json;

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::object::{Object, advertisement, pool, service};

use crate::worlds::{TAKE_AWAY, pools_known};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("both_families_are_announced_and_reached", reached),
        case("of_a_service_that_asks_to_be_spread_each_family_has_a_node_of_its_own", spread),
        case("prefer_picks_a_pool_of_both_families", prefer_dual),
        case("prefer_takes_ipv4_first_and_each_family_from_the_pool_that_has_it", prefer_v4),
        case("prefer_takes_ipv6_first_where_the_service_says_so", prefer_v6),
        case("prefer_gains_the_second_address_when_its_pool_becomes_dual", gains),
        case("prefer_does_not_move_to_a_pool_that_is_dual", stays),
        case("a_change_between_prefer_require_and_single_adds_and_removes", switches),
        case("take_away_require_without_a_pool_of_both_empties_the_status_and_prefer_restores_it", empties)
            .not_yet("what a pool still has is kept, also if the Service has come to require both families"),
        case(
            "require_without_a_pool_of_both_keeps_the_address_and_takes_the_second_when_there_is_one",
            keeps,
        ),
        case("take_away_when_its_pool_loses_a_family_another_pool_gives_that", loses_taken),
        case("when_its_pool_loses_a_family_both_addresses_are_kept", loses_kept),
    ]
}

const V4: &str = "192.168.3.200-192.168.3.209";
const V6: &str = "fd00:3::f0-fd00:3::f9";

fn policy(name: &str, policy: &str) -> Object {
    service(name).spec("ipFamilyPolicy", json!(policy))
}

async fn reached(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("dual", &[V4, V6]), advertisement("all")]).await?;
    cluster.pods("web", &["n1", "n2"]).await?;
    cluster.create(&policy("web", "RequireDualStack")).await?;
    cluster.shows("web", &["192.168.3.200", "fd00:3::f0"]).await?;
    let v4 = cluster.serves("192.168.3.200".parse()?, "web").await?;
    let v6 = cluster.serves("fd00:3::f0".parse()?, "web").await?;
    assert_eq!(v4, v6, "both families of a Service are announced by one node");
    Ok(())
}

async fn spread(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("dual", &[V4, V6]), advertisement("all")]).await?;
    cluster.pods("web", &["n1", "n2"]).await?;
    cluster.create(&policy("web", "RequireDualStack").annotation("lbd.io/spread", "true")).await?;
    cluster.shows("web", &["192.168.3.200", "fd00:3::f0"]).await?;
    let v4 = cluster.serves("192.168.3.200".parse()?, "web").await?;
    let v6 = cluster.serves("fd00:3::f0".parse()?, "web").await?;
    assert_ne!(v4, v6, "each family has a node of its own");
    Ok(())
}

async fn prefer_dual(cluster: &mut Cluster) -> Result {
    let pools =
        [pool("a-v4", &["192.168.3.210/31"]), pool("b-v6", &["fd00:3::e0/127"]), pool("c-dual", &[V4, V6])];
    cluster.create_all(&pools).await?;
    pools_known(cluster, &["a-v4", "b-v6", "c-dual"]).await?;
    cluster.create(&policy("web", "PreferDualStack")).await?;
    cluster.shows("web", &["192.168.3.200", "fd00:3::f0"]).await
}

async fn prefer_v4(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("a-v6", &[V6]), pool("b-v4", &[V4]), advertisement("all")]).await?;
    cluster.pods("web", &["n1"]).await?;
    cluster.create(&policy("web", "PreferDualStack")).await?;
    in_order(cluster, ["192.168.3.200", "fd00:3::f0"]).await
}

/// Waits until the Service shows both, the first first, and is reached by both.
async fn in_order(cluster: &mut Cluster, expected: [&str; 2]) -> Result {
    cluster.shows("web", &expected).await?;
    let shown: Vec<String> = cluster.shown("web").await?.iter().map(ToString::to_string).collect();
    assert_eq!(shown, expected);
    for address in expected {
        cluster.serves(address.parse()?, "web").await?;
    }
    Ok(())
}

async fn prefer_v6(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("a-v4", &[V4]), pool("b-v6", &[V6]), advertisement("all")]).await?;
    cluster.pods("web", &["n1"]).await?;
    cluster.create(&policy("web", "PreferDualStack").spec("ipFamilies", json!(["IPv6", "IPv4"]))).await?;
    in_order(cluster, ["fd00:3::f0", "192.168.3.200"]).await
}

async fn gains(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("default", &[V4]), advertisement("all")]).await?;
    cluster.pods("web", &["n1"]).await?;
    cluster.create(&policy("web", "PreferDualStack")).await?;
    cluster.shows("web", &["192.168.3.200"]).await?;
    cluster.change("IPAddressPool", "default", json!({"addresses": [V4, V6]})).await?;
    cluster.shows("web", &["192.168.3.200", "fd00:3::f0"]).await?;
    cluster.serves("192.168.3.200".parse()?, "web").await?;
    cluster.serves("fd00:3::f0".parse()?, "web").await.map(drop)
}

async fn stays(cluster: &mut Cluster) -> Result {
    cluster.create(&pool("single", &[V4])).await?;
    cluster.create(&policy("web", "PreferDualStack")).await?;
    cluster.shows("web", &["192.168.3.200"]).await?;
    cluster.create(&pool("dual", &["192.168.3.210-192.168.3.219", V6])).await?;
    // The new pool is in force when another Service gets its addresses.
    cluster.create(&policy("new", "RequireDualStack")).await?;
    cluster.shows("new", &["192.168.3.210", "fd00:3::f0"]).await?;
    cluster.caught_up().await?;
    cluster.shows("web", &["192.168.3.200"]).await
}

async fn switches(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("dual", &[V4, V6]), advertisement("all")]).await?;
    cluster.pods("web", &["n1"]).await?;
    cluster.create(&policy("web", "PreferDualStack")).await?;
    cluster.shows("web", &["192.168.3.200", "fd00:3::f0"]).await?;
    cluster.change("Service", "web", json!({"ipFamilyPolicy": "RequireDualStack"})).await?;
    cluster.caught_up().await?;
    cluster.shows("web", &["192.168.3.200", "fd00:3::f0"]).await?;
    let single = json!({"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"]});
    cluster.change("Service", "web", single).await?;
    cluster.shows("web", &["192.168.3.200"]).await?;
    cluster.unanswered("fd00:3::f0".parse()?).await?;
    cluster.change("Service", "web", json!({"ipFamilyPolicy": "PreferDualStack"})).await?;
    cluster.shows("web", &["192.168.3.200", "fd00:3::f0"]).await?;
    cluster.serves("fd00:3::f0".parse()?, "web").await.map(drop)
}

/// One pool of IPv4; a Service that prefers both families has an address of it, and now requires both.
async fn require_both(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("single", &[V4]), advertisement("all")]).await?;
    cluster.pods("web", &["n1"]).await?;
    cluster.create(&policy("web", "PreferDualStack")).await?;
    cluster.shows("web", &["192.168.3.200"]).await?;
    cluster.serves("192.168.3.200".parse()?, "web").await?;
    cluster.change("Service", "web", json!({"ipFamilyPolicy": "RequireDualStack"})).await.map(drop)
}

async fn empties(cluster: &mut Cluster) -> Result {
    cluster.restart_controller(&TAKE_AWAY).await?;
    require_both(cluster).await?;
    cluster.shows("web", &[]).await?;
    cluster.unanswered("192.168.3.200".parse()?).await?;
    cluster.change("Service", "web", json!({"ipFamilyPolicy": "PreferDualStack"})).await?;
    cluster.shows("web", &["192.168.3.200"]).await?;
    cluster.serves("192.168.3.200".parse()?, "web").await.map(drop)
}

async fn keeps(cluster: &mut Cluster) -> Result {
    require_both(cluster).await?;
    cluster.caught_up().await?;
    cluster.told("web", "no free IPv6 address").await?;
    cluster.shows("web", &["192.168.3.200"]).await?;
    cluster.serves("192.168.3.200".parse()?, "web").await?;
    // It is remembered what it asks for: a new Service gets none. (Of Services of one second the first by name is served first.)
    cluster.create(&policy("younger", "RequireDualStack")).await?;
    cluster.pending("younger", "no free IPv6 address").await?;
    cluster.change("IPAddressPool", "single", json!({"addresses": [V4, V6]})).await?;
    cluster.shows("web", &["192.168.3.200", "fd00:3::f0"]).await?;
    cluster.change("Service", "web", json!({"ipFamilyPolicy": "PreferDualStack"})).await?;
    cluster.caught_up().await?;
    cluster.shows("web", &["192.168.3.200", "fd00:3::f0"]).await?;
    cluster.serves("fd00:3::f0".parse()?, "web").await.map(drop)
}

/// A Service holds both families of one pool, which loses IPv6; another pool has both.
async fn lose_a_family(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("dual", &[V4, V6]), advertisement("all")]).await?;
    cluster.pods("web", &["n1"]).await?;
    cluster.create(&policy("web", "PreferDualStack")).await?;
    cluster.shows("web", &["192.168.3.200", "fd00:3::f0"]).await?;
    cluster.create(&pool("other", &["192.168.3.210-192.168.3.219", "fd00:3::e0/124"])).await?;
    cluster.change("IPAddressPool", "dual", json!({"addresses": [V4]})).await.map(drop)
}

async fn loses_taken(cluster: &mut Cluster) -> Result {
    cluster.restart_controller(&TAKE_AWAY).await?;
    lose_a_family(cluster).await?;
    // The family that its pool still has stays.
    cluster.shows("web", &["192.168.3.200", "fd00:3::e0"]).await?;
    cluster.serves("192.168.3.200".parse()?, "web").await?;
    cluster.serves("fd00:3::e0".parse()?, "web").await?;
    cluster.unanswered("fd00:3::f0".parse()?).await
}

async fn loses_kept(cluster: &mut Cluster) -> Result {
    lose_a_family(cluster).await?;
    cluster.told("web", "AddressNotInPool").await?;
    cluster.shows("web", &["192.168.3.200", "fd00:3::f0"]).await?;
    cluster.serves("192.168.3.200".parse()?, "web").await?;
    cluster.serves("fd00:3::f0".parse()?, "web").await.map(drop)
}
