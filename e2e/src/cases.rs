//! The cases, in the order of MetalLB's own end-to-end suite for layer 2, and beyond it.

mod api;
mod assignment;
mod beyond;
mod class;
mod configuration_state;
mod definitions;
mod dual_stack;
mod faults;
mod interface_selector;
mod l2;
mod lost_pools;
mod metallb;
mod metrics;
mod migration;
mod node_selector;
mod pool_choice;
mod pool_request;
mod pool_status;
mod preferred_node;
mod restarts;
mod rights;
mod rolling_update;
mod service_selector;
mod speaker_failover;
mod spread;
mod taken;
mod two_lans;

use crate::case::Case;

/// All of them.
#[must_use]
pub fn all() -> Vec<Case> {
    let modules = [
        ("assignment", assignment::cases()),
        ("lost_pools", lost_pools::cases()),
        ("pool_choice", pool_choice::cases()),
        ("pool_request", pool_request::cases()),
        ("dual_stack", dual_stack::cases()),
        ("pool_status", pool_status::cases()),
        ("l2", l2::cases()),
        ("metrics", metrics::cases()),
        ("interface_selector", interface_selector::cases()),
        ("node_selector", node_selector::cases()),
        ("preferred_node", preferred_node::cases()),
        ("service_selector", service_selector::cases()),
        ("speaker_failover", speaker_failover::cases()),
        ("two_lans", two_lans::cases()),
        ("restarts", restarts::cases()),
        ("spread", spread::cases()),
        ("rolling_update", rolling_update::cases()),
        ("class", class::cases()),
        ("configuration_state", configuration_state::cases()),
        ("taken", taken::cases()),
        ("definitions", definitions::cases()),
        ("api", api::cases()),
        ("rights", rights::cases()),
        ("migration", migration::cases()),
        ("metallb", metallb::cases()),
        ("beyond", beyond::cases()),
        ("faults", faults::cases()),
    ];
    modules
        .into_iter()
        .flat_map(|(module, cases)| cases.into_iter().map(move |case| case.within(module)))
        .collect()
}
