//! What speakers tell each other of themselves: records by key.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lbcore::ServiceKey;
use lbcore::ownership::claims::{Cause, Offers, Table};

use crate::objects::facts::NodeFactsFields;

/// The record with the interfaces of a node, in the form of its `NodeFacts`.
pub const FACTS: &str = "facts";
/// The record of a speaker that knows the world and answers for what it claims. Without it, it takes nothing over.
pub const READY: &str = "ready";
/// The record of a speaker that is about to end.
pub const LEAVING: &str = "leaving";
/// The record of a host whose addresses are to go elsewhere, where no API server tells that.
pub const DRAINED: &str = "drained";
/// The record with the word by which somebody asked for an even spread, where no API server tells that.
pub const REBALANCE: &str = "rebalance";
pub(super) const FAILING: &str = "failing/";
pub(super) const CLAIM: &str = "claim/";
pub(super) const OFFER: &str = "offer/";
pub(super) const HELD: &str = "held/";
pub(super) const CEDED: &str = "ceded/";
/// A record for the others: its key, and what it says; nothing if it is to go.
pub type Record = (String, Option<Vec<u8>>);

/// What a member tells of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// The addresses that it claims.
    pub claims: Table,
    /// Why it took them, as far as it says.
    pub causes: BTreeMap<IpAddr, Cause>,
    /// What it wants to give away, and to whom.
    pub offers: Offers,
    /// What it claimed before it was restarted.
    pub held: Table,
    /// What it has ceased to answer for lately, with a number that is another one each time.
    pub ceded: Table,
    /// Its addresses are to go elsewhere.
    pub drained: bool,
    /// The word by which somebody asked it last for an even spread.
    pub rebalance: Option<Vec<u8>>,
    /// The Services that it does not serve, by its own check.
    pub failing: BTreeSet<ServiceKey>,
    /// What it is like; nothing if it has not told, or in a way that cannot be read.
    pub facts: Option<NodeFactsFields>,
    /// It knows the world, and answers for what it claims.
    pub ready: bool,
    /// It is about to end.
    pub leaving: bool,
}

impl Told {
    /// Reads the records of a member. What cannot be read is passed over: it may be of a later version.
    #[must_use]
    pub fn read(records: &BTreeMap<String, Vec<u8>>) -> Self {
        let under = |prefix: &'static str| {
            let of = move |(key, value): (&String, &'_ Vec<u8>)| {
                let address: IpAddr = key.strip_prefix(prefix)?.parse().ok()?;
                Some((address, value.clone()))
            };
            records
                .range(prefix.to_owned()..)
                .take_while(move |(key, _)| key.starts_with(prefix))
                .filter_map(of)
        };
        let epoch = |(address, value): (IpAddr, Vec<u8>)| {
            let epoch = u64::from_be_bytes(*value.first_chunk()?);
            // Nobody comes so far by counting.
            (epoch <= u64::MAX / 2).then_some((address, epoch))
        };
        let cause = |(address, value): (IpAddr, Vec<u8>)| {
            Some((address, serde_json::from_slice(value.get(size_of::<u64>()..)?).ok()?))
        };
        let to = |(address, value): (IpAddr, Vec<u8>)| Some((address, String::from_utf8(value).ok()?));
        Self {
            claims: under(CLAIM).filter_map(epoch).collect(),
            causes: under(CLAIM).filter_map(cause).collect(),
            offers: under(OFFER).filter_map(to).collect(),
            held: under(HELD).filter_map(epoch).collect(),
            ceded: under(CEDED).filter_map(epoch).collect(),
            drained: records.contains_key(DRAINED),
            rebalance: records.get(REBALANCE).cloned(),
            failing: records.keys().filter_map(|key| key.strip_prefix(FAILING)?.parse().ok()).collect(),
            facts: records.get(FACTS).and_then(|facts| serde_json::from_slice(facts).ok()),
            ready: records.contains_key(READY),
            leaving: records.contains_key(LEAVING),
        }
    }
}

/// The record of a claim with its epoch, and why it was made.
pub(super) fn claim(epoch: u64, cause: Option<&Cause>) -> Vec<u8> {
    let mut bytes = epoch.to_be_bytes().to_vec();
    bytes.extend(cause.and_then(|cause| serde_json::to_vec(cause).ok()).unwrap_or_default());
    bytes
}
