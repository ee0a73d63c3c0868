//! Speakers in virtual time: the real membership and the real decisions, with Services that have addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use lbcore::ownership::Interface;
use lbcore::ownership::claims::Failback;
use lbk8s::objects::announced::AnnouncedService;
use lbk8s::objects::config::ConfigChange;
use lbk8s::objects::service::ServiceView;
use lbk8s::speaker::team::{FACTS, READY, Told};
use lbk8s::speaker::{Change, Rules, Speaker, WithoutSlices};
use lblab::simulated::members::{Members, Now, Process, name};
use lblab::simulated::{Place, Weather};
use lbnet::membership::{Event, Membership, Settings};
use serde_json::{Value, json};

use crate::site::Result;

/// A speaker, as its edge would run it.
#[derive(Debug)]
struct Speaking(Speaker);

impl Speaking {
    fn apply(&mut self, change: Change) {
        // What is to be done on a wire is of no interest here: only who answers.
        drop(self.0.apply(change));
    }

    fn hear(&mut self, member: &Membership, name: &str) {
        let records = member.records(name).cloned().unwrap_or_default();
        self.apply(Change::Member(name.to_owned(), Box::new(Told::read(&records))));
    }
}

impl Process for Speaking {
    fn happened(&mut self, member: &mut Membership, event: &Event, now: Now) {
        self.0.set_clock(now.since);
        match event {
            Event::Up { name, restarted } => {
                self.apply(Change::MemberUp(name.clone()));
                if !restarted {
                    self.hear(member, name);
                }
            }
            Event::Down { name, .. } => self.apply(Change::MemberDown(name.clone())),
            Event::Table { name } => self.hear(member, name),
            Event::StoodStill(_) => self.apply(Change::StoodStill),
            Event::TakenForDead { .. } => self.apply(Change::TakenForDead),
            Event::Ready { .. } => self.apply(Change::Joined),
            Event::Segment { .. } | Event::NameTaken { .. } => {}
        }
    }

    fn wake(&mut self, member: &mut Membership, now: Now) {
        self.0.set_clock(now.since);
        self.apply(Change::Time(now.since));
        member.publish(self.0.records_to_tell(), now.clock);
    }

    fn deadline(&self) -> Option<Duration> {
        self.0.deadline()
    }
}

/// The cluster: places for nodes, those that there are by their objects, and Services.
#[derive(Debug)]
pub(super) struct Speakers {
    members: Members<Speaking>,
    /// What the API tells of all Services, the pool and the advertisement.
    objects: Vec<Change>,
    nodes: BTreeMap<Place, Change>,
}

impl Speakers {
    /// Places for so many nodes, none of which is there yet, and so many Services with an address each.
    pub(super) fn new(places: usize, services: u16, seed: u64) -> Result<Self> {
        let settings = Settings::default();
        let mut objects = vec![
            Change::Config(Box::new(ConfigChange::Pool(serde_json::from_value(json!({
                "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
                "metadata": {"name": "all", "namespace": lbk8s::CONFIG_NAMESPACE, "uid": "pool", "creationTimestamp": "2024-01-01T00:00:00Z"},
                "spec": {"addresses": ["10.0.0.0/16"]},
            }))?))),
            Change::Config(Box::new(ConfigChange::Advertisement(serde_json::from_value(json!({
                "apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement",
                "metadata": {"name": "all", "namespace": lbk8s::CONFIG_NAMESPACE}, "spec": {},
            }))?))),
        ];
        for number in 0..services {
            objects.push(service(number)?);
        }
        let members = Members::new(places, settings, Weather::fair(), seed);
        Ok(Self { members, objects, nodes: BTreeMap::new() })
    }

    /// These nodes are there: their objects, whether anything runs on them or not.
    pub(super) fn add_nodes(&mut self, places: impl IntoIterator<Item = Place>) -> Result<()> {
        for place in places {
            let object = json!({
                "apiVersion": "v1", "kind": "Node",
                "metadata": {"name": name(place), "labels": {"kubernetes.io/hostname": name(place)}},
            });
            let node = Change::Node(lbk8s::objects::node::read(&serde_json::from_value(object)?));
            self.nodes.insert(place, node.clone());
            for running in 0..self.members.nodes.len() {
                self.members.with(running, |speaking, _, _| speaking.apply(node.clone()));
            }
        }
        Ok(())
    }

    /// Starts the speaker of a node. It has read all objects that there are.
    pub(super) fn start(&mut self, place: Place) -> Result<()> {
        let rules = Rules {
            without_slices: WithoutSlices::Served,
            together: Some(Failback::default()),
            ..Rules::default()
        };
        let mut speaking = Speaking(Speaker::new(name(place), rules));
        self.objects.iter().chain(self.nodes.values()).for_each(|change| speaking.apply(change.clone()));
        speaking.apply(Change::Synced);
        let interface =
            Interface { name: "eth0".to_owned(), subnets: vec!["10.0.0.0/8".parse()?], unheard: false };
        speaking.apply(Change::OwnFacts(vec![interface]));
        let others: Vec<Place> = self.nodes.keys().copied().collect();
        self.members.start(place, others, speaking);
        let facts = json!({"interfaces": [{"name": "eth0", "mac": "", "subnets": ["10.0.0.0/8"]}]});
        let told = [(FACTS, facts.to_string().into_bytes()), (READY, Vec::new())];
        self.members.publish(place, told.map(|(key, value)| (key.to_owned(), Some(value))).to_vec());
        Ok(())
    }

    /// The process of a node is no more, without a word.
    pub(super) fn kill(&mut self, place: Place) {
        self.members.kill(place);
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        self.members.run(time);
        self.members.story.clear();
    }

    /// Who answers for each address.
    ///
    /// # Errors
    /// Two answer for one.
    pub(super) fn owners(&self) -> Result<BTreeMap<IpAddr, Place>> {
        let mut owners = BTreeMap::new();
        for (place, running) in self.members.nodes.iter().enumerate() {
            for address in running.iter().flat_map(|running| running.process.0.owned()) {
                if let Some(other) = owners.insert(address, place) {
                    return Err(format!("{} and {} answer for {address}", name(other), name(place)).into());
                }
            }
        }
        Ok(owners)
    }
}

fn service(number: u16) -> Result<Change> {
    let [high, low] = number.to_be_bytes();
    let object: Value = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": format!("s{number}"), "namespace": "default", "uid": format!("uid-{number}"),
            "creationTimestamp": "2024-01-01T00:00:00Z",
            "annotations": {"metallb.io/ip-allocated-from-pool": "all"},
        },
        "spec": {
            "type": "LoadBalancer", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"],
            "ports": [{"port": 80, "protocol": "TCP"}],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": format!("10.0.{high}.{low}")}]}},
    });
    let view = ServiceView::read(&serde_json::from_value(object)?, &None);
    Ok(Change::Service(Box::new(AnnouncedService::from(view))))
}
