//! What a controller tells as JSON.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use lbk8s::controller::{ControllerStatus, Inspector};

use super::in_time;

/// Where there is no speaker, its status is that of the process.
pub(super) fn routes(alone: bool) -> Router<Inspector> {
    let router = Router::new().route("/v1/controller", get(status)).route("/v1/services", get(services));
    if alone { router.route("/v1/status", get(status)) } else { router }
}

/// What it waits for before it gives addresses. One that waits for its turn is as ready as it can be: if not, a new
/// one would never take the place of an old one.
pub(super) fn waits(status: &ControllerStatus) -> Vec<String> {
    if status.leader && !status.ready { status.waiting_for.clone() } else { Vec::new() }
}

async fn status(State(inspector): State<Inspector>) -> Result<Response, Response> {
    in_time(async { Some(inspector.status().await) }).await.map(|status| Json(status).into_response())
}

async fn services(State(inspector): State<Inspector>) -> Result<Response, Response> {
    in_time(async { Some(inspector.services().await) }).await.map(|services| Json(services).into_response())
}
