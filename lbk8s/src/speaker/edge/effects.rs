//! Effects, carried out on the wire, and the events that go with them.

use lbcore::Interfaces;
use lbcore::ownership::claims::Cause;
use lbnet::{Layer2, Rule};

use crate::events::{Event, Severity};
use crate::speaker::Effect;

/// Carries out an effect; the event that goes with it.
pub(super) fn carry_out(effect: Effect, layer2: &Layer2, node: &str) -> Option<Event> {
    match effect {
        Effect::Announce { address, interfaces, is_new } => {
            tracing::info!(%address, is_new, "announcing");
            let rule = rule(interfaces);
            if is_new {
                layer2.announce_new(address, rule);
            } else {
                layer2.announce(address, rule);
            }
            None
        }
        Effect::Withdraw { address, why } => {
            tracing::info!(%address, why, "withdrawn");
            layer2.withdraw(address);
            None
        }
        Effect::Nobody { service, address, why } => {
            tracing::warn!(%address, service = %service, why, "nobody announces it");
            Some(Event {
                about: service,
                severity: Severity::Warning,
                reason: "announceFailed",
                note: format!("nobody announces {address}: {why}"),
            })
        }
        Effect::Overlap { service, address, node: other, apart } => {
            let text = format!(
                "node {node:?} and node {other:?}, which did not hear each other for {:.1} s, both answered for {address}; \
                 {other:?} goes on, and {node:?} has ceased to",
                apart.as_secs_f64()
            );
            tracing::warn!(%address, service = %service, other, ?apart, "answered by two nodes");
            Some(Event { about: service, severity: Severity::Warning, reason: "answeredTwice", note: text })
        }
        Effect::AnnounceAgain { address } => {
            tracing::debug!(%address, "announced once more: the owner before has ceased to answer");
            layer2.announce_again(address);
            None
        }
        Effect::Owner { service, address, apart, why } => {
            // That nobody had it before is what everybody expects.
            let why = why.filter(|why| *why != Cause::First).map(|why| format!("; {why}"));
            let why = why.unwrap_or_default();
            let apart = apart.map(|apart| format!("; {apart}")).unwrap_or_default();
            Some(Event {
                about: service,
                severity: Severity::Normal,
                reason: "nodeAssigned",
                note: format!("announcing {address} from node {node:?} with protocol \"layer2\"{why}{apart}"),
            })
        }
    }
}

fn rule(interfaces: Interfaces) -> Rule {
    match interfaces {
        Interfaces::All => Rule::any(),
        Interfaces::Named(names) => Rule::named(names),
    }
}
