//! The tower service, and the TCP port.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tokio::net::TcpListener;

use super::answer::{Body, respond, with_body};
use super::route::{Query, Route};
use super::{ApiError, Fault, Store, Verb};

/// A request's body may not be larger: the real server's limit is about this.
const LARGEST_BODY: usize = 3 << 20;
/// The pause after a connection could not be taken, as when no descriptors are left.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

impl<B> tower::Service<Request<B>> for Store
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: std::fmt::Display,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let store = self.clone();
        Box::pin(async move { Ok(store.answer(request).await.unwrap_or_else(ApiError::into_response)) })
    }
}

impl Store {
    /// Serves the store on `listener` until the future is dropped; watches end with it.
    ///
    /// # Errors
    /// The port was lost.
    pub async fn serve(&self, listener: TcpListener) -> io::Result<()> {
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
            stream.set_nodelay(true)?;
            let service = TowerToHyperService::new(self.clone());
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            connections.spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended early");
                }
            });
            while connections.try_join_next().is_some() {}
        }
    }

    async fn answer<B>(&self, request: Request<B>) -> Result<Response<Body>, ApiError>
    where
        B: http_body::Body,
        B::Error: std::fmt::Display,
    {
        let (head, body) = request.into_parts();
        if matches!(head.uri.path(), "/readyz" | "/livez" | "/healthz") {
            return Ok(respond(StatusCode::OK, Bytes::from_static(b"ok")));
        }
        let route = Route::parse(self.kinds(), head.uri.path())?;
        let query = Query::parse(head.uri.query().unwrap_or_default())?;
        let verb = route.verb(&head.method, &query)?;
        let resource = route.resource();
        let fault = self.faults().take(verb, &resource);
        match fault {
            Some(Fault::Refuse(code)) => return Err(ApiError::injected(code)),
            Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
            Some(Fault::LoseAnswer) | None => {}
        }
        let written = |code: StatusCode, stored: super::log::Stored| {
            self.faults().count(verb, &resource);
            if fault == Some(Fault::LoseAnswer) {
                return Err(ApiError::injected(504));
            }
            Ok(respond(code, stored.bytes))
        };
        match verb {
            Verb::Get => Ok(respond(StatusCode::OK, self.get(&route)?.bytes)),
            Verb::List => Ok(respond(StatusCode::OK, self.list(&route, &query)?)),
            Verb::Watch => {
                let body = self.watch(&route, &query);
                let lost = fault == Some(Fault::LoseAnswer);
                Ok(with_body(StatusCode::OK, if lost { first_bytes(body) } else { body }))
            }
            Verb::Create | Verb::Update => {
                let object = read_json(body).await?;
                if query.strict {
                    refuse_unknown(&route, &object)?;
                }
                if query.dry_run {
                    return Err(ApiError::bad_request("dryRun is not served"));
                }
                match verb {
                    Verb::Create => {
                        let stored = self.create(route.kind, route.namespace.as_deref(), object)?;
                        written(StatusCode::CREATED, stored)
                    }
                    _ => written(StatusCode::OK, self.update(&route, object)?),
                }
            }
            Verb::Patch => {
                let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
                let content_type = content_type.unwrap_or_default();
                if content_type.split(';').next() != Some("application/merge-patch+json") {
                    return Err(ApiError::unsupported_patch(content_type));
                }
                let patch = read_json(body).await?;
                written(StatusCode::OK, self.patch(&route, patch)?)
            }
            Verb::Delete => {
                let options = read_optional_json(body).await?;
                written(StatusCode::OK, self.delete(&route, &options)?)
            }
        }
    }
}

/// Only the first piece of a stream, then its end.
fn first_bytes(body: Body) -> Body {
    let frames = body.into_data_stream().take(1);
    let frames = frames.map(|bytes| bytes.map(http_body::Frame::data));
    http_body_util::StreamBody::new(frames).boxed_unsync()
}

fn refuse_unknown(route: &Route<'_>, object: &Value) -> Result<(), ApiError> {
    let faults: Vec<String> = (route.kind.check)(object).iter().map(ToString::to_string).collect();
    if faults.is_empty() {
        return Ok(());
    }
    Err(ApiError::bad_request(format!("strict decoding error: {}", faults.join(", "))))
}

async fn read_json<B>(body: B) -> Result<Value, ApiError>
where
    B: http_body::Body,
    B::Error: std::fmt::Display,
{
    match read_optional_json(body).await? {
        Value::Null => Err(ApiError::bad_request("the body is empty")),
        value => Ok(value),
    }
}

async fn read_optional_json<B>(body: B) -> Result<Value, ApiError>
where
    B: http_body::Body,
    B::Error: std::fmt::Display,
{
    let read = body.collect().await;
    let bytes =
        read.map_err(|error| ApiError::bad_request(format!("the body broke off: {error}")))?.to_bytes();
    if bytes.len() > LARGEST_BODY {
        return Err(ApiError::bad_request(format!("the body has more than {LARGEST_BODY} bytes")));
    }
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| ApiError::bad_request(format!("the body is not JSON: {error}")))
}
