//! What the shipped roles allow, and what they do not. That they allow enough is asked after every case: nothing may
//! have been forbidden.

use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::object::{advertisement, api, api_everywhere, pool, service};
use crate::plane::{Kind, Plane};
use crate::role::Role;

pub(super) fn cases() -> Vec<Case> {
    let cases =
        vec![case("neither_may_do_what_it_need_not", least), case("no_secret_is_read_by_a_speaker", secrets)];
    cases.into_iter().map(|case| case.only_on(Kind::Real)).collect()
}

async fn client(cluster: &Cluster, role: Role) -> Result<kube::Client> {
    match &cluster.plane {
        Plane::Real(real) => crate::real::connect(&real.kubeconfig(role)).await,
        Plane::Embedded(_) => Err("the store knows no users".into()),
    }
}

fn forbidden<T>(what: &str, done: kube::Result<T>) -> Result {
    match done {
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
        Err(error) => Err(format!("{what}: {error}").into()),
        Ok(_) => Err(format!("{what} is allowed").into()),
    }
}

async fn least(cluster: &mut Cluster) -> Result {
    cluster
        .create_all(&[pool("default", &["192.168.3.200/32"]), advertisement("all"), service("web")])
        .await?;
    for role in [Role::Controller, Role::Speaker] {
        let client = client(cluster, role).await?;
        let (patch, change) =
            (PatchParams::default(), Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}})));
        let services = api(&client, "Service", "default");
        forbidden("changing a Service", services.patch("web", &patch, &change).await)?;
        forbidden("deleting a Service", services.delete("web", &DeleteParams::default()).await)?;
        let nodes = api(&client, "Node", "");
        forbidden("changing a Node", nodes.patch("n1", &patch, &change).await)?;
        let pools = api(&client, "IPAddressPool", "metallb-system");
        forbidden("deleting a pool", pools.delete("default", &DeleteParams::default()).await)?;
        let advertisements = api(&client, "L2Advertisement", "metallb-system");
        forbidden("changing an advertisement", advertisements.patch("all", &patch, &change).await)?;
        let listed = api_everywhere(&client, "Pod").list(&ListParams::default()).await;
        forbidden("reading the pods of everybody", listed)?;
        let listed = api(&client, "ConfigMap", "default").list(&ListParams::default()).await;
        forbidden("reading others' ConfigMaps", listed)?;
        if role == Role::Speaker {
            let status =
                Patch::Merge(json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.168.3.9"}]}}}));
            forbidden("giving an address", services.patch_status("web", &patch, &status).await)?;
            forbidden("changing a pool", pools.patch("default", &patch, &change).await)?;
        }
    }
    Ok(())
}

async fn secrets(cluster: &mut Cluster) -> Result {
    let client = client(cluster, Role::Speaker).await?;
    forbidden("reading all Secrets", api_everywhere(&client, "Secret").list(&ListParams::default()).await)?;
    let own = api(&client, "Secret", "metallb-system");
    forbidden("reading the Secrets of its namespace", own.list(&ListParams::default()).await)?;
    forbidden("reading one Secret", own.get("lbd-membership").await)
}
