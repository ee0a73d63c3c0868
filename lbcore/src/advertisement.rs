//! Which pools are announced, for which services, from which nodes and interfaces.

use std::collections::BTreeSet;

use crate::selector::any_matches;
use crate::{Labels, Selector};

/// One `L2Advertisement`, or what a `layer2` entry of the v0.12 ConfigMap stands for. Within a field the
/// entries are alternatives; an empty field leaves everything in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advertisement {
    /// The object's name, for messages.
    pub name: String,
    /// Pools by name (`spec.ipAddressPools`).
    pub pools: BTreeSet<String>,
    /// Pools by label (`spec.ipAddressPoolSelectors`).
    pub pool_selectors: Vec<Selector>,
    /// Nodes that may announce (`spec.nodeSelectors`).
    pub node_selectors: Vec<Selector>,
    /// Services that are announced (`spec.serviceSelectors`).
    pub service_selectors: Vec<Selector>,
    /// Nodes that are better than others, with how much (`spec.preferredNodeSelectors`).
    pub preferred: Vec<(i32, Selector)>,
    /// Interfaces that answer, by name (`spec.interfaces`).
    pub interfaces: BTreeSet<String>,
}

impl Advertisement {
    /// Whether it is about the pool `name` with `labels`.
    #[must_use]
    pub fn chooses_pool(&self, name: &str, labels: &Labels) -> bool {
        let all = self.pools.is_empty() && self.pool_selectors.is_empty();
        all || self.pools.contains(name) || any_matches(&self.pool_selectors, labels)
    }

    /// Whether it is about a service with `labels`.
    #[must_use]
    pub fn chooses_service(&self, labels: &Labels) -> bool {
        self.service_selectors.is_empty() || any_matches(&self.service_selectors, labels)
    }

    /// Whether a node with `labels` may announce.
    #[must_use]
    pub fn chooses_node(&self, labels: &Labels) -> bool {
        self.node_selectors.is_empty() || any_matches(&self.node_selectors, labels)
    }

    /// How much a node with `labels` is preferred: the weights of all selectors that match it.
    #[must_use]
    pub fn weight(&self, labels: &Labels) -> i64 {
        let matching = self.preferred.iter().filter(|(_, selector)| selector.matches(labels));
        matching.map(|(weight, _)| i64::from(*weight)).sum()
    }
}

/// The interfaces on which an owner answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interfaces {
    /// Every usable one.
    All,
    /// Only these, by name.
    Named(BTreeSet<String>),
}

impl Interfaces {
    /// What several advertisements allow together: everything if one of them names no interface.
    #[must_use]
    pub fn union<'a>(advertisements: impl IntoIterator<Item = &'a Advertisement>) -> Self {
        let mut names = BTreeSet::new();
        for advertisement in advertisements {
            if advertisement.interfaces.is_empty() {
                return Self::All;
            }
            names.extend(advertisement.interfaces.iter().cloned());
        }
        Self::Named(names)
    }

    /// Whether the interface `name` is among them.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(name),
        }
    }
}
