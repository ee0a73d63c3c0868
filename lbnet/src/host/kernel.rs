//! Whether the kernel of this host would answer for a virtual address too, on a node that should be silent.
//!
//! It does for every address that it has on any of its interfaces, down or up: what kube-proxy puts on `kube-ipvs0`
//! is among them. `arp_ignore` cures it. For IPv6 it answers on the interface that has the address, and no other.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::Interface;
use crate::interface::table::Table;

/// The kernel answers for an address by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelAnswer {
    /// The address.
    pub address: IpAddr,
    /// The interface that has it.
    pub holder: String,
    /// The interface on which the kernel answers for it.
    pub on: String,
}

impl fmt::Display for KernelAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, holder, on } = self;
        write!(
            f,
            "this host's kernel answers for {address} on {on} too, whichever node owns it, because it is on {holder}; "
        )?;
        if address.is_ipv4() && holder != on {
            write!(
                f,
                "cure it with: sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2"
            )
        } else {
            write!(f, "take it from that interface: ip address del {address} dev {holder}")
        }
    }
}

/// The setting `net.ipv4.conf.*.arp_ignore` of an interface (Linux, ip-sysctl): which ARP questions the kernel passes
/// over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArpIgnore(pub u8);

impl ArpIgnore {
    /// Reads it in the network namespace of the calling thread. What cannot be read is 0, the kernel's own default.
    #[must_use]
    pub fn read(interface: &str) -> Self {
        // "The max value from conf/{all,interface}/arp_ignore is used when ARP request is received on the {interface}".
        let of = |name: &str| {
            let text = std::fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{name}/arp_ignore"));
            text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default()
        };
        Self(u8::max(of("all"), of(interface)))
    }

    /// Whether the kernel answers on an interface for an address that it has on `holder`.
    fn lets_answer(self, on: &Interface, holder: &Interface) -> bool {
        match self.0 {
            // "reply only if the target IP address is local address configured on the incoming interface"; with 2 to
            // senders in its subnet only
            1 | 2 => on.index == holder.index,
            // "do not reply for all local addresses"
            8 => false,
            // 0: "reply for any local target IP address, configured on any interface"; 3: not for addresses of the
            // host's own scope, which no Service has; the others are reserved
            _ => true,
        }
    }
}

/// What was read a moment ago, so that thousands of addresses cost no more than one.
#[derive(Debug, Default)]
pub(crate) struct ArpIgnores(RefCell<BTreeMap<String, (Instant, ArpIgnore)>>);

/// How long a setting that was read is taken for what it is.
const FRESH: Duration = Duration::from_millis(50);

impl ArpIgnores {
    pub(crate) fn of(&self, interface: &str) -> ArpIgnore {
        let now = Instant::now();
        let mut known = self.0.borrow_mut();
        match known.get(interface) {
            Some((at, setting)) if now.saturating_duration_since(*at) < FRESH => *setting,
            _ => {
                let setting = ArpIgnore::read(interface);
                known.insert(interface.to_owned(), (now, setting));
                setting
            }
        }
    }
}

/// Where the kernel answers for `address` among the interfaces `on`, if it does anywhere.
pub fn kernel_answers<'a>(
    address: IpAddr,
    table: &Table,
    on: impl IntoIterator<Item = &'a Interface>,
    arp_ignore: impl Fn(&str) -> ArpIgnore,
) -> Option<KernelAnswer> {
    let mut holders = table.holders(address).peekable();
    // Nearly always nobody has it, and nothing is read.
    holders.peek()?;
    let holders: Vec<&Interface> = holders.collect();
    on.into_iter().find_map(|on| {
        let answers = |holder: &&&Interface| match address {
            IpAddr::V4(_) => arp_ignore(&on.name).lets_answer(on, holder),
            IpAddr::V6(_) => on.index == holder.index,
        };
        let holder = holders.iter().find(answers)?;
        Some(KernelAnswer { address, holder: holder.name.clone(), on: on.name.clone() })
    })
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_route::RouteNetlinkMessage;
    use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
    use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};

    use super::*;

    const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 9));
    const VIP6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9));

    /// `eth0` (2) and `kube-ipvs0` (3), of which `holder` has both addresses.
    fn table(holder: u32) -> Table {
        let mut table = Table::default();
        for (index, name) in [(2, "eth0"), (3, "kube-ipvs0")] {
            let mut link = LinkMessage::default();
            link.header.index = index;
            link.attributes = vec![LinkAttribute::IfName(name.to_owned())];
            table.apply(&RouteNetlinkMessage::NewLink(link));
        }
        for (address, length) in [(VIP, 32), (VIP6, 128)] {
            let mut message = AddressMessage::default();
            message.header.index = holder;
            message.header.prefix_len = length;
            message.attributes = vec![AddressAttribute::Address(address)];
            table.apply(&RouteNetlinkMessage::NewAddress(message));
        }
        table
    }

    fn answers(table: &Table, address: IpAddr, arp_ignore: u8) -> Option<KernelAnswer> {
        let eth0 = &table.interfaces()[&2];
        kernel_answers(address, table, [eth0], |_| ArpIgnore(arp_ignore))
    }

    #[test]
    fn an_address_on_any_interface_is_answered_unless_arp_ignore_says_otherwise() {
        let elsewhere = table(3);
        let answer = answers(&elsewhere, VIP, 0).unwrap();
        assert_eq!((answer.holder.as_str(), answer.on.as_str()), ("kube-ipvs0", "eth0"));
        assert!(answer.to_string().contains("net.ipv4.conf.all.arp_ignore=1"), "{answer}");
        for (arp_ignore, expected) in [(1, false), (2, false), (3, true), (8, false)] {
            assert_eq!(answers(&elsewhere, VIP, arp_ignore).is_some(), expected, "{arp_ignore}");
        }
        assert_eq!(answers(&elsewhere, VIP6, 0), None, "IPv6 is answered where it is");
        assert_eq!(answers(&elsewhere, IpAddr::from([10, 0, 0, 8]), 0), None);

        let here = table(2);
        for (address, arp_ignore, expected) in [(VIP, 1, true), (VIP, 8, false), (VIP6, 1, true)] {
            let answer = answers(&here, address, arp_ignore);
            assert_eq!(answer.is_some(), expected, "{address} {arp_ignore}");
            assert!(answer.is_none_or(|answer| answer.to_string().contains("ip address del")));
        }
    }
}
