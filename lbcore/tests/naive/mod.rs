//! The rules of allocation once more, told as simply as they can be: pools are lists of addresses that are
//! walked from start to end, and nothing is remembered but who holds what.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lbcore::{Allocator, Families, Family, Labels, PoolSpec, Request, ServiceKey};

/// Who holds an address.
pub(crate) type Users = BTreeMap<IpAddr, Vec<ServiceKey>>;

/// What is known from outside: the pools in force, the labels of namespaces and the last wishes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) pools: Vec<PoolSpec>,
    pub(crate) namespaces: BTreeMap<String, Labels>,
    pub(crate) wishes: BTreeMap<ServiceKey, Request>,
}

/// The addresses of a pool, as its owner lists them.
pub(crate) fn listed(pool: &PoolSpec, family: Family) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for range in pool.ranges.iter().filter(|range| range.family() == family) {
        let mut address = range.first();
        while range.contains(address) {
            let ends_badly = matches!(address, IpAddr::V4(v4) if [0, 255].contains(&v4.octets()[3]));
            if !(pool.avoid_buggy && ends_badly) {
                addresses.push(address);
            }
            address = match address {
                IpAddr::V4(v4) => IpAddr::from((u32::from(v4) + 1).to_be_bytes()),
                IpAddr::V6(v6) => IpAddr::from((u128::from(v6) + 1).to_be_bytes()),
            };
        }
    }
    addresses
}

/// Who holds what, as the allocator tells it.
pub(crate) fn users(allocator: &Allocator) -> Users {
    allocator.held().collect()
}

/// The same, had `key` given up everything.
pub(crate) fn without(mut users: Users, key: &ServiceKey) -> Users {
    for holders in users.values_mut() {
        holders.retain(|holder| holder != key);
    }
    users.retain(|_, holders| !holders.is_empty());
    users
}

/// Whether two services may have one address together.
pub(crate) fn may_share(one: &Request, other: &Request) -> bool {
    one.sharing.is_some() && one.sharing == other.sharing && one.ports.is_disjoint(&other.ports)
}

impl Facts {
    /// The pool in force that gives out `address`.
    pub(crate) fn home(&self, address: IpAddr) -> Option<&PoolSpec> {
        self.pools.iter().find(|pool| listed(pool, Family::of(address)).contains(&address))
    }

    /// Whether the service may use `address` beside its users.
    pub(crate) fn fits(&self, request: &Request, address: IpAddr, users: &Users) -> bool {
        users.get(&address).into_iter().flatten().all(|user| may_share(request, &self.wishes[user]))
    }

    /// Whether `pool` is open to the service.
    pub(crate) fn admits(&self, pool: &PoolSpec, request: &Request) -> bool {
        let rules = &pool.allocation;
        let nothing = Labels::new();
        let labels = self.namespaces.get(request.key.namespace()).unwrap_or(&nothing);
        let everywhere = rules.namespaces.is_empty() && rules.namespace_selectors.is_empty();
        let named = rules.namespaces.contains(request.key.namespace());
        let chosen = rules.namespace_selectors.iter().any(|selector| selector.matches(labels));
        let service = rules.service_selectors.is_empty()
            || rules.service_selectors.iter().any(|selector| selector.matches(&request.labels));
        (everywhere || named || chosen) && service
    }

    /// The pools from which the service may have any address, the first choice first.
    pub(crate) fn choices(&self, request: &Request) -> Vec<&PoolSpec> {
        let mut pools: Vec<&PoolSpec> = match &request.pool {
            Some(asked) => self.pools.iter().filter(|pool| *pool.name == **asked).collect(),
            None => self.pools.iter().filter(|pool| pool.auto_assign).collect(),
        };
        pools.retain(|pool| self.admits(pool, request));
        pools.sort_by_key(|pool| {
            let rules = &pool.allocation;
            let for_all = rules.namespaces.is_empty()
                && rules.namespace_selectors.is_empty()
                && rules.service_selectors.is_empty();
            (for_all, rules.priority == 0, rules.priority, &pool.name)
        });
        pools
    }

    /// The address of `pool` that the service would get: one to share if there is any, else a free one.
    pub(crate) fn pick(
        &self,
        pool: &PoolSpec,
        family: Family,
        request: &Request,
        users: &Users,
    ) -> Option<IpAddr> {
        let addresses = listed(pool, family);
        let shared = |address: &&IpAddr| users.contains_key(*address) && self.fits(request, **address, users);
        let free = |address: &&IpAddr| !users.contains_key(*address);
        addresses.iter().find(shared).or_else(|| addresses.iter().find(free)).copied()
    }

    fn pick_first(
        &self,
        pools: &[&PoolSpec],
        family: Family,
        request: &Request,
        users: &Users,
    ) -> Option<IpAddr> {
        pools.iter().find_map(|pool| self.pick(pool, family, request, users))
    }

    /// What a service that holds nothing gets; `None` if it has to wait.
    pub(crate) fn answer(&self, request: &Request, users: &Users) -> Option<Vec<IpAddr>> {
        for &address in &request.addresses {
            let home = self.home(address)?;
            let asked = request.pool.as_ref().is_none_or(|asked| **asked == *home.name);
            let wanted = request.families.wants(Family::of(address));
            if !(asked && wanted && self.admits(home, request) && self.fits(request, address, users)) {
                return None;
            }
        }
        let mut given = request.addresses.clone();
        let mut pools = self.choices(request);
        let primary = request.families.primary();
        let second = primary.other();
        match (request.families, &given[..]) {
            (Families::Single(_), [_, ..]) | (_, [_, _, ..]) => return Some(given),
            (Families::Single(family), []) => given.extend(self.pick_first(&pools, family, request, users)),
            (_, [one]) => {
                let home = self.home(*one)?.name.clone();
                let missing = Family::of(*one).other();
                pools.sort_by_key(|pool| pool.name != home);
                given.extend(self.pick_first(&pools, missing, request, users));
            }
            (_, []) => {
                let from = |pool: &&PoolSpec| {
                    let first = self.pick(pool, primary, request, users)?;
                    Some([first, self.pick(pool, second, request, users)?])
                };
                if let Some(both) = pools.iter().find_map(from) {
                    return Some(both.to_vec());
                }
                given.extend(self.pick_first(&pools, primary, request, users));
                given.extend(self.pick_first(&pools, second, request, users));
            }
        }
        let enough = if matches!(request.families, Families::Require { .. }) { 2 } else { 1 };
        (given.len() >= enough).then_some(given)
    }
}
