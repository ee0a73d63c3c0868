//! What needs attention, each with what to do where that is known: for the page and for the command line.

use lbk8s::Problem;
use lbk8s::controller::ControllerStatus;
use lbk8s::controller::view::{PoolView, Standing};
use lbk8s::objects::Severity;
use lbk8s::speaker::SpeakerStatus;
use lbk8s::speaker::view::AddressView;
use serde::Serialize;

/// How bad it is, in a word that everybody can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Weight {
    Error,
    Warning,
    Note,
}

impl Weight {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Something that needs attention.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Found {
    pub(crate) severity: Weight,
    pub(crate) text: String,
}

impl Found {
    pub(crate) fn new(severity: Weight, text: impl Into<String>) -> Self {
        Self { severity, text: text.into() }
    }
}

/// The worst first, each once: several processes read the same objects.
pub(crate) fn in_order(mut found: Vec<Found>) -> Vec<Found> {
    found.sort_by_key(|found| found.severity);
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|found| seen.insert(found.text.clone()));
    found
}

/// A part of a whole, of a hundred.
#[expect(clippy::cast_precision_loss, reason = "it is for the eye")]
pub(crate) fn percent(part: u128, whole: u128) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// Numbers of IPv6 have no end.
pub(crate) fn number(count: u128) -> String {
    let bits = u128::BITS - count.leading_zeros();
    match count {
        0..=9_999_999 => count.to_string(),
        _ if count.is_power_of_two() => format!("2^{}", bits - 1),
        _ => format!("about 2^{bits}"),
    }
}

fn of_configuration(problems: &[Problem]) -> impl Iterator<Item = Found> + '_ {
    problems.iter().map(|problem| {
        let severity = match problem.severity {
            Severity::Error => Weight::Error,
            Severity::Warning => Weight::Warning,
        };
        Found::new(severity, problem.to_string())
    })
}

/// What a speaker knows of. It says nothing of addresses: see [`of_addresses`].
pub(crate) fn of_speaker(status: &SpeakerStatus, found: &mut Vec<Found>) {
    let mut tell = |severity, text| found.push(Found { severity, text });
    let node = &status.node;
    for waits in waits(status) {
        tell(Weight::Warning, format!("Node {node} answers for nothing yet: it waits for {waits}."));
    }
    if status.held_back {
        let text = format!(
            "MetalLB's speakers run, so that node {node} answers for nothing. Remove them, or start lbd with \
             --beside-metallb."
        );
        tell(Weight::Warning, text);
    }
    if status.leaving {
        tell(Weight::Note, format!("The speaker of {node} is about to end; others take its addresses over."));
    }
    for (address, mac) in &status.wire.taken {
        let text = format!(
            "{address} is not answered by {node}, because {mac} has it. Take it from that station, or leave it out of the \
             pool."
        );
        tell(Weight::Error, text);
    }
    for conflict in &status.wire.conflicts {
        let text = format!(
            "{} of {node} is claimed by {} on {} too: some neighbours go there. Find that station, and take the address \
             from it.",
            conflict.address, conflict.mac, conflict.interface
        );
        tell(Weight::Error, text);
    }
    for answer in &status.wire.kernel_answers {
        tell(Weight::Warning, format!("Node {node}: {answer}"));
    }
    for interface in status.interfaces.iter().filter(|it| !it.heard) {
        let text = format!(
            "No other node hears {node} on {}: its cable, its switch port or its VLAN may be at fault.",
            interface.name
        );
        tell(Weight::Warning, text);
    }
    for member in status.members.iter().filter(|it| !it.alive) {
        let text = format!(
            "The speaker of {} is not heard: is the node there, and does lbd run on it?",
            member.node
        );
        tell(Weight::Warning, text);
    }
    found.extend(of_configuration(&status.problems));
}

/// What a speaker waits for before it answers for what it owns.
pub(crate) fn waits(status: &SpeakerStatus) -> Vec<String> {
    if status.ready && status.waiting_for.is_empty() {
        return Vec::new();
    }
    match &status.waiting_for[..] {
        [] => vec!["the speakers of other nodes".to_owned()],
        waits => waits.to_vec(),
    }
}

/// Addresses that nobody answers for.
pub(crate) fn of_addresses<'a>(addresses: impl IntoIterator<Item = &'a AddressView>, found: &mut Vec<Found>) {
    for address in addresses {
        if let Some(why) = &address.nobody {
            found.push(Found::new(Weight::Error, format!("Nobody answers for {}: {why}.", address.address)));
        }
    }
}

/// What a controller knows of.
pub(crate) fn of_controller(status: &ControllerStatus, services: &[Standing], found: &mut Vec<Found>) {
    let mut tell = |severity, text: String| found.push(Found { severity, text });
    if !status.leader {
        let text = "Another controller holds the Lease and gives addresses; this one waits for its turn. Or neither can: \
                    then the log says why.";
        tell(Weight::Note, text.to_owned());
        return;
    }
    for waits in &status.waiting_for {
        tell(Weight::Warning, format!("No address is given yet: the controller waits for {waits}."));
    }
    if status.held_back {
        let text = "MetalLB's controller runs, so that this one gives no address. Remove it, or start lbd with \
                    --beside-metallb.";
        tell(Weight::Warning, text.to_owned());
    }
    if status.ready {
        of_services(services, found);
    }
    of_pools(&status.pools, found);
    found.extend(of_configuration(&status.problems));
}

/// Services that have no address, or not all that they ask for.
pub(crate) fn of_services(services: &[Standing], found: &mut Vec<Found>) {
    for Standing { service, held, text, .. } in services {
        match text {
            _ if held.is_empty() => {
                let why = text.as_deref().unwrap_or("it waits");
                found.push(Found::new(Weight::Error, format!("Service {service} has no address: {why}.")));
            }
            Some(why) => found.push(Found::new(Weight::Warning, format!("Service {service}: {why}."))),
            None => {}
        }
    }
}

/// Pools that are nearly full.
pub(crate) fn of_pools(pools: &[PoolView], found: &mut Vec<Found>) {
    for pool in pools {
        for (family, used) in [("IPv4", &pool.ipv4), ("IPv6", &pool.ipv6)] {
            let Some(used) = used else { continue };
            if used.is_nearly_full() {
                let text = format!(
                    "Pool {:?} has {} of {} {family} addresses left.",
                    pool.name, used.free, used.total
                );
                found.push(Found::new(Weight::Warning, text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn great_numbers_are_powers_of_two() {
        assert_eq!((number(0), number(256)), ("0".to_owned(), "256".to_owned()));
        assert_eq!((number(1 << 64), number((1 << 64) - 1)), ("2^64".to_owned(), "about 2^64".to_owned()));
    }
}
