//! What a cluster has before anything of ours runs: namespaces, CRDs, roles, Node objects.

use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use lbk8s::CONFIG_NAMESPACE;
use serde_json::{Value, json};

use super::nodes::put_node;
use crate::Result;
use crate::object::{api, namespace};
use crate::plane::Plane;
use crate::real::kubectl;
use crate::site::Site;
use crate::wait::until;

/// What a user applies.
const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");

pub(super) async fn install(plane: &Plane, client: &Client, site: &Site) -> Result {
    match plane {
        Plane::Embedded(_) => put(client, &namespace(CONFIG_NAMESPACE).0).await?,
        Plane::Real(real) => {
            kubectl(real, &["apply", "-k", DEPLOY]).await?;
            for kind in ["IPAddressPool", "L2Advertisement", "ServiceL2Status", "ConfigurationState"] {
                until(&format!("{kind} is served"), async || {
                    let api: Api<DynamicObject> = api(client, kind, CONFIG_NAMESPACE);
                    Ok(api.list(&ListParams::default()).await.map(drop)?)
                })
                .await?;
            }
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
