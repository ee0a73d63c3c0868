//! Reading and writing objects, with all rights.

use futures::{StreamExt, TryStreamExt};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::Cluster;
use crate::Result;
use crate::object::{Object, api, api_everywhere, namespace, usual_namespace};
use crate::wait::until;

impl Cluster {
    /// The API of a kind, and the bare name: `name` may be `NAMESPACE/NAME`.
    fn api<'a>(&self, kind: &str, name: &'a str) -> (Api<DynamicObject>, &'a str) {
        let (namespace, name) = name.split_once('/').unwrap_or((usual_namespace(kind), name));
        (api(&self.client, kind, namespace), name)
    }

    /// Makes an object.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn create(&self, object: &Object) -> Result<Value> {
        let text = |field: &str| object.0["metadata"][field].as_str().unwrap_or_default();
        let kind = object.0["kind"].as_str().unwrap_or_default();
        let typed: DynamicObject = serde_json::from_value(object.0.clone())?;
        let made = api(&self.client, kind, text("namespace")).create(&PostParams::default(), &typed).await;
        let made = made.map_err(|error| format!("creating {kind} {}: {error}", text("name")))?;
        Ok(serde_json::to_value(made)?)
    }

    /// Makes several objects.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn create_all(&self, objects: &[Object]) -> Result {
        for object in objects {
            self.create(object).await?;
        }
        Ok(())
    }

    /// Makes a namespace with these labels, under a name that no other has or had.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn namespace(&mut self, labels: Value) -> Result<String> {
        self.made += 1;
        let name = format!("tenant-{}", self.made);
        let mut object = namespace(&name);
        object.0["metadata"]["labels"] = labels;
        self.create(&object).await?;
        Ok(name)
    }

    /// The object, if it is there. `name` may be `NAMESPACE/NAME`.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn find(&self, kind: &str, name: &str) -> Result<Option<Value>> {
        let (api, name) = self.api(kind, name);
        let found = api.get_opt(name).await.map_err(|error| format!("reading {kind} {name}: {error}"))?;
        Ok(found.map(serde_json::to_value).transpose()?)
    }

    /// The object.
    ///
    /// # Errors
    /// What the API server says; also that it is not there.
    pub async fn get(&self, kind: &str, name: &str) -> Result<Value> {
        self.find(kind, name).await?.ok_or_else(|| format!("there is no {kind} {name}").into())
    }

    /// All objects of a kind, in all namespaces.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn list(&self, kind: &str) -> Result<Vec<Value>> {
        let listed = api_everywhere(&self.client, kind).list(&ListParams::default()).await;
        let listed = listed.map_err(|error| format!("listing {kind}: {error}"))?;
        listed.items.into_iter().map(|object| Ok(serde_json::to_value(object)?)).collect()
    }

    /// Merges a change into an object.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn patch(&self, kind: &str, name: &str, change: Value) -> Result<Value> {
        let (api, name) = self.api(kind, name);
        let changed = api.patch(name, &PatchParams::default(), &Patch::Merge(change)).await;
        let changed = changed.map_err(|error| format!("changing {kind} {name}: {error}"))?;
        Ok(serde_json::to_value(changed)?)
    }

    /// Merges a change into an object's status.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn patch_status(&self, kind: &str, name: &str, change: Value) -> Result<Value> {
        let (api, name) = self.api(kind, name);
        let change = Patch::Merge(json!({"status": change}));
        let changed = api.patch_status(name, &PatchParams::default(), &change).await;
        let changed = changed.map_err(|error| format!("changing the status of {kind} {name}: {error}"))?;
        Ok(serde_json::to_value(changed)?)
    }

    /// Changes fields under `spec`.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn change(&self, kind: &str, name: &str, spec: Value) -> Result<Value> {
        self.patch(kind, name, json!({"spec": spec})).await
    }

    /// Deletes an object, and waits until it is gone: also if somebody makes another one under its name at once.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn delete(&self, kind: &str, name: &str) -> Result {
        let uid = self.get(kind, name).await?["metadata"]["uid"].take();
        let (api, name) = self.api(kind, name);
        api.delete(name, &DeleteParams::default().grace_period(0))
            .await
            .map_err(|error| format!("deleting {kind} {name}: {error}"))?;
        until(&format!("{kind} {name} is gone"), async || match api.get_opt(name).await? {
            Some(there) if there.metadata.uid.as_deref() == uid.as_str() => Err("it is there".into()),
            _ => Ok(()),
        })
        .await
    }

    /// Deletes all objects of a kind in the namespaces that tests use, but for those that the cluster needs.
    pub(super) async fn delete_all(&self, kind: &str) -> Result {
        let objects = match api_everywhere(&self.client, kind).list(&ListParams::default()).await {
            Ok(listed) => listed.items,
            // A kind that is not installed has no objects.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let objects = objects.into_iter().filter(|object| {
            let namespace = object.namespace().unwrap_or_default();
            let needed = kind == "Service" && object.name_any() == "kubernetes"
                || kind == "ConfigMap" && object.name_any() == "kube-root-ca.crt"
                || kind == "Namespace" && !object.name_any().starts_with("tenant-")
                || namespace.starts_with("kube-");
            !needed
        });
        let deletions = objects.map(|object| async move {
            let namespace = object.namespace().unwrap_or_default();
            let parameters = DeleteParams::default().grace_period(0);
            match api(&self.client, kind, &namespace).delete(&object.name_any(), &parameters).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                other => other.map(drop),
            }
        });
        let deletions = futures::stream::iter(deletions).buffer_unordered(16);
        Ok(deletions.try_for_each(async |()| Ok(())).await?)
    }
}
