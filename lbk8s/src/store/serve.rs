//! The tower service, and the TCP port.

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use super::access::Access;
use super::answer::{Body, respond, respond_as, with_body};
use super::patch::{Patch, PatchType};
use super::route::{Query, Route};
use super::{ApiError, Fault, Store, Verb};
use super::{answer, metadata, table};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body may not be larger: the real server's limit is about this.
const LARGEST_BODY: usize = 3 << 20;
/// Who does not come to terms in so long does not want to.
const HANDSHAKE: std::time::Duration = std::time::Duration::from_secs(10);
/// The pause after a connection could not be taken, as when no descriptors are left.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

impl<B> tower::Service<Request<B>> for Store
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let store = self.clone();
        let (head, body) = request.into_parts();
        store.answered(head, read(body).boxed())
    }
}

/// The store as it is reached over TCP.
#[derive(Clone)]
struct Door {
    store: Store,
    access: Access,
}

impl Door {
    async fn converse(self, stream: TcpStream) -> Result<(), BoxError> {
        match self.access.tls.clone() {
            None => Ok(self.talk(stream).await?),
            Some(tls) => {
                let stream = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await??;
                Ok(self.talk(stream).await?)
            }
        }
    }

    async fn talk(self, stream: impl AsyncRead + AsyncWrite + Unpin) -> hyper::Result<()> {
        let service = service_fn(move |request| {
            let door = self.clone();
            async move { Ok::<_, Infallible>(door.answer(request).await.unwrap_or_else(ApiError::into_response)) }
        });
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service)
            .await
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, ApiError> {
        self.access.check(request.headers())?;
        let reads = request.method() == Method::GET;
        let (head, body) = request.into_parts();
        let answer = self.store.answer(head, read(body).boxed()).await?;
        if !reads {
            self.store.on_disk().await?;
        }
        Ok(answer)
    }
}

impl Store {
    /// Serves the store on `listener` until the future is dropped; watches end with it.
    pub async fn serve(&self, listener: TcpListener) {
        self.serve_to(listener, &Access::default()).await;
    }

    /// The same, to those who have access. What is written is on disk before it is answered, if the store is kept.
    ///
    /// The future is boxed: each crate that awaits an unboxed one compiles it again.
    pub fn serve_to<'a>(&'a self, listener: TcpListener, access: &'a Access) -> BoxFuture<'a, ()> {
        self.accept(listener, access).boxed()
    }

    async fn accept(&self, listener: TcpListener, access: &Access) {
        // Connections belong to this future and end with it.
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                // One connection that fails says nothing about the next.
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Changes are told in small pieces, each as soon as it is there.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection may be slow");
            }
            let door = Door { store: self.clone(), access: access.clone() };
            connections.spawn(async move {
                if let Err(error) = door.converse(stream).await {
                    tracing::debug!(%error, "a connection ended early");
                }
            });
            while connections.try_join_next().is_some() {}
        }
    }

    /// Answers a request, whatever its type of body: everything but reading the body is compiled once.
    fn answered(self, head: Parts, body: Reading) -> BoxFuture<'static, Result<Response<Body>, Infallible>> {
        async move { Ok(self.answer(head, body).await.unwrap_or_else(ApiError::into_response)) }.boxed()
    }

    async fn answer(&self, head: Parts, body: Reading) -> Result<Response<Body>, ApiError> {
        if matches!(head.uri.path(), "/readyz" | "/livez" | "/healthz") {
            return Ok(respond(StatusCode::OK, Bytes::from_static(b"ok")));
        }
        let header = |name: header::HeaderName| head.headers.get(name).and_then(|it| it.to_str().ok());
        let accept = header(header::ACCEPT).unwrap_or_default();
        if head.method == Method::GET
            && let Some((content_type, document)) = self.about(head.uri.path(), accept)
        {
            return Ok(respond_as(StatusCode::OK, content_type, Bytes::from(document.to_string())));
        }
        let route = Route::parse(self.kinds(), head.uri.path())?;
        let query = Query::parse(route.kind, head.uri.query().unwrap_or_default(), accept)?;
        let verb = route.verb(&head.method, &query)?;
        let fault = self.faults().take(verb, &route.resource());
        match fault {
            Some(Fault::Refuse(code)) => return Err(ApiError::injected(code)),
            Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
            Some(Fault::LoseAnswer | Fault::CutAfter(_)) | None => {}
        }
        let lost = fault == Some(Fault::LoseAnswer);
        let answer = match verb {
            Verb::Get => respond(StatusCode::OK, table::one(route.kind, &self.get(&route)?, query.form)),
            Verb::List => respond(StatusCode::OK, self.list(&route, &query)?),
            Verb::Watch => {
                let body = self.watch(&route, &query);
                let body = match fault {
                    Some(Fault::LoseAnswer) => first_bytes(body),
                    Some(Fault::CutAfter(bytes)) => cut(body, bytes),
                    _ => body,
                };
                return Ok(with_body(StatusCode::OK, body));
            }
            Verb::Create | Verb::Update | Verb::Patch | Verb::Delete => {
                let content_type = header(header::CONTENT_TYPE).unwrap_or_default();
                if verb != Verb::Patch && content_type.starts_with("application/vnd.") {
                    return Err(ApiError::unsupported_body(content_type));
                }
                let patch =
                    (verb == Verb::Patch).then(|| PatchType::of(route.kind, content_type)).transpose()?;
                let body = json(&body.await?)?;
                self.write(verb, &route, &query, patch, body)?
            }
        };
        if lost { Err(ApiError::injected(504)) } else { Ok(answer) }
    }

    fn write(
        &self,
        verb: Verb,
        route: &Route<'_>,
        query: &Query,
        patch: Option<PatchType<'_>>,
        body: Value,
    ) -> Result<Response<Body>, ApiError> {
        let said_in_body = body["dryRun"].as_array().is_some_and(|stages| stages.contains(&json!("All")));
        let dry_run = query.dry_run || verb == Verb::Delete && said_in_body;
        // A dry run is a run on a copy. Its answer is the object as it would have become.
        let store = if dry_run { self.copy() } else { self.clone() };
        let (namespace, validation) = (route.namespace.as_deref(), query.field_validation);
        let stored = match verb {
            Verb::Create => store.create(route.kind, namespace, body, validation)?,
            Verb::Patch => {
                store.patch(route, Patch::read(patch.unwrap_or(PatchType::Merge), body)?, validation)?
            }
            Verb::Delete => store.delete(route, &body)?,
            _ => store.update(route, body, validation)?,
        };
        if !dry_run {
            self.faults().count(verb, &route.resource());
        }
        let code = if verb == Verb::Create { StatusCode::CREATED } else { StatusCode::OK };
        let body = match verb {
            Verb::Delete if !route.kind.returns_deleted() => {
                let object = stored.value();
                if metadata::is_held(&object) {
                    stored.bytes
                } else {
                    Bytes::from(answer::deleted(route.kind, &object).to_string())
                }
            }
            Verb::Create if dry_run => {
                // What was not written has no version.
                let mut object = stored.value();
                object["metadata"].as_object_mut().map(|metadata| metadata.remove("resourceVersion"));
                Bytes::from(object.to_string())
            }
            _ => stored.bytes,
        };
        Ok(respond(code, body))
    }
}

/// Only the first piece of a stream, then its end.
fn first_bytes(body: Body) -> Body {
    let frames = body.into_data_stream().take(1);
    let frames = frames.map(|bytes| bytes.map(http_body::Frame::data));
    http_body_util::StreamBody::new(frames).boxed_unsync()
}

/// Only so many bytes of a stream, then its end.
fn cut(body: Body, bytes: usize) -> Body {
    let pieces = stream::unfold((body.into_data_stream(), bytes), |(mut rest, left)| async move {
        if left == 0 {
            return None;
        }
        let Ok(piece) = rest.next().await?;
        let kept = piece.slice(..piece.len().min(left));
        let left = left - kept.len();
        Some((Ok(http_body::Frame::data(kept)), (rest, left)))
    });
    http_body_util::StreamBody::new(pieces).boxed_unsync()
}

/// Reads the bytes of a body, up to the limit.
type Reading = BoxFuture<'static, Result<Bytes, ApiError>>;

async fn read<B>(body: B) -> Result<Bytes, ApiError>
where
    B: http_body::Body,
    B::Error: Into<BoxError>,
{
    let read = Limited::new(body, LARGEST_BODY).collect().await;
    let bytes = read.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
        Some(_) => ApiError::too_large(LARGEST_BODY),
        None => ApiError::bad_request(format!("the body broke off: {error}")),
    })?;
    Ok(bytes.to_bytes())
}

/// Parses a body as JSON; an empty one is null.
fn json(body: &[u8]) -> Result<Value, ApiError> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request(format!("the body is not JSON: {error}")))
}
