//! Every field of the kinds that are read and written, from their definitions.

use lbk8s::objects::metallb::bgp;
use serde_json::Value;

use super::{Page, code, plain, table};

pub(super) fn page() -> Page {
    let mut tables = String::new();
    for definition in lbk8s::crds::all() {
        let definition = serde_json::to_value(definition).expect("a definition");
        let spec = &definition["spec"];
        for version in spec["versions"].as_array().expect("versions") {
            let schema = &version["schema"]["openAPIV3Schema"];
            let mut rows = Vec::new();
            fields(schema, "", &mut rows);
            let (kind, about) = (text(&spec["names"]["kind"]), text(&schema["description"]));
            let version = format!("{}/{}", text(&spec["group"]), text(&version["name"]));
            let begins = format!("\n## {kind}\n\n`{version}`. {}\n\n", plain(about));
            tables += &begins;
            tables += &table(["field", "type", "default", "meaning"], rows);
        }
    }
    tables += "\n## Of BGP\n\nThat they are there is seen, and reported as `NotServed`; no field of them is read.\n\n";
    let bgp = bgp::KINDS.map(|(kind, version, _)| format!("- `{kind}`, `metallb.io/{version}`\n"));
    tables += &bgp.concat();
    Page {
        file: "kinds.md",
        title: "Kinds and their fields",
        begins: "`lbd crds` prints the definitions themselves. A *selector* is a label selector as everywhere in Kubernetes, with \
                 `matchLabels` and `matchExpressions`; *conditions* are as everywhere too, and [Events and conditions](events.md) \
                 has ours. What is read of Services stands in [Addresses](../addresses.md), and what is written where in [On \
                 Kubernetes](../kubernetes.md#what-is-written-where).",
        tables,
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn fields(schema: &Value, path: &str, rows: &mut Vec<[String; 4]>) {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().map(text).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let default = &field["default"];
        let default = match (required.contains(&name.as_str()), default.is_null()) {
            (_, false) => code(&default.to_string()),
            (true, true) => "required".to_owned(),
            (false, true) => String::new(),
        };
        let meaning = plain(text(&field["description"]));
        // What `spec` and `status` are is told by their fields.
        if !matches!(path.as_str(), "spec" | "status") {
            rows.push([code(&path), kind(field), default, meaning]);
        }
        let items = &field["items"];
        let (within, path) = if items.is_null() { (field, path) } else { (items, format!("{path}[]")) };
        if named(within).is_none() {
            fields(within, &path, rows);
        }
    }
}

/// What is known from Kubernetes, and needs no fields of its own here.
fn named(schema: &Value) -> Option<&'static str> {
    let has = |name: &str| !schema["properties"][name].is_null();
    match () {
        () if has("matchLabels") => Some("selector"),
        () if has("lastTransitionTime") => Some("condition"),
        () => None,
    }
}

fn kind(field: &Value) -> String {
    let items = &field["items"];
    if !items.is_null() {
        return format!("list of {}", kind(items).replace("boolean", "true or false"));
    }
    let of = named(field).unwrap_or_else(|| text(&field["type"]));
    let values: Vec<String> = field["enum"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| code(text(it)))
        .filter(|it| it != "``")
        .collect();
    let bounds = match (field["minimum"].as_f64(), field["maximum"].as_f64()) {
        (Some(low), Some(high)) => format!(", {low} to {high}"),
        _ => String::new(),
    };
    if values.is_empty() { format!("{of}{bounds}") } else { values.join(", ") }
}
