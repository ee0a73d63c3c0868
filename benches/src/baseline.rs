//! How others do it, written from the description of what they do: the thing to be faster than.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

/// An allocator that walks a range from its start, formats every address and looks it up as a string.
#[derive(Debug)]
pub struct LinearScan {
    first: u32,
    last: u32,
    used: HashMap<String, String>,
}

impl LinearScan {
    /// An allocator of the addresses from `first` to `last`.
    #[must_use]
    pub fn new(first: Ipv4Addr, last: Ipv4Addr) -> Self {
        Self { first: first.to_bits(), last: last.to_bits(), used: HashMap::new() }
    }

    /// Gives every address to somebody, without walking.
    pub fn fill(&mut self) {
        let addresses = (self.first..=self.last).map(|bits| Ipv4Addr::from_bits(bits).to_string());
        self.used = addresses.map(|address| (address.clone(), address)).collect();
    }

    /// The first free address.
    #[must_use]
    pub fn find(&self) -> Option<Ipv4Addr> {
        let mut addresses = (self.first..=self.last).map(Ipv4Addr::from_bits);
        addresses.find(|address| !self.used.contains_key(&address.to_string()))
    }

    /// Gives the first free address to `service`.
    pub fn allocate(&mut self, service: &str) -> Option<Ipv4Addr> {
        let address = self.find()?;
        self.used.insert(address.to_string(), service.to_owned());
        Some(address)
    }
}

/// A responder that walks the addresses of all services for every question.
#[derive(Debug)]
pub struct LinearWalk(Vec<(String, Vec<IpAddr>)>);

impl LinearWalk {
    /// A responder for `services`, each with its addresses.
    #[must_use]
    pub fn new(services: Vec<(String, Vec<IpAddr>)>) -> Self {
        Self(services)
    }

    /// Whether it would answer for `address`.
    #[must_use]
    pub fn answers(&self, address: IpAddr) -> bool {
        self.0.iter().any(|(_, addresses)| addresses.contains(&address))
    }
}
