//! Get, create, update, patch and delete.

use k8s_openapi::jiff::Timestamp;
use lbcore::ServiceKey;
use serde_json::{Value, json};

use super::decode::FieldValidation;
use super::log::{Key, Stored};
use super::metadata;
use super::patch::Patch;
use super::route::Route;
use super::{ApiError, Kind, State, Store, namespace, service};

impl Store {
    /// Reads one object.
    pub(super) fn get(&self, route: &Route<'_>) -> Result<Stored, ApiError> {
        Ok(route.kind.served_form(&self.state().stored(route)?.1))
    }

    /// Makes an object, with the metadata and defaults that the server gives.
    pub(super) fn create(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        mut object: Value,
        validation: FieldValidation,
    ) -> Result<Stored, ApiError> {
        kind.decode(&mut object, validation)?;
        if metadata::named_version(&object).is_some() {
            return Err(ApiError::internal("resourceVersion should not be set on objects to be created"));
        }
        metadata::check_namespace(&object, namespace)?;
        let mut state = self.state();
        let name = metadata::new_name(&object, state.log.version()).ok_or_else(|| {
            ApiError::invalid(kind, "", "metadata.name: Required value: name or generateName is required")
        })?;
        if let (Some(namespace), Some(namespaces)) = (namespace, self.kinds().find("", "v1", "Namespace"))
            && state.log.get(&namespaces.key(None, namespace)).is_none()
        {
            return Err(ApiError::not_found(namespaces, namespace));
        }
        let key = kind.key(namespace, &name);
        if state.log.get(&key).is_some() {
            return Err(ApiError::already_exists(kind, &name));
        }
        // The real server counts in seconds. Microseconds that never repeat keep the order of creation.
        let moment = state.next_moment().to_string();
        metadata::begin(&mut object, &key, state.log.version(), &moment);
        if kind.custom {
            object["metadata"]["generation"] = json!(1);
        }
        // A kubelet registers its Node with the status; everything else begins without one.
        if kind.status && !kind.is_core("Node") {
            object.as_object_mut().map(|object| object.remove("status"));
        }
        state.fill_in(kind, &mut object, None)?;
        Ok(kind.served_form(&state.log.put(key, object)))
    }

    /// Replaces an object, or its status.
    pub(super) fn update(
        &self,
        route: &Route<'_>,
        mut object: Value,
        validation: FieldValidation,
    ) -> Result<Stored, ApiError> {
        route.kind.decode(&mut object, validation)?;
        let stored = self.state().write(route, object)?;
        Ok(route.kind.served_form(&stored))
    }

    /// Changes an object, or its status.
    pub(super) fn patch(
        &self,
        route: &Route<'_>,
        patch: Patch<'_>,
        validation: FieldValidation,
    ) -> Result<Stored, ApiError> {
        let mut state = self.state();
        let (_, stored) = state.stored(route)?;
        // The stored version is among what is patched: a precondition if the patch names another.
        let mut object = patch.apply(route.kind.served_form(&stored).value())?;
        route
            .kind
            .decode(&mut object, validation)
            .map_err(|error| if error.is_strict() { error.patch_not_strict() } else { error })?;
        let stored = state.write(route, object)?;
        Ok(route.kind.served_form(&stored))
    }

    /// Deletes an object; with finalizers it only begins to.
    pub(super) fn delete(&self, route: &Route<'_>, options: &Value) -> Result<Stored, ApiError> {
        let mut state = self.state();
        let (key, stored) = state.stored(route)?;
        let mut object = stored.value();
        for field in ["uid", "resourceVersion"] {
            let wanted = options["preconditions"][field].as_str();
            if wanted.is_some_and(|wanted| object["metadata"][field].as_str() != Some(wanted)) {
                let why = format!("Precondition failed: {field} does not match");
                return Err(ApiError::conflict(route.kind, &key.name, &why));
            }
        }
        let stored = match (metadata::is_held(&object), metadata::is_going(&object)) {
            (true, true) => stored,
            (true, false) => {
                object["metadata"]["deletionTimestamp"] = json!(state.next_moment().to_string());
                if route.kind.is_core("Namespace") {
                    namespace::fill_in(&mut object);
                }
                state.log.put(key, object)
            }
            (false, _) => state.remove(&key).unwrap_or(stored),
        };
        Ok(route.kind.served_form(&stored))
    }
}

impl State {
    /// The object of a path, and its key.
    fn stored(&self, route: &Route<'_>) -> Result<(Key, Stored), ApiError> {
        let name = route.name.as_deref().unwrap_or_default();
        let key = route.kind.key(route.namespace.as_deref(), name);
        let stored = self.log.get(&key).cloned().ok_or_else(|| ApiError::not_found(route.kind, name))?;
        Ok((key, stored))
    }

    /// Removes an object, a namespace with all that is in it.
    fn remove(&mut self, key: &Key) -> Option<Stored> {
        if key.is_namespace() {
            for inner in self.log.in_namespace(&key.name) {
                self.remove(&inner);
            }
        }
        if key.is_service() {
            self.cluster_ips.release(&ServiceKey::new(key.namespace.as_str(), key.name.as_str()));
        }
        self.log.remove(key)
    }

    /// Writes `object`, as it was decoded, in place of what is there.
    fn write(&mut self, route: &Route<'_>, mut object: Value) -> Result<Stored, ApiError> {
        let kind = route.kind;
        let (key, stored) = self.stored(route)?;
        let before = stored.value();
        metadata::check_identity(route, &object, &before)?;
        metadata::keep_metadata(&mut object, &before);
        if route.status {
            // A status write changes nothing else; of built-in kinds it may change the metadata as well.
            let mut written = before.clone();
            metadata::keep(&mut written, &object, "status");
            if !kind.custom {
                metadata::keep(&mut written, &object, "metadata");
            }
            object = written;
        } else if kind.status {
            metadata::keep(&mut object, &before, "status");
        }
        if kind.custom && object.get("spec") != before.get("spec") {
            let generation = before["metadata"]["generation"].as_i64().unwrap_or(0);
            object["metadata"]["generation"] = json!(generation.saturating_add(1));
        }
        self.fill_in(kind, &mut object, Some(&before))?;
        metadata::keep(&mut object["metadata"], &before["metadata"], "resourceVersion");
        if object == before {
            return Ok(stored);
        }
        if metadata::is_going(&before) && !metadata::is_held(&object) {
            return Ok(self.remove(&key).unwrap_or(stored));
        }
        Ok(self.log.put(key, object))
    }

    /// The last step of every write: what the server fills in for some kinds.
    pub(super) fn fill_in(
        &mut self,
        kind: &Kind,
        object: &mut Value,
        before: Option<&Value>,
    ) -> Result<(), ApiError> {
        if kind.is_core("Service") {
            service::fill_in(kind, object, before, &mut self.cluster_ips)?;
        } else if kind.is_core("Namespace") {
            namespace::fill_in(object);
        }
        Ok(())
    }

    /// Now, and later than every moment given before.
    fn next_moment(&mut self) -> Timestamp {
        let now = Timestamp::now().as_microsecond();
        self.last_moment = now.max(self.last_moment + 1);
        Timestamp::from_microsecond(self.last_moment).unwrap_or_default()
    }
}
