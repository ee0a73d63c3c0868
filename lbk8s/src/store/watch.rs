//! The stream of changes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::answer::Body;
use super::log::{Change, Stored};
use super::route::{Query, Route};
use super::selector::Filter;
use super::table::{Form, Tabulator};
use super::{ApiError, Kind, Store};

/// How long a watch lives if the client says nothing.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);

struct Watch {
    store: Store,
    changed: watch::Receiver<u64>,
    kind: Kind,
    resource: Arc<str>,
    namespace: Option<String>,
    filter: Filter,
    /// For those who want rows and not objects.
    rows: Option<Rows>,
    /// All changes up to this version have been looked at.
    seen: u64,
    ready: VecDeque<Bytes>,
    bookmark: Option<Value>,
    next_bookmark: Instant,
    end: Instant,
    over: bool,
}

impl Store {
    /// Follows a resource from the version asked for; without one, from what is there now.
    pub(super) fn watch(&self, route: &Route<'_>, query: &Query) -> Body {
        let state = self.state();
        let log = &state.log;
        let resource = route.kind.resource();
        let mut rows = match query.form {
            Form::Object => None,
            Form::Table(include) => {
                Some(Rows { tabulator: Tabulator::new(route.kind, include), begun: false })
            }
        };
        let mut ready = VecDeque::new();
        let from_now = query.initial_events || query.resource_version.unwrap_or(0) == 0;
        let seen = if from_now { log.version() } else { query.resource_version.unwrap_or(0) };
        if from_now {
            for (_, stored) in log.scan(&resource, route.namespace.as_deref(), None) {
                let stored = route.kind.served_form(stored);
                if query.filter.is_empty() || query.filter.matches(&stored.value()) {
                    ready.push_back(line("ADDED", &shown(&mut rows, stored)));
                }
            }
        }
        let bookmark =
            json!({"kind": route.kind.kind, "apiVersion": route.kind.api_version(), "metadata": {}});
        if query.initial_events && query.bookmarks {
            let mut end = bookmark.clone();
            end["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
            ready.push_back(bookmark_line(&mut rows, end, seen));
        }
        let now = Instant::now();
        let watch = Watch {
            store: self.clone(),
            changed: log.subscribe(),
            kind: route.kind.clone(),
            resource,
            namespace: route.namespace.clone(),
            filter: query.filter.clone(),
            rows,
            seen,
            ready,
            bookmark: query.bookmarks.then_some(bookmark),
            next_bookmark: now + self.0.bookmark_every,
            end: now + query.timeout.unwrap_or(DEFAULT_TIMEOUT),
            over: false,
        };
        let frames = stream::unfold(watch, |mut watch| async move {
            let bytes = watch.next().await?;
            Some((Ok::<_, Infallible>(Frame::data(bytes)), watch))
        });
        StreamBody::new(frames).boxed_unsync()
    }
}

impl Watch {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if self.over {
                return None;
            }
            self.changed.mark_unchanged();
            self.look();
            // Under steady changes the wait below never comes to its end.
            if Instant::now() >= self.end && !self.over {
                self.say_bookmark();
                self.over = true;
            }
            if self.over || !self.ready.is_empty() {
                continue;
            }
            tokio::select! {
                changed = self.changed.changed() => self.over |= changed.is_err(),
                () = sleep_until(self.next_bookmark), if self.bookmark.is_some() => self.say_bookmark(),
                () = sleep_until(self.end) => {}
            }
        }
    }

    /// Takes in the changes since the last look.
    fn look(&mut self) {
        let state = self.store.state();
        let Some(changes) = state.log.since(self.seen) else {
            // The real server tells of it inside the stream, and ends it.
            let gone = ApiError::expired(self.seen, state.log.compacted()).status();
            self.ready.push_back(line("ERROR", &Bytes::from(gone.to_string())));
            self.over = true;
            return;
        };
        for change in changes {
            let ours = change.key.resource == self.resource
                && self.namespace.as_ref().is_none_or(|namespace| change.key.namespace == *namespace);
            if ours && let Some((kind, object)) = told(change, &self.kind, &self.filter) {
                self.ready.push_back(line(kind, &shown(&mut self.rows, object)));
            }
            self.seen = change.version;
        }
    }

    fn say_bookmark(&mut self) {
        self.next_bookmark = Instant::now() + self.store.0.bookmark_every;
        if let Some(bookmark) = self.bookmark.clone() {
            self.ready.push_back(bookmark_line(&mut self.rows, bookmark, self.seen));
        }
    }
}

/// What a watch with `filter` is told of a change: an object that comes to match is added, one that ceases to
/// is deleted, in the last form that matched and under the version of the change.
fn told(change: &Change, kind: &Kind, filter: &Filter) -> Option<(&'static str, Stored)> {
    let matches = |stored: &Stored| filter.is_empty() || filter.matches(&stored.value());
    let before = change.before.as_ref().map(|before| kind.served_form(before)).filter(matches);
    let after = Some(kind.served_form(&change.after)).filter(|after| !change.deleted && matches(after));
    match (before, after) {
        (None, None) => None,
        (None, Some(after)) => Some(("ADDED", after)),
        (Some(_), Some(after)) => Some(("MODIFIED", after)),
        (Some(before), None) => {
            let mut last = before.value();
            last["metadata"]["resourceVersion"] = json!(change.version.to_string());
            Some(("DELETED", Stored { version: change.version, bytes: Bytes::from(last.to_string()) }))
        }
    }
}

/// The rows of a watch. The first table has the columns, and holds for all that follow.
struct Rows {
    tabulator: Tabulator,
    begun: bool,
}

impl Rows {
    fn table(&mut self, mut table: Value) -> Bytes {
        if std::mem::replace(&mut self.begun, true) {
            table["columnDefinitions"] = Value::Null;
        }
        Bytes::from(table.to_string())
    }
}

/// An object as the watch shows it.
fn shown(rows: &mut Option<Rows>, stored: Stored) -> Bytes {
    match rows {
        None => stored.bytes,
        Some(rows) => {
            let table = rows.tabulator.one(&stored);
            rows.table(table)
        }
    }
}

fn line(kind: &str, object: &Bytes) -> Bytes {
    let mut line = BytesMut::with_capacity(object.len() + 40);
    line.put_slice(format!("{{\"type\":\"{kind}\",\"object\":").as_bytes());
    line.put_slice(object);
    line.put_slice(b"}\n");
    line.freeze()
}

fn bookmark_line(rows: &mut Option<Rows>, mut bookmark: Value, version: u64) -> Bytes {
    bookmark["metadata"]["resourceVersion"] = json!(version.to_string());
    let bytes = match rows {
        None => Bytes::from(bookmark.to_string()),
        Some(rows) => {
            // The real server makes a row of it, too.
            let table = rows.tabulator.one(&Stored { version, bytes: Bytes::from(bookmark.to_string()) });
            rows.table(table)
        }
    };
    line("BOOKMARK", &bytes)
}
