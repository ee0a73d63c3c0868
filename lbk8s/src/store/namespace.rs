//! What the API server fills in on Namespaces.

use serde_json::{Value, json};

/// Network policies choose namespaces by this label.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub(super) fn fill_in(object: &mut Value) {
    object["metadata"]["labels"][NAME_LABEL] = object["metadata"]["name"].clone();
    let phase = if super::metadata::is_going(object) { "Terminating" } else { "Active" };
    object["status"]["phase"] = json!(phase);
}
