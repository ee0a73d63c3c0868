//! The columns by which tables show each kind: the API server's own for built-in kinds
//! (`pkg/printers/internalversion`), those of its definition for a custom one.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::ago::ago;
use super::definition::definition;
use super::{Kind, json_path};

/// A column of a table.
pub(super) struct Column {
    pub(super) name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub(super) form: String,
    pub(super) format: &'static str,
    pub(super) description: String,
    /// Zero for those that are always shown; others belong to the wide form.
    pub(super) priority: i32,
    cell: Cell,
}

enum Cell {
    Of(fn(&Value, Timestamp) -> Value),
    At(String),
}

impl Column {
    fn new(name: &str, form: &str, priority: i32, cell: fn(&Value, Timestamp) -> Value) -> Self {
        let (name, form, description) = (name.to_owned(), form.to_owned(), String::new());
        Self { name, form, format: "", description, priority, cell: Cell::Of(cell) }
    }

    /// What the column says of an object in its stored form.
    pub(super) fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let path = match &self.cell {
            Cell::Of(cell) => return cell(object, now),
            Cell::At(path) => path,
        };
        let Some(value) = json_path::first(object, path) else { return Value::Null };
        match (self.form.as_str(), value) {
            ("string", Value::String(text)) => json!(text),
            ("string", value) => json!(value.to_string()),
            ("date", time) => json!(ago(time, now)),
            ("integer", Value::Number(number)) => json!(number.as_i64()),
            ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
            _ => Value::Null,
        }
    }
}

const NONE: &str = "<none>";

/// The columns of a kind, in their order.
pub(super) fn columns(kind: &Kind) -> Vec<Column> {
    let text = |name: &str, cell| Column::new(name, "string", 0, cell);
    let wide = |name: &str, cell| Column::new(name, "string", 1, cell);
    let between: Vec<Column> = match kind.kind.as_str() {
        "Event" => return events(),
        _ if kind.custom => return custom(kind),
        "Service" => vec![
            text("Type", |it, _| or(&it["spec"]["type"], "")),
            text("Cluster-IP", |it, _| or(&it["spec"]["clusterIPs"][0], NONE)),
            text("External-IP", |it, _| json!(external(it))),
            text("Port(s)", |it, _| json!(ports(&it["spec"]["ports"]))),
        ],
        "Node" => {
            vec![text("Status", |it, _| json!(node_status(it))), text("Roles", |it, _| json!(roles(it)))]
        }
        "Namespace" => vec![text("Status", |it, _| or(&it["status"]["phase"], ""))],
        "ConfigMap" => vec![text("Data", |it, _| json!(size(&it["data"]) + size(&it["binaryData"])))],
        "Secret" => vec![
            text("Type", |it, _| or(&it["type"], "Opaque")),
            text("Data", |it, _| json!(size(&it["data"]))),
        ],
        "EndpointSlice" => vec![
            text("AddressType", |it, _| or(&it["addressType"], UNSET)),
            text("Ports", |it, _| json!(a_few(entries(&it["ports"]).map(port)))),
            text("Endpoints", |it, _| {
                json!(a_few(entries(&it["endpoints"]).flat_map(|it| entries(&it["addresses"])).map(plain)))
            }),
        ],
        "Lease" => vec![text("Holder", |it, _| or(&it["spec"]["holderIdentity"], ""))],
        _ => Vec::new(),
    };
    let behind = match kind.kind.as_str() {
        "Service" => vec![wide("Selector", |it, _| json!(labels(&it["spec"]["selector"])))],
        "Node" => vec![
            text("Version", |it, _| or(&it["status"]["nodeInfo"]["kubeletVersion"], "")),
            wide("Internal-IP", |it, _| json!(node_address(it, "InternalIP"))),
            wide("External-IP", |it, _| json!(node_address(it, "ExternalIP"))),
            wide("OS-Image", |it, _| or(&it["status"]["nodeInfo"]["osImage"], UNKNOWN)),
            wide("Kernel-Version", |it, _| or(&it["status"]["nodeInfo"]["kernelVersion"], UNKNOWN)),
            wide("Container-Runtime", |it, _| {
                or(&it["status"]["nodeInfo"]["containerRuntimeVersion"], UNKNOWN)
            }),
        ],
        _ => Vec::new(),
    };
    let age = text("Age", |it, now| json!(ago(&it["metadata"]["creationTimestamp"], now)));
    [name()].into_iter().chain(between).chain([age]).chain(behind).collect()
}

fn name() -> Column {
    Column { format: "name", ..Column::new("Name", "string", 0, |it, _| or(&it["metadata"]["name"], "")) }
}

/// The columns of a definition, behind the name; the age alone if it has none.
fn custom(kind: &Kind) -> Vec<Column> {
    let age = || Column {
        form: "date".to_owned(),
        ..Column::new("Age", "date", 0, |it, now| json!(ago(&it["metadata"]["creationTimestamp"], now)))
    };
    let versions = definition(kind).map(|definition| definition.spec.versions.as_slice()).unwrap_or_default();
    let version = versions.iter().find(|version| version.name == kind.version);
    let Some(own) = version.and_then(|version| version.additional_printer_columns.as_ref()) else {
        return vec![name(), age()];
    };
    let own = own.iter().map(|column| Column {
        name: column.name.clone(),
        form: column.type_.clone(),
        format: "",
        description: column.description.clone().unwrap_or_else(|| {
            format!("Custom resource definition column (in JSONPath format): {}", column.json_path)
        }),
        priority: column.priority.unwrap_or_default(),
        cell: Cell::At(column.json_path.clone()),
    });
    [name()].into_iter().chain(own).collect()
}

fn events() -> Vec<Column> {
    let text = |name: &str, cell| Column::new(name, "string", 0, cell);
    let wide = |name: &str, cell| Column::new(name, "string", 1, cell);
    vec![
        text("Last Seen", |it, now| json!(last_seen(it, now))),
        text("Type", |it, _| or(&it["type"], "")),
        text("Reason", |it, _| or(&it["reason"], "")),
        text("Object", |it, _| json!(target(&it["involvedObject"]))),
        wide("Subobject", |it, _| or(&it["involvedObject"]["fieldPath"], "")),
        wide("Source", |it, _| json!(source(it))),
        text("Message", |it, _| json!(it["message"].as_str().unwrap_or_default().trim())),
        wide("First Seen", |it, now| json!(first_seen(it, now))),
        wide("Count", |it, _| json!(times(it))),
        Column { priority: 1, ..name() },
    ]
}

const UNKNOWN: &str = "<unknown>";
const UNSET: &str = "<unset>";

/// The text, or what stands for an empty one.
fn or(value: &Value, empty: &str) -> Value {
    json!(value.as_str().filter(|text| !text.is_empty()).unwrap_or(empty))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn entries(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn size(map: &Value) -> usize {
    map.as_object().map_or(0, Map::len)
}

fn joined(texts: impl IntoIterator<Item = String>, empty: &str) -> String {
    let joined = texts.into_iter().collect::<Vec<_>>().join(",");
    if joined.is_empty() { empty.to_owned() } else { joined }
}

fn labels(map: &Value) -> String {
    let pairs = map.as_object().into_iter().flatten();
    joined(pairs.map(|(key, value)| format!("{key}={}", plain(value))), NONE)
}

/// How a Service is reached from outside.
fn external(service: &Value) -> String {
    let spec = &service["spec"];
    let external = entries(&spec["externalIPs"]).map(plain);
    match spec["type"].as_str().unwrap_or_default() {
        "ExternalName" => plain(&spec["externalName"]),
        "LoadBalancer" => {
            let ingress = entries(&service["status"]["loadBalancer"]["ingress"]);
            let shown = ingress.filter_map(|it| it["ip"].as_str().or_else(|| it["hostname"].as_str()));
            let shown: BTreeSet<String> = shown.map(str::to_owned).collect();
            joined(shown.into_iter().chain(external), "<pending>")
        }
        _ => joined(external, NONE),
    }
}

fn ports(ports: &Value) -> String {
    let port = |it: &Value| match it["nodePort"].as_i64() {
        Some(node_port) if node_port > 0 => format!("{}:{node_port}/{}", it["port"], plain(&it["protocol"])),
        _ => format!("{}/{}", it["port"], plain(&it["protocol"])),
    };
    joined(entries(ports).map(port), NONE)
}

fn port(port: &Value) -> String {
    let number = port["port"].as_i64().map(|number| number.to_string());
    number.or_else(|| port["name"].as_str().map(str::to_owned)).unwrap_or_else(|| "*".to_owned())
}

/// The first three, and how many more there are.
fn a_few(all: impl Iterator<Item = String>) -> String {
    const FEW: usize = 3;
    let all: Vec<String> = all.collect();
    let few = joined(all.iter().take(FEW).cloned(), UNSET);
    if all.len() > FEW { format!("{few} + {} more...", all.len() - FEW) } else { few }
}

fn node_status(node: &Value) -> String {
    let ready = entries(&node["status"]["conditions"]).find(|condition| condition["type"] == "Ready");
    let ready = match ready.map(|ready| &ready["status"]) {
        None => "Unknown",
        Some(status) if *status == "True" => "Ready",
        Some(_) => "NotReady",
    };
    let closed = node["spec"]["unschedulable"] == true;
    format!("{ready}{}", if closed { ",SchedulingDisabled" } else { "" })
}

fn roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object().into_iter().flatten();
    let roles: BTreeSet<String> = labels
        .filter_map(|(label, value)| match label.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role.to_owned()),
            None => (label == "kubernetes.io/role").then(|| plain(value)),
        })
        .filter(|role| !role.is_empty())
        .collect();
    joined(roles, NONE)
}

fn node_address(node: &Value, form: &str) -> String {
    let address = entries(&node["status"]["addresses"]).find(|address| address["type"] == form);
    address.map_or_else(|| NONE.to_owned(), |address| plain(&address["address"]))
}

fn target(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
    match object["name"].as_str() {
        Some(name) if !name.is_empty() => format!("{kind}/{name}"),
        _ => kind,
    }
}

fn source(event: &Value) -> String {
    let first = |one: &Value, other: &Value| {
        let texts = [one, other].into_iter().filter_map(Value::as_str);
        texts.map(str::to_owned).find(|text| !text.is_empty())
    };
    let component = first(&event["source"]["component"], &event["reportingComponent"]);
    let host = first(&event["source"]["host"], &event["reportingInstance"]);
    [component.unwrap_or_default()].into_iter().chain(host).collect::<Vec<_>>().join(", ")
}

fn first_seen(event: &Value, now: Timestamp) -> String {
    let time = if event["firstTimestamp"].is_string() { "firstTimestamp" } else { "eventTime" };
    ago(&event[time], now)
}

fn last_seen(event: &Value, now: Timestamp) -> String {
    let (series, last) = (&event["series"]["lastObservedTime"], &event["lastTimestamp"]);
    let told = [series, last].into_iter().find(|time| time.is_string());
    told.map_or_else(|| first_seen(event, now), |time| ago(time, now))
}

/// What is told once has no count.
fn times(event: &Value) -> i64 {
    let told = [&event["series"]["count"], &event["count"]];
    told.into_iter().filter_map(Value::as_i64).find(|count| *count > 0).unwrap_or(1)
}
