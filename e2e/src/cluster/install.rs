//! What a cluster has before anything of ours runs: namespaces, CRDs, roles, Node objects.

use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Client, CustomResourceExt};
use lbk8s::CONFIG_NAMESPACE;
use lbk8s::objects::metallb::{IPAddressPool, L2AdvertisementWithSpec};
use serde_json::{Value, json};

use super::nodes::put_node;
use crate::Result;
use crate::object::{api, namespace};
use crate::plane::Plane;
use crate::site::Site;
use crate::wait::until;

const ROLES: &str = include_str!("../../controlplane/roles.json");

pub(super) async fn install(plane: &Plane, client: &Client, site: &Site) -> Result {
    put(client, &namespace(CONFIG_NAMESPACE).0).await?;
    if let Plane::Real(_) = plane {
        for definition in [IPAddressPool::crd(), L2AdvertisementWithSpec::crd()] {
            put(client, &serde_json::to_value(definition)?).await?;
        }
        let roles: Vec<Value> = serde_json::from_str(ROLES)?;
        for role in &roles {
            put(client, role).await?;
        }
        for kind in ["IPAddressPool", "L2Advertisement"] {
            until(&format!("{kind} is served"), async || {
                let api: Api<DynamicObject> = api(client, kind, CONFIG_NAMESPACE);
                Ok(api.list(&ListParams::default()).await.map(drop)?)
            })
            .await?;
        }
    }
    for node in &site.nodes {
        put_node(client, node).await?;
    }
    Ok(())
}

/// Makes an object, or makes it be like this.
async fn put(client: &Client, object: &Value) -> Result {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    let (kind, name) = (object["kind"].as_str().unwrap_or_default(), text("name"));
    let api = api(client, kind, text("namespace"));
    if api.get_opt(name).await?.is_some() {
        api.patch(name, &PatchParams::default(), &Patch::Merge(object)).await?;
    } else {
        let object: DynamicObject = serde_json::from_value(object.clone())?;
        api.create(&kube::api::PostParams::default(), &object)
            .await
            .map_err(|error| format!("installing {kind} {name}: {error}; {}", json!(object)))?;
    }
    Ok(())
}
