//! What an operator writes on a pool in annotations of our own: `lbk8s::objects::pool`.

use kube::core::ObjectMeta;
use lbcore::Allocator;
use lbk8s::objects::metallb::{IPAddressPool, IPAddressPoolSpec};
use lbk8s::objects::pool::{read, read_remembered, write_remembered};

use crate::ranges::check_range;

/// Reads a pool whose annotations are the lines `key=value` of the input; lines of `spec.addresses` are its addresses.
pub fn check(data: &[u8]) {
    let pool = pool(&crate::text(data));
    let result = read(&pool);
    assert_eq!(result, read(&pool), "read twice, understood in two ways");
    match result {
        Ok(spec) => {
            assert!(!spec.ranges.is_empty());
            spec.ranges.iter().chain(&spec.excludes).for_each(check_range);
            // Whatever it says can be put in force or is a problem, and a refused one leaves no trace.
            let mut allocator = Allocator::default();
            let problems = allocator.set_pools(vec![spec]).problems;
            assert_eq!(allocator.pools().count() == 1, problems.is_empty(), "{problems:?}");
            assert!(problems.iter().all(|problem| !problem.to_string().is_empty()));
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(problems.iter().all(|it| !it.path.is_empty() && !it.message.is_empty()), "{problems:?}");
        }
    }
    let remembered = read_remembered(&pool);
    let written = write_remembered(remembered.clone());
    let mut again = IPAddressPool::default();
    again.metadata.annotations =
        written.map(|text| [(lbk8s::objects::annotations::REMEMBERED.to_owned(), text)].into());
    let mut expected = remembered;
    expected.sort();
    assert_eq!(read_remembered(&again), expected, "what is remembered survives being written");
}

fn pool(text: &str) -> IPAddressPool {
    let mut addresses = Vec::new();
    let mut annotations = std::collections::BTreeMap::new();
    for line in text.split('\n') {
        match line.split_once('=').unwrap_or((line, "")) {
            ("spec.addresses", address) => addresses.push(address.to_owned()),
            (key, value) => drop(annotations.insert(key.to_owned(), value.to_owned())),
        }
    }
    IPAddressPool {
        metadata: ObjectMeta {
            name: Some("p".to_owned()),
            namespace: Some(lbk8s::CONFIG_NAMESPACE.to_owned()),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: IPAddressPoolSpec { addresses, ..IPAddressPoolSpec::default() },
        status: None,
    }
}
