//! Applying manifests to the embedded store, as `kubectl apply` would.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Manifest, Manifests, Place};
use crate::schema::What;
use crate::store::Store;
use crate::{GROUP, ObjectRef};

/// What an application of manifests came to.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// Objects created, changed or deleted, in that order, each with the word for it.
    pub done: Vec<(ObjectRef, &'static str)>,
    /// What is wrong, with file, line and field. An unknown field is passed over; with anything else the object is
    /// left as it was.
    pub faults: Vec<(Place, String)>,
}

/// The manifests that are in force in a store. Applying the next set creates, changes and deletes what differs.
#[derive(Debug, Clone, Default)]
pub struct Applier {
    /// What was applied last, by object.
    known: BTreeMap<ObjectRef, Value>,
    /// It was applied by an earlier process, and not by this one yet.
    resumes: bool,
}

impl Applier {
    /// Goes on where an earlier process has ended, on the store that it left: with what it applied last
    /// ([`Applier::known`]). What was taken out of the manifests meanwhile is deleted; everything that is in them is
    /// applied anew, so that the manifests win over whoever has changed it.
    #[must_use]
    pub fn resume(known: Vec<(ObjectRef, Value)>) -> Self {
        Self { known: known.into_iter().collect(), resumes: true }
    }

    /// What was applied last.
    #[must_use]
    pub fn known(&self) -> Vec<(&ObjectRef, &Value)> {
        self.known.iter().collect()
    }

    /// Makes the manifests what the store holds of them: new objects are created in their order, changed ones
    /// are patched, and those that were applied before and are not there any more are deleted; but nothing is
    /// deleted while a part of the manifests cannot be read. What somebody else deleted comes back with its next
    /// change.
    pub fn apply(&mut self, store: &Store, manifests: &Manifests) -> Applied {
        let mut applied = Applied::default();
        let mut wanted: BTreeMap<ObjectRef, Value> = BTreeMap::new();
        let mut first: BTreeMap<ObjectRef, &Place> = BTreeMap::new();
        for manifest in &manifests.objects {
            let namespaced = store.kinds().of(&manifest.value).is_some_and(|kind| kind.namespaced);
            let reference = if namespaced { manifest.reference_in_cluster() } else { manifest.reference() };
            if let Some(place) = first.insert(reference.clone(), &manifest.place) {
                let message = format!("{reference}: is written at {place} already; only that counts");
                applied.faults.push((manifest.place.clone(), message));
                first.insert(reference, place);
                continue;
            }
            let Some(value) = prepare(store, manifest, &reference, &mut applied.faults) else {
                // If it is in the store, it stays as it was applied before.
                wanted.extend(self.known.get(&reference).map(|before| (reference.clone(), before.clone())));
                continue;
            };
            let result = match self.known.get(&reference) {
                Some(before) if *before == value && !self.resumes => Ok(None),
                Some(before) => match store.apply_patch(&value, difference(before, &value, self.resumes)) {
                    Err(error) if error.code == 404 => store.apply_create(&value).map(Some),
                    result => result.map(|()| (*before != value).then_some("configured")),
                },
                None => store.apply_create(&value).map(Some),
            };
            match result {
                Ok(done) => {
                    applied.done.extend(done.map(|done| (reference.clone(), done)));
                    wanted.insert(reference, value);
                }
                Err(error) => {
                    applied.faults.push((manifest.place.clone(), format!("{reference}: {error}")));
                    // It is in the store as it was applied before.
                    wanted
                        .extend(self.known.get(&reference).map(|before| (reference.clone(), before.clone())));
                }
            }
        }
        let mut kept = BTreeMap::new();
        for (reference, value) in &self.known {
            if wanted.contains_key(reference) {
                continue;
            }
            if !manifests.errors.is_empty() {
                kept.insert(reference.clone(), value.clone());
            } else if store.apply_delete(value).is_ok() {
                applied.done.push((reference.clone(), "deleted"));
            }
        }
        wanted.append(&mut kept);
        self.known = wanted;
        self.resumes = false;
        applied
    }
}

/// The object as it is applied: with a namespace, and without a status. Says what is wrong with it; nothing is
/// left to apply if a value does not fit its field.
fn prepare(
    store: &Store,
    manifest: &Manifest,
    reference: &ObjectRef,
    faults: &mut Vec<(Place, String)>,
) -> Option<Value> {
    let Some(kind) = store.kinds().of(&manifest.value) else {
        let (kind, version) = (&reference.kind, &reference.api_version);
        let message = format!("{reference}: the store does not know {kind} of {version}; it is left out");
        faults.push((manifest.place.clone(), message));
        return None;
    };
    let mut value = manifest.value.clone();
    if kind.namespaced {
        value["metadata"]["namespace"] = json!(&*reference.namespace);
    }
    let mut fits = true;
    for fault in (kind.check)(&value) {
        let place = manifest.locate(&fault.path);
        let message = match &fault.what {
            What::Unknown => {
                format!("{reference}: unknown field {:?}; it is passed over", fault.path.to_string())
            }
            What::Mismatch(_) => {
                fits = false;
                format!("{reference}: {fault}; the object is left out")
            }
        };
        faults.push((place, message));
    }
    let misplaced =
        kind.custom && kind.group != GROUP && value["metadata"]["namespace"] != crate::CONFIG_NAMESPACE;
    if misplaced {
        let namespace = crate::CONFIG_NAMESPACE;
        let message =
            format!("{reference}: metadata.namespace: must be {namespace:?}; elsewhere nobody reads it");
        faults.push((manifest.locate(&crate::schema::FieldPath::parse("metadata.namespace")), message));
    }
    value.as_object_mut().map(|value| value.remove("status"));
    fits.then_some(value)
}

/// The merge patch that leads from one manifest to the next; with `whole` it says all of the next. What others have written
/// beside it stays.
fn difference(before: &Value, after: &Value, whole: bool) -> Value {
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return after.clone() };
    let mut patch = Map::new();
    for (key, value) in after {
        match before.get(key) {
            Some(old) if old == value && !whole => {}
            Some(old) => drop(patch.insert(key.clone(), difference(old, value, whole))),
            None => drop(patch.insert(key.clone(), value.clone())),
        }
    }
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_leads_from_one_to_the_next() {
        let before = json!({"spec": {"a": 1, "b": {"c": 2, "d": 3}, "gone": 4}, "list": [1, 2]});
        let after = json!({"spec": {"a": 1, "b": {"c": 5, "d": 3}}, "list": [1]});
        let patch = difference(&before, &after, false);
        assert_eq!(patch, json!({"spec": {"b": {"c": 5}, "gone": null}, "list": [1]}));
        let patch = difference(&before, &after, true);
        assert_eq!(patch, json!({"spec": {"a": 1, "b": {"c": 5, "d": 3}, "gone": null}, "list": [1]}));
    }
}
