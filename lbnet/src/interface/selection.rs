//! Which interfaces of the host may be used at all.

use super::{Interface, Pattern, Unusable};

/// Which interfaces of the host may be used at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Only these; empty means any. What is chosen here is used even if it is left out below.
    pub only: Vec<Pattern>,
    /// These are left out.
    pub left_out: Vec<Pattern>,
}

/// What container networks make: MetalLB's default list (`announcedInterfacesToExclude`). `lo` is told by its kind.
const CONTAINER_NETWORKS: [&str; 13] = [
    "docker*",
    "cbr*",
    "dummy*",
    "virbr*",
    "lxcbr*",
    "veth*",
    "cali*",
    "tunl*",
    "flannel*",
    "kube-ipvs*",
    "cni*",
    "nodelocaldns*",
    "lxc*",
];

impl Default for Selection {
    /// Any interface but those that container networks make, as in MetalLB's default list.
    fn default() -> Self {
        let left_out = CONTAINER_NETWORKS.iter().filter_map(|text| text.parse().ok());
        Self { only: Vec::new(), left_out: left_out.collect() }
    }
}

impl Selection {
    /// The interfaces with these names and no other.
    pub fn only(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { only: names.into_iter().map(|name| Pattern::Name(name.into())).collect(), ..Self::default() }
    }

    /// Whether `interface` can be used.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn usable(&self, interface: &Interface) -> Result<(), Unusable> {
        let named = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(&interface.name));
        let chosen = named(&self.only);
        for (is_so, why) in [
            (!self.only.is_empty() && !chosen, Unusable::NotChosen),
            (interface.loopback, Unusable::Loopback),
            (!chosen && named(&self.left_out), Unusable::LeftOut),
            (interface.mac.is_none(), Unusable::NotEthernet),
            (interface.noarp, Unusable::NoArp),
            (interface.controller.is_some(), Unusable::Enslaved),
            (!interface.up, Unusable::Down),
            (!interface.running, Unusable::NoCarrier),
        ] {
            if is_so {
                return Err(why);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::interface;

    #[test]
    fn unusable_interfaces_are_told_apart() {
        let good = interface(2, "eth0", &["10.0.0.1/24"]);
        let any = Selection::default();
        assert_eq!(any.usable(&good), Ok(()));
        for (interface, why) in [
            (Interface { name: "vethab12".to_owned(), ..good.clone() }, Unusable::LeftOut),
            (Interface { name: "kube-ipvs0".to_owned(), ..good.clone() }, Unusable::LeftOut),
            (Interface { loopback: true, ..good.clone() }, Unusable::Loopback),
            (Interface { mac: None, ..good.clone() }, Unusable::NotEthernet),
            (Interface { noarp: true, ..good.clone() }, Unusable::NoArp),
            (Interface { controller: Some(9), ..good.clone() }, Unusable::Enslaved),
            (Interface { up: false, ..good.clone() }, Unusable::Down),
            (Interface { running: false, ..good.clone() }, Unusable::NoCarrier),
        ] {
            assert_eq!(any.usable(&interface), Err(why));
        }
        assert_eq!(Selection::only(["eth1"]).usable(&good), Err(Unusable::NotChosen));
        let chosen = Interface { name: "veth1".to_owned(), ..good };
        assert_eq!(Selection::only(["veth1"]).usable(&chosen), Ok(()));
        let by_pattern = Selection { only: vec!["veth*".parse().unwrap()], ..Selection::default() };
        assert_eq!(by_pattern.usable(&chosen), Ok(()));
    }
}
