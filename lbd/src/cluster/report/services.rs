//! Services, with who answers for each of their addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::jiff::Timestamp;
use lbk8s::controller::view::{Standing, State};
use lbk8s::speaker::SpeakerStatus;
use lbk8s::speaker::view::AddressView;
use serde::Serialize;

use super::super::found::Found;
use super::super::objects::Objects;

/// A Service that asks for an address.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in super::super) struct ServiceReport {
    /// `namespace/name`.
    pub(in super::super) service: String,
    pub(in super::super) state: State,
    /// What is not as it wishes, in a word: the reason of its condition.
    pub(in super::super) reason: Option<String>,
    /// What is not as it wishes.
    pub(in super::super) text: Option<String>,
    pub(in super::super) addresses: Vec<AddressReport>,
}

/// An address, and who answers for it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in super::super) struct AddressReport {
    pub(in super::super) address: IpAddr,
    pub(in super::super) pool: String,
    /// Why this address.
    pub(in super::super) given: Option<String>,
    /// Whether it is known that no node answers.
    pub(in super::super) unanswered: bool,
    /// The node that answers; none if none does, or nobody could be asked.
    pub(in super::super) node: Option<String>,
    pub(in super::super) interfaces: Vec<Answering>,
    /// Since when it answers, as it knows itself.
    pub(in super::super) since: Option<Timestamp>,
    /// Why that node, or why none.
    pub(in super::super) why: Option<String>,
}

/// Where an address is answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in super::super) struct Answering {
    pub(in super::super) name: String,
    pub(in super::super) mac: Option<String>,
}

pub(super) fn services(found: &Found) -> Vec<ServiceReport> {
    let standings: &[Standing] = match (found.leader(), &found.objects) {
        (Some(controller), _) => &controller.services,
        (None, Some(objects)) => &objects.services,
        (None, None) => return of_speakers_alone(found),
    };
    let owners = Owners::of(found);
    let service = |standing: &Standing| {
        let address = |held: &lbk8s::controller::view::HeldView| {
            let pool = held.pool.clone();
            let report = owners
                .by_speakers(held.address, pool.clone())
                .unwrap_or_else(|| by_objects(found.objects.as_ref(), standing, held.address, pool));
            AddressReport { given: Some(held.text.to_string()), ..report }
        };
        ServiceReport {
            service: standing.service.to_string(),
            state: standing.state,
            reason: standing.reason.as_ref().map(ToString::to_string),
            text: standing.text.clone(),
            addresses: standing.held.iter().map(address).collect(),
        }
    };
    standings.iter().map(service).collect()
}

/// Who answers, as those say themselves who do.
struct Owners<'a> {
    here: BTreeMap<IpAddr, (&'a SpeakerStatus, &'a AddressView)>,
    nobody: BTreeMap<IpAddr, &'a AddressView>,
}

impl<'a> Owners<'a> {
    fn of(found: &'a Found) -> Self {
        let speakers = found.speakers.iter().filter_map(|asked| asked.said.as_ref().ok());
        let here = speakers
            .flat_map(|speaker| speaker.here.iter().map(|view| (view.address, (&speaker.status, view))));
        let nobody = found.unanswered.iter().flatten().map(|view| (view.address, view));
        Self { here: here.collect(), nobody: nobody.collect() }
    }

    fn by_speakers(&self, address: IpAddr, pool: String) -> Option<AddressReport> {
        if let Some((status, view)) = self.here.get(&address) {
            return Some(AddressReport {
                node: Some(status.node.clone()),
                interfaces: view.interfaces.iter().map(|name| on(status, name)).collect(),
                since: view.since,
                why: view.why.as_ref().map(|why| why.text.clone()),
                ..AddressReport::of(address, pool)
            });
        }
        let why = self.nobody.get(&address)?.nobody.clone();
        Some(AddressReport { why, unanswered: true, ..AddressReport::of(address, pool) })
    }
}

/// Nobody who answers could be asked.
fn by_objects(
    objects: Option<&Objects>,
    standing: &Standing,
    address: IpAddr,
    pool: String,
) -> AddressReport {
    // Where the families have owners of their own, the second status is the other one's.
    let of = |second: bool| objects.and_then(|it| it.owners.get(&(standing.service.clone(), second)));
    let owner = if address.is_ipv6() { of(true).or_else(|| of(false)) } else { of(false) };
    let answering = |node: &str, name: &String| Answering {
        name: name.clone(),
        mac: objects.and_then(|it| it.macs.get(node)?.get(name).cloned()),
    };
    let interfaces =
        owner.iter().flat_map(|(node, interfaces)| interfaces.iter().map(|name| answering(node, name)));
    AddressReport {
        interfaces: interfaces.collect(),
        node: owner.map(|(node, _)| node.clone()),
        ..AddressReport::of(address, pool)
    }
}

impl AddressReport {
    /// An address of which nothing else is known.
    fn of(address: IpAddr, pool: String) -> Self {
        Self {
            address,
            pool,
            given: None,
            unanswered: false,
            node: None,
            interfaces: Vec::new(),
            since: None,
            why: None,
        }
    }
}

fn on(status: &SpeakerStatus, name: &str) -> Answering {
    let interface = status.interfaces.iter().find(|interface| interface.name == name);
    Answering { name: name.to_owned(), mac: interface.map(|interface| interface.mac.clone()) }
}

/// What can be told of Services where only speakers are asked: those that have addresses.
fn of_speakers_alone(found: &Found) -> Vec<ServiceReport> {
    let owners = Owners::of(found);
    let mut services: BTreeMap<String, Vec<AddressReport>> = BTreeMap::new();
    let views = owners.here.values().map(|(_, view)| *view).chain(owners.nobody.values().copied());
    for view in views {
        let report = owners.by_speakers(view.address, view.pool.clone().unwrap_or_default());
        for service in &view.services {
            services.entry(service.to_string()).or_default().extend(report.clone());
        }
    }
    let service = |(service, addresses)| ServiceReport {
        service,
        state: State::Served,
        reason: None,
        text: None,
        addresses,
    };
    services.into_iter().map(service).collect()
}
