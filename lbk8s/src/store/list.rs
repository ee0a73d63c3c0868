//! Lists, whole and in pages.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::json;

use super::log::{Key, Stored};
use super::route::{Query, Route};
use super::table::{Form, Tabulator};
use super::{ApiError, Kind, Store};

impl Store {
    /// Reads many, a page at a time if a limit is given. All pages show the state at the version of the first:
    /// only so can a watch go on from there.
    pub(super) fn list(&self, route: &Route<'_>, query: &Query) -> Result<Bytes, ApiError> {
        let state = self.state();
        let log = &state.log;
        let (version, after) = match &query.next {
            Some(token) => read_token(token, route.kind)?,
            None => (query.resource_version.filter(|_| query.exact).unwrap_or(log.version()), None),
        };
        if version > log.version() {
            return Err(ApiError::too_large_version(version, log.version()));
        }
        let objects = log
            .at(version, &route.kind.resource(), route.namespace.as_deref(), after.as_ref())
            .ok_or_else(|| ApiError::expired(version, log.compacted()))?;
        let shown = objects
            .into_iter()
            .map(|(key, stored)| (key, route.kind.served_form(stored)))
            .filter(|(_, stored)| query.filter.is_empty() || query.filter.matches(&stored.value()));
        let mut items: Vec<(&Key, Stored)> = Vec::new();
        let mut metadata = json!({"resourceVersion": version.to_string()});
        for item in shown {
            if query.limit == Some(items.len())
                && let Some((last, _)) = items.last()
            {
                metadata["continue"] = json!(format!("{version}/{}/{}", last.namespace, last.name));
                break;
            }
            items.push(item);
        }
        let items = items.into_iter().map(|(_, stored)| stored).collect::<Vec<_>>();
        if let Form::Table(include) = query.form {
            let table = Tabulator::new(route.kind, include).table(&metadata, &items);
            return Ok(Bytes::from(table.to_string()));
        }
        let (kind, api_version) = (&route.kind.kind, route.kind.api_version());
        let head = json!({"kind": format!("{kind}List"), "apiVersion": api_version, "metadata": metadata});
        let mut body = BytesMut::from(head.to_string().trim_end_matches('}'));
        body.put_slice(b"},\"items\":[");
        for (position, stored) in items.iter().enumerate() {
            if position > 0 {
                body.put_u8(b',');
            }
            body.put_slice(&stored.bytes);
        }
        body.put_slice(b"]}");
        Ok(body.freeze())
    }
}

/// A continue token is the version of the first page and the last key of this one.
fn read_token(token: &str, kind: &Kind) -> Result<(u64, Option<Key>), ApiError> {
    let mut parts = token.splitn(3, '/');
    let (version, namespace, name) = (parts.next(), parts.next(), parts.next());
    let version: Option<u64> = version.and_then(|version| version.parse().ok());
    let (Some(version), Some(namespace), Some(name)) = (version, namespace, name) else {
        return Err(ApiError::bad_request("continue key is not valid"));
    };
    Ok((version, Some(kind.key(Some(namespace), name))))
}
