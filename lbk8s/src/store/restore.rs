//! A store that begins with what the last process has left, and keeps what is written into it.

use std::path::Path;

use k8s_openapi::jiff::Timestamp;
use lbcore::ServiceKey;
use serde_json::Value;

use super::keep::Keeper;
use super::kept_files::{Files, KeepError, Left};
use super::log::{Key, Stored};
use super::{ApiError, BOOKMARK_EVERY, Kinds, State, Store};
use crate::objects::annotations::{ALLOCATED_FROM, KEPT};

impl Store {
    /// A store of these kinds that is kept in `folder`, with all that was kept there before. Beside it, what could not be
    /// used of that.
    ///
    /// # Errors
    /// [`KeepError::InUse`]: another process has the folder. Everything else is among the problems, and the store works.
    pub fn kept_in(folder: &Path, kinds: Kinds) -> Result<(Self, Vec<KeepError>), KeepError> {
        let (files, mut problems) = (Files::in_folder(folder), Vec::new());
        let file = match files.open() {
            Ok(file) => Some(file),
            Err(error @ KeepError::InUse(_)) => return Err(error),
            // It is told when the first whole cannot be written.
            Err(_) => None,
        };
        let left = files.read(&mut problems);
        let mut state = State::default();
        state.log.begin_after(left.version);
        for (key, bytes) in left.objects {
            let object = serde_json::from_slice(&bytes).unwrap_or_default();
            if let Err(why) = state.take_back(&kinds, key.clone(), object) {
                let object = format!("{} {}/{}", key.resource, key.namespace, key.name);
                problems.push(KeepError::Object { object, why: why.to_string() });
            }
        }
        let store = Self::of(kinds, state, BOOKMARK_EVERY);
        store.make_namespaces();
        let mut state = store.state();
        let kept = state.log.objects().filter(|(key, _)| key.is_kept());
        let objects = kept.map(|(key, stored)| (key.clone(), stored.bytes.clone())).collect();
        let left = Left { version: state.log.version(), objects };
        let keeper = Keeper::start(files, file, left, &mut problems);
        state.log.keep(keeper);
        drop(state);
        Ok((store, problems))
    }

    /// Waits until all that is in the store now is on disk, if it is kept there at all.
    pub(super) async fn on_disk(&self) -> Result<(), ApiError> {
        let (version, kept) = {
            let state = self.state();
            (state.log.version(), state.log.kept())
        };
        let Some(mut kept) = kept else { return Ok(()) };
        let failed = match kept.wait_for(|kept| kept.version >= version).await {
            Ok(kept) => kept.failed.as_ref().map(ToString::to_string),
            Err(_) => Some("the thread that writes to disk has ended".to_owned()),
        };
        failed.map_or(Ok(()), |why| Err(ApiError::internal(&format!("it is in force, but not kept: {why}"))))
    }
}

impl State {
    /// Puts an object back as it was.
    fn take_back(&mut self, kinds: &Kinds, key: Key, mut object: Value) -> Result<(), ApiError> {
        let kind = kinds.iter().find(|kind| kind.resource() == key.resource);
        let kind = kind.ok_or_else(ApiError::no_such_path)?;
        without_status(&key, &mut object);
        self.fill_in(kind, &mut object, None).inspect_err(|_| {
            self.cluster_ips.release(&ServiceKey::new(key.namespace.as_str(), key.name.as_str()));
        })?;
        let version = object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok());
        let version = version.ok_or_else(|| ApiError::internal("it has no resource version"))?;
        let created = object["metadata"]["creationTimestamp"].as_str().and_then(|text| text.parse().ok());
        let created = created.map_or(0, Timestamp::as_microsecond);
        self.last_moment = self.last_moment.max(created);
        self.log.restore(key, Stored { version, bytes: object.to_string().into() });
        Ok(())
    }
}

impl Key {
    /// Whether lbd says the status anew after a restart.
    pub(super) fn status_is_said_anew(&self) -> bool {
        self.is_service() || self.resource.starts_with("metallb.io/")
    }
}

/// Takes away what lbd says anew: an old status could claim what others hold by now.
pub(super) fn without_status(key: &Key, object: &mut Value) {
    if !key.status_is_said_anew() {
        return;
    }
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if key.is_service()
        && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
        && let Some(Value::Object(annotations)) = metadata.get_mut("annotations")
    {
        for written in [ALLOCATED_FROM, KEPT] {
            annotations.remove(written);
        }
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
}
