//! The v0.12 ConfigMap: `lbk8s::objects::config_map`.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::ObjectMeta;
use lbk8s::convert::convert;
use lbk8s::objects::config::{Config, ConfigChange};
use lbk8s::objects::config_map::{KEY, Legacy, NAME, read};

use crate::ranges::check_range;

/// Reads the input as the text of the ConfigMap.
pub fn check(data: &[u8]) {
    let map = map(&crate::text(data));
    let legacy = read(&map);
    // The converter reads more of it, and is no less sure of itself.
    if let Err(problems) = convert(&map) {
        assert!(problems.iter().all(|it| !it.path.is_empty() && !it.message.is_empty()), "{problems:?}");
    }
    assert_eq!(legacy, read(&map), "read twice, understood in two ways");
    check_legacy(&legacy);

    let mut config = good();
    let before = config.pools();
    config.apply(ConfigChange::ConfigMap(map));
    assert_eq!(config.problems(), legacy.problems);
    for pool in config.pools() {
        assert!(legacy.pools.contains(&pool) || before.contains(&pool), "{pool:?} from nowhere");
    }
    // What was in force and is still named stays, whatever else is wrong.
    for pool in before.iter().filter(|pool| legacy.place_of(&pool.name).is_some()) {
        assert!(config.pools().iter().any(|it| it.name == pool.name), "pool {:?} is gone", pool.name);
    }
}

/// A configuration that is in force before the input comes.
fn good() -> Config {
    let mut config = Config::default();
    let text = "address-pools: [{name: default, protocol: layer2, addresses: [10.0.0.0/24]}]";
    config.apply(ConfigChange::ConfigMap(map(text)));
    config
}

/// What must hold of all that was read.
pub(crate) fn check_legacy(legacy: &Legacy) {
    for pool in &legacy.pools {
        assert!(!pool.ranges.is_empty(), "pool {:?} has no range", pool.name);
        pool.ranges.iter().for_each(check_range);
        for (index, range) in pool.ranges.iter().enumerate() {
            let earlier = &pool.ranges[..index];
            assert!(!earlier.iter().any(|it| it.overlaps(range)), "pool {:?} overlaps itself", pool.name);
        }
        assert!(legacy.place_of(&pool.name).is_some(), "pool {:?} is nowhere", pool.name);
    }
    for advertisement in &legacy.advertisements {
        assert!(advertisement.pools.iter().all(|pool| legacy.place_of(pool).is_some()), "{advertisement:?}");
    }
    for problem in &legacy.problems {
        assert!(problem.path.starts_with("data.config") && !problem.path.ends_with(": "), "{problem}");
        assert!(!problem.message.is_empty(), "{problem}");
    }
}

fn map(text: &str) -> ConfigMap {
    let metadata = ObjectMeta {
        name: Some(NAME.to_owned()),
        namespace: Some(lbk8s::CONFIG_NAMESPACE.to_owned()),
        ..ObjectMeta::default()
    };
    ConfigMap { metadata, data: Some([(KEY.to_owned(), text.to_owned())].into()), ..ConfigMap::default() }
}
