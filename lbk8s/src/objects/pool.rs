//! `IPAddressPool` as a pool of `lbcore`, with our own annotations on it.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use lbcore::{PoolSpec, Remembered, Reservation, ServiceAllocation, ServiceKey};
use serde::{Deserialize, Serialize};

use super::annotations::{
    COOL_DOWN, EXCLUDE, EXCLUDE_NETWORK_ADDRESSES, RELEASE, REMEMBERED, RESERVE, STATE, STICKY, ranges,
    read as annotation, release, yes_or_no,
};
use super::metallb::IPAddressPool;
use super::{ObjectRef, Problem, created, selector};

/// Reads a pool.
///
/// # Errors
/// All that is wrong with it; the pool is not in force then.
pub fn read(pool: &IPAddressPool) -> Result<PoolSpec, Vec<Problem>> {
    let object = ObjectRef::of(pool);
    let mut problems = Vec::new();
    let spec = &pool.spec;
    let parsed = PoolSpec::parse(pool.name_any(), spec.addresses.iter().map(String::as_str));
    let parsed = parsed.map_err(|errors| {
        problems.extend(errors.0.into_iter().map(|error| Problem::of_pool(&object, error.path, &error.kind)));
    });
    let rules = spec.service_allocation.clone().unwrap_or_default();
    let mut selectors = |field: &str, list| {
        selector::read_all(&object, &format!("spec.serviceAllocation.{field}"), list, &mut problems)
    };
    let allocation = ServiceAllocation {
        priority: rules.priority.unwrap_or(0),
        namespaces: rules.namespaces.clone().into_iter().flatten().collect(),
        namespace_selectors: selectors("namespaceSelectors", rules.namespace_selectors.as_ref()),
        service_selectors: selectors("serviceSelectors", rules.service_selectors.as_ref()),
    };
    let notes = pool.annotations();
    let excludes = annotation(&object, notes, EXCLUDE, &mut problems, ranges);
    let exclude_network_addresses =
        annotation(&object, notes, EXCLUDE_NETWORK_ADDRESSES, &mut problems, yes_or_no);
    let reservations = annotation(&object, notes, RESERVE, &mut problems, |text| {
        text.split(',').map(|entry| entry.trim().parse()).collect::<Result<Vec<Reservation>, _>>()
    });
    let sticky = annotation(&object, notes, STICKY, &mut problems, duration);
    let cool_down = annotation(&object, notes, COOL_DOWN, &mut problems, duration);
    let state = annotation(&object, notes, STATE, &mut problems, str::parse);
    let given_up = annotation(&object, notes, RELEASE, &mut problems, release);
    match parsed {
        Ok(parsed) if problems.is_empty() => Ok(PoolSpec {
            created: created(pool),
            auto_assign: spec.auto_assign.unwrap_or(true),
            avoid_buggy: spec.avoid_buggy_ips.unwrap_or(false),
            allocation,
            labels: pool.labels().into(),
            excludes: excludes.unwrap_or_default(),
            exclude_network_addresses: exclude_network_addresses.unwrap_or(false),
            reservations: reservations.unwrap_or_default(),
            sticky: sticky.unwrap_or_default(),
            cool_down: cool_down.unwrap_or_default(),
            state: state.unwrap_or_default(),
            release: given_up.unwrap_or_default(),
            ..parsed
        }),
        _ => Err(problems),
    }
}

/// As Go and Kubernetes write them, `10m` or `1h30m`.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    parsed.ok_or_else(|| format!("{text:?} is no duration; write it as in 90s, 10m or 24h"))
}

/// One entry of the annotation [`REMEMBERED`].
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    service: String,
    freed: Timestamp,
}

/// What a pool's annotation remembers. What cannot be read is forgotten: nothing is lost but a preference.
#[must_use]
pub fn read_remembered(pool: &IPAddressPool) -> Vec<Remembered> {
    let Some(text) = pool.annotations().get(REMEMBERED) else { return Vec::new() };
    let notes: BTreeMap<String, Vec<Note>> = serde_json::from_str(text).unwrap_or_default();
    let read = |address: &String, note: &Note| {
        let (address, service) = (address.parse().ok()?, note.service.parse::<ServiceKey>().ok()?);
        Some(Remembered { address, service, freed: note.freed.as_microsecond() })
    };
    notes
        .iter()
        .flat_map(|(address, notes)| notes.iter().filter_map(move |note| read(address, note)))
        .collect()
}

/// The most entries that are written: an object has room for 256 KiB of annotations.
const MOST_REMEMBERED: usize = 1_000;

/// The value of the annotation [`REMEMBERED`]; none if there is nothing to remember. Of very many, those freed
/// last are written.
#[must_use]
pub fn write_remembered(mut entries: Vec<Remembered>) -> Option<String> {
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.freed));
    entries.truncate(MOST_REMEMBERED);
    let mut notes: BTreeMap<std::net::IpAddr, Vec<Note>> = BTreeMap::new();
    entries.sort();
    for Remembered { address, service, freed } in entries {
        let freed = Timestamp::from_microsecond(freed).unwrap_or_default();
        notes.entry(address).or_default().push(Note { service: service.to_string(), freed });
    }
    (!notes.is_empty()).then(|| serde_json::to_string(&notes).expect("text and times are JSON"))
}
