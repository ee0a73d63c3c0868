//! The cases, in the order of MetalLB's own end-to-end suite for layer 2, and beyond it.

mod api;
mod asked;
mod assignment;
mod beyond;
mod class;
mod configuration_state;
mod definitions;
mod dual_stack;
mod faults;
mod install;
mod interface_selector;
mod l2;
mod lost_pools;
mod metallb;
mod metrics;
mod migration;
mod node_selector;
mod pages;
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

use crate::Result;
use crate::case::Case;
use crate::cluster::Cluster;
use crate::page::Shell;
use crate::wait::until;

/// All of them.
#[must_use]
pub fn all() -> Vec<Case> {
    let modules = [
        // The cases that wait through outages of a minute start first, and the others run beside them.
        ("beyond", beyond::cases()),
        ("faults", faults::cases()),
        ("assignment", assignment::cases()),
        ("lost_pools", lost_pools::cases()),
        ("pool_choice", pool_choice::cases()),
        ("pool_request", pool_request::cases()),
        ("dual_stack", dual_stack::cases()),
        ("pool_status", pool_status::cases()),
        ("l2", l2::cases()),
        ("metrics", metrics::cases()),
        ("asked", asked::cases()),
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
        ("install", install::cases()),
        ("migration", migration::cases()),
        ("metallb", metallb::cases()),
        ("pages", pages::cases()),
    ];
    modules
        .into_iter()
        .flat_map(|(module, cases)| cases.into_iter().map(move |case| case.within(module)))
        .collect()
}

/// Waits until our kinds are served, and our accounts may do what their roles say.
async fn allowed(cluster: &Cluster) -> Result {
    let shell = Shell::new(cluster)?;
    for account in ["lbd-controller", "lbd-speaker"] {
        for what in ["list nodes", "list ipaddresspools.metallb.io -n metallb-system"] {
            let question =
                format!("kubectl auth can-i {what} --as system:serviceaccount:metallb-system:{account}");
            until(&question, async || shell.run(&question).await.map(drop)).await?;
        }
    }
    for kind in ["IPAddressPool", "L2Advertisement", "ServiceL2Status", "ConfigurationState"] {
        until(&format!("{kind} is served"), async || cluster.list(kind).await.map(drop)).await?;
    }
    Ok(())
}
