//! What the server gives to an object's metadata, and what it holds writers to.

use serde_json::{Value, json};

use super::ApiError;
use super::log::Key;
use super::route::Route;

/// The parts of an object's metadata that no writer changes.
const KEPT: [&str; 6] = ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "generation"];

/// The name of a new object: its own, or one made for it at this version of the store.
pub(super) fn new_name(object: &Value, version: u64) -> Option<String> {
    let text = |field: &str| object["metadata"][field].as_str().filter(|text| !text.is_empty());
    text("name")
        .map(str::to_owned)
        .or_else(|| text("generateName").map(|prefix| format!("{prefix}{}", suffix(version))))
}

/// The version that a writer says it knows.
pub(super) fn named_version(object: &Value) -> Option<&str> {
    object["metadata"]["resourceVersion"].as_str().filter(|text| !matches!(*text, "" | "0"))
}

/// Whether the object is in the namespace of its path, or does not say where it is.
pub(super) fn check_namespace(object: &Value, expected: Option<&str>) -> Result<(), ApiError> {
    match (object["metadata"]["namespace"].as_str(), expected) {
        (Some(own), Some(expected)) if !own.is_empty() && own != expected => {
            Err(ApiError::bad_request(format!(
                "the namespace of the object ({own}) does not match the namespace on the URL ({expected})"
            )))
        }
        _ => Ok(()),
    }
}

/// Whether what is written means the object that is there, in the version that is there.
pub(super) fn check_identity(route: &Route<'_>, object: &Value, before: &Value) -> Result<(), ApiError> {
    let (kind, name) = (route.kind, route.name.as_deref().unwrap_or_default());
    let (own, stored) = (&object["metadata"], &before["metadata"]);
    if let Some(own) = own["name"].as_str()
        && own != name
    {
        let why = format!("the name of the object ({own}) does not match the name on the URL ({name})");
        return Err(ApiError::bad_request(why));
    }
    check_namespace(object, route.namespace.as_deref())?;
    match named_version(object) {
        None if !kind.allows_unconditional_update() => {
            let why = "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update";
            return Err(ApiError::invalid(kind, name, why));
        }
        Some(asked) if Some(asked) != stored["resourceVersion"].as_str() => {
            let why =
                "the object has been modified; please apply your changes to the latest version and try again";
            return Err(ApiError::conflict(kind, name, why));
        }
        _ => {}
    }
    if own["uid"].is_string() && own["uid"] != stored["uid"] {
        return Err(ApiError::conflict(
            kind,
            name,
            "Precondition failed: UID in precondition does not match",
        ));
    }
    Ok(())
}

/// Puts back what no writer changes.
pub(super) fn keep_metadata(object: &mut Value, before: &Value) {
    for field in KEPT {
        keep(&mut object["metadata"], &before["metadata"], field);
    }
}

/// Makes `field` what it is in `before`, which may be nothing.
pub(super) fn keep(object: &mut Value, before: &Value, field: &str) {
    match (before.get(field), object.as_object_mut()) {
        (Some(value), Some(object)) => drop(object.insert(field.to_owned(), value.clone())),
        (None, Some(object)) => drop(object.remove(field)),
        _ => {}
    }
}

/// The metadata of a new object.
pub(super) fn begin(object: &mut Value, key: &Key, version: u64, moment: &str) {
    for given in ["namespace", "resourceVersion", "deletionTimestamp", "generation", "selfLink"] {
        object["metadata"].as_object_mut().map(|metadata| metadata.remove(given));
    }
    if !key.namespace.is_empty() {
        object["metadata"]["namespace"] = json!(key.namespace);
    }
    object["metadata"]["name"] = json!(key.name);
    object["metadata"]["creationTimestamp"] = json!(moment);
    object["metadata"]["uid"] = json!(uid(key, version));
}

pub(super) fn is_going(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// Something else has to happen before the object may go.
pub(super) fn is_held(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty())
}

/// Five characters that no other object of this store has.
fn suffix(version: u64) -> String {
    const ALPHABET: [char; 27] = [
        'b', 'c', 'd', 'f', 'g', 'h', 'j', 'k', 'l', 'm', 'n', 'p', 'q', 'r', 's', 't', 'v', 'w', 'x', 'z',
        '2', '4', '5', '6', '7', '8', '9',
    ];
    let digit = |place: u32| ALPHABET[usize::try_from(version / 27_u64.pow(place) % 27).unwrap_or_default()];
    (0..5).rev().map(digit).collect()
}

/// An identifier in the form of a UUID, made of the key and the version at which it came.
fn uid(key: &Key, version: u64) -> String {
    let text = format!("{}/{}/{}", key.resource, key.namespace, key.name);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    // The last group has twelve digits.
    let version = (version + 1) & 0xffff_ffff_ffff;
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{version:012x}",
        hash >> 32,
        (hash >> 16) & 0xffff,
        hash & 0xfff,
        (hash >> 12) & 0xfff
    )
}
