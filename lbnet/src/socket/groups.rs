//! The solicited-node groups that interfaces listen to (RFC 4291 section 2.7.1).
//!
//! A real join through an IPv6 socket opens the interface's own filter and makes the kernel report the group (RFC
//! 3810), so that switches which look at these reports forward to us. The kernel limits how many groups one socket
//! may join (`net.core.optmem_max`), so they are spread over as many sockets as it asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv6Addr;

use socket2::{Domain, Socket, Type};

use crate::wire::solicited_node;

/// The groups of all interfaces, by index. Addresses that differ in their first 104 bits only share one.
#[derive(Debug, Default)]
pub struct Groups(BTreeMap<u32, Joined>);

/// How many groups an interface listens to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Joined.
    pub joined: usize,
    /// Refused by the kernel.
    pub refused: usize,
    /// Sockets that it took to join them.
    pub sockets: usize,
}

/// The groups of one interface.
#[derive(Debug, Default)]
struct Joined {
    /// A socket that has left all of its groups is closed, and its place is empty.
    sockets: Vec<Option<Joiner>>,
    groups: BTreeMap<Ipv6Addr, Group>,
    count: Count,
}

#[derive(Debug)]
struct Joiner {
    socket: Socket,
    groups: usize,
    /// It has joined as many groups as the kernel lets it.
    full: bool,
}

#[derive(Debug, Default)]
struct Group {
    addresses: BTreeSet<Ipv6Addr>,
    /// The socket that joined it; none if the kernel refused.
    socket: Option<usize>,
}

impl Groups {
    /// Listens for `address` on an interface from now on, until it is ignored or the interface is gone: a link that
    /// goes down and comes back keeps its groups.
    ///
    /// # Errors
    /// The kernel refused, as it does where IPv6 is switched off. The address is remembered for
    /// [`Groups::retry`].
    pub fn listen(&mut self, interface: u32, address: Ipv6Addr) -> io::Result<()> {
        let joined = self.0.entry(interface).or_default();
        let name = solicited_node(address);
        let is_new = !joined.groups.contains_key(&name);
        joined.groups.entry(name).or_default().addresses.insert(address);
        if is_new {
            joined.count.refused += 1;
            return joined.join(interface, name);
        }
        Ok(())
    }

    /// Listens for `address` no more, on any interface.
    pub fn ignore(&mut self, address: Ipv6Addr) {
        for (interface, joined) in &mut self.0 {
            joined.ignore(*interface, address);
        }
    }

    /// Listens for `address` no more on one interface.
    pub fn ignore_at(&mut self, interface: u32, address: Ipv6Addr) {
        if let Some(joined) = self.0.get_mut(&interface) {
            joined.ignore(interface, address);
        }
    }

    /// Tries again what was refused on an interface.
    ///
    /// # Errors
    /// The first refusal.
    pub fn retry(&mut self, interface: u32) -> io::Result<()> {
        let Some(joined) = self.0.get_mut(&interface).filter(|joined| joined.count.refused > 0) else {
            return Ok(());
        };
        let refused = joined.groups.iter().filter(|(_, group)| group.socket.is_none());
        let refused: Vec<Ipv6Addr> = refused.map(|(name, _)| *name).collect();
        refused.into_iter().try_for_each(|group| joined.join(interface, group))
    }

    /// An interface is gone, and its groups with it.
    pub fn gone(&mut self, interface: u32) {
        self.0.remove(&interface);
    }

    /// How many groups each interface listens to, by index.
    pub fn counts(&self) -> impl Iterator<Item = (u32, Count)> {
        self.0.iter().map(|(interface, joined)| (*interface, joined.count))
    }
}

impl Joined {
    fn join(&mut self, interface: u32, name: Ipv6Addr) -> io::Result<()> {
        let socket = self.join_by_any(interface, name)?;
        if let Some(group) = self.groups.get_mut(&name) {
            group.socket = Some(socket);
            self.count.joined += 1;
            self.count.refused -= 1;
        }
        Ok(())
    }

    /// Joins with the first socket that the kernel lets; which one.
    fn join_by_any(&mut self, interface: u32, name: Ipv6Addr) -> io::Result<usize> {
        for (number, joiner) in self.sockets.iter_mut().enumerate() {
            let Some(joiner) = joiner.as_mut().filter(|joiner| !joiner.full) else { continue };
            match joiner.socket.join_multicast_v6(&name, interface) {
                Err(error) if is_full(&error) => joiner.full = true,
                Err(error) => return Err(error),
                Ok(()) => {
                    joiner.groups += 1;
                    return Ok(number);
                }
            }
        }
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
        socket.join_multicast_v6(&name, interface)?;
        let free = self.sockets.iter().position(Option::is_none).unwrap_or(self.sockets.len());
        if free == self.sockets.len() {
            self.sockets.push(None);
        }
        self.sockets[free] = Some(Joiner { socket, groups: 1, full: false });
        self.count.sockets += 1;
        Ok(free)
    }

    fn ignore(&mut self, interface: u32, address: Ipv6Addr) {
        let name = solicited_node(address);
        let Some(group) = self.groups.get_mut(&name) else { return };
        group.addresses.remove(&address);
        if !group.addresses.is_empty() {
            return;
        }
        let socket = group.socket;
        self.groups.remove(&name);
        match socket {
            Some(number) => self.leave(interface, name, number),
            None => self.count.refused -= 1,
        }
    }

    fn leave(&mut self, interface: u32, name: Ipv6Addr, number: usize) {
        self.count.joined -= 1;
        let Some(place) = self.sockets.get_mut(number) else { return };
        let Some(joiner) = place else { return };
        joiner.groups -= 1;
        joiner.full = false;
        if joiner.groups == 0 {
            *place = None;
            self.count.sockets -= 1;
        } else {
            // The interface may be gone already, and the membership with it.
            let _ = joiner.socket.leave_multicast_v6(&name, interface);
        }
    }
}

/// The kernel will not let this socket join more groups, but may let another.
fn is_full(error: &io::Error) -> bool {
    const ENOMEM: i32 = 12;
    const ENOBUFS: i32 = 105;
    matches!(error.raw_os_error(), Some(ENOMEM | ENOBUFS))
}
