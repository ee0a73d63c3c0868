//! The store as manifests use it, without a request in between.

use serde_json::{Value, json};

use super::decode::FieldValidation;
use super::patch::Patch;
use super::route::Route;
use super::{ApiError, Store};

impl Store {
    /// Makes an object, with its namespace if need be; an object that is there is changed instead.
    pub(crate) fn apply_create(&self, value: &Value) -> Result<&'static str, ApiError> {
        let kind = self.kinds().of(value).expect("the kind was found before");
        let namespace = value["metadata"]["namespace"].as_str();
        if let Some(namespace) = namespace {
            self.ensure_namespace(namespace);
        }
        let namespace = namespace.filter(|_| kind.namespaced);
        match self.create(kind, namespace, value.clone(), FieldValidation::Ignore) {
            Ok(_) => Ok("created"),
            // Somebody made it before: a namespace of every cluster, for instance.
            Err(error) if error.reason == "AlreadyExists" => {
                self.apply_patch(value, value.clone()).map(|()| "configured")
            }
            Err(error) => Err(error),
        }
    }

    /// A user without a cluster need not write a manifest for each namespace.
    pub(super) fn ensure_namespace(&self, name: &str) {
        if let Some(namespaces) = self.kinds().find("", "v1", "Namespace") {
            // It may be there already.
            let namespace = json!({"metadata": {"name": name}});
            let _ = self.create(namespaces, None, namespace, FieldValidation::Ignore);
        }
    }

    /// Changes an object by a merge patch.
    pub(crate) fn apply_patch(&self, object: &Value, patch: Value) -> Result<(), ApiError> {
        self.patch(&self.route_of(object)?, Patch::Merge(patch), FieldValidation::Ignore).map(drop)
    }

    /// Deletes an object.
    pub(crate) fn apply_delete(&self, object: &Value) -> Result<(), ApiError> {
        self.delete(&self.route_of(object)?, &Value::Null).map(drop)
    }

    fn route_of(&self, object: &Value) -> Result<Route<'_>, ApiError> {
        let kind = self.kinds().of(object).ok_or_else(ApiError::no_such_path)?;
        let text = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
        let namespace = text("namespace").filter(|_| kind.namespaced);
        Ok(Route { kind, namespace, name: text("name"), status: false })
    }
}
