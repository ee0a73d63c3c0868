//! The schemas of the kinds, as `/openapi/v3` has them: what `kubectl explain` prints, and by what `kubectl apply` sees that
//! the server itself refuses unknown fields.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::Kind;
use super::definition::definition;

/// One document for each version of a group.
pub(super) fn index(kinds: &[&Kind]) -> Value {
    let paths: Map<String, Value> = kinds
        .iter()
        .map(|kind| {
            let path = base(kind).trim_start_matches('/').to_owned();
            let url = json!({"serverRelativeURL": format!("/openapi/v3/{path}")});
            (path, url)
        })
        .collect();
    json!({"paths": paths})
}

/// The document of some kinds of one version.
pub(super) fn document(kinds: &[&Kind]) -> Value {
    let mut generator = SchemaSettings::openapi3().into_generator();
    let mut paths = Map::new();
    let mut own = Map::new();
    for kind in kinds {
        let (name, schema) = match kind.schema {
            Some(schema) => schema(&mut generator),
            None => (custom_name(kind), custom_schema(kind)),
        };
        let mut schema = schema;
        schema["x-kubernetes-group-version-kind"] = json!([identity(kind)]);
        own.insert(name.clone(), schema);
        let place = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
        let many = format!("{}{place}/{}", base(kind), kind.plural);
        paths.insert(format!("{many}/{{name}}"), path(kind, &name, &["get", "put", "patch", "delete"]));
        paths.insert(many, path(kind, &name, &["get", "post"]));
    }
    let mut schemas = generator.take_definitions(true);
    schemas.extend(own);
    json!({
        "openapi": "3.0.0",
        "info": {"title": "lbd", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

fn base(kind: &Kind) -> String {
    let root = if kind.group.is_empty() { "api" } else { "apis" };
    format!("/{root}/{}", kind.api_version())
}

fn identity(kind: &Kind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

fn path(kind: &Kind, schema: &str, methods: &[&str]) -> Value {
    let content = json!({"application/json": {"schema": {"$ref": format!("#/components/schemas/{schema}")}}});
    let operation = |method: &&str| {
        let mut operation = json!({
            "responses": {"200": {"description": "OK", "content": content}},
            "x-kubernetes-group-version-kind": identity(kind),
        });
        if matches!(*method, "post" | "put" | "patch") {
            let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
            operation["parameters"] = json!([parameter("dryRun"), parameter("fieldValidation")]);
        }
        ((*method).to_owned(), operation)
    };
    methods.iter().map(operation).collect::<Map<_, _>>().into()
}

/// As in `io.metallb.v1beta1.IPAddressPool`.
fn custom_name(kind: &Kind) -> String {
    let group: Vec<&str> = kind.group.rsplit('.').collect();
    format!("{}.{}.{}", group.join("."), kind.version, kind.kind)
}

/// The schema of a definition; any object at all if there is none.
fn custom_schema(kind: &Kind) -> Value {
    let versions = definition(kind).map(|definition| definition.spec.versions.as_slice()).unwrap_or_default();
    let version = versions.iter().find(|version| version.name == kind.version);
    let schema = version.and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
    let mut schema = schema.map_or_else(|| json!({"type": "object"}), |schema| json!(schema));
    for (field, of) in [("apiVersion", "string"), ("kind", "string"), ("metadata", "object")] {
        schema["properties"][field] = json!({"type": of});
    }
    schema
}
