//! The definitions of our kinds as they are shipped, and the objects that were written for MetalLB's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lbk8s::crds;
use lbk8s::manifest::{Manifests, files, load};
use lbk8s::objects::metallb::{IPAddressPool, L2Advertisement};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn by_name(values: impl IntoIterator<Item = Value>) -> BTreeMap<String, Value> {
    values.into_iter().map(|value| (value["metadata"]["name"].as_str().unwrap().to_owned(), value)).collect()
}

#[test]
fn the_definitions_that_are_shipped_are_those_that_the_types_make() {
    let path = root().join("deploy/crds.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut shipped = Manifests::default();
    shipped.read(&path, &text);
    assert!(shipped.errors.is_empty(), "{:?}", shipped.errors);
    let shipped = by_name(shipped.objects.into_iter().map(|manifest| manifest.value));
    let made = by_name(crds::all().into_iter().map(|definition| {
        let mut value = serde_json::to_value(definition).unwrap();
        // Every object of this type knows them by itself.
        value["apiVersion"] = "apiextensions.k8s.io/v1".into();
        value["kind"] = "CustomResourceDefinition".into();
        value
    }));
    assert_eq!(shipped.keys().collect::<Vec<_>>(), made.keys().collect::<Vec<_>>());
    for (name, made) in &made {
        assert_eq!(&shipped[name], made, "{name} is old: write `lbd crds` to deploy/crds.yaml");
    }
}

/// What becomes of an object that passes through our type; nothing, if it does not fit at all.
fn through<T: Serialize + DeserializeOwned>(value: &Value) -> Option<Value> {
    let object: T = serde_json::from_value(value.clone()).ok()?;
    Some(serde_json::to_value(object).unwrap())
}

/// The paths of what `before` has and `after` has not in this form.
fn lost(before: &Value, after: &Value, path: &str, all: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                lost(value, after.get(key).unwrap_or(&Value::Null), &format!("{path}.{key}"), all);
            }
        }
        (before, after) if before == after => {}
        _ => all.push(path.to_owned()),
    }
}

#[test]
fn the_objects_that_were_written_for_metallb_pass_through_our_types_unchanged() {
    let folders = std::fs::read_dir(root().join("lbd/tests/cmd")).unwrap().map(|entry| entry.unwrap().path());
    let folders: Vec<PathBuf> =
        folders.filter(|path| path.extension().is_some_and(|it| it == "in")).collect();
    assert!(folders.len() > 3);
    let (mut passed, mut changed) = (0, Vec::new());
    for folder in folders {
        let paths: Vec<PathBuf> = files(&folder).unwrap();
        for manifest in load(&paths).objects {
            let after = match manifest.value["kind"].as_str() {
                Some("IPAddressPool") => through::<IPAddressPool>(&manifest.value),
                Some("L2Advertisement") => through::<L2Advertisement>(&manifest.value),
                _ => continue,
            };
            let Some(after) = after else { continue };
            let mut paths = Vec::new();
            lost(&manifest.value, &after, "", &mut paths);
            if paths.is_empty() {
                passed += 1;
            } else {
                let file = manifest.place.file.file_name().unwrap().to_string_lossy().into_owned();
                changed.extend(paths.into_iter().map(|path| (file.clone(), path)));
            }
        }
    }
    assert!(passed >= 20, "only {passed}");
    // What is misspelt is what those tests are about.
    let misspelt = [".apiVersion", ".spec.adresses", ".spec.autoasign", ".spec.serviceAllocation.prioritty"];
    let changed: Vec<&(String, String)> =
        changed.iter().filter(|(_, path)| !misspelt.contains(&path.as_str())).collect();
    assert!(changed.is_empty(), "{changed:?}");
}
