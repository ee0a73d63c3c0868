//! What a speaker tells over HTTP: probes, its state as JSON, and metrics. It changes nothing.

mod metrics;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use lbk8s::speaker::Inspector;
use serde_json::json;
use tokio::net::TcpListener;

/// A speaker that does not answer for so long does not work.
const PATIENCE: Duration = Duration::from_secs(3);
/// A port that is another one's is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Answers until it is dropped.
pub(crate) async fn serve(at: SocketAddr, inspector: Inspector) {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/v1/status", get(status))
        .route("/v1/addresses", get(addresses))
        .route("/v1/addresses/{address}", get(address))
        .with_state(inspector);
    let listener = listen(at).await;
    if let Err(error) = axum::serve(listener, router).await {
        tracing::warn!(%error, "HTTP is not answered any more");
    }
    // Without it the speaker goes on.
    std::future::pending::<()>().await;
}

/// Listens, as soon as that can be had: without it a speaker works all the same.
async fn listen(at: SocketAddr) -> TcpListener {
    let mut is_told = false;
    loop {
        match TcpListener::bind(at).await {
            Ok(listener) => {
                tracing::info!(%at, "HTTP: /healthz /readyz /metrics /v1/status /v1/addresses");
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

/// What the speaker answers, if it does in time.
async fn asked<A>(answer: impl Future<Output = Option<A>>) -> Result<A, Response> {
    let answered = tokio::time::timeout(PATIENCE, answer).await.ok().flatten();
    answered.ok_or_else(|| (StatusCode::SERVICE_UNAVAILABLE, "the speaker does not answer\n").into_response())
}

/// Whether the speaker works: neither the API server nor other nodes matter.
async fn healthz(State(inspector): State<Inspector>) -> Result<&'static str, Response> {
    asked(inspector.status()).await.map(|_| "ok\n")
}

/// Whether it answers for what it owns; what it waits for, if not.
async fn readyz(State(inspector): State<Inspector>) -> Result<Response, Response> {
    let status = asked(inspector.status()).await?;
    if status.ready && status.waiting_for.is_empty() {
        return Ok("ok\n".into_response());
    }
    let mut waits = status.waiting_for.join(" and ");
    if waits.is_empty() {
        "the speakers of other nodes".clone_into(&mut waits);
    }
    Ok((StatusCode::SERVICE_UNAVAILABLE, format!("waits for {waits}\n")).into_response())
}

async fn metrics(State(inspector): State<Inspector>) -> Result<Response, Response> {
    let status = asked(inspector.status()).await?;
    match metrics::text(&status) {
        Ok(text) => Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()),
    }
}

async fn status(State(inspector): State<Inspector>) -> Result<Response, Response> {
    asked(inspector.status()).await.map(|status| Json(status).into_response())
}

async fn addresses(State(inspector): State<Inspector>) -> Result<Response, Response> {
    asked(inspector.addresses()).await.map(|addresses| Json(addresses).into_response())
}

async fn address(
    State(inspector): State<Inspector>,
    Path(address): Path<String>,
) -> Result<Response, Response> {
    let Ok(parsed) = address.parse::<IpAddr>() else {
        let error = json!({"error": format!("{address:?} is no IP address")});
        return Err((StatusCode::BAD_REQUEST, Json(error)).into_response());
    };
    let Some(explained) = asked(inspector.address(parsed)).await? else {
        let error = json!({"error": format!("no Service has {parsed}")});
        return Err((StatusCode::NOT_FOUND, Json(error)).into_response());
    };
    Ok(Json(explained).into_response())
}
