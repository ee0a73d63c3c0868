//! What the store serves, as clients ask before anything else: `/version`, `/api`, `/apis` and what is below them, plain
//! and aggregated (`apidiscovery.k8s.io`).

use serde_json::{Value, json};

use super::definition::definition;
use super::{Kind, Store, openapi};

const JSON: &str = "application/json";
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
/// What can be done with objects of every kind, and with a status.
const VERBS: [&str; 7] = ["create", "delete", "get", "list", "patch", "update", "watch"];
const STATUS_VERBS: [&str; 3] = ["get", "patch", "update"];
/// The version of Kubernetes whose types the store knows.
const VERSION: (&str, &str) = ("1", "33");

impl Store {
    /// What a path that is no object's says about the store, and its content type.
    pub(super) fn about(&self, path: &str, accept: &str) -> Option<(&'static str, Value)> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let kinds: Vec<&Kind> = self.kinds().iter().collect();
        let asks_for_all = accept.split(',').any(|range| {
            ["g=apidiscovery.k8s.io", "v=v2", "as=APIGroupDiscoveryList"]
                .iter()
                .all(|parameter| range.split(';').any(|it| it.trim() == *parameter))
        });
        let of = |group: &str, version: &str| {
            let of = |it: &&&Kind| it.group == group && it.version == version;
            let kinds: Vec<&Kind> = kinds.iter().filter(of).copied().collect();
            (!kinds.is_empty()).then_some(kinds)
        };
        Some(match parts[..] {
            ["version"] => (JSON, version()),
            ["api"] if asks_for_all => (AGGREGATED, aggregated(&kinds, str::is_empty)),
            ["apis"] if asks_for_all => (AGGREGATED, aggregated(&kinds, |group| !group.is_empty())),
            ["api"] => (JSON, json!({"kind": "APIVersions", "versions": ["v1"]})),
            ["apis"] => {
                let groups: Vec<Value> =
                    groups(&kinds).iter().filter(|it| !it.0.is_empty()).map(group).collect();
                (JSON, json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
            }
            ["apis", name] => {
                let all = groups(&kinds);
                let mut group = group(all.iter().find(|it| it.0 == name)?);
                group["kind"] = json!("APIGroup");
                group["apiVersion"] = json!("v1");
                (JSON, group)
            }
            ["api", version] => (JSON, resources(&of("", version)?)),
            ["apis", group, version] => (JSON, resources(&of(group, version)?)),
            ["openapi", "v3"] => (JSON, openapi::index(&kinds)),
            ["openapi", "v3", "api", version] => (JSON, openapi::document(&of("", version)?)),
            ["openapi", "v3", "apis", group, version] => (JSON, openapi::document(&of(group, version)?)),
            _ => return None,
        })
    }
}

impl Kind {
    fn singular(&self) -> String {
        self.kind.to_lowercase()
    }

    /// What people write in place of the plural.
    fn short_names(&self) -> Vec<String> {
        let known: &[&str] = match (self.group.as_str(), self.kind.as_str()) {
            ("", "Namespace") => &["ns"],
            ("", "Node") => &["no"],
            ("", "Service") => &["svc"],
            ("", "ConfigMap") => &["cm"],
            ("", "Pod") => &["po"],
            ("" | "events.k8s.io", "Event") => &["ev"],
            ("apps", "Deployment") => &["deploy"],
            _ => &[],
        };
        let defined = definition(self).and_then(|definition| definition.spec.names.short_names.clone());
        defined.unwrap_or_else(|| known.iter().map(|&name| name.to_owned()).collect())
    }
}

fn version() -> Value {
    let (major, minor) = VERSION;
    let git = format!("v{major}.{minor}.0+lbd-{}", env!("CARGO_PKG_VERSION"));
    json!({
        "major": major, "minor": minor, "gitVersion": git, "gitCommit": "", "gitTreeState": "", "buildDate": "",
        "goVersion": "", "compiler": "rustc", "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// The groups with their versions, in the order in which the kinds were named.
fn groups<'k>(kinds: &[&'k Kind]) -> Vec<(&'k str, Vec<&'k str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for kind in kinds {
        let position = groups.iter().position(|it| it.0 == kind.group).unwrap_or_else(|| {
            groups.push((kind.group.as_str(), Vec::new()));
            groups.len() - 1
        });
        let versions = &mut groups[position].1;
        if !versions.contains(&kind.version.as_str()) {
            versions.push(&kind.version);
        }
    }
    groups
}

fn group((name, versions): &(&str, Vec<&str>)) -> Value {
    let version = |version: &&str| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    let versions: Vec<Value> = versions.iter().map(version).collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions.first()})
}

/// The resources of one version of a group.
fn resources(kinds: &[&Kind]) -> Value {
    let of = |kind: &&Kind| {
        let mut own = json!({
            "name": kind.plural, "singularName": kind.singular(), "namespaced": kind.namespaced,
            "kind": kind.kind, "verbs": VERBS,
        });
        let short_names = kind.short_names();
        if !short_names.is_empty() {
            own["shortNames"] = json!(short_names);
        }
        let status = kind.status.then(|| {
            json!({
                "name": format!("{}/status", kind.plural), "singularName": "", "namespaced": kind.namespaced,
                "kind": kind.kind, "verbs": STATUS_VERBS,
            })
        });
        [own].into_iter().chain(status)
    };
    let resources: Vec<Value> = kinds.iter().flat_map(of).collect();
    let group_version = kinds.first().map(|kind| kind.api_version());
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources})
}

/// All that `/api` or `/apis` has, in one answer.
fn aggregated(kinds: &[&Kind], wanted: fn(&str) -> bool) -> Value {
    let resource = |kind: &&Kind| {
        let response_kind = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
        let mut resource = json!({
            "resource": kind.plural, "singularResource": kind.singular(), "verbs": VERBS,
            "responseKind": response_kind, "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        });
        let short_names = kind.short_names();
        if !short_names.is_empty() {
            resource["shortNames"] = json!(short_names);
        }
        if kind.status {
            resource["subresources"] =
                json!([{"subresource": "status", "verbs": STATUS_VERBS, "responseKind": response_kind}]);
        }
        resource
    };
    let item = |(group, versions): (&str, Vec<&str>)| {
        let version = |version: &&str| {
            let of = kinds.iter().filter(|it| it.group == group && it.version == *version);
            json!({"version": version, "freshness": "Current", "resources": of.map(resource).collect::<Vec<_>>()})
        };
        let versions: Vec<Value> = versions.iter().map(version).collect();
        let name = if group.is_empty() { json!({}) } else { json!({"name": group}) };
        json!({"metadata": name, "versions": versions})
    };
    let items: Vec<Value> = groups(kinds).into_iter().filter(|it| wanted(it.0)).map(item).collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    })
}
