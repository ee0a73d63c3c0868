//! What the configuration's objects say of themselves, kept up to date.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::time::Instant;

use crate::Problem;
use crate::configuration_state::{self, Component, Says};
use crate::controller::object_status::line;
use crate::controller::{Controller, IN_FORCE};
use crate::objects::config::ConfigChange;
use crate::objects::metallb::{IPAddressPool, IPAddressPoolStatus, L2Advertisement};
use crate::upkeep::Upkeep;
use crate::watching::explain_client;

/// Counters are written at most so often: of thousands of Services that come at once, nobody reads each step.
const AT_MOST_EVERY: Duration = Duration::from_millis(500);

pub(super) struct Kept {
    pools: Upkeep<String, IPAddressPoolStatus>,
    advertisements: Upkeep<String, Vec<Condition>>,
    state: Upkeep<(), Says>,
    /// The conditions that pools and advertisements have, by name.
    of_pools: BTreeMap<String, Vec<Condition>>,
    of_advertisements: BTreeMap<String, Vec<Condition>>,
    /// When everything is looked at again.
    due: Option<Instant>,
}

impl Kept {
    pub(super) fn new(client: &Client, namespace: &str) -> Self {
        let pools: Api<IPAddressPool> = Api::namespaced(client.clone(), namespace);
        let advertisements: Api<L2Advertisement> = Api::namespaced(client.clone(), namespace);
        Self {
            pools: Upkeep::new("IPAddressPool status", move |name: String, status: IPAddressPoolStatus| {
                let api = pools.clone();
                async move { put_pool(&api, &name, status).await.map_err(|error| explain_client(&error)) }
            }),
            advertisements: Upkeep::new(
                "L2Advertisement status",
                move |name: String, conditions: Vec<Condition>| {
                    let api = advertisements.clone();
                    async move {
                        put_advertisement(&api, &name, conditions)
                            .await
                            .map_err(|error| explain_client(&error))
                    }
                },
            ),
            state: configuration_state::keep(client, namespace, &Component::Controller),
            of_pools: BTreeMap::new(),
            of_advertisements: BTreeMap::new(),
            due: None,
        }
    }

    /// An object changed.
    pub(super) fn see(&mut self, change: &ConfigChange) {
        match change {
            ConfigChange::Pool(pool) => {
                let status = pool.status.clone().unwrap_or_default();
                self.of_pools.insert(pool.name_any(), status.conditions.clone());
                self.pools.seen(pool.name_any(), status);
            }
            ConfigChange::PoolGone(name) => {
                self.of_pools.remove(name);
                self.pools.remove(name);
            }
            ConfigChange::Advertisement(advertisement) => {
                let conditions = advertisement.status.clone().unwrap_or_default().conditions;
                self.of_advertisements.insert(advertisement.name_any(), conditions.clone());
                self.advertisements.seen(advertisement.name_any(), conditions);
            }
            ConfigChange::AdvertisementGone(name) => {
                self.of_advertisements.remove(name);
                self.advertisements.remove(name);
            }
            _ => {}
        }
    }

    /// Whether the object at fault says so itself.
    pub(super) fn shows(&self, problem: &Problem) -> bool {
        let conditions = match &*problem.object.kind {
            "IPAddressPool" => self.of_pools.get(&*problem.object.name),
            "L2Advertisement" => self.of_advertisements.get(&*problem.object.name),
            _ => None,
        };
        let ours = conditions.into_iter().flatten().find(|condition| condition.type_ == IN_FORCE);
        ours.is_some_and(|ours| ours.message.contains(&line(problem)))
    }

    /// Our `ConfigurationState` says this.
    pub(super) fn see_state(&mut self, says: Says) {
        self.state.seen((), says);
    }

    /// Something may have changed what is to be said.
    pub(super) fn touch(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + AT_MOST_EVERY);
    }

    /// Writes until it is time to look at everything again, by [`Kept::refresh`].
    pub(super) async fn work(&mut self) {
        let due = self.due;
        let time = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = time => {}
            () = self.pools.work() => {}
            () = self.advertisements.work() => {}
            () = self.state.work() => {}
        }
    }

    /// Looks at everything.
    pub(super) fn refresh(&mut self, controller: &Controller) {
        self.due = None;
        // MetalLB's controller writes these too.
        if controller.is_held_back() {
            return;
        }
        let none = Vec::new();
        for object in controller.objects() {
            if object.kind == "IPAddressPool" {
                let shown = self.of_pools.get(&*object.name).unwrap_or(&none);
                self.pools.want(object.name.to_string(), controller.pool_status(object, shown));
            } else {
                let shown = self.of_advertisements.get(&*object.name).unwrap_or(&none);
                let conditions = controller.advertisement_conditions(object, shown);
                self.advertisements.want(object.name.to_string(), conditions);
            }
        }
        self.state.want((), configuration_state::says(controller.problems()));
    }
}

async fn put_pool(
    api: &Api<IPAddressPool>,
    name: &str,
    status: IPAddressPoolStatus,
) -> Result<IPAddressPoolStatus, kube::Error> {
    let patch = Patch::Merge(json!({"status": status}));
    match api.patch_status(name, &PatchParams::default(), &patch).await {
        Ok(pool) => Ok(pool.status.unwrap_or_default()),
        // The watch tells that it is gone.
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(status),
        Err(error) => Err(error),
    }
}

async fn put_advertisement(
    api: &Api<L2Advertisement>,
    name: &str,
    conditions: Vec<Condition>,
) -> Result<Vec<Condition>, kube::Error> {
    let patch = Patch::Merge(json!({"status": {"conditions": conditions}}));
    match api.patch_status(name, &PatchParams::default(), &patch).await {
        Ok(advertisement) => Ok(advertisement.status.unwrap_or_default().conditions),
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(conditions),
        Err(error) => Err(error),
    }
}
