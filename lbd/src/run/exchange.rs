//! The hosts of `--peers` tell each other what Services hold, and each gives addresses only after it has heard the others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use lbcore::ServiceKey;
use lbk8s::controller;
use lbk8s::exchange::{Hold, Holds, agree, changes, held_elsewhere, merge, read, records};
use lbk8s::objects::annotations::ALLOCATED_FROM;
use lbk8s::objects::facts::{NodeFacts, NodeFactsFields, Taken};
use lbk8s::speaker::Word;
use lbk8s::state_file::StateFile;
use lbk8s::watching::{Watched, config, explain_client, follow};
use lbnet::membership::Event;
use lbnet::membership::carrier::News;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::Instant;

use super::show::{Show, note, warn};

/// After a change of what is held the next one waits for so long.
const PAUSE: Duration = Duration::from_millis(200);
/// A pass that costs no more, with its write to disk, is made for each change at once.
const QUICK: Duration = Duration::from_millis(5);
/// Passes that cost more take no more than one part in so many of the time.
const SHARE: u32 = 5;
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
    /// What of that is given to nobody here.
    avoided: BTreeMap<String, Vec<Taken>>,
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
            avoided: BTreeMap::new(),
        }
    }

    /// Gives addresses, after the others were heard or waited for, and takes over what they have held for longer.
    pub(super) async fn run(mut self, mut news: UnboundedReceiver<News>, hears_others: bool) {
        while hears_others && let Some(told) = news.recv().await {
            let ready = matches!(told, News::Happened(Event::Ready { .. }));
            self.hear(told);
            if ready {
                break;
            }
        }
        let services = self.services().await;
        self.forget_what_others_know_better(&services);
        loop {
            let services = self.services().await;
            let counts = self.counts();
            self.avoid(&services, &counts).await;
            self.adopt(&services, &counts).await;
            self.tell();
            self.give(&mut news).await;
            // Whatever two hosts make of each other, they do not do it without end.
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What this host held before it started counts only where no other says anything: it may be from long ago.
    fn forget_what_others_know_better(&mut self, services: &BTreeSet<ServiceKey>) {
        let others = &self.others;
        self.own.retain(|service, hold| {
            let is_known = others.values().any(|holds| holds.contains_key(service));
            let has = |holds: &Holds| {
                holds.values().any(|other| other.addresses.iter().any(|it| hold.addresses.contains(it)))
            };
            services.contains(service) && !is_known && !others.values().any(has)
        });
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
        // After a change there is a pass over all that is held: at once, or among thousands, where it costs milliseconds, a
        // while later, for all changes until then.
        let (mut due, mut cost) = (None, Duration::ZERO);
        loop {
            tokio::select! {
                () = &mut controller => return,
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    (due, cost) = (None, Duration::ZERO);
                }
                told = watch.next() => match told {
                    Some(Watched::Set((service, Some((addresses, pool))))) => {
                        services.insert(service.clone());
                        self.note(service, addresses, pool);
                    }
                    // It wants no address.
                    Some(Watched::Set((service, None))) => {
                        services.remove(&service);
                        self.own.remove(&service);
                    }
                    Some(Watched::Gone { namespace, name, .. }) => {
                        let service = ServiceKey::new(namespace, name);
                        services.remove(&service);
                        self.own.remove(&service);
                    }
                    Some(Watched::Synced) => {
                        self.own.retain(|service, _| services.contains(service));
                        is_synced = true;
                    }
                    _ => {}
                },
                Some(told) = news.recv() => self.hear(told),
            }
            if !is_synced || due.is_some() {
                continue;
            }
            if cost > QUICK {
                due = Some(Instant::now() + cost * SHARE);
                continue;
            }
            let began = Instant::now();
            self.settle_agreed();
            self.tell();
            // Alone, nobody is of another mind.
            let is_alone = self.others.is_empty() && self.avoided.values().all(Vec::is_empty);
            if !is_alone {
                let counts = self.counts();
                if !changes(&self.own, &services, &counts).is_empty() {
                    return;
                }
                self.avoid(&services, &counts).await;
            }
            cost = began.elapsed();
        }
    }

    fn note(&mut self, service: ServiceKey, addresses: Vec<IpAddr>, pool: Option<String>) {
        let before = self.own.get(&service);
        if before.is_none() && addresses.is_empty() {
            return;
        }
        let hold = Hold::moved(before, addresses, pool, Timestamp::now().as_millisecond());
        self.own.insert(service, hold);
    }

    /// What was left is of no interest once all hosts have gone.
    fn settle_agreed(&mut self) {
        let agreed: Vec<ServiceKey> = self
            .own
            .iter()
            .filter(|(service, hold)| {
                !hold.left.is_empty() && agree(self.others.values().chain([&self.own]), service)
            })
            .map(|(service, _)| service.clone())
            .collect();
        for service in agreed {
            if let Some(hold) = self.own.get_mut(&service) {
                hold.left.clear();
            }
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Records(name, records) => drop(self.others.insert(name, read(&records))),
            News::Happened(Event::Down { name, .. }) => drop(self.others.remove(&name)),
            _ => {}
        }
    }

    /// What other hosts hold for Services that want no address here, or not yet, is given to nobody.
    async fn avoid(&mut self, services: &BTreeSet<ServiceKey>, counts: &Holds) {
        let facts: Api<NodeFacts> = Api::namespaced(self.client.clone(), lbk8s::CONFIG_NAMESPACE);
        let hosts: BTreeSet<String> = self.others.keys().chain(self.avoided.keys()).cloned().collect();
        for host in hosts {
            let holds = self.others.get(&host);
            let taken = holds.map(|holds| held_elsewhere(holds, services, counts)).unwrap_or_default();
            if self.avoided.get(&host).map_or(&[][..], Vec::as_slice) == taken {
                continue;
            }
            let patch = json!({"taken": &taken});
            let patched = facts.patch(&host, &PatchParams::default(), &Patch::Merge(patch)).await;
            if patched.is_err_and(|error| matches!(&error, kube::Error::Api(status) if status.code == 404)) {
                let metadata = ObjectMeta { name: Some(host.clone()), ..ObjectMeta::default() };
                let spec = NodeFactsFields { taken: taken.clone(), ..NodeFactsFields::default() };
                // What cannot be avoided is settled when the Service comes: the older hold counts.
                let _ = facts.create(&PostParams::default(), &NodeFacts { metadata, spec }).await;
            }
            self.avoided.insert(host, taken);
        }
    }

    /// The Services that want an address.
    async fn services(&self) -> BTreeSet<ServiceKey> {
        let all = Api::<Service>::all(self.client.clone()).list(&ListParams::default()).await;
        let wanting = |it: &Service| {
            let (key, wants) = view(it);
            wants.map(|_| key)
        };
        all.map(|all| all.items.iter().filter_map(wanting).collect()).unwrap_or_default()
    }

    /// What counts of all that hosts hold.
    fn counts(&self) -> Holds {
        let mut hosts = self.others.clone();
        hosts.insert(self.host.clone(), self.own.clone());
        merge(&hosts)
    }

    /// Writes into the store what is to be held. Nobody gives addresses meanwhile.
    async fn adopt(&mut self, services: &BTreeSet<ServiceKey>, counts: &Holds) {
        for (service, hold) in changes(&self.own, services, counts) {
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
        let addresses = services.iter().filter_map(|service| self.own.get(service));
        let addresses = addresses.flat_map(|hold| hold.addresses.iter().copied()).collect();
        // Where nobody answers, nobody waits for it.
        let _ = self.says.send(Word::Adopted(addresses));
    }

    async fn write(&self, service: &ServiceKey, hold: Option<&Hold>) -> Result<(), kube::Error> {
        let api: Api<Service> = Api::namespaced(self.client.clone(), service.namespace());
        let shown = api.get(service.name()).await?;
        let addresses = view(&shown).1.map(|(addresses, _)| addresses).unwrap_or_default();
        if addresses == hold.map(|hold| hold.addresses.clone()).unwrap_or_default() {
            return Ok(());
        }
        let (name, how) = (service.name(), PatchParams::default());
        let hold = hold.filter(|hold| !hold.addresses.is_empty());
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

/// The addresses that a Service shows, and the pool on record.
type Shown = (Vec<IpAddr>, Option<String>);

/// A Service, and what it shows, if it wants an address.
fn view(service: &Service) -> (ServiceKey, Option<Shown>) {
    let key = ServiceKey::new(service.namespace().unwrap_or_default(), service.name_any());
    let is_wanted = service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer");
    let status = service.status.iter().flat_map(|status| &status.load_balancer);
    let ingress = status.flat_map(|status| status.ingress.iter().flatten());
    let addresses = ingress.filter_map(|entry| entry.ip.as_ref()?.parse().ok()).collect();
    let pool = service.annotations().get(ALLOCATED_FROM).cloned();
    (key, is_wanted.then_some((addresses, pool)))
}
