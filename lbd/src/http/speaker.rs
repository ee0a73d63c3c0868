//! What a speaker tells as JSON.

use std::net::IpAddr;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use lbk8s::speaker::{Inspector, SpeakerStatus};
use serde_json::json;

use super::in_time;

pub(super) fn routes() -> Router<Inspector> {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/moves", get(moves))
        .route("/v1/addresses", get(addresses))
        .route("/v1/addresses/{address}", get(address))
}

/// What it waits for before it answers for what it owns.
pub(super) fn waits(status: &SpeakerStatus) -> Vec<String> {
    if status.ready && status.waiting_for.is_empty() {
        return Vec::new();
    }
    match &status.waiting_for[..] {
        [] => vec!["the speakers of other nodes".to_owned()],
        waits => waits.to_vec(),
    }
}

async fn status(State(inspector): State<Inspector>) -> Result<Response, Response> {
    in_time(inspector.status()).await.map(|status| Json(status).into_response())
}

async fn moves(State(inspector): State<Inspector>) -> Result<Response, Response> {
    in_time(inspector.moves()).await.map(|moves| Json(moves).into_response())
}

async fn addresses(State(inspector): State<Inspector>) -> Result<Response, Response> {
    in_time(inspector.addresses()).await.map(|addresses| Json(addresses).into_response())
}

async fn address(
    State(inspector): State<Inspector>,
    Path(address): Path<String>,
) -> Result<Response, Response> {
    let Ok(parsed) = address.parse::<IpAddr>() else {
        let error = json!({"error": format!("{address:?} is no IP address")});
        return Err((StatusCode::BAD_REQUEST, Json(error)).into_response());
    };
    let Some(explained) = in_time(inspector.address(parsed)).await? else {
        let error = json!({"error": format!("no Service has {parsed}")});
        return Err((StatusCode::NOT_FOUND, Json(error)).into_response());
    };
    Ok(Json(explained).into_response())
}
