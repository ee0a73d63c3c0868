//! Getting the Lease, keeping it, and giving it back.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::coordination::v1 as coordination;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Client};
use tokio::time::Instant;

use super::{DEADLINE, DURATION, Lease, NAME, PERIOD, Record, Step};
use crate::watching::explain_client;

/// A request that takes longer counts as failed.
const REQUEST: Duration = Duration::from_secs(2);

/// Runs what `work` makes while the Lease is ours, and drops it as soon as it is not; over and over, until this is
/// dropped itself or `stop` ends: then the Lease is given back.
pub async fn hold<F: Future<Output = ()>>(
    client: Client,
    namespace: &str,
    identity: &str,
    mut work: impl FnMut() -> F,
    stop: impl Future<Output = ()>,
) {
    let mut turn = Turn::new(client, namespace, identity);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = turn.begin() => {}
            () = &mut stop => return turn.give_back().await,
        }
        tracing::info!(holder = identity, "this controller gives addresses");
        // Whoever stood still looks at his Lease before he goes on with what he was about to write.
        tokio::select! {
            biased;
            () = &mut stop => {
                return turn.give_back().await;
            }
            () = turn.end() => tracing::warn!("this controller gives no more addresses: its Lease could not be renewed"),
            () = work() => {}
        }
    }
}

/// One who takes part in the turns.
pub struct Turn {
    api: Api<coordination::Lease>,
    identity: String,
    lease: Lease,
    start: Instant,
    told: Option<String>,
}

impl Turn {
    /// Takes part under a name that no other process has.
    #[must_use]
    pub fn new(client: Client, namespace: &str, identity: &str) -> Self {
        let (api, lease) = (Api::namespaced(client, namespace), Lease::new(identity));
        Self { api, identity: identity.to_owned(), lease, start: Instant::now(), told: None }
    }

    /// Waits until the Lease is ours.
    pub async fn begin(&mut self) {
        loop {
            self.look().await;
            if self.lease.is_held(self.now()) {
                self.told = None;
                return;
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Keeps the Lease for as long as it can be kept.
    pub async fn end(&mut self) {
        while let Some(until) = self.lease.until() {
            let next = (self.now() + PERIOD).min(until);
            tokio::time::sleep_until(self.start + next).await;
            if !self.lease.is_held(self.now()) {
                return;
            }
            // A request that hangs must not outlast the Lease.
            let until = self.start + until;
            if tokio::time::timeout_at(until, self.look()).await.is_err() {
                return;
            }
        }
    }

    /// Gives the Lease back, so that the next one need not wait.
    pub fn give_back(&mut self) -> BoxFuture<'_, ()> {
        self.release().boxed()
    }

    // Futures of requests are boxed here: each crate that awaits an unboxed one compiles it again.
    async fn release(&mut self) {
        // It may be ours without our knowing, if the answer to a write is still on its way.
        let give = async {
            let mut lease = self.api.get(NAME).await?;
            if let Some(spec) = &mut lease.spec
                && spec.holder_identity.as_deref() == Some(self.identity.as_str())
            {
                spec.holder_identity = None;
                self.api.replace(NAME, &PostParams::default(), &lease).await?;
            }
            Ok::<(), kube::Error>(())
        };
        // Whoever comes next waits a little if this fails.
        let _ = tokio::time::timeout(REQUEST, give).await;
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Looks at the Lease, and writes it if it is to be had.
    fn look(&mut self) -> BoxFuture<'_, ()> {
        self.look_and_write().boxed()
    }

    async fn look_and_write(&mut self) {
        let began = self.now();
        let stored = match tokio::time::timeout(REQUEST, self.api.get_opt(NAME)).await {
            Ok(Ok(stored)) => stored,
            Ok(Err(error)) => return self.tell(explain_client(&error)),
            Err(_) => return self.tell(format!("no answer within {REQUEST:?}")),
        };
        if self.lease.observe(stored.as_ref().map(record), self.now()) == Step::Wait {
            let holder = self.lease.holder().unwrap_or_default().to_owned();
            return self.tell(format!("another controller gives addresses: {holder:?}"));
        }
        let lease = ours(stored, &self.identity);
        let write = async {
            let parameters = PostParams::default();
            if lease.metadata.resource_version.is_some() {
                self.api.replace(NAME, &parameters, &lease).await
            } else {
                self.api.create(&parameters, &lease).await
            }
        };
        match tokio::time::timeout(REQUEST, write).await {
            Ok(Ok(lease)) => self.lease.written(record(&lease), began),
            // Somebody was faster: he is seen the next time.
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => {}
            Ok(Err(error)) => self.tell(explain_client(&error)),
            Err(_) => self.tell(format!("no answer within {REQUEST:?}")),
        }
    }

    fn tell(&mut self, why: String) {
        if self.told.as_ref() != Some(&why) {
            tracing::info!(why, within = ?DEADLINE, "the Lease {NAME} is not to be had; trying again");
            self.told = Some(why);
        }
    }
}

fn record(lease: &coordination::Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        duration: seconds.map_or(DURATION, Duration::from_secs),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

/// The Lease with our name in it. The version of what was read guards it.
fn ours(stored: Option<coordination::Lease>, identity: &str) -> coordination::Lease {
    let now = Some(MicroTime(Timestamp::now()));
    let metadata = stored.as_ref().map_or_else(
        || ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() },
        |stored| stored.metadata.clone(),
    );
    let before = stored.and_then(|stored| stored.spec).unwrap_or_default();
    let stays = before.holder_identity.as_deref() == Some(identity);
    let spec = coordination::LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
        acquire_time: if stays { before.acquire_time } else { now.clone() },
        renew_time: now,
        lease_transitions: Some(before.lease_transitions.unwrap_or(0) + i32::from(!stays)),
        ..coordination::LeaseSpec::default()
    };
    coordination::Lease { metadata, spec: Some(spec) }
}
