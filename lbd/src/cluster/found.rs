//! Everything that a cluster tells of itself at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::future::join_all;
use futures::stream::{self, StreamExt};
use k8s_openapi::jiff::Timestamp;
use lbk8s::controller::ControllerStatus;
use lbk8s::controller::view::Standing;
use lbk8s::speaker::SpeakerStatus;
use lbk8s::speaker::view::{AddressView, MoveView};

use super::Server;
use super::objects::Objects;
use super::reach::{Process, Role, Silence, pods};
use crate::cli::{AskArguments, ClusterArguments};
use crate::exit::Failure;

/// Processes that are asked at the same time.
pub(super) const AT_ONCE: usize = 32;
/// An address moves within less: who answers for it after that beside another one does not know of that one.
const MOVING: Duration = Duration::from_millis(500);

/// Where everything comes from.
#[derive(Clone)]
pub(super) struct Source {
    server: Option<Server>,
    namespace: String,
    given: Vec<Process>,
}

/// Everything that a cluster tells of itself at one moment.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) at: Timestamp,
    /// What the API server has; nothing if only processes are asked.
    pub(super) objects: Option<Objects>,
    pub(super) speakers: Vec<Asked<Speaker>>,
    pub(super) controllers: Vec<Asked<Controller>>,
    /// Addresses that nobody answers for, as one speaker says; nothing if none could be asked.
    pub(super) unanswered: Option<Vec<AddressView>>,
    /// Addresses that several nodes answer for.
    pub(super) twice: BTreeMap<IpAddr, BTreeSet<String>>,
    /// How addresses moved lately, the last one first, as one speaker says.
    pub(super) moves: Vec<MoveView>,
    /// Whoever asks may not look for pods.
    pub(super) pods_forbidden: bool,
    /// Where the pods should be.
    pub(super) namespace: String,
}

/// A process, and what it says.
#[derive(Debug)]
pub(super) struct Asked<T> {
    pub(super) process: Process,
    pub(super) said: Result<T, Silence>,
}

/// What a speaker says.
#[derive(Debug)]
pub(super) struct Speaker {
    pub(super) status: SpeakerStatus,
    /// What it answers for.
    pub(super) here: Vec<AddressView>,
}

/// What a controller says.
#[derive(Debug)]
pub(super) struct Controller {
    pub(super) status: ControllerStatus,
    pub(super) services: Vec<Standing>,
}

impl Found {
    /// The controller that gives addresses.
    pub(super) fn leader(&self) -> Option<&Controller> {
        self.controllers.iter().filter_map(|asked| asked.said.as_ref().ok()).find(|it| it.status.leader)
    }

    /// Who could not be asked, each with the reason. `lbd run` is asked for both, and told of once.
    pub(super) fn silent(&self) -> impl Iterator<Item = String> {
        let speakers = self.speakers.iter().map(|it| (&it.process, it.said.as_ref().err()));
        let controllers = self.controllers.iter().map(|it| (&it.process, it.said.as_ref().err()));
        let mut told = BTreeSet::new();
        speakers.chain(controllers).filter_map(move |(process, silence)| {
            let why = match silence? {
                Silence::NotThere => "nothing of lbd answers there",
                Silence::Forbidden(_) => return None,
                Silence::Failed(why) => why,
            };
            let node = process.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
            told.insert(&process.name).then(|| format!("{}{node} cannot be asked: {why}", process.name))
        })
    }

    /// Whether somebody may not be asked.
    pub(super) fn is_forbidden(&self) -> bool {
        let speakers = self.speakers.iter().filter_map(|it| it.said.as_ref().err());
        let mut silences = speakers.chain(self.controllers.iter().filter_map(|it| it.said.as_ref().err()));
        self.pods_forbidden || silences.any(|it| matches!(it, Silence::Forbidden(_)))
    }
}

impl Source {
    /// As the arguments say.
    pub(super) async fn of(arguments: &AskArguments) -> Result<Self, Failure> {
        Self::at(&arguments.at, &arguments.cluster, arguments.namespace.name()).await
    }

    /// These processes, or if there are none the cluster.
    pub(super) async fn at(
        at: &[SocketAddr],
        cluster: &ClusterArguments,
        namespace: String,
    ) -> Result<Self, Failure> {
        let given: Vec<Process> = at.iter().copied().map(Process::at).collect();
        let server = if given.is_empty() { Some(Server::of(cluster).await?) } else { None };
        Ok(Self { server, namespace, given })
    }

    /// The processes that there are; nothing if whoever asks may not know.
    pub(super) async fn processes(&self) -> Result<Option<Vec<Process>>, Failure> {
        match &self.server {
            None => Ok(Some(self.given.clone())),
            Some(server) => match pods(&server.client, &self.namespace).await {
                Ok(found) => Ok(Some(found)),
                // Whoever may not look for pods still sees what the objects say.
                Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
                Err(error) => Err(server.fail("pods", &error)),
            },
        }
    }

    /// The API server, if it is asked.
    pub(super) fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Asks everybody.
    pub(super) async fn ask(&self) -> Result<Found, Failure> {
        let known = self.processes().await?;
        let pods_forbidden = known.is_none();
        let processes = known.unwrap_or_default();
        let objects = async {
            match &self.server {
                Some(server) => Some(Objects::read(&server.client, &self.namespace).await),
                None => None,
            }
        };
        let (objects, speakers, controllers) =
            tokio::join!(objects, ask_speakers(&processes), ask_controllers(&processes));
        let mut found = Found {
            at: Timestamp::now(),
            objects,
            speakers,
            controllers,
            unanswered: None,
            twice: BTreeMap::new(),
            moves: Vec::new(),
            pods_forbidden,
            namespace: self.namespace.clone(),
        };
        // All speakers hear of the same; one that waits for nothing has heard of everything.
        let whole = |asked: &&Asked<Speaker>| asked.said.as_ref().is_ok_and(|it| it.status.ready);
        let any = |asked: &&Asked<Speaker>| asked.said.is_ok();
        let one = found.speakers.iter().find(whole).or_else(|| found.speakers.iter().find(any));
        if let Some(one) = one {
            let (unanswered, moves) =
                tokio::join!(one.process.get("/v1/addresses?owner=none"), one.process.get("/v1/moves"));
            (found.unanswered, found.moves) = (unanswered.ok(), moves.unwrap_or_default());
        }
        let at_once = answered_twice(&found.speakers);
        if !at_once.is_empty() {
            tokio::time::sleep(MOVING).await;
            found.speakers = ask_speakers(&processes).await;
            found.twice = answered_twice(&found.speakers);
            found.twice.retain(|address, _| at_once.contains_key(address));
        }
        // What was named and is neither is told of.
        for process in processes.iter().filter(|process| process.role == Role::Any) {
            let is = |name: &String| *name == process.name;
            let is_speaker = found.speakers.iter().any(|asked| is(&asked.process.name));
            if !is_speaker && !found.controllers.iter().any(|asked| is(&asked.process.name)) {
                found.speakers.push(Asked { process: process.clone(), said: Err(Silence::NotThere) });
            }
        }
        Ok(found)
    }
}

async fn ask_speakers(processes: &[Process]) -> Vec<Asked<Speaker>> {
    let ask = |process: &Process| {
        let process = process.clone();
        async move {
            let said = async {
                let (status, here) =
                    tokio::join!(process.get("/v1/status"), process.get("/v1/addresses?owner=here"));
                // A controller has a status too, and no addresses.
                let here = here?;
                Ok(Speaker { status: status?, here })
            };
            let said = said.await;
            Asked { process, said }
        }
    };
    let may_be = processes.iter().filter(|process| process.role != Role::Controller).map(ask);
    // One that is silent holds up no other.
    let mut all: Vec<Asked<Speaker>> = stream::iter(may_be).buffer_unordered(AT_ONCE).collect().await;
    all.sort_by(|a, b| (&a.process.node, &a.process.name).cmp(&(&b.process.node, &b.process.name)));
    // A controller that was asked at an address has no addresses, and is none.
    all.into_iter()
        .filter(|it| it.process.role == Role::Speaker || it.said.as_ref().err() != Some(&Silence::NotThere))
        .collect()
}

async fn ask_controllers(processes: &[Process]) -> Vec<Asked<Controller>> {
    let ask = async |process: &Process| {
        let (status, services) = tokio::join!(process.get("/v1/controller"), process.get("/v1/services"));
        let said = status.and_then(|status| Ok(Controller { status, services: services? }));
        Asked { process: process.clone(), said }
    };
    let may_be = processes.iter().filter(|process| process.role != Role::Speaker).map(ask);
    let all: Vec<Asked<Controller>> = join_all(may_be).await;
    all.into_iter()
        // What an address that is silent should be, nobody knows: it is told of among the speakers.
        .filter(|it| it.process.role == Role::Controller || it.said.is_ok())
        .collect()
}

/// By node, for one speaker may be reached by several addresses.
fn answered_twice(speakers: &[Asked<Speaker>]) -> BTreeMap<IpAddr, BTreeSet<String>> {
    let mut nodes: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
    for speaker in speakers.iter().filter_map(|asked| asked.said.as_ref().ok()) {
        for address in &speaker.here {
            nodes.entry(address.address).or_default().insert(speaker.status.node.clone());
        }
    }
    nodes.retain(|_, nodes| nodes.len() > 1);
    nodes
}
