//! The kinds a store is told about.

use k8s_openapi::Resource;
use k8s_openapi::api::{apps::v1 as apps, coordination::v1 as coordination, core::v1 as core};
use k8s_openapi::api::{discovery::v1 as discovery, events::v1 as events};
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::objects::facts::NodeFacts;
use crate::objects::metallb;
use crate::schema::{Fault, check};

/// Makes the name of a schema, and the schema itself.
pub(super) type MakeSchema = fn(&mut SchemaGenerator) -> (String, Value);

/// A kind of object, and how the API serves it.
#[derive(Debug, Clone)]
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version within the group.
    pub version: String,
    /// The kind's name, as in `kind:`.
    pub kind: String,
    /// The name in paths.
    pub plural: String,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Whether the status is written by a subresource of its own.
    pub status: bool,
    /// Whether it is defined by a CRD: then a status write leaves the metadata alone, and `metadata.generation`
    /// counts the changes of the rest.
    pub custom: bool,
    /// What is wrong with an object of this kind.
    pub check: fn(&Value) -> Vec<Fault>,
    /// Its name among schemas, and its schema; that of a custom kind is in its definition.
    pub(super) schema: Option<MakeSchema>,
}

impl Kind {
    /// A kind of the Kubernetes API itself.
    fn builtin<T>(namespaced: bool, status: bool) -> Self
    where
        T: Resource + DeserializeOwned + JsonSchema,
    {
        Self {
            group: T::GROUP.to_owned(),
            version: T::VERSION.to_owned(),
            kind: T::KIND.to_owned(),
            plural: T::URL_PATH_SEGMENT.to_owned(),
            namespaced,
            status,
            custom: false,
            check: check::<T>,
            schema: Some(schema::<T>),
        }
    }

    /// A kind that a CRD defines; objects live in namespaces.
    #[must_use]
    pub fn custom<T>(status: bool) -> Self
    where
        T: kube::Resource<DynamicType = ()> + DeserializeOwned,
    {
        Self {
            group: T::group(&()).into_owned(),
            version: T::version(&()).into_owned(),
            kind: T::kind(&()).into_owned(),
            plural: T::plural(&()).into_owned(),
            namespaced: true,
            status,
            custom: true,
            check: check::<T>,
            schema: None,
        }
    }

    /// A kind of the core group.
    pub(super) fn is_core(&self, kind: &str) -> bool {
        self.group.is_empty() && self.kind == kind
    }

    /// Whether who deletes an object is given its last form.
    pub(super) fn returns_deleted(&self) -> bool {
        ["Namespace", "Pod", "Service"].into_iter().any(|kind| self.is_core(kind))
    }

    /// Whether it may be replaced by one who does not say which version is meant.
    pub(super) fn allows_unconditional_update(&self) -> bool {
        !self.custom && self.kind != "Lease"
    }

    /// `v1`, or `metallb.io/v1beta1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `Service`, or `IPAddressPool.metallb.io`: how the API server names it that says what is wrong with one.
    pub(super) fn kind_and_group(&self) -> String {
        if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// `services`, or `ipaddresspools.metallb.io`: how error messages name it.
    #[must_use]
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }
}

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> (String, Value) {
    // Types that it refers to become definitions of the generator.
    (T::schema_name().into_owned(), T::json_schema(generator).to_value())
}

/// The kinds that a store knows.
#[derive(Debug, Clone)]
pub struct Kinds(Vec<Kind>);

impl Default for Kinds {
    /// What this project reads and writes, and what its users' manifests contain beside it.
    fn default() -> Self {
        Self(vec![
            Kind::builtin::<core::Namespace>(false, true),
            Kind::builtin::<core::Node>(false, true),
            Kind::builtin::<core::Service>(true, true),
            Kind::builtin::<core::ConfigMap>(true, false),
            Kind::builtin::<core::Pod>(true, true),
            Kind::builtin::<core::Secret>(true, false),
            Kind::builtin::<core::Event>(true, false),
            Kind::builtin::<apps::Deployment>(true, true),
            Kind::builtin::<coordination::Lease>(true, false),
            Kind::builtin::<discovery::EndpointSlice>(true, false),
            Kind::builtin::<events::Event>(true, false),
            Kind::custom::<metallb::IPAddressPool>(true),
            Kind::custom::<metallb::L2Advertisement>(true),
            Kind::custom::<metallb::ServiceL2Status>(true),
            Kind::custom::<metallb::ConfigurationState>(true),
            Kind::custom::<NodeFacts>(false),
        ])
    }
}

impl Kinds {
    /// Adds a kind, in place of one with the same group, version and name.
    #[must_use]
    pub fn with(mut self, kind: Kind) -> Self {
        self.0.retain(|known| {
            (&known.group, &known.version, &known.kind) != (&kind.group, &kind.version, &kind.kind)
        });
        self.0.push(kind);
        self
    }

    /// The kind with this name.
    #[must_use]
    pub fn find(&self, group: &str, version: &str, kind: &str) -> Option<&Kind> {
        self.0.iter().find(|known| known.group == group && known.version == version && known.kind == kind)
    }

    /// The kind that an object says it is of.
    #[must_use]
    pub fn of(&self, object: &Value) -> Option<&Kind> {
        let api_version = object.get("apiVersion")?.as_str()?;
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        self.find(group, version, object.get("kind")?.as_str()?)
    }

    pub(super) fn by_path(&self, group: &str, version: &str, plural: &str) -> Option<&Kind> {
        self.0.iter().find(|known| known.group == group && known.version == version && known.plural == plural)
    }

    /// All kinds.
    pub fn iter(&self) -> impl Iterator<Item = &Kind> {
        self.0.iter()
    }
}
