//! Answers and errors as the API writes them.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::Kind;

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A refusal, as the API's `Status` object says it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The HTTP status code.
    pub code: u16,
    /// The word for machines, as in `NotFound`.
    pub reason: &'static str,
    /// The sentence for people.
    pub message: String,
    /// Which object it is about, by group, kind and name, as far as that is known.
    about: Option<Box<About>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct About {
    group: String,
    kind: String,
    name: String,
}

impl ApiError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), about: None }
    }

    /// The same, about an object. Errors name it by the plural, those about its content by its kind.
    fn about(mut self, kind: &Kind, word: &str, name: &str) -> Self {
        let (group, kind, name) = (kind.group.clone(), word.to_owned(), name.to_owned());
        self.about = Some(Box::new(About { group, kind, name }));
        self
    }

    /// The same, about nothing in particular: the real server says so by empty details.
    fn about_nothing(mut self) -> Self {
        let nothing = About { group: String::new(), kind: String::new(), name: String::new() };
        self.about = Some(Box::new(nothing));
        self
    }

    /// 400: the request makes no sense.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401: who asks has not said the token.
    pub(super) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 500: the request should not have got here, as the real server puts it.
    pub(super) fn internal(message: &str) -> Self {
        Self::new(500, "InternalError", message)
    }

    /// 404: there is no such object.
    pub(super) fn not_found(kind: &Kind, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} {name:?} not found", kind.qualified())).about(
            kind,
            &kind.plural,
            name,
        )
    }

    /// 404: there is no such path.
    pub(super) fn no_such_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource").about_nothing()
    }

    /// 405: the path does not take the method.
    pub(super) fn method(method: &http::Method) -> Self {
        Self::new(405, "MethodNotAllowed", format!("{method} is not allowed here")).about_nothing()
    }

    /// 409: there is one already.
    pub(super) fn already_exists(kind: &Kind, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{} {name:?} already exists", kind.qualified())).about(
            kind,
            &kind.plural,
            name,
        )
    }

    /// 409: it is not what the writer thinks it is.
    pub(super) fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", kind.qualified());
        Self::new(409, "Conflict", message).about(kind, &kind.plural, name)
    }

    /// 410: the history asked for is gone.
    pub(super) fn expired(asked: u64, oldest: u64) -> Self {
        Self::new(410, "Expired", format!("too old resource version: {asked} ({oldest})"))
    }

    /// 413: the body is longer than the server reads.
    pub(super) fn too_large(limit: usize) -> Self {
        Self::new(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {limit}"))
    }

    /// 504: a version that is not there yet. The real server waits for it some seconds before it says so.
    pub(super) fn too_large_version(asked: u64, current: u64) -> Self {
        let message = format!("Too large resource version: {asked}, current: {current}");
        Self::new(504, "Timeout", message)
    }

    /// 415: a patch that is not served.
    pub(super) fn unsupported_patch(kind: &Kind, content_type: &str) -> Self {
        let found = format!("{content_type:?} is not served for {}", kind.qualified());
        let message = if content_type.starts_with("application/apply-patch") {
            format!("{found}: this store has no server-side apply; use kubectl apply without --server-side")
        } else {
            let strategic = if kind.custom { "" } else { ", application/strategic-merge-patch+json" };
            format!("{found}; application/json-patch+json, application/merge-patch+json{strategic} are")
        };
        let refusal = Self::new(415, "UnsupportedMediaType", message);
        // So the real server, and so its other one, for custom resources.
        if kind.custom { refusal } else { refusal.about_nothing() }
    }

    /// 415: an object in a language that is not read.
    pub(super) fn unsupported_body(content_type: &str) -> Self {
        let message =
            format!("{content_type:?} is not read, application/json is: use kubectl apply -f, or create -f");
        Self::new(415, "UnsupportedMediaType", message).about_nothing()
    }

    /// 422: the object is not valid.
    pub(super) fn invalid(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("{} {name:?} is invalid: {why}", kind.kind_and_group());
        Self::new(422, "Invalid", message).about(kind, &kind.kind, name)
    }

    /// 422: the patch does not fit the object.
    pub(super) fn patch_failed(error: &json_patch::PatchError) -> Self {
        Self::new(422, "Invalid", error.to_string()).about_nothing()
    }

    /// Whether only strict validation refuses it.
    pub(super) fn is_strict(&self) -> bool {
        self.message.starts_with(STRICT)
    }

    /// 400: strict validation found these.
    pub(super) fn not_strict(faults: &[String]) -> Self {
        Self::bad_request(format!("{STRICT}: {}", faults.join(", ")))
    }

    /// 422: the patch leads to what strict validation refuses.
    pub(super) fn patch_not_strict(self) -> Self {
        Self::new(422, "Invalid", self.message).about_nothing()
    }

    /// What an injected fault says.
    pub(super) fn injected(code: u16) -> Self {
        let reason = match code {
            409 => "Conflict",
            410 => "Expired",
            429 => "TooManyRequests",
            503 => "ServiceUnavailable",
            504 => "Timeout",
            _ => "InternalError",
        };
        Self::new(code, reason, "a fault that the test asked for")
    }

    /// The `Status` object.
    pub(super) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if let Some(about) = &self.about {
            let told = [("name", &about.name), ("group", &about.group), ("kind", &about.kind)];
            let told = told.into_iter().filter(|(_, text)| !text.is_empty());
            status["details"] = told.map(|(field, text)| (field.to_owned(), json!(text))).collect();
        }
        status
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        respond(code, Bytes::from(self.status().to_string()))
    }
}

/// How the real server begins to say that an object has unknown fields. kubectl knows it by that.
const STRICT: &str = "strict decoding error";

/// What a deletion is answered that has left nothing.
pub(super) fn deleted(kind: &Kind, object: &Value) -> Value {
    let metadata = &object["metadata"];
    let mut details = json!({"name": metadata["name"], "kind": kind.plural, "uid": metadata["uid"]});
    if !kind.group.is_empty() {
        details["group"] = json!(kind.group);
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

const JSON: &str = "application/json";

/// A complete JSON answer.
pub(super) fn respond(code: StatusCode, json: Bytes) -> Response<Body> {
    respond_as(code, JSON, json)
}

/// A complete answer of another type.
pub(super) fn respond_as(code: StatusCode, content_type: &str, bytes: Bytes) -> Response<Body> {
    answer(code, content_type, Full::new(bytes).boxed_unsync())
}

/// An answer whose body may still be growing.
pub(super) fn with_body(code: StatusCode, body: Body) -> Response<Body> {
    answer(code, JSON, body)
}

fn answer(code: StatusCode, content_type: &str, body: Body) -> Response<Body> {
    Response::builder()
        .status(code)
        .header(header::CONTENT_TYPE, content_type)
        .body(body)
        .expect("the parts are valid")
}
