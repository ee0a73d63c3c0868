//! What needs attention, each with what to do where that is known.

use lbk8s::Problem;
use lbk8s::controller::ControllerStatus;
use lbk8s::controller::view::Standing;
use lbk8s::objects::Severity;

use super::html::{Escaped, add};
use super::pools::percent;
use super::{Facts, SpeakerFacts};

/// Problems that are shown at once.
const SHOWN: usize = 50;
/// A pool with fewer free addresses than this share is worth a word.
const NEARLY_FULL: f64 = 90.0;

/// How bad it is, in a word that everybody can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Error,
    Warning,
    Note,
}

impl Weight {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

type Found = (Weight, String);

/// All of them, the worst first; a good word if there are none.
pub(super) fn html(facts: &Facts) -> String {
    let mut found: Vec<Found> = Vec::new();
    if let Some(speaker) = &facts.speaker {
        of_speaker(speaker, &mut found);
    }
    if let Some((status, services)) = &facts.controller {
        of_controller(status, services, &mut found);
    }
    // Both read the same objects, and one word of each is enough.
    found.sort_by_key(|(weight, _)| *weight);
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|problem| seen.insert(problem.1.clone()));
    if found.is_empty() {
        return "<p class=\"good\">Nothing. All is well, as far as this process knows.</p>".to_owned();
    }
    let item = |(weight, text): &Found| {
        let word = weight.word();
        format!("<li class=\"{word}\"><b>{word}</b> {}</li>", Escaped(text))
    };
    let items = found.iter().take(SHOWN).map(item).collect::<Vec<_>>().concat();
    let mut html = format!("<ul class=\"problems\">{items}</ul>");
    if found.len() > SHOWN {
        add(&mut html, format_args!("<p class=\"more\">{} more are not shown.</p>", found.len() - SHOWN));
    }
    html
}

fn of_configuration(problems: &[Problem]) -> impl Iterator<Item = Found> {
    problems.iter().map(|problem| {
        let weight = match problem.severity {
            Severity::Error => Weight::Error,
            Severity::Warning => Weight::Warning,
        };
        (weight, problem.to_string())
    })
}

fn of_speaker(SpeakerFacts { status, addresses, .. }: &SpeakerFacts, found: &mut Vec<Found>) {
    for waits in super::super::speaker::waits(status) {
        found.push((Weight::Warning, format!("This node answers for nothing yet: it waits for {waits}.")));
    }
    if status.held_back {
        let text = "MetalLB's speakers run, so that this one answers for nothing. Remove them, or start lbd with \
                    --beside-metallb.";
        found.push((Weight::Warning, text.to_owned()));
    }
    if status.leaving {
        found
            .push((Weight::Note, "This speaker is about to end; others take its addresses over.".to_owned()));
    }
    for address in addresses {
        if let Some(why) = &address.nobody {
            found.push((Weight::Error, format!("Nobody answers for {}: {why}.", address.address)));
        }
    }
    for (address, mac) in &status.wire.taken {
        let text = format!(
            "{address} is not answered here, because {mac} has it. Take it from that station, or leave it out of the pool."
        );
        found.push((Weight::Error, text));
    }
    for conflict in &status.wire.conflicts {
        let text = format!(
            "{} is claimed by {} on {} too: some neighbours go there. Find that station, and take the address from it.",
            conflict.address, conflict.mac, conflict.interface
        );
        found.push((Weight::Error, text));
    }
    found.extend(status.wire.kernel_answers.iter().map(|answer| (Weight::Warning, answer.clone())));
    for interface in status.interfaces.iter().filter(|it| !it.heard) {
        let text = format!(
            "No other node hears this one on {}: its cable, its switch port or its VLAN may be at fault.",
            interface.name
        );
        found.push((Weight::Warning, text));
    }
    for member in status.members.iter().filter(|it| !it.alive) {
        let text = format!(
            "The speaker of {} is not heard: is the node there, and does lbd run on it?",
            member.node
        );
        found.push((Weight::Warning, text));
    }
    found.extend(of_configuration(&status.problems));
}

fn of_controller(status: &ControllerStatus, services: &[Standing], found: &mut Vec<Found>) {
    if !status.leader {
        let text = "Another controller holds the Lease and gives addresses; this one waits for its turn. Or neither can: \
                    then the log says why.";
        found.push((Weight::Note, text.to_owned()));
        return;
    }
    for waits in &status.waiting_for {
        found.push((Weight::Warning, format!("No address is given yet: the controller waits for {waits}.")));
    }
    if status.held_back {
        let text = "MetalLB's controller runs, so that this one gives no address. Remove it, or start lbd with \
                    --beside-metallb.";
        found.push((Weight::Warning, text.to_owned()));
    }
    for service in services.iter().filter(|it| it.held.is_empty() && status.ready) {
        let why = service.text.as_deref().unwrap_or("it waits");
        found.push((Weight::Error, format!("Service {} has no address: {why}.", service.service)));
    }
    for service in services.iter().filter(|it| !it.held.is_empty()) {
        if let Some(why) = &service.text {
            found.push((Weight::Warning, format!("Service {}: {why}.", service.service)));
        }
    }
    for pool in &status.pools {
        for (family, used) in [("IPv4", &pool.ipv4), ("IPv6", &pool.ipv6)] {
            let Some(used) = used else { continue };
            let share = percent(used.total.saturating_sub(used.free), used.total);
            if share >= NEARLY_FULL {
                let text = format!(
                    "Pool {:?} has {} of {} {family} addresses left.",
                    pool.name, used.free, used.total
                );
                found.push((Weight::Warning, text));
            }
        }
    }
    found.extend(of_configuration(&status.problems));
}
