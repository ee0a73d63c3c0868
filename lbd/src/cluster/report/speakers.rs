//! The processes of lbd: speakers with what they answer for, and controllers.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use k8s_openapi::jiff::Timestamp;
use lbk8s::speaker::InterfaceView;
use serde::Serialize;

use super::super::found::{Asked, Controller, Found, Speaker};
use crate::attention;

/// A node with a speaker, or one that should have one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in super::super) struct MemberReport {
    pub(in super::super) node: String,
    pub(in super::super) state: MemberState,
    /// For how many addresses it answers, where that is known.
    pub(in super::super) addresses: Option<usize>,
    pub(in super::super) interfaces: Vec<InterfaceView>,
    /// When its speaker started.
    pub(in super::super) started: Option<Timestamp>,
    /// How many of those that could be asked hear it, and which do not.
    #[serde(rename = "heardBy")]
    pub(in super::super) heard_by: usize,
    #[serde(rename = "notHeardBy")]
    pub(in super::super) not_heard_by: Vec<String>,
}

/// How a speaker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in super::super) enum MemberState {
    /// It answers for what it owns.
    Ready,
    /// It waits for something.
    Waits,
    /// MetalLB's speakers run.
    HeldBack,
    /// It is about to end.
    Leaving,
    /// It could not be asked, and others hear it.
    Heard,
    /// It could not be asked, and others do not hear it.
    Silent,
    /// It could not be asked, and nobody else could be.
    Unknown,
}

impl MemberState {
    pub(in super::super) fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Waits => "waits",
            Self::HeldBack => "held back",
            Self::Leaving => "leaving",
            Self::Heard => "heard",
            Self::Silent => "silent",
            Self::Unknown => "unknown",
        }
    }
}

/// A controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in super::super) struct ControllerReport {
    pub(in super::super) name: String,
    /// Whether it is the one that gives addresses; unknown if it could not be asked.
    pub(in super::super) leader: Option<bool>,
    pub(in super::super) ready: Option<bool>,
    pub(in super::super) since: Option<Timestamp>,
}

pub(super) fn controllers(found: &Found) -> Vec<ControllerReport> {
    let report = |asked: &Asked<Controller>| {
        let status = asked.said.as_ref().ok().map(|controller| &controller.status);
        ControllerReport {
            name: asked.process.name.clone(),
            leader: status.map(|status| status.leader),
            ready: status.map(|status| status.ready),
            since: status.and_then(|status| status.since),
        }
    };
    found.controllers.iter().map(report).collect()
}

pub(super) fn members(found: &Found) -> Vec<MemberReport> {
    let mut members: BTreeMap<String, MemberReport> = BTreeMap::new();
    for asked in &found.speakers {
        let member = of_speaker(asked);
        // Of a pod that ends and the one in its place, the one that speaks counts.
        match members.entry(member.node.clone()) {
            Entry::Vacant(place) => drop(place.insert(member)),
            Entry::Occupied(mut place) if member.started.is_some() => drop(place.insert(member)),
            Entry::Occupied(_) => {}
        }
    }
    for speaker in found.speakers.iter().filter_map(|asked| asked.said.as_ref().ok()) {
        for heard in &speaker.status.members {
            let member = members.entry(heard.node.clone()).or_insert_with(|| unknown(heard.node.clone()));
            if heard.alive {
                member.heard_by += 1;
            } else {
                member.not_heard_by.push(speaker.status.node.clone());
            }
            if member.started.is_none() {
                member.addresses = Some(heard.owned);
            }
        }
    }
    for member in members.values_mut().filter(|member| member.state == MemberState::Unknown) {
        member.state = match (member.heard_by, &member.not_heard_by[..]) {
            (0, []) => MemberState::Unknown,
            (0, _) => MemberState::Silent,
            _ => MemberState::Heard,
        };
    }
    members.into_values().collect()
}

fn of_speaker(asked: &Asked<Speaker>) -> MemberReport {
    let Ok(Speaker { status, .. }) = &asked.said else {
        return unknown(asked.process.node.clone().unwrap_or_else(|| asked.process.name.clone()));
    };
    let state = if status.held_back {
        MemberState::HeldBack
    } else if status.leaving {
        MemberState::Leaving
    } else if attention::waits(status).is_empty() {
        MemberState::Ready
    } else {
        MemberState::Waits
    };
    MemberReport {
        state,
        addresses: Some(status.owned),
        interfaces: status.interfaces.clone(),
        started: Some(status.started),
        ..unknown(status.node.clone())
    }
}

fn unknown(node: String) -> MemberReport {
    MemberReport {
        node,
        state: MemberState::Unknown,
        addresses: None,
        interfaces: Vec::new(),
        started: None,
        heard_by: 0,
        not_heard_by: Vec::new(),
    }
}
