//! Get, list, create, update, patch and delete.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::log::{Key, Log, Stored};
use super::route::{Query, Route};
use super::{ApiError, Kind, State, Store, service};

impl Kind {
    /// The name of the resource in the log.
    pub(super) fn resource(&self) -> Arc<str> {
        Arc::from(format!("{}/{}", self.group, self.plural))
    }

    fn key(&self, namespace: Option<&str>, name: &str) -> Key {
        Key {
            resource: self.resource(),
            namespace: namespace.unwrap_or_default().to_owned(),
            name: name.to_owned(),
        }
    }

    fn is_service(&self) -> bool {
        self.group.is_empty() && self.kind == "Service"
    }

    fn is_namespace(&self) -> bool {
        self.group.is_empty() && self.kind == "Namespace"
    }
}

/// The parts of an object's metadata that no writer changes.
const KEPT_METADATA: [&str; 6] =
    ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "generation"];

impl Store {
    /// Reads one object.
    pub(super) fn get(&self, route: &Route<'_>) -> Result<Stored, ApiError> {
        let name = route.name.as_deref().unwrap_or_default();
        let key = route.kind.key(route.namespace.as_deref(), name);
        self.state().log.get(&key).cloned().ok_or_else(|| ApiError::not_found(route.kind, name))
    }

    /// Reads many, a page at a time if a limit is given.
    pub(super) fn list(&self, route: &Route<'_>, query: &Query) -> Result<Bytes, ApiError> {
        let state = self.state();
        let log = &state.log;
        let (version, after) = match &query.next {
            Some(token) => read_token(token, route.kind, log)?,
            None => (log.version(), None),
        };
        if let (true, Some(asked)) = (query.exact, query.resource_version)
            && asked != log.version()
        {
            return Err(ApiError::expired(asked, log.version()));
        }
        let resource = route.kind.resource();
        let mut items = Vec::new();
        let mut next = None;
        for (key, stored) in log.scan(&resource, route.namespace.as_deref(), after.as_ref()) {
            if !query.filter.is_empty() && !query.filter.matches(&stored.value()) {
                continue;
            }
            if query.limit.is_some_and(|limit| items.len() == limit) {
                next = Some(version);
                break;
            }
            items.push((key, stored));
        }
        let mut metadata = json!({"resourceVersion": version.to_string()});
        if let (Some(version), Some((last, _))) = (next, items.last()) {
            metadata["continue"] = json!(format!("{version}/{}/{}", last.namespace, last.name));
        }
        let (kind, api_version) = (&route.kind.kind, route.kind.api_version());
        let head = json!({"kind": format!("{kind}List"), "apiVersion": api_version, "metadata": metadata});
        let mut body = BytesMut::from(head.to_string().trim_end_matches('}'));
        body.put_slice(b"},\"items\":[");
        for (position, (_, stored)) in items.iter().enumerate() {
            if position > 0 {
                body.put_u8(b',');
            }
            body.put_slice(&stored.bytes);
        }
        body.put_slice(b"]}");
        Ok(body.freeze())
    }

    /// Makes an object, with the metadata and defaults that the server gives.
    pub(super) fn create(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        mut object: Value,
    ) -> Result<Stored, ApiError> {
        let mut state = self.state();
        identify(kind, &mut object)?;
        let metadata = &mut object["metadata"];
        if let Some(prefix) = metadata["generateName"].as_str().filter(|_| metadata["name"].is_null()) {
            metadata["name"] = json!(format!("{prefix}{}", suffix(state.log.version())));
        }
        let name = metadata["name"].as_str().unwrap_or_default().to_owned();
        if name.is_empty() {
            return Err(ApiError::invalid(
                kind,
                "",
                "metadata.name: Required value: name or generateName is required",
            ));
        }
        match (namespace, metadata["namespace"].as_str()) {
            (Some(namespace), Some(own)) if namespace != own => {
                let why = format!(
                    "the namespace of the object ({own}) does not match the namespace of the request ({namespace})"
                );
                return Err(ApiError::bad_request(why));
            }
            (Some(namespace), _) => {
                metadata["namespace"] = json!(namespace);
                self.namespace_exists(&state, namespace)?;
            }
            (None, _) => {
                metadata.as_object_mut().map(|metadata| metadata.remove("namespace"));
            }
        }
        let key = kind.key(namespace, &name);
        if state.log.get(&key).is_some() {
            return Err(ApiError::already_exists(kind, &name));
        }
        for given in ["resourceVersion", "deletionTimestamp", "selfLink"] {
            metadata.as_object_mut().map(|metadata| metadata.remove(given));
        }
        // The real server counts in seconds. Microseconds that never repeat keep the order of creation.
        metadata["creationTimestamp"] = json!(state.next_moment().to_string());
        metadata["uid"] = json!(uid(&key, state.log.version()));
        if kind.custom {
            metadata["generation"] = json!(1);
        }
        if kind.status {
            object.as_object_mut().map(|object| object.remove("status"));
        }
        state.finish(kind, &mut object, None)?;
        Ok(state.log.put(key, object))
    }

    /// Replaces an object, or its status.
    pub(super) fn update(&self, route: &Route<'_>, object: Value) -> Result<Stored, ApiError> {
        let mut state = self.state();
        state.write(route, object)
    }

    /// Changes an object, or its status, by a merge patch.
    pub(super) fn patch(&self, route: &Route<'_>, patch: Value) -> Result<Stored, ApiError> {
        let mut state = self.state();
        let name = route.name.as_deref().unwrap_or_default();
        let key = route.kind.key(route.namespace.as_deref(), name);
        let stored = state.log.get(&key).ok_or_else(|| ApiError::not_found(route.kind, name))?;
        let mut object = stored.value();
        // The version is a precondition if the patch names one, and nothing if it does not.
        object["metadata"].as_object_mut().map(|metadata| metadata.remove("resourceVersion"));
        super::patch::merge(&mut object, patch);
        state.write(route, object)
    }

    /// Deletes an object; with finalizers it only begins to.
    pub(super) fn delete(&self, route: &Route<'_>, options: &Value) -> Result<Stored, ApiError> {
        let mut state = self.state();
        let name = route.name.as_deref().unwrap_or_default();
        let key = route.kind.key(route.namespace.as_deref(), name);
        let stored = state.log.get(&key).cloned().ok_or_else(|| ApiError::not_found(route.kind, name))?;
        let mut object = stored.value();
        for field in ["uid", "resourceVersion"] {
            let wanted = options["preconditions"][field].as_str();
            if wanted.is_some_and(|wanted| object["metadata"][field].as_str() != Some(wanted)) {
                let why = format!("Precondition failed: {field} does not match");
                return Err(ApiError::conflict(route.kind, name, &why));
            }
        }
        if finalizers(&object) > 0 {
            if object["metadata"]["deletionTimestamp"].is_null() {
                object["metadata"]["deletionTimestamp"] = json!(state.next_moment().to_string());
                return Ok(state.log.put(key, object));
            }
            return Ok(stored);
        }
        if route.kind.is_namespace() {
            self.empty_namespace(name, &mut state);
        }
        state.remove(route.kind, &key).ok_or_else(|| ApiError::not_found(route.kind, name))
    }

    fn empty_namespace(&self, namespace: &str, state: &mut State) {
        for kind in self.kinds().iter().filter(|kind| kind.namespaced) {
            let keys: Vec<Key> =
                state.log.scan(&kind.resource(), Some(namespace), None).map(|(key, _)| key.clone()).collect();
            for key in keys {
                state.remove(kind, &key);
            }
        }
    }

    fn namespace_exists(&self, state: &State, namespace: &str) -> Result<(), ApiError> {
        let Some(namespaces) = self.kinds().find("", "v1", "Namespace") else { return Ok(()) };
        let found = state.log.get(&namespaces.key(None, namespace)).is_some();
        if found { Ok(()) } else { Err(ApiError::not_found(namespaces, namespace)) }
    }
}

impl State {
    fn remove(&mut self, kind: &Kind, key: &Key) -> Option<Stored> {
        if kind.is_service() {
            self.cluster_ips.release(&key.namespace, &key.name);
        }
        self.log.remove(key)
    }

    /// The last steps of every write: what the server fills in, then whether it is an object of its kind.
    fn finish(&mut self, kind: &Kind, object: &mut Value, before: Option<&Value>) -> Result<(), ApiError> {
        let faults = (kind.check)(object);
        if let Some(fault) =
            faults.iter().find(|fault| matches!(fault.what, crate::schema::What::Mismatch(_)))
        {
            let why = format!("{} in version {:?} cannot be handled: {fault}", kind.kind, kind.api_version());
            return Err(ApiError::bad_request(why));
        }
        if kind.is_service() {
            service::fill_in(kind, object, before, &mut self.cluster_ips)?;
        }
        Ok(())
    }

    fn write(&mut self, route: &Route<'_>, mut object: Value) -> Result<Stored, ApiError> {
        let kind = route.kind;
        let name = route.name.as_deref().unwrap_or_default();
        let key = kind.key(route.namespace.as_deref(), name);
        let stored = self.log.get(&key).cloned().ok_or_else(|| ApiError::not_found(kind, name))?;
        identify(kind, &mut object)?;
        if object["metadata"]["name"].as_str().is_some_and(|own| own != name) {
            return Err(ApiError::bad_request("the name of the object does not match the name on the URL"));
        }
        let asked = object["metadata"]["resourceVersion"].as_str().filter(|text| !matches!(*text, "" | "0"));
        if asked.is_some_and(|asked| asked != stored.version.to_string()) {
            let why =
                "the object has been modified; please apply your changes to the latest version and try again";
            return Err(ApiError::conflict(kind, name, why));
        }
        let before = stored.value();
        if object["metadata"]["uid"]
            .as_str()
            .is_some_and(|uid| Some(uid) != before["metadata"]["uid"].as_str())
        {
            return Err(ApiError::conflict(
                kind,
                name,
                "Precondition failed: UID in precondition does not match",
            ));
        }
        for field in KEPT_METADATA {
            keep(&mut object["metadata"], &before["metadata"], field);
        }
        if route.status {
            // A status write changes nothing else; of built-in kinds it may change the metadata as well.
            let mut written = before.clone();
            written["status"] = object["status"].take();
            if !kind.custom {
                written["metadata"] = object["metadata"].take();
            }
            object = written;
        } else if kind.status {
            keep(&mut object, &before, "status");
        }
        if kind.custom && object.get("spec") != before.get("spec") {
            let generation = before["metadata"]["generation"].as_i64().unwrap_or(0);
            object["metadata"]["generation"] = json!(generation + 1);
        }
        self.finish(kind, &mut object, Some(&before))?;
        object["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
        if object == before {
            return Ok(stored);
        }
        if !before["metadata"]["deletionTimestamp"].is_null() && finalizers(&object) == 0 {
            return self.remove(kind, &key).ok_or_else(|| ApiError::not_found(kind, name));
        }
        Ok(self.log.put(key, object))
    }

    /// Now, and later than every moment given before.
    fn next_moment(&mut self) -> Timestamp {
        let now = Timestamp::now().as_microsecond();
        self.last_moment = now.max(self.last_moment + 1);
        Timestamp::from_microsecond(self.last_moment).unwrap_or_default()
    }
}

/// Checks that the object is of the kind of the path, and says so in it.
fn identify(kind: &Kind, object: &mut Value) -> Result<(), ApiError> {
    if !object.is_object() {
        return Err(ApiError::bad_request("the body is not an object"));
    }
    for (field, expected) in [("apiVersion", kind.api_version()), ("kind", kind.kind.clone())] {
        match object[field].as_str() {
            Some(found) if found != expected => {
                let why = format!("the {field} of the object is {found:?}, that of the path is {expected:?}");
                return Err(ApiError::bad_request(why));
            }
            Some(_) => {}
            None => object[field] = Value::String(expected),
        }
    }
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    Ok(())
}

fn keep(object: &mut Value, before: &Value, field: &str) {
    match (before.get(field), object.as_object_mut()) {
        (Some(value), Some(object)) => drop(object.insert(field.to_owned(), value.clone())),
        (None, Some(object)) => drop(object.remove(field)),
        _ => {}
    }
}

fn finalizers(object: &Value) -> usize {
    object["metadata"]["finalizers"].as_array().map_or(0, Vec::len)
}

/// A continue token is the version of the first page and the last key of this one.
fn read_token(token: &str, kind: &Kind, log: &Log) -> Result<(u64, Option<Key>), ApiError> {
    let mut parts = token.splitn(3, '/');
    let (version, namespace, name) = (parts.next(), parts.next(), parts.next());
    let version: Option<u64> = version.and_then(|version| version.parse().ok());
    let (Some(version), Some(namespace), Some(name)) = (version, namespace, name) else {
        return Err(ApiError::bad_request("continue key is not valid"));
    };
    if version < log.compacted() {
        return Err(ApiError::expired(version, log.compacted()));
    }
    Ok((version, Some(kind.key(Some(namespace), name))))
}

/// Five characters that no other object of this store has.
fn suffix(version: u64) -> String {
    const ALPHABET: [char; 27] = [
        'b', 'c', 'd', 'f', 'g', 'h', 'j', 'k', 'l', 'm', 'n', 'p', 'q', 'r', 's', 't', 'v', 'w', 'x', 'z',
        '2', '4', '5', '6', '7', '8', '9',
    ];
    let digit = |place: u32| ALPHABET[usize::try_from(version / 27_u64.pow(place) % 27).unwrap_or_default()];
    (0..5).rev().map(digit).collect()
}

/// An identifier in the form of a UUID, made of the key and the version at which it came.
fn uid(key: &Key, version: u64) -> String {
    let text = format!("{}/{}/{}", key.resource, key.namespace, key.name);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let version = version + 1;
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{version:012x}",
        hash >> 32,
        (hash >> 16) & 0xffff,
        hash & 0xfff,
        (hash >> 12) & 0xfff
    )
}
