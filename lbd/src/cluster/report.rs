//! What was found, as one picture of the cluster: for people and, as JSON, for machines.

mod services;
mod speakers;

use k8s_openapi::jiff::Timestamp;
use lbk8s::controller::view::PoolView;
use serde::Serialize;

pub(super) use self::services::{AddressReport, ServiceReport};
pub(super) use self::speakers::{ControllerReport, MemberReport, MemberState};
use super::found::Found;
use crate::attention::{self, Found as Attention, Weight};

/// A cluster at one moment.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) at: Timestamp,
    /// What needs attention, the worst first.
    pub(super) problems: Vec<Attention>,
    pub(super) controllers: Vec<ControllerReport>,
    pub(super) members: Vec<MemberReport>,
    pub(super) pools: Vec<PoolView>,
    pub(super) services: Vec<ServiceReport>,
    /// Nobody tells of Services at all.
    #[serde(skip)]
    pub(super) blind: bool,
}

impl Report {
    pub(super) fn of(found: &Found) -> Self {
        Self {
            at: found.at,
            problems: problems(found),
            controllers: speakers::controllers(found),
            members: speakers::members(found),
            pools: pools(found),
            services: services::services(found),
            blind: found.leader().is_none()
                && found.speakers.iter().all(|asked| asked.said.is_err())
                && found
                    .objects
                    .as_ref()
                    .is_none_or(|it| it.unread.iter().any(|(what, _)| *what == "Services")),
        }
    }
}

/// The pools as the controller has them, else as they say themselves.
fn pools(found: &Found) -> Vec<PoolView> {
    match found.leader() {
        Some(controller) => controller.status.pools.clone(),
        None => found.objects.as_ref().map(|objects| objects.pools.clone()).unwrap_or_default(),
    }
}

fn problems(found: &Found) -> Vec<Attention> {
    let mut problems = Vec::new();
    of_processes(found, &mut problems);
    for (address, nodes) in &found.twice {
        let text = format!(
            "{} answer for {address} at once: some neighbours go to one, some to another. Do they hear each other? lbd \
             members",
            nodes.iter().map(String::as_str).collect::<Vec<_>>().join(" and ")
        );
        problems.push(Attention::new(Weight::Error, text));
    }
    for speaker in found.speakers.iter().filter_map(|asked| asked.said.as_ref().ok()) {
        attention::of_speaker(&speaker.status, &mut problems);
    }
    attention::of_addresses(found.unanswered.iter().flatten(), &mut problems);
    match (found.leader(), &found.objects) {
        (Some(controller), _) => {
            attention::of_controller(&controller.status, &controller.services, &mut problems);
        }
        (None, Some(objects)) => {
            attention::of_services(&objects.services, &mut problems);
            attention::of_pools(&objects.pools, &mut problems);
        }
        (None, None) => {}
    }
    attention::in_order(problems)
}

/// What cannot be known, and why.
fn of_processes(found: &Found, problems: &mut Vec<Attention>) {
    let mut tell = |severity, text| problems.push(Attention { severity, text });
    for silent in found.silent() {
        tell(Weight::Warning, format!("{silent}."));
    }
    let forbidden = found.is_forbidden();
    let Some(objects) = &found.objects else { return };
    if forbidden {
        let text = format!(
            "You may not ask the processes of lbd (list pods, get pods/proxy in namespace {}): what is shown is what objects \
             say. The roles lbd-viewer (deploy/viewer.yaml) have what is needed.",
            found.namespace
        );
        tell(Weight::Note, text);
    }
    for (what, why) in &objects.unread {
        tell(Weight::Warning, format!("The {what} cannot be read: {why}."));
    }
    if found.pods_forbidden {
        // Whether there are any is not known.
    } else if found.speakers.is_empty() && found.controllers.is_empty() {
        let text = format!(
            "No pod of lbd is to be seen in namespace {}: is lbd installed there (--namespace)? \
             Processes that are no pods are asked by --at ADDRESS:PORT.",
            found.namespace
        );
        tell(Weight::Warning, text);
    } else if found.leader().is_none() && !forbidden {
        tell(Weight::Warning, "No controller that could be asked gives addresses.".to_owned());
    }
}
