//! Events live in two API groups: the core group and `events.k8s.io` serve the same objects under two names for
//! some of the fields. The core form is the stored one.

use bytes::Bytes;
use serde_json::{Value, json};

use super::Kind;
use super::log::Stored;

const NEW_GROUP: &str = "events.k8s.io";

/// The fields that differ, in the core group and in `events.k8s.io/v1`.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

impl Kind {
    /// The group that this kind's objects are stored under.
    pub(super) fn store_group(&self) -> &str {
        if self.is_new_event() { "" } else { &self.group }
    }

    /// Turns an object of this kind into the stored form.
    pub(super) fn store_form(&self, object: &mut Value) {
        if self.is_new_event() {
            for (core, new) in NAMES {
                rename(object, new, core);
            }
            object["apiVersion"] = json!("v1");
        }
    }

    /// A stored object as this kind shows it.
    pub(super) fn served_form(&self, stored: &Stored) -> Stored {
        if !self.is_new_event() {
            return stored.clone();
        }
        let mut object = stored.value();
        for (core, new) in NAMES {
            rename(&mut object, core, new);
        }
        object["apiVersion"] = json!(self.api_version());
        Stored { version: stored.version, bytes: Bytes::from(object.to_string()) }
    }

    fn is_new_event(&self) -> bool {
        self.group == NEW_GROUP && self.kind == "Event"
    }
}

fn rename(object: &mut Value, from: &str, to: &str) {
    if let Some(fields) = object.as_object_mut()
        && let Some(value) = fields.remove(from)
    {
        fields.insert(to.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Kinds;

    #[test]
    fn nothing_is_lost_between_the_groups() {
        let kinds = Kinds::default();
        let kind = kinds.find(NEW_GROUP, "v1", "Event").unwrap();
        let own = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "note": "n", "reason": "r", "deprecatedCount": 3,
            "regarding": {"name": "web"}, "deprecatedSource": {"component": "c"}, "reportingInstance": "i",
        });
        let mut stored = own.clone();
        kind.store_form(&mut stored);
        assert_eq!((&stored["message"], &stored["involvedObject"]["name"]), (&json!("n"), &json!("web")));
        assert_eq!((&stored["apiVersion"], &stored["source"]["component"]), (&json!("v1"), &json!("c")));
        let stored = Stored { version: 1, bytes: Bytes::from(stored.to_string()) };
        assert_eq!(kind.served_form(&stored).value(), own);
    }
}
