//! What people see of the offline commands, told as sessions: `tests/cmd/*.md`, and `*.toml` where something comes
//! from standard input or every byte counts. `TRYCMD=overwrite cargo test -p lbd --test offline` writes down what is
//! printed now; read the difference before keeping it.

use std::fs;
use std::path::Path;

#[test]
fn what_people_see() {
    let cases = trycmd::TestCases::new();
    // Not what the one who runs this prefers.
    cases.env("NO_COLOR", "1");
    cases.case("tests/cmd/*.md").case("tests/cmd/*.toml");
}

/// Every code that a problem can have, but those of `lbd convert`, which shows none.
const CODES: [&str; 46] = [
    "AddressExcluded",
    "AddressInOtherPool",
    "AddressInUse",
    "AddressNotInPool",
    "AddressOfNode",
    "AddressOutsidePools",
    "AddressReserved",
    "ConflictingRequests",
    "Deprecated",
    "Duplicate",
    "DuplicateName",
    "ExcludesNothing",
    "FamilyNotWanted",
    "InvalidAddress",
    "InvalidAnnotation",
    "InvalidClusterAddress",
    "InvalidSelector",
    "InvalidValue",
    "InvalidWeight",
    "NoAddresses",
    "NoConfiguration",
    "NoNamespace",
    "NoPools",
    "NoSecondFamily",
    "NotAdvertised",
    "NotAnObject",
    "NotForMetalLB",
    "NotInForce",
    "NotServed",
    "Overlap",
    "PoolCordoned",
    "PoolDraining",
    "PoolExhausted",
    "PoolGone",
    "PoolNotAllowed",
    "ReservedOutside",
    "ReservedTwice",
    "SelectsNothing",
    "Syntax",
    "UnknownAnnotation",
    "UnknownField",
    "UnknownKind",
    "UnknownNamespace",
    "UnknownPool",
    "UnknownProtocol",
    "UnknownVersion",
];

#[test]
fn every_code_is_shown_by_a_session() {
    let sessions = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd");
    let check = fs::read_to_string(sessions.join("check.md")).unwrap();
    let missing: Vec<&str> =
        CODES.into_iter().filter(|code| !check.contains(&format!("[{code}]:"))).collect();
    assert!(missing.is_empty(), "no session of check.md shows {missing:?}");
}
