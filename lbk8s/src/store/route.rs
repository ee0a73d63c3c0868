//! A request's path and query.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;

use super::decode::FieldValidation;
use super::selector::Filter;
use super::table::{Form, Include};
use super::{ApiError, Kind, Kinds, Verb};

/// What a request is about.
#[derive(Debug, Clone)]
pub(super) struct Route<'k> {
    pub(super) kind: &'k Kind,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    /// The status subresource and not the object.
    pub(super) status: bool,
}

impl<'k> Route<'k> {
    /// `/api/v1/namespaces/NS/services/NAME/status`, `/apis/GROUP/VERSION/...`, and so on.
    pub(super) fn parse(kinds: &'k Kinds, path: &str) -> Result<Self, ApiError> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (group, version, rest) = match parts[..] {
            ["api", version, ref rest @ ..] => ("", version, rest),
            ["apis", group, version, ref rest @ ..] => (group, version, rest),
            _ => return Err(ApiError::no_such_path()),
        };
        let kind = |plural: &str| kinds.by_path(group, version, plural).ok_or_else(ApiError::no_such_path);
        // `namespaces/NAME` is a Namespace itself; with a third part it is the place of something else.
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !matches!(rest, [] | ["status"]) => {
                (Some((*namespace).to_owned()), rest)
            }
            rest => (None, rest),
        };
        let (kind, name, status) = match *rest {
            [plural] => (kind(plural)?, None, false),
            [plural, name] => (kind(plural)?, Some(name.to_owned()), false),
            [plural, name, "status"] => (kind(plural)?, Some(name.to_owned()), true),
            _ => return Err(ApiError::no_such_path()),
        };
        let misplaced = namespace.is_some() && !kind.namespaced
            || name.is_some() && namespace.is_none() && kind.namespaced
            || status && !kind.status;
        if misplaced { Err(ApiError::no_such_path()) } else { Ok(Self { kind, namespace, name, status }) }
    }

    /// The verb that a method means here.
    pub(super) fn verb(&self, method: &Method, query: &Query) -> Result<Verb, ApiError> {
        match (method, self.name.is_some()) {
            (&Method::GET, false) if query.watch => Ok(Verb::Watch),
            (&Method::GET, false) => Ok(Verb::List),
            (&Method::GET, true) => Ok(Verb::Get),
            (&Method::POST, false) if self.namespace.is_some() == self.kind.namespaced => Ok(Verb::Create),
            (&Method::PUT, true) => Ok(Verb::Update),
            (&Method::PATCH, true) => Ok(Verb::Patch),
            (&Method::DELETE, true) if !self.status => Ok(Verb::Delete),
            _ => Err(ApiError::method(method)),
        }
    }

    /// How faults and counts name the target: `services`, `services/status`.
    pub(super) fn resource(&self) -> String {
        if self.status { format!("{}/status", self.kind.plural) } else { self.kind.plural.clone() }
    }
}

/// The query of a request, as far as the store knows it.
#[expect(clippy::struct_excessive_bools, reason = "they are the query's flags, each by itself")]
#[derive(Debug, Clone, Default)]
pub(super) struct Query {
    pub(super) watch: bool,
    pub(super) bookmarks: bool,
    /// Begin a watch with what is there, and say when that is through.
    pub(super) initial_events: bool,
    pub(super) resource_version: Option<u64>,
    /// Only exactly that version will do.
    pub(super) exact: bool,
    pub(super) limit: Option<usize>,
    pub(super) next: Option<String>,
    pub(super) timeout: Option<Duration>,
    pub(super) field_validation: FieldValidation,
    pub(super) dry_run: bool,
    pub(super) filter: Filter,
    pub(super) form: Form,
}

impl Query {
    /// The query, with the form that the `Accept` header asks for.
    pub(super) fn parse(kind: &Kind, query: &str, accept: &str) -> Result<Self, ApiError> {
        let pairs: BTreeMap<String, String> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(key, value)| (decode(key), decode(value)))
            .collect();
        let text = |key: &str| pairs.get(key).map_or("", String::as_str);
        let flag = |key: &str| matches!(text(key), "true" | "1");
        let number = |key: &str| match text(key) {
            "" => Ok(None),
            value => value
                .parse::<u64>()
                .map(Some)
                .map_err(|_| ApiError::bad_request(format!("{key}: {value:?} is not a number"))),
        };
        Ok(Self {
            watch: flag("watch"),
            bookmarks: flag("allowWatchBookmarks"),
            initial_events: flag("sendInitialEvents"),
            resource_version: number("resourceVersion")?,
            exact: text("resourceVersionMatch") == "Exact",
            limit: number("limit")?.filter(|limit| *limit > 0).and_then(|limit| usize::try_from(limit).ok()),
            next: pairs.get("continue").filter(|token| !token.is_empty()).cloned(),
            timeout: number("timeoutSeconds")?.map(Duration::from_secs),
            field_validation: match text("fieldValidation") {
                "Strict" => FieldValidation::Strict,
                _ => FieldValidation::Ignore,
            },
            dry_run: text("dryRun") == "All",
            filter: Filter::parse(kind, text("labelSelector"), text("fieldSelector"))?,
            form: Form::of(accept, Include::parse(text("includeObject"))),
        })
    }
}

/// Undoes percent-encoding; what is not encoded rightly stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                rest = &tail[2..];
            }
            (b'+', ..) => {
                bytes.push(b' ');
                rest = tail;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_kinds() {
        let kinds = Kinds::default();
        let parse = |path: &str| {
            let route = Route::parse(&kinds, path).map_err(|error| error.code)?;
            Ok((route.kind.kind.as_str(), route.namespace, route.name, route.status))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parse("/api/v1/services"), Ok(("Service", None, None, false)));
        assert_eq!(parse("/api/v1/namespaces"), Ok(("Namespace", None, None, false)));
        assert_eq!(parse("/api/v1/namespaces/a"), Ok(("Namespace", None, some("a"), false)));
        assert_eq!(parse("/api/v1/namespaces/a/status"), Ok(("Namespace", None, some("a"), true)));
        assert_eq!(
            parse("/api/v1/namespaces/a/services/b/status"),
            Ok(("Service", some("a"), some("b"), true))
        );
        assert_eq!(
            parse("/apis/metallb.io/v1beta1/namespaces/m/ipaddresspools/p"),
            Ok(("IPAddressPool", some("m"), some("p"), false))
        );
        for path in [
            "/",
            "/api",
            "/api/v1/frogs",
            "/api/v1/services/b",
            "/api/v1/namespaces/a/nodes",
            "/api/v1/namespaces/a/configmaps/c/status",
        ] {
            assert_eq!(parse(path), Err(404), "{path}");
        }
    }

    #[test]
    fn queries_are_read_as_clients_write_them() {
        let kinds = Kinds::default();
        let parse = |query: &str| Query::parse(kinds.find("", "v1", "Service").unwrap(), query, "");
        let query = parse("?&watch=true&labelSelector=a%3Db%2Cc&resourceVersion=7&timeoutSeconds=5").unwrap();
        assert!(query.resource_version == Some(7) && query.timeout == Some(Duration::from_secs(5)));
        assert!(query.filter.matches(&serde_json::json!({"metadata": {"labels": {"a": "b", "c": ""}}})));
        assert_eq!(parse("limit=x").unwrap_err().code, 400);
    }
}
