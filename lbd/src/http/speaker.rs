//! What a speaker tells as JSON.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use lbk8s::speaker::Inspector;
use lbk8s::speaker::view::AddressExplained;
use lbnet::whohas::Asking;
use serde_json::json;
use tokio::sync::{Mutex, Semaphore};

use super::in_time;
use crate::wire::whohas;

/// Questions to the LAN that wait for their turn.
const WAITING: usize = 8;
/// How the LAN is asked for whoever asks here.
const ASKING: Asking = Asking { questions: 3, pause: Duration::from_millis(100) };

pub(super) fn routes() -> Router<Inspector> {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/moves", get(moves))
        .route("/v1/addresses", get(addresses))
        .route("/v1/addresses/{address}", get(address))
        .merge(lan())
}

async fn status(State(inspector): State<Inspector>) -> Result<Response, Response> {
    in_time(inspector.status()).await.map(|status| Json(status).into_response())
}

async fn moves(State(inspector): State<Inspector>) -> Result<Response, Response> {
    in_time(inspector.moves()).await.map(|moves| Json(moves).into_response())
}

/// Asking the LAN, one question after the other, and few that wait: whoever can reach this cannot make this node flood it.
fn lan() -> Router<Inspector> {
    let (places, turn) = (Arc::new(Semaphore::new(WAITING)), Arc::new(Mutex::new(())));
    let ask = async move |inspector: State<Inspector>, address: Path<String>| {
        let Ok(_place) = places.try_acquire() else {
            let busy = "the LAN is asked for others already; ask again in a moment";
            return Err(refused(StatusCode::SERVICE_UNAVAILABLE, busy));
        };
        let _turn = turn.lock().await;
        ask_lan(inspector, address).await
    };
    Router::new().route("/v1/lan/{address}", get(ask))
}

/// All addresses, or with `?owner=here` those that are answered here, with `?owner=none` those that nobody answers.
async fn addresses(
    State(inspector): State<Inspector>,
    RawQuery(query): RawQuery,
) -> Result<Response, Response> {
    let mut addresses = in_time(inspector.addresses()).await?;
    let mut pairs = form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes());
    match pairs.find(|(name, _)| name == "owner").as_ref().map(|(_, owner)| &**owner) {
        None => {}
        Some("here") => addresses.retain(|it| it.here),
        Some("none") => addresses.retain(|it| it.nobody.is_some()),
        Some(other) => {
            let error = format!("owner={other:?}: write here or none");
            return Err(refused(StatusCode::BAD_REQUEST, &error));
        }
    }
    Ok(Json(addresses).into_response())
}

async fn address(
    State(inspector): State<Inspector>,
    Path(address): Path<String>,
) -> Result<Response, Response> {
    explain(&inspector, &address).await.map(|explained| Json(explained).into_response())
}

/// Who answers for an address of a Service, as this node hears it. A host does not hear its own questions: what it
/// answers itself is seen from another one only.
async fn ask_lan(
    State(inspector): State<Inspector>,
    Path(address): Path<String>,
) -> Result<Response, Response> {
    let asked = explain(&inspector, &address).await?.view.address;
    match whohas::ask(asked, &[], ASKING).await {
        Ok(found) => Ok(Json(found.without_neighbours()).into_response()),
        Err(failure) => Err(refused(StatusCode::SERVICE_UNAVAILABLE, &failure.to_string())),
    }
}

async fn explain(inspector: &Inspector, address: &str) -> Result<AddressExplained, Response> {
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(refused(StatusCode::BAD_REQUEST, &format!("{address:?} is no IP address")));
    };
    let explained = in_time(inspector.address(address)).await?;
    explained.ok_or_else(|| refused(StatusCode::NOT_FOUND, &format!("no Service has {address}")))
}

fn refused(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({"error": error}))).into_response()
}
