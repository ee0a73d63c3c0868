//! The checks hold for every seed.

use std::panic::catch_unwind;
use std::path::Path;

#[test]
fn the_checks_hold_for_every_seed() {
    let mut failed = Vec::new();
    for (name, check) in fuzz::CHECKS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name);
        let seeds: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!seeds.is_empty(), "{} has no seeds", folder.display());
        for seed in seeds {
            let data = std::fs::read(&seed).unwrap();
            if catch_unwind(|| check(&data)).is_err() {
                failed.push(seed);
            }
        }
    }
    assert!(failed.is_empty(), "what failed stands above; the seeds at fault: {failed:#?}");
}
