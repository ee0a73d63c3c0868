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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::api::core::v1::{Namespace, Service};
    use kube::Api;
    use kube::api::PostParams;
    use lbk8s::controller::view::{ServicesView, State};
    use lbk8s::controller::{Settings, run};
    use lbk8s::objects::metallb::IPAddressPool;
    use lbk8s::{CONFIG_NAMESPACE, Store};
    use serde_json::{from_value, json};

    use super::*;

    #[tokio::test]
    async fn a_controller_tells_of_its_pools_and_of_who_waits_for_what() {
        let inspector = Inspector::default();
        let before = inspector.status().await;
        assert!(!before.leader && waits(&before).is_empty(), "it waits for its turn: {before:?}");

        let client = Store::default().client();
        for name in [CONFIG_NAMESPACE, "web"] {
            let namespace = from_value(json!({"metadata": {"name": name}})).expect("a namespace");
            let namespaces = Api::<Namespace>::all(client.clone());
            namespaces.create(&PostParams::default(), &namespace).await.expect("created");
        }
        let pools: Api<IPAddressPool> = Api::namespaced(client.clone(), CONFIG_NAMESPACE);
        let pool = json!({"metadata": {"name": "one"}, "spec": {"addresses": ["10.0.0.7/32"]}});
        pools.create(&PostParams::default(), &from_value(pool).expect("a pool")).await.expect("created");
        let services: Api<Service> = Api::namespaced(client.clone(), "web");
        for name in ["first", "second"] {
            let service = json!({
                "metadata": {"name": name},
                "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], "ipFamilyPolicy": "SingleStack"},
            });
            let service = from_value(service).expect("a Service");
            services.create(&PostParams::default(), &service).await.expect("created");
        }
        let settings = Settings { inspector: inspector.clone(), ..Settings::default() };
        let asked = async {
            loop {
                let status = inspector.status().await;
                if status.ready && status.counted.writes >= 2 {
                    return (status, inspector.services().await);
                }
                tokio::task::yield_now().await;
            }
        };
        let (status, standings) = tokio::select! {
            () = run(client, settings, |_| {}) => unreachable!("it runs until it is dropped"),
            asked = tokio::time::timeout(Duration::from_secs(20), asked) => asked.expect("in time"),
        };
        let used = status.pools[0].ipv4.expect("it has addresses");
        assert_eq!((&*status.pools[0].name, used.total, used.used, used.free), ("one", 1, 1, 0));
        let reasons = [("PoolExhausted".into(), 1)].into();
        assert_eq!(status.services, ServicesView { served: 1, pending: 1, unclear: 0, reasons });
        let became: Vec<State> = standings.iter().map(|it| it.state).collect();
        assert_eq!(became, [State::Served, State::Pending], "the older one has it: {standings:?}");
        assert_eq!(status.pending.len(), 1);
        assert!(status.counted.reconciles.count > 0 && status.counted.written.count >= 2);
        assert!(!inspector.status().await.leader, "it has ended");
    }
}
