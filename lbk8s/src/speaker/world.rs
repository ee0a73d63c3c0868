//! The world as a speaker knows it: each change taken in, and the addresses that it is about.

use std::collections::BTreeSet;
use std::net::IpAddr;

use lbcore::ownership::Interface;
use lbcore::{Node, ServiceKey};

use super::{Speaker, shown};
use crate::objects::endpoints::SliceView;
use crate::objects::leftovers::Leftovers;
use crate::objects::service::ServiceView;

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
        match self.nodes.binary_search_by(|known| known.name.cmp(&node.name)) {
            Ok(at) if self.nodes[at] == node => return BTreeSet::new(),
            Ok(at) => self.nodes[at] = node,
            Err(at) => self.nodes.insert(at, node),
        }
        self.all_addresses()
    }

    /// What Services hold may keep a ConfigMap in force.
    pub(super) fn follow_held(&mut self, touched: BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        let matters = self.synced && !touched.is_empty() && self.config.depends_on_held();
        if matters && self.configure() { self.all_addresses() } else { touched }
    }

    pub(super) fn set_service(&mut self, view: ServiceView) -> BTreeSet<IpAddr> {
        let known = |address: &IpAddr| self.users.contains_key(address);
        let given: Vec<IpAddr> = shown(&view).into_iter().filter(|address| !known(address)).collect();
        if self.listed {
            self.given.extend(given);
        }
        let mut touched = self.forget_service(&view.key);
        for address in shown(&view) {
            self.users.entry(address).or_default().insert(view.key.clone());
            touched.insert(address);
        }
        self.services.insert(view.key.clone(), view);
        touched
    }

    pub(super) fn forget_service(&mut self, key: &ServiceKey) -> BTreeSet<IpAddr> {
        let touched = self.addresses_of(key);
        for address in &touched {
            if let Some(users) = self.users.get_mut(address) {
                users.remove(key);
                if users.is_empty() {
                    self.users.remove(address);
                }
            }
        }
        self.services.remove(key);
        touched
    }

    pub(super) fn set_slice(&mut self, view: SliceView) -> BTreeSet<IpAddr> {
        let mut touched = self.forget_slice(&view.key);
        if let Some(service) = &view.service {
            self.slices_of.entry(service.clone()).or_default().insert(view.key.clone());
            touched.extend(self.addresses_of(service));
        }
        self.slices.insert(view.key.clone(), view);
        touched
    }

    pub(super) fn forget_slice(&mut self, key: &ServiceKey) -> BTreeSet<IpAddr> {
        let Some(service) = self.slices.remove(key).and_then(|view| view.service) else {
            return BTreeSet::new();
        };
        if let Some(slices) = self.slices_of.get_mut(&service) {
            slices.remove(key);
            if slices.is_empty() {
                self.slices_of.remove(&service);
            }
        }
        self.addresses_of(&service)
    }
}
