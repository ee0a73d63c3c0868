//! Who gets which address, and keeps it.

use serde_json::json;

use crate::Result;
use crate::cluster::Cluster;
use crate::object::{advertisement, pool, service};
use crate::suite::{Case, case};

pub(super) fn cases() -> Vec<Case> {
    vec![case("a_type_change_frees_the_address_for_one_that_waits", type_change)]
}

async fn type_change(cluster: &mut Cluster) -> Result {
    cluster.create_all(&[pool("one", &["192.168.3.200/32"]), advertisement("all"), service("first")]).await?;
    cluster.shows("first", &["192.168.3.200"]).await?;
    cluster.create(&service("second")).await?;
    cluster.pending("second", "").await?;
    cluster.change("Service", "first", json!({"type": "ClusterIP"})).await?;
    cluster.shows("second", &["192.168.3.200"]).await?;
    cluster.shows("first", &[]).await
}
