//! The world as a speaker knows it: each change taken in, and the addresses that it is about.

use std::collections::BTreeSet;
use std::net::IpAddr;

use lbcore::ownership::Interface;
use lbcore::{Node, ServiceKey};

use super::Speaker;
use crate::objects::announced::AnnouncedService;
use crate::objects::endpoints::SliceView;
use crate::objects::leftovers::Leftovers;

impl Speaker {
    pub(super) fn set_interfaces(
        &mut self,
        name: String,
        interfaces: Option<Vec<Interface>>,
    ) -> BTreeSet<IpAddr> {
        if self.interfaces.get(&name) == interfaces.as_ref() {
            return BTreeSet::new();
        }
        if let Ok(at) = self.nodes.binary_search_by(|known| known.name.cmp(&name)) {
            self.nodes[at].interfaces.clone_from(&interfaces);
        }
        match interfaces {
            Some(interfaces) => self.interfaces.insert(name, interfaces),
            None => self.interfaces.remove(&name),
        };
        self.all_addresses()
    }

    pub(super) fn set_leftovers(&mut self, change: impl FnOnce(&mut Leftovers)) -> BTreeSet<IpAddr> {
        let before = self.is_held_back();
        change(&mut self.leftovers);
        if before == self.is_held_back() { BTreeSet::new() } else { self.all_addresses() }
    }

    pub(super) fn set_node(&mut self, mut node: Node) -> BTreeSet<IpAddr> {
        node.excluded &= !self.rules.ignore_exclude;
        node.interfaces = self.interfaces.get(&node.name).cloned();
        node.silent = !self.is_heard(&node.name);
        node.leaving = self.is_leaving(&node.name);
        node.returning = self.is_returning(&node.name);
        let cordoned = node.cordoned && self.rules.move_on_cordon;
        node.last_choice = node.drained || cordoned || self.says_drained(&node.name);
        match self.nodes.binary_search_by(|known| known.name.cmp(&node.name)) {
            Ok(at) if self.nodes[at] == node => return BTreeSet::new(),
            Ok(at) => self.nodes[at] = node,
            Err(at) => self.nodes.insert(at, node),
        }
        self.all_addresses()
    }

    /// What Services hold may keep a ConfigMap in force.
    pub(super) fn follow_held(&mut self, touched: BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        let now_there = |address: &IpAddr| {
            let users = self.users.of(address).iter().map(|key| &self.services[key]);
            users.into_iter().any(|it| self.config.is_only_there(*address, it.recorded_pool.as_deref()))
        };
        let matters = self.synced
            && self.config.depends_on_held()
            && match self.config.only_there() {
                Some(address) => touched.contains(&address),
                None => touched.iter().any(now_there),
            };
        if matters && self.configure() { self.all_addresses() } else { touched }
    }

    pub(super) fn set_service(&mut self, view: Box<AnnouncedService>) -> BTreeSet<IpAddr> {
        // A list that is read again tells of many that are as they were.
        if self.services.get(&view.key) == Some(&view) {
            return BTreeSet::new();
        }
        if self.listed {
            self.given.extend(view.addresses.iter().filter(|address| self.users.of(*address).is_empty()));
        }
        let mut touched = self.forget_service(&view.key);
        for address in &view.addresses {
            self.users.insert(*address, view.key.clone());
            touched.insert(*address);
        }
        self.services.insert(view.key.clone(), view);
        touched
    }

    pub(super) fn forget_service(&mut self, key: &ServiceKey) -> BTreeSet<IpAddr> {
        let Some(view) = self.services.remove(key) else { return BTreeSet::new() };
        for address in &view.addresses {
            self.users.remove(address, key);
        }
        view.addresses.iter().copied().collect()
    }

    pub(super) fn set_slice(&mut self, view: SliceView) -> BTreeSet<IpAddr> {
        if self.slices.get(&view.key) == Some(&view) {
            return BTreeSet::new();
        }
        let mut touched = self.forget_slice(&view.key);
        if let Some(service) = &view.service {
            self.slices_of.insert(service.clone(), view.key.clone());
            touched.extend(self.addresses_of(service));
        }
        self.slices.insert(view.key.clone(), view);
        touched
    }

    pub(super) fn forget_slice(&mut self, key: &ServiceKey) -> BTreeSet<IpAddr> {
        let Some(service) = self.slices.remove(key).and_then(|view| view.service) else {
            return BTreeSet::new();
        };
        self.slices_of.remove(&service, key);
        self.addresses_of(&service).iter().copied().collect()
    }
}
