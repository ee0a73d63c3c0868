//! What a speaker is run with.

use std::collections::BTreeSet;
use std::net::IpAddr;

use lbcore::ServiceKey;
use lbnet::membership::carrier::{Carrier, News};
use lbnet::{Event as WireEvent, Layer2, Selection};
use tokio::sync::mpsc;

use super::{Questions, State};
use crate::objects::service::Class;
use crate::speaker::Rules;
use crate::speaker::team::Record;

/// How to run the speaker.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node it runs on, as its Node object is called.
    pub node: String,
    /// The namespace of the configuration objects.
    pub namespace: String,
    /// The class of Services that are ours.
    pub class: Class,
    /// How it decides.
    pub rules: Rules,
    /// Which interfaces may be used. Those left out are so until `metallb-excludel2` says others.
    pub interfaces: Selection,
    /// What the process before this one knew, and where this one writes it down, so that the next one can go on without
    /// the API server; none: nothing is kept.
    pub state: Option<State>,
}

/// What a speaker is connected to, beside the API server.
pub struct Wiring {
    /// What answers. It belongs to the speaker: when that ends, nothing is announced any more.
    pub layer2: Layer2,
    /// What that tells.
    pub wire: mpsc::UnboundedReceiver<WireEvent>,
    /// The other speakers, if [`Rules::together`] says that they listen to each other.
    pub members: Option<Members>,
    /// Where questions come from, if anybody asks.
    pub questions: Option<Questions>,
    /// What somebody beside the speaker has to do with the other speakers.
    pub beside: Option<Beside>,
}

/// Somebody who shares the way to the other speakers.
pub struct Beside {
    /// Hears all that the other speakers tell.
    pub news: mpsc::UnboundedSender<News>,
    /// Says what else is to be told to them, and to this speaker.
    pub says: mpsc::UnboundedReceiver<Word>,
}

/// What somebody beside the speaker says.
#[derive(Debug, Clone)]
pub enum Word {
    /// These records are to be told to the other speakers.
    Records(Vec<Record>),
    /// This node does not serve these Services, by its own check.
    Failing(BTreeSet<ServiceKey>),
    /// What was held before is in the store, these addresses: now it can be decided who answers for them. Waited for where
    /// members are nodes.
    Adopted(BTreeSet<IpAddr>),
}

impl Wiring {
    /// A speaker that answers, and neither hears others nor is asked anything.
    #[must_use]
    pub fn alone((layer2, wire): (Layer2, mpsc::UnboundedReceiver<WireEvent>)) -> Self {
        Self { layer2, wire, members: None, questions: None, beside: None }
    }
}

/// The other speakers: what carries them, and what they tell.
pub type Members = (Carrier, mpsc::UnboundedReceiver<News>);
