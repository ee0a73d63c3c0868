//! What a process tells over HTTP: probes, its state as JSON, metrics and a page for people. It changes nothing.

mod controller;
mod events;
mod metrics;
mod page;
mod speaker;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use lbk8s::controller::Inspector as Controller;
use lbk8s::speaker::Inspector as Speaker;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

use self::events::Events;
use self::page::{Facts, Filter};
use crate::attention;
use crate::cli::MetricsArguments;

/// Whoever does not answer for so long does not work.
const PATIENCE: Duration = Duration::from_secs(3);
/// Connections that wait until they are accepted.
const BACKLOG: i32 = 1024;
/// A port that another one has is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Those who are asked: a speaker, a controller, or with `lbd run` both.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) speaker: Option<Speaker>,
    pub(crate) controller: Option<Controller>,
    pub(crate) metrics: MetricsArguments,
}

/// Answers until it is dropped.
pub(crate) async fn serve(at: SocketAddr, asked: Asked) {
    let events = Events::new(asked.clone());
    let router = router(asked, Arc::clone(&events));
    let listener = listen(at).await;
    tokio::select! {
        ended = axum::serve(listener, router) => if let Err(error) = ended {
            tracing::warn!(%error, "HTTP is not answered any more");
        },
        () = events.look() => {}
    }
    // Without it everything else goes on.
    std::future::pending::<()>().await;
}

fn router(asked: Asked, events: Arc<Events>) -> Router {
    let mut router = Router::new()
        .route("/", get(show))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(tell_metrics))
        .with_state(asked.clone())
        .route("/v1/events", get(events::follow).with_state(events));
    if let Some(controller) = &asked.controller {
        router = router.merge(controller::routes(asked.speaker.is_none()).with_state(controller.clone()));
    }
    if let Some(speaker) = asked.speaker {
        router = router.merge(speaker::routes().with_state(speaker));
    }
    router.layer(map_response(guarded))
}

/// What no browser is to guess, to frame or to keep.
async fn guarded(mut response: Response) -> Response {
    let headers: [(HeaderName, &str); 3] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Listens, as soon as that can be had: without it everything else works all the same.
async fn listen(at: SocketAddr) -> TcpListener {
    let mut is_told = false;
    loop {
        match bind(at).await {
            Ok(listener) => {
                tracing::info!(%at, "HTTP: / /healthz /readyz /metrics /v1");
                return listener;
            }
            Err(error) if !is_told => {
                tracing::warn!(%at, %error, "cannot listen for HTTP, trying again: no probes, no metrics; see --http");
                is_told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// By `[::]` all addresses that the host has are meant, whatever `net.ipv6.bindv6only` says: the kubelet's probes come to
/// 127.0.0.1. A host without IPv6 has no `[::]`.
async fn bind(at: SocketAddr) -> io::Result<TcpListener> {
    if at.ip() != IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        return TcpListener::bind(at).await;
    }
    match bind_both(at) {
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, at.port())).await,
        bound => bound,
    }
}

fn bind_both(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM.nonblocking(), None)?;
    socket.set_only_v6(false)?;
    socket.set_reuse_address(true)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// What somebody answers, if that is in time.
async fn in_time<A>(answer: impl Future<Output = Option<A>>) -> Result<A, Response> {
    let answered = tokio::time::timeout(PATIENCE, answer).await.ok().flatten();
    answered.ok_or_else(|| (StatusCode::SERVICE_UNAVAILABLE, "no answer in time\n").into_response())
}

/// Whether it works: neither the API server nor other nodes matter.
async fn healthz(State(asked): State<Asked>) -> Result<&'static str, Response> {
    if let Some(speaker) = &asked.speaker {
        in_time(speaker.status()).await?;
    }
    if let Some(controller) = &asked.controller {
        in_time(async { Some(controller.status().await) }).await?;
    }
    Ok("ok\n")
}

/// Whether it does its work; what it waits for, if not.
async fn readyz(State(asked): State<Asked>) -> Result<Response, Response> {
    let mut waits = Vec::new();
    if let Some(speaker) = &asked.speaker {
        waits.extend(attention::waits(&in_time(speaker.status()).await?));
    }
    if let Some(controller) = &asked.controller {
        let status = in_time(async { Some(controller.status().await) }).await?;
        waits.extend(controller::waits(&status));
    }
    if waits.is_empty() {
        return Ok("ok\n".into_response());
    }
    Ok((StatusCode::SERVICE_UNAVAILABLE, format!("waits for {}\n", waits.join(" and "))).into_response())
}

async fn tell_metrics(State(asked): State<Asked>) -> Result<Response, Response> {
    let known = in_time(metrics::Known::ask(&asked)).await?;
    match known.text(&asked.metrics) {
        Ok(text) => Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()),
    }
}

/// The page as it is now; with scripts it goes on by [`events`].
async fn show(State(asked): State<Asked>, RawQuery(query): RawQuery) -> Result<Response, Response> {
    let facts = in_time(Facts::ask(&asked)).await?;
    let (policy, html) = page::whole(&facts, &Filter::of(query.as_deref()));
    let policy = HeaderValue::from_str(&policy)
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response())?;
    Ok(([(header::CONTENT_SECURITY_POLICY, policy)], Html(html)).into_response())
}
