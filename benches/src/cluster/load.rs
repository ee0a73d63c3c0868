//! What is made on the API server and taken away again.

use futures::{Stream, StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use lbk8s::objects::metallb::{IPAddressPool, L2Advertisement};
use serde_json::json;

use super::{LABEL, NAME};
use crate::site::Result;

/// How many requests are on the way at once: as many as `lbd controller` has.
const ON_THE_WAY: usize = 16;
/// The range of the pool.
const RANGE: &str = "10.77.0.0/16";
/// A class that nobody serves.
const NOBODY: &str = "lbd.io/nobody";

/// The objects of these measurements.
#[derive(Debug, Clone)]
pub struct Load {
    services: Api<Service>,
    slices: Api<EndpointSlice>,
    /// Each service has an endpoint, so that it is announced.
    served: bool,
    pools: Api<IPAddressPool>,
    advertisements: Api<L2Advertisement>,
}

impl Load {
    /// Objects with services in the namespace `default` and pools in this one.
    #[must_use]
    pub fn new(client: &Client, namespace: &str) -> Self {
        Self {
            services: Api::namespaced(client.clone(), "default"),
            slices: Api::namespaced(client.clone(), "default"),
            served: false,
            pools: Api::namespaced(client.clone(), namespace),
            advertisements: Api::namespaced(client.clone(), namespace),
        }
    }

    /// The same with an endpoint for each service, so that it is announced.
    #[must_use]
    pub fn served(self) -> Self {
        Self { served: true, ..self }
    }

    /// The services, for a watch.
    #[must_use]
    pub fn services(&self) -> &Api<Service> {
        &self.services
    }

    /// Makes the pool, for the services of these measurements only.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn make_pool(&self) -> Result<()> {
        let ours = json!({"serviceSelectors": [{"matchLabels": {LABEL: "yes"}}]});
        let spec = json!({"addresses": [RANGE], "serviceAllocation": ours});
        let pool = serde_json::from_value(json!({"metadata": {"name": NAME}, "spec": spec}))?;
        self.pools.create(&PostParams::default(), &pool).await?;
        Ok(())
    }

    /// Advertises the pool.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn advertise(&self) -> Result<()> {
        let spec = json!({"ipAddressPools": [NAME]});
        let advertisement = serde_json::from_value(json!({"metadata": {"name": NAME}, "spec": spec}))?;
        self.advertisements.create(&PostParams::default(), &advertisement).await?;
        Ok(())
    }

    /// Takes the pool away; services keep what they have.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn delete_pool(&self) -> Result<()> {
        gone(self.pools.delete(NAME, &DeleteParams::default()).await.map(drop))
    }

    /// Makes a service that asks for an address of the pool.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn create(&self, name: &str) -> Result<()> {
        self.create_endpoint(name).await?;
        self.create_service(name).await
    }

    /// Makes the endpoint of a service, if each is to have one.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn create_endpoint(&self, name: &str) -> Result<()> {
        if !self.served {
            return Ok(());
        }
        match self.slices.create(&PostParams::default(), &endpoint(name)?).await {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            made => Ok(made.map(drop)?),
        }
    }

    /// Makes the endpoints of services that have none yet, many at once.
    ///
    /// # Errors
    /// The API server refuses one.
    pub async fn create_endpoints(&self, names: impl Iterator<Item = String>) -> Result<()> {
        all(stream::iter(names.map(|name| async move { self.create_endpoint(&name).await }))).await
    }

    /// Makes a service that asks for an address of the pool, and nothing else.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn create_service(&self, name: &str) -> Result<()> {
        self.services.create(&PostParams::default(), &service(name, None)?).await?;
        Ok(())
    }

    /// Deletes a service.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn delete(&self, name: &str) -> Result<()> {
        if self.served {
            gone(self.slices.delete(name, &DeleteParams::default()).await.map(drop))?;
        }
        gone(self.services.delete(name, &DeleteParams::default()).await.map(drop))
    }

    /// Makes services without endpoints, many at once.
    ///
    /// # Errors
    /// The API server refuses one.
    pub async fn create_all(&self, names: impl Iterator<Item = String>) -> Result<()> {
        all(stream::iter(names.map(|name| async move { self.create_service(&name).await }))).await
    }

    /// Deletes services, many at once.
    ///
    /// # Errors
    /// The API server refuses one.
    pub async fn delete_all(&self, names: impl Iterator<Item = String>) -> Result<()> {
        all(stream::iter(names.map(|name| async move { self.delete(&name).await }))).await
    }

    /// Makes services that nobody serves, many at once.
    ///
    /// # Errors
    /// The API server refuses one.
    pub async fn create_unserved(&self, names: impl Iterator<Item = String>) -> Result<()> {
        let create = |name: String| async move {
            let service = service(&name, Some(NOBODY))?;
            self.services.create(&PostParams::default(), &service).await?;
            Ok(())
        };
        all(stream::iter(names.map(create))).await
    }

    /// Writes an address into the status of each, many at once, and does nothing else.
    ///
    /// # Errors
    /// The API server refuses one.
    pub async fn write_statuses(&self, names: impl Iterator<Item = String>) -> Result<()> {
        let status = json!({"loadBalancer": {"ingress": [{"ip": "10.77.0.1", "ipMode": "VIP"}]}});
        let patch = &Patch::Merge(json!({"status": status}));
        let write = |name: String| async move {
            self.services.patch_status(&name, &PatchParams::default(), patch).await?;
            Ok(())
        };
        all(stream::iter(names.map(write))).await
    }

    /// Deletes all that these measurements ever made.
    ///
    /// # Errors
    /// The API server refuses it.
    pub async fn clear(&self) -> Result<()> {
        let ours = self.services.list(&ListParams::default().labels(LABEL)).await?;
        self.delete_all(ours.items.iter().map(ResourceExt::name_any)).await?;
        let slices = self.slices.list(&ListParams::default().labels(LABEL)).await?;
        let delete = |slice: EndpointSlice| async move {
            gone(self.slices.delete(&slice.name_any(), &DeleteParams::default()).await.map(drop))
        };
        all(stream::iter(slices.items.into_iter().map(delete))).await?;
        self.delete_pool().await?;
        gone(self.advertisements.delete(NAME, &DeleteParams::default()).await.map(drop))
    }
}

/// A service of these measurements.
fn service(name: &str, class: Option<&str>) -> Result<Service> {
    let ports = json!([{"port": 80}]);
    let mut spec = json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": ports});
    if let Some(class) = class {
        spec["loadBalancerClass"] = json!(class);
    }
    // No other pool may serve it meanwhile.
    let annotations = json!({"metallb.io/address-pool": NAME});
    // Nobody is to reach it, so kube-proxy need not know of it.
    let labels = json!({LABEL: "yes", "service.kubernetes.io/service-proxy-name": "none"});
    let metadata = json!({"name": name, "labels": labels, "annotations": annotations});
    Ok(serde_json::from_value(json!({"metadata": metadata, "spec": spec}))?)
}

/// An endpoint of a service, on no node: with the policy `Cluster` any node announces it.
fn endpoint(name: &str) -> Result<EndpointSlice> {
    let labels = json!({LABEL: "yes", "kubernetes.io/service-name": name});
    let endpoint = json!({"addresses": ["10.244.0.1"], "conditions": {"ready": true}});
    Ok(serde_json::from_value(json!({
        "metadata": {"name": name, "labels": labels},
        "addressType": "IPv4",
        "endpoints": [endpoint],
        "ports": [{"port": 8080, "protocol": "TCP"}],
    }))?)
}

async fn all(jobs: impl Stream<Item = impl Future<Output = Result<()>>>) -> Result<()> {
    jobs.buffer_unordered(ON_THE_WAY).try_for_each(|()| std::future::ready(Ok(()))).await
}

/// What is gone already need not be deleted.
fn gone(deleted: kube::Result<()>) -> Result<()> {
    match deleted {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => Ok(other?),
    }
}
