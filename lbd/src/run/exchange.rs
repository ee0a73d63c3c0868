//! The hosts of `--peers` tell each other what Services hold, and each gives addresses only after it has heard the others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use lbcore::ServiceKey;
use lbk8s::controller;
use lbk8s::exchange::{Hold, Holds, changes, merge, read, records};
use lbk8s::objects::annotations::ALLOCATED_FROM;
use lbk8s::objects::facts::{NodeFacts, NodeFactsFields, Taken};
use lbk8s::speaker::Word;
use lbk8s::state_file::StateFile;
use lbk8s::watching::{Watched, config, explain_client, follow};
use lbnet::membership::Event;
use lbnet::membership::carrier::News;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::show::{Show, note, warn};

/// The version of what is written to disk.
const VERSION: u32 = 1;

/// One host among others.
pub(super) struct Exchange {
    host: String,
    client: Client,
    settings: controller::Settings,
    show: Show,
    file: Option<StateFile>,
    says: UnboundedSender<Word>,
    /// What Services hold here, and since when.
    own: Holds,
    /// The same, as the others were told last.
    told: Holds,
    /// What the others hold.
    others: BTreeMap<String, Holds>,
}

impl Exchange {
    pub(super) fn new(
        client: Client,
        settings: controller::Settings,
        show: Show,
        state: Option<&Path>,
        says: UnboundedSender<Word>,
    ) -> Self {
        let file = state.map(|folder| StateFile::new(folder.join("holds.state"), "holds", VERSION));
        let own = file.as_ref().and_then(|file| {
            file.read().unwrap_or_else(|error| {
                warn(&error.to_string());
                None
            })
        });
        Self {
            host: settings.identity.clone(),
            client,
            settings,
            show,
            file,
            says,
            own: own.unwrap_or_default(),
            told: Holds::new(),
            others: BTreeMap::new(),
        }
    }

    /// Gives addresses, after the others were heard or waited for, and takes over what they have held for longer.
    pub(super) async fn run(mut self, mut news: UnboundedReceiver<News>, hears_others: bool) {
        while hears_others && let Some(told) = news.recv().await {
            let ready = matches!(told, News::Happened(Event::Ready { .. }));
            self.hear(told).await;
            if ready {
                break;
            }
        }
        loop {
            let services = self.services().await;
            self.adopt(&services).await;
            self.tell();
            self.give(&mut news).await;
        }
    }

    /// Gives addresses until something has to be as it is on another host.
    async fn give(&mut self, news: &mut UnboundedReceiver<News>) {
        let notices = self.show.clone();
        let controller =
            controller::run(self.client.clone(), self.settings.clone(), move |notice| notices.notice(notice));
        tokio::pin!(controller);
        let mut watch = follow(Api::<Service>::all(self.client.clone()), config(), view);
        let mut services = BTreeSet::new();
        let mut is_synced = false;
        loop {
            tokio::select! {
                () = &mut controller => return,
                told = watch.next() => match told {
                    Some(Watched::Set((service, addresses, pool))) => {
                        services.insert(service.clone());
                        self.note(service, addresses, pool);
                    }
                    Some(Watched::Gone { namespace, name, .. }) => {
                        let service = ServiceKey::new(namespace, name);
                        services.remove(&service);
                        self.own.remove(&service);
                    }
                    Some(Watched::Synced) => is_synced = true,
                    _ => {}
                },
                Some(told) = news.recv() => self.hear(told).await,
            }
            if is_synced {
                self.tell();
                if !self.changes(&services).is_empty() {
                    return;
                }
            }
        }
    }

    fn note(&mut self, service: ServiceKey, addresses: Vec<IpAddr>, pool: Option<String>) {
        if addresses.is_empty() {
            self.own.remove(&service);
            return;
        }
        let known = self.own.get(&service).filter(|hold| hold.addresses == addresses).map(|hold| hold.since);
        let since = known.unwrap_or_else(|| Timestamp::now().as_millisecond());
        self.own.insert(service, Hold { addresses, pool, since });
    }

    async fn hear(&mut self, news: News) {
        match news {
            News::Records(name, records) => {
                let holds = read(&records);
                if self.others.insert(name.clone(), holds.clone()).as_ref() != Some(&holds) {
                    self.avoid(&name, &holds).await;
                }
            }
            News::Happened(Event::Down { name, .. }) => {
                self.others.remove(&name);
            }
            _ => {}
        }
    }

    /// What another host holds for Services that are not here yet is given to nobody.
    async fn avoid(&self, host: &str, holds: &Holds) {
        let services = self.services().await;
        let missing = holds.iter().filter(|(service, _)| !services.contains(*service));
        let taken = missing.flat_map(|(service, hold)| {
            hold.addresses
                .iter()
                .map(move |address| Taken { address: address.to_string(), mac: format!("Service {service}") })
        });
        let taken: Vec<Taken> = taken.collect();
        let facts: Api<NodeFacts> = Api::namespaced(self.client.clone(), lbk8s::CONFIG_NAMESPACE);
        let patch = json!({"taken": taken});
        match facts.patch(host, &PatchParams::default(), &Patch::Merge(patch)).await {
            Err(kube::Error::Api(status)) if status.code == 404 && !taken.is_empty() => {
                let metadata = ObjectMeta { name: Some(host.to_owned()), ..ObjectMeta::default() };
                let spec = NodeFactsFields { taken, ..NodeFactsFields::default() };
                // What cannot be avoided is settled when the Service comes: the older hold counts.
                let _ = facts.create(&PostParams::default(), &NodeFacts { metadata, spec }).await;
            }
            _ => {}
        }
    }

    /// The Services that there are.
    async fn services(&self) -> BTreeSet<ServiceKey> {
        let all = Api::<Service>::all(self.client.clone()).list(&ListParams::default()).await;
        let key = |it: &Service| ServiceKey::new(it.namespace().unwrap_or_default(), it.name_any());
        all.map(|all| all.items.iter().map(key).collect()).unwrap_or_default()
    }

    fn changes(&self, services: &BTreeSet<ServiceKey>) -> BTreeMap<ServiceKey, Option<Hold>> {
        let mut hosts = self.others.clone();
        hosts.insert(self.host.clone(), self.own.clone());
        changes(&self.own, services, &merge(&hosts))
    }

    /// Writes into the store what is to be held. Nobody gives addresses meanwhile.
    async fn adopt(&mut self, services: &BTreeSet<ServiceKey>) {
        for (service, hold) in self.changes(services) {
            if let Some(hold) = hold {
                note(&format!("{service} has {} on another host", list(&hold.addresses)));
                self.own.insert(service, hold);
            } else {
                let had = self.own.remove(&service).map(|hold| list(&hold.addresses)).unwrap_or_default();
                warn(&format!("{service} gives up {had}: another host gave it to a Service before"));
            }
        }
        for service in services {
            if let Err(error) = self.write(service, self.own.get(service)).await {
                warn(&format!("{service}: {}", explain_client(&error)));
            }
        }
    }

    async fn write(&self, service: &ServiceKey, hold: Option<&Hold>) -> Result<(), kube::Error> {
        let api: Api<Service> = Api::namespaced(self.client.clone(), service.namespace());
        let shown = api.get(service.name()).await?;
        let (_, addresses, _) = view(&shown);
        if addresses == hold.map(|hold| hold.addresses.clone()).unwrap_or_default() {
            return Ok(());
        }
        let (name, how) = (service.name(), PatchParams::default());
        let pool = hold.and_then(|hold| hold.pool.clone());
        let record = json!({"metadata": {"annotations": {ALLOCATED_FROM: pool}}});
        api.patch(name, &how, &Patch::Merge(record)).await?;
        let ingress = hold.map(|hold| hold.addresses.iter().map(|ip| json!({"ip": ip})).collect::<Vec<_>>());
        let status = json!({"status": {"loadBalancer": {"ingress": ingress}}});
        api.patch_status(name, &how, &Patch::Merge(status)).await?;
        Ok(())
    }

    /// Tells the others, and the disk, what has changed.
    fn tell(&mut self) {
        let changed = records(&self.told, &self.own);
        if changed.is_empty() {
            return;
        }
        self.told = self.own.clone();
        // Where nobody answers, nobody listens either.
        let _ = self.says.send(Word::Records(changed));
        if let Some(file) = &self.file {
            let written = file.to_bytes(&self.own).and_then(|bytes| file.write(&bytes));
            if let Err(error) = written {
                warn(&error.to_string());
            }
        }
    }
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A Service, the addresses that it shows, and the pool on record.
fn view(service: &Service) -> (ServiceKey, Vec<IpAddr>, Option<String>) {
    let key = ServiceKey::new(service.namespace().unwrap_or_default(), service.name_any());
    let status = service.status.iter().flat_map(|status| &status.load_balancer);
    let ingress = status.flat_map(|status| status.ingress.iter().flatten());
    let addresses = ingress.filter_map(|entry| entry.ip.as_ref()?.parse().ok()).collect();
    (key, addresses, service.annotations().get(ALLOCATED_FROM).cloned())
}
