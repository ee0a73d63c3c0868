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

/// The groups of one interface.
#[derive(Debug, Default)]
struct Joined {
    /// A socket that has left all of its groups is closed, and its place is empty.
    sockets: Vec<Option<Joiner>>,
    groups: BTreeMap<Ipv6Addr, Group>,
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
    /// goes down and comes back keeps its groups. An address that is listened for already is tried again
    /// if it was refused.
    ///
    /// # Errors
    /// The kernel refused, as it does where IPv6 is switched off. The address is remembered for
    /// [`Groups::retry`].
    pub fn listen(&mut self, interface: u32, address: Ipv6Addr) -> io::Result<()> {
        let joined = self.0.entry(interface).or_default();
        let group = solicited_node(address);
        joined.groups.entry(group).or_default().addresses.insert(address);
        joined.join(interface, group)
    }

    /// Listens for `address` no more, on any interface.
    pub fn ignore(&mut self, address: Ipv6Addr) {
        let name = solicited_node(address);
        for (interface, joined) in &mut self.0 {
            let Some(group) = joined.groups.get_mut(&name) else { continue };
            group.addresses.remove(&address);
            if group.addresses.is_empty() {
                let socket = group.socket;
                joined.groups.remove(&name);
                joined.leave(*interface, name, socket);
            }
        }
    }

    /// Tries again what was refused on an interface.
    ///
    /// # Errors
    /// The first refusal.
    pub fn retry(&mut self, interface: u32) -> io::Result<()> {
        let Some(joined) = self.0.get_mut(&interface) else { return Ok(()) };
        let refused = joined.groups.iter().filter(|(_, group)| group.socket.is_none());
        let refused: Vec<Ipv6Addr> = refused.map(|(name, _)| *name).collect();
        refused.into_iter().try_for_each(|group| joined.join(interface, group))
    }

    /// Whether anything was refused on an interface.
    #[must_use]
    pub fn lacks(&self, interface: u32) -> bool {
        self.0.get(&interface).is_some_and(|joined| joined.groups.values().any(|it| it.socket.is_none()))
    }

    /// An interface is gone, and its groups with it.
    pub fn gone(&mut self, interface: u32) {
        self.0.remove(&interface);
    }

    /// How many groups are joined on an interface, and by how many sockets.
    #[must_use]
    pub fn count(&self, interface: u32) -> (usize, usize) {
        let Some(joined) = self.0.get(&interface) else { return (0, 0) };
        let groups = joined.groups.values().filter(|group| group.socket.is_some()).count();
        (groups, joined.sockets.iter().flatten().count())
    }
}

impl Joined {
    fn join(&mut self, interface: u32, name: Ipv6Addr) -> io::Result<()> {
        if self.groups.get(&name).is_none_or(|group| group.socket.is_some()) {
            return Ok(());
        }
        let socket = self.join_by_any(interface, name)?;
        if let Some(group) = self.groups.get_mut(&name) {
            group.socket = Some(socket);
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
        Ok(free)
    }

    fn leave(&mut self, interface: u32, name: Ipv6Addr, socket: Option<usize>) {
        let Some(place) = socket.and_then(|number| self.sockets.get_mut(number)) else { return };
        if let Some(joiner) = place {
            joiner.groups -= 1;
            joiner.full = false;
            if joiner.groups == 0 {
                *place = None;
            } else {
                // The interface may be gone already, and the membership with it.
                let _ = joiner.socket.leave_multicast_v6(&name, interface);
            }
        }
    }
}

/// The kernel will not let this socket join more groups, but may let another.
fn is_full(error: &io::Error) -> bool {
    const ENOMEM: i32 = 12;
    const ENOBUFS: i32 = 105;
    matches!(error.raw_os_error(), Some(ENOMEM | ENOBUFS))
}
