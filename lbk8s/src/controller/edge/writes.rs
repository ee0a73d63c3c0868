//! The controller's writes: statuses of Services, and what is remembered on pools.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use lbcore::ServiceKey;

use crate::controller::{MemoryWrite, Write};
use crate::events::Event;
use crate::objects::metallb::IPAddressPool;
use crate::objects::service::FIELD_MANAGER;
use crate::watching::explain_client;

/// A write that takes longer counts as failed.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);
/// The pause after a Service's status could not be written; it doubles with each further failure in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What became of a write.
pub(super) enum Written {
    /// It was made; the events that go with it.
    Done(Box<Service>, Vec<Event>),
    /// It was not made: the Service is not what it was. This is what it is now.
    Changed(Box<Service>),
    Gone,
    Failed(String),
}

/// How often a Service's status could not be written in a row, and why the last time.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    times: u32,
    pub(super) last: String,
}

impl Trouble {
    /// One failure more; the pause before the next attempt. It is short after one conflict, which is everyday
    /// life, and then grows.
    pub(super) fn next_pause(&mut self) -> Duration {
        let pause = (FIRST_PAUSE * 2_u32.saturating_pow(self.times)).min(LONGEST_PAUSE);
        self.times += 1;
        pause
    }
}

pub(super) async fn pause(key: ServiceKey, time: Duration) -> ServiceKey {
    tokio::time::sleep(time).await;
    key
}

pub(super) async fn put(client: Client, write: Write) -> (ServiceKey, Written) {
    let api: Api<Service> = Api::namespaced(client, write.key.namespace());
    let attempt = async {
        let patch = Patch::Merge(write.patch(Timestamp::now()));
        let parameters =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        match api.patch_status(write.key.name(), &parameters, &patch).await {
            Ok(service) => Written::Done(Box::new(service), write.events.clone()),
            Err(kube::Error::Api(status)) if status.code == 404 => Written::Gone,
            Err(kube::Error::Api(status)) if status.code == 409 => {
                match api.get_opt(write.key.name()).await {
                    Ok(Some(service)) => Written::Changed(Box::new(service)),
                    Ok(None) => Written::Gone,
                    Err(error) => Written::Failed(explain_client(&error)),
                }
            }
            // It may have been made, and only the answer was lost.
            Err(error) => match api.get_opt(write.key.name()).await {
                Ok(Some(service)) if write.is_shown_by(&service) => {
                    Written::Done(Box::new(service), write.events.clone())
                }
                _ => Written::Failed(explain_client(&error)),
            },
        }
    };
    let late = format!("no answer within {WRITE_DEADLINE:?}");
    let written = tokio::time::timeout(WRITE_DEADLINE, attempt).await.unwrap_or(Written::Failed(late));
    (write.key, written)
}

/// The pause after a pool's annotation could not be written.
const MEMORY_PAUSE: Duration = Duration::from_secs(2);

/// Writes what is remembered of a pool's addresses; false if that is to be tried again.
pub(super) async fn put_memory(client: Client, namespace: String, write: MemoryWrite) -> (String, bool) {
    let api: Api<IPAddressPool> = Api::namespaced(client, &namespace);
    let patch = Patch::Merge(write.patch());
    let parameters = PatchParams::default();
    let attempt = api.patch(&write.pool, &parameters, &patch);
    let error = match tokio::time::timeout(WRITE_DEADLINE, attempt).await {
        Ok(Ok(_)) => return (write.pool, true),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => return (write.pool, true),
        Ok(Err(error)) => explain_client(&error),
        Err(_) => format!("no answer within {WRITE_DEADLINE:?}"),
    };
    tracing::warn!(pool = write.pool, error, "what is remembered of freed addresses cannot be written");
    tokio::time::sleep(MEMORY_PAUSE).await;
    (write.pool, false)
}

/// What a Service is now that its watch does not show it any more, if it is still there under the same identity: it
/// has taken another type.
pub(super) async fn look_again(client: Client, key: ServiceKey, uid: String) -> Option<Box<Service>> {
    let api: Api<Service> = Api::namespaced(client, key.namespace());
    let service = loop {
        match tokio::time::timeout(WRITE_DEADLINE, api.get_opt(key.name())).await {
            Ok(Ok(found)) => break found?,
            Ok(Err(_)) | Err(_) => tokio::time::sleep(LONGEST_PAUSE).await,
        }
    };
    (service.metadata.uid.as_deref() == Some(uid.as_str())).then(|| Box::new(service))
}
