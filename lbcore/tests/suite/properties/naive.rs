//! The rules of allocation once more, told as simply as they can be: pools are lists of addresses that are
//! walked from start to end, and what is remembered is a list of who left which address when.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use lbcore::{
    AddressRange, Allocator, Families, Family, Labels, Namespace, PoolSpec, PoolState, Release, Remembered,
    Request, ServiceKey,
};

/// Who holds an address.
pub(crate) type Users = BTreeMap<IpAddr, Vec<ServiceKey>>;

/// What is known from outside: the pools in force, the namespaces, the last wishes, the time, and what of the
/// past counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) pools: Vec<PoolSpec>,
    pub(crate) namespaces: BTreeMap<String, Namespace>,
    pub(crate) wishes: BTreeMap<ServiceKey, Request>,
    pub(crate) avoided: BTreeSet<IpAddr>,
    pub(crate) now: i64,
    pub(crate) memory: Vec<Remembered>,
}

/// All addresses in a pool's ranges, as its owner lists them.
fn walked(pool: &PoolSpec, family: Family) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for range in pool.ranges.iter().filter(|range| range.family() == family) {
        let mut address = range.first();
        while range.contains(address) {
            addresses.push(address);
            address = next(address);
        }
    }
    addresses
}

fn next(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::from((u32::from(v4) + 1).to_be_bytes()),
        IpAddr::V6(v6) => IpAddr::from((u128::from(v6) + 1).to_be_bytes()),
    }
}

/// Whether a pool leaves out an address of its ranges.
fn left_out(pool: &PoolSpec, address: IpAddr) -> bool {
    let ends_badly = || matches!(address, IpAddr::V4(v4) if [0, 255].contains(&v4.octets()[3]));
    let is_edge = || {
        pool.ranges.iter().any(|range| {
            let broadcast = address.is_ipv4() && address == range.last();
            (address == range.first() || broadcast) && is_subnet(range)
        })
    };
    pool.excludes.iter().any(|range| range.contains(address))
        || pool.avoid_buggy && ends_badly()
        || pool.exclude_network_addresses && is_edge()
}

/// Whether a range is an aligned block of at least four addresses.
fn is_subnet(range: &AddressRange) -> bool {
    let number = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    };
    let size = number(range.last()) - number(range.first()) + 1;
    size >= 4 && size.is_power_of_two() && number(range.first()) % size == 0
}

/// The addresses that a pool gives out, as its owner lists them.
pub(crate) fn listed(pool: &PoolSpec, family: Family) -> Vec<IpAddr> {
    let mut addresses = walked(pool, family);
    addresses.retain(|address| !left_out(pool, *address));
    addresses
}

/// Whether `address` is kept for some services.
pub(crate) fn is_kept(pool: &PoolSpec, address: IpAddr) -> bool {
    pool.reservations.iter().any(|kept| kept.range.contains(address))
}

/// Whether `address` is kept for others than the service.
pub(crate) fn is_kept_for_another(pool: &PoolSpec, address: IpAddr, service: &ServiceKey) -> bool {
    let kept = pool.reservations.iter().find(|kept| kept.range.contains(address));
    kept.is_some_and(|kept| !kept.service.matches(service))
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

/// Each user of each address in `after` that was none in `before`.
pub(crate) fn gains(before: &Users, after: &Users) -> Vec<(IpAddr, ServiceKey)> {
    let new = |(address, holders): (&IpAddr, &Vec<ServiceKey>)| {
        let old = before.get(address).cloned().unwrap_or_default();
        let new = holders.iter().filter(move |holder| !old.contains(holder));
        new.map(|holder| (*address, holder.clone())).collect::<Vec<_>>()
    };
    after.iter().flat_map(new).collect()
}

/// Whether two services may have one address together.
pub(crate) fn may_share(one: &Request, other: &Request) -> bool {
    one.sharing.is_some() && one.sharing == other.sharing && one.ports.is_disjoint(&other.ports)
}

fn over(since: i64, duration: Duration, now: i64) -> bool {
    i128::from(since) + i128::try_from(duration.as_micros()).expect("a short time") <= i128::from(now)
}

impl Facts {
    /// The pool in force that gives out `address`.
    pub(crate) fn home(&self, address: IpAddr) -> Option<&PoolSpec> {
        self.surroundings(address).filter(|pool| !left_out(pool, address))
    }

    /// The pool in force that has `address` in its ranges, whether it gives it out or not.
    pub(crate) fn surroundings(&self, address: IpAddr) -> Option<&PoolSpec> {
        self.pools.iter().find(|pool| pool.ranges.iter().any(|range| range.contains(address)))
    }

    /// Whether a release confirms that `service` may lose `address`; `pool`: the one it was last from.
    pub(crate) fn released(&self, service: &ServiceKey, address: IpAddr, pool: &str) -> bool {
        let namespace = self.namespaces.get(service.namespace());
        let by_name = self.pools.iter().find(|it| it.name == pool);
        let pool = self.surroundings(address).or(by_name);
        let all = [
            pool.map(|pool| &pool.release),
            self.wishes.get(service).map(|wish| &wish.release),
            namespace.map(|namespace| &namespace.release),
        ];
        all.into_iter().flatten().any(|release| match release {
            Release::Nothing => false,
            Release::All => true,
            Release::Within(ranges) => ranges.iter().any(|range| range.contains(address)),
        })
    }

    /// Whether the service may use `address` beside its users.
    pub(crate) fn fits(&self, request: &Request, address: IpAddr, users: &Users) -> bool {
        users.get(&address).into_iter().flatten().all(|user| may_share(request, &self.wishes[user]))
    }

    /// Whether `pool` is open to the service.
    pub(crate) fn admits(&self, pool: &PoolSpec, request: &Request) -> bool {
        let rules = &pool.allocation;
        let nothing = Labels::new();
        let namespace = self.namespaces.get(request.key.namespace());
        let labels = namespace.map_or(&nothing, |namespace| &namespace.labels);
        let everywhere = rules.namespaces.is_empty() && rules.namespace_selectors.is_empty();
        let named = rules.namespaces.contains(request.key.namespace());
        let chosen = rules.namespace_selectors.iter().any(|selector| selector.matches(labels));
        let service = rules.service_selectors.is_empty()
            || rules.service_selectors.iter().any(|selector| selector.matches(&request.labels));
        (everywhere || named || chosen) && service
    }

    /// The pools that give addresses to the service, the first choice first; some of them only on request.
    fn open(&self, request: &Request) -> Vec<&PoolSpec> {
        let asked = |pool: &&PoolSpec| request.pool.as_ref().is_none_or(|asked| *pool.name == **asked);
        let mut pools: Vec<&PoolSpec> = self.pools.iter().filter(asked).collect();
        pools.retain(|pool| self.admits(pool, request) && pool.state == PoolState::Active);
        pools.sort_by_key(|pool| {
            let rules = &pool.allocation;
            let for_all = rules.namespaces.is_empty()
                && rules.namespace_selectors.is_empty()
                && rules.service_selectors.is_empty();
            (for_all, rules.priority == 0, rules.priority, &pool.name)
        });
        pools
    }

    /// The pools from which the service may have any address, the first choice first.
    pub(crate) fn choices(&self, request: &Request) -> Vec<&PoolSpec> {
        let mut pools = self.open(request);
        pools.retain(|pool| request.pool.is_some() || pool.auto_assign);
        pools
    }

    /// Notes that a service left an address, if the pool of it remembers such things.
    pub(crate) fn note_leaving(&mut self, service: &ServiceKey, address: IpAddr) {
        self.note_return(service, address);
        self.memory.push(Remembered { address, service: service.clone(), freed: self.now });
        self.forget_what_is_over();
    }

    /// Notes that a service has an address again.
    pub(crate) fn note_return(&mut self, service: &ServiceKey, address: IpAddr) {
        self.memory.retain(|entry| (&entry.service, entry.address) != (service, address));
    }

    /// Drops what counts no more, because of the time or because a pool was changed.
    pub(crate) fn forget_what_is_over(&mut self) {
        let mut memory = std::mem::take(&mut self.memory);
        memory.retain(|entry| {
            let home = self.home(entry.address);
            home.is_some_and(|home| !over(entry.freed, home.sticky.max(home.cool_down), self.now))
        });
        self.memory = memory;
    }

    /// When `address` was freed last, if it still rests from that; never for one that is kept for somebody.
    fn rests_since(&self, pool: &PoolSpec, address: IpAddr) -> Option<i64> {
        let freed = self.memory.iter().filter(|entry| entry.address == address).map(|entry| entry.freed);
        freed.max().filter(|_| !is_kept(pool, address))
    }

    /// The address of `pool` that a service gets if nothing is its own: one to share if there is any, else the
    /// first free one that does not rest from others, else the one that has rested longest.
    pub(crate) fn pick(
        &self,
        pool: &PoolSpec,
        family: Family,
        request: &Request,
        users: &Users,
    ) -> Option<IpAddr> {
        let addresses = listed(pool, family);
        let shared = addresses.iter().find(|address| {
            users.contains_key(*address)
                && self.fits(request, **address, users)
                && !self.avoided.contains(*address)
                && !is_kept_for_another(pool, **address, &request.key)
        });
        let is_free = |address: &&IpAddr| {
            !users.contains_key(*address) && !self.avoided.contains(*address) && !is_kept(pool, **address)
        };
        let free: Vec<&IpAddr> = addresses.iter().filter(is_free).collect();
        let had = |address: &IpAddr| {
            self.memory.iter().any(|entry| entry.service == request.key && entry.address == *address)
        };
        let rests = |address: &IpAddr| self.rests_since(pool, *address).is_some() && !had(address);
        let fresh = free.iter().copied().find(|address| !rests(address));
        let rested = || free.iter().copied().min_by_key(|address| self.rests_since(pool, **address));
        shared.or(fresh).or_else(rested).copied()
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

    /// The address that is the service's own: kept for it, or else the one that it had last and can come back
    /// to. `only`: from this pool and no other.
    pub(crate) fn own(
        &self,
        request: &Request,
        family: Family,
        users: &Users,
        only: Option<&PoolSpec>,
    ) -> Option<IpAddr> {
        let mut pools = self.open(request);
        pools.retain(|pool| only.is_none_or(|only| only.name == pool.name));
        let kept = pools.iter().find_map(|pool| {
            let ours = |by_name: bool| {
                let ours = pool.reservations.iter().filter(move |kept| {
                    kept.service.matches(&request.key) && kept.service.is_exact() == by_name
                });
                let ours: Vec<_> = ours.map(|kept| kept.range).collect();
                let free = listed(pool, family)
                    .into_iter()
                    .filter(|address| !users.contains_key(address) && !self.avoided.contains(address));
                free.into_iter().find(|address| ours.iter().any(|range| range.contains(*address)))
            };
            ours(true).or_else(|| ours(false))
        });
        kept.or_else(|| {
            let mut had: Vec<&Remembered> = self.memory.iter().collect();
            had.retain(|entry| entry.service == request.key && Family::of(entry.address) == family);
            had.sort_by_key(|entry| (Reverse(entry.freed), entry.address));
            let can_return = |entry: &&&Remembered| {
                let address = entry.address;
                let home = self.home(address).filter(|home| pools.iter().any(|pool| pool.name == home.name));
                home.is_some_and(|home| {
                    (request.pool.is_some() || home.auto_assign)
                        && !over(entry.freed, home.sticky, self.now)
                        && !self.avoided.contains(&address)
                        && !is_kept_for_another(home, address, &request.key)
                        && self.fits(request, address, users)
                })
            };
            had.iter().find(can_return).map(|entry| entry.address)
        })
    }

    /// Whether the service may have the address that it asks for.
    fn may_have(&self, request: &Request, address: IpAddr, users: &Users) -> bool {
        let Some(home) = self.home(address) else { return false };
        self.open(request).iter().any(|pool| pool.name == home.name)
            && request.families.wants(Family::of(address))
            && !is_kept_for_another(home, address, &request.key)
            && self.fits(request, address, users)
    }

    /// What a service that holds nothing gets; `None` if it has to wait.
    pub(crate) fn answer(&self, request: &Request, users: &Users) -> Option<Vec<IpAddr>> {
        if !request.addresses.iter().all(|address| self.may_have(request, *address, users)) {
            return None;
        }
        let mut given: Vec<IpAddr> = Vec::new();
        for address in &request.addresses {
            if !given.contains(address) {
                given.push(*address);
            }
        }
        let lacks = |given: &[IpAddr], family: &Family| !given.iter().any(|it| Family::of(*it) == *family);
        for family in request.families.wanted() {
            if lacks(&given, family) {
                given.extend(self.own(request, *family, users, None));
            }
        }
        let mut missing: Vec<Family> = request.families.wanted().to_vec();
        missing.retain(|family| lacks(&given, family));
        let mut pools = self.choices(request);
        if let [first, second] = missing[..] {
            let from = |pool: &&PoolSpec| {
                let one = self.pick(pool, first, request, users)?;
                Some([one, self.pick(pool, second, request, users)?])
            };
            if let Some(both) = pools.iter().find_map(from) {
                return Some(both.to_vec());
            }
        }
        let home = |address: &IpAddr| self.home(*address).map(|home| &home.name);
        let homes: BTreeSet<_> = given.iter().filter_map(home).collect();
        pools.sort_by_key(|pool| !homes.contains(&pool.name));
        for family in missing {
            given.extend(self.pick_first(&pools, family, request, users));
        }
        let asked = |address: &IpAddr| request.addresses.iter().position(|it| it == address);
        given.sort_by_key(|address| {
            let first = Family::of(*address) == request.families.primary();
            (asked(address).unwrap_or(usize::MAX), !first)
        });
        let lacks_some = request.families.wanted().iter().any(|family| lacks(&given, family));
        let enough =
            if matches!(request.families, Families::Prefer { .. }) { !given.is_empty() } else { !lacks_some };
        enough.then_some(given)
    }
}
