//! The controller on the embedded store.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::PostParams;
use lbk8s::controller::{Settings, run};
use lbk8s::store::Verb;
use lbk8s::{Store, objects::metallb};
use serde_json::json;
use tokio::task::{AbortHandle, LocalSet};

use crate::{Figure, median};

const ONE_BY_ONE: usize = 200;
const AT_ONCE: usize = 2_000;
const DEADLINE: Duration = Duration::from_mins(1);

/// A store with one pool, and a controller on it; to be called inside a `LocalSet`.
async fn start(store: &Store) -> Result<(Api<Service>, AbortHandle), Box<dyn std::error::Error>> {
    let pool = json!({
        "metadata": {"name": "default", "namespace": "default"},
        "spec": {"addresses": ["10.0.0.0/16"]}
    });
    let pools: Api<metallb::IPAddressPool> = Api::namespaced(store.client(), "default");
    pools.create(&PostParams::default(), &serde_json::from_value(pool)?).await?;
    let settings = Settings { namespace: "default".to_owned(), ..Settings::default() };
    let controller = tokio::task::spawn_local(run(store.client(), settings, |_| {}));
    Ok((Api::namespaced(store.client(), "default"), controller.abort_handle()))
}

/// Creates so many services and waits until each has its address: work for a thread beside one that is measured.
///
/// # Errors
/// The store refused something, or the controller did not come to an end.
pub fn reconcile(count: usize) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let (services, controller) = start(&Store::default()).await?;
        for number in 0..count {
            services.create(&PostParams::default(), &service(&format!("service-{number}"))?).await?;
        }
        wait_for_all(&services, count).await?;
        controller.abort();
        Ok(())
    })
}

/// Measures.
///
/// # Errors
/// The store refused something, or the controller did not come to an end.
pub fn measure() -> Result<Vec<Figure>, Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let store = Store::default();
        let (services, controller) = start(&store).await?;
        let few = one_by_one(&services, "few").await?;
        let started = Instant::now();
        for number in 0..AT_ONCE {
            services.create(&PostParams::default(), &service(&format!("many-{number}"))?).await?;
        }
        let created = started.elapsed();
        wait_for_all(&services, AT_ONCE + ONE_BY_ONE).await?;
        let all = started.elapsed();
        let many = one_by_one(&services, "late").await?;
        let writes = store.faults().writes(Verb::Patch, "services/status");
        controller.abort();

        let figure = |figure: String, value: f64, unit, target, baseline| Figure {
            figure,
            value,
            unit,
            target,
            baseline,
        };
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        let present = AT_ONCE + ONE_BY_ONE;
        #[expect(clippy::cast_precision_loss, reason = "the counts are small")]
        let per_service = writes as f64 / (present + ONE_BY_ONE) as f64;
        Ok(vec![
            figure(
                format!("service created to address in status, median, {present} present (embedded store)"),
                ms(many),
                "ms",
                "does not grow with the number present",
                Some(("with few present".to_owned(), ms(few))),
            ),
            figure(
                format!(
                    "{AT_ONCE} services created at once, until the last has its address (embedded store)"
                ),
                ms(all),
                "ms",
                "",
                Some(("creating them".to_owned(), ms(created))),
            ),
            figure("status writes for each allocation".to_owned(), per_service, "", "exactly 1", None),
        ])
    })
}

fn service(name: &str) -> Result<Service, serde_json::Error> {
    let spec = json!({"type": "LoadBalancer", "ports": [{"port": 80}]});
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec}))
}

fn has_address(service: &Service) -> bool {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    status.and_then(|status| status.ingress.as_ref()).is_some_and(|ingress| !ingress.is_empty())
}

async fn one_by_one(services: &Api<Service>, prefix: &str) -> Result<Duration, Box<dyn std::error::Error>> {
    let mut taken = Vec::new();
    for number in 0..ONE_BY_ONE {
        let name = format!("{prefix}-{number}");
        let started = Instant::now();
        services.create(&PostParams::default(), &service(&name)?).await?;
        while !has_address(&services.get(&name).await?) {
            if started.elapsed() > DEADLINE {
                return Err(format!("{name} got no address").into());
            }
            tokio::task::yield_now().await;
        }
        taken.push(started.elapsed());
    }
    Ok(median(taken))
}

async fn wait_for_all(services: &Api<Service>, expected: usize) -> Result<(), Box<dyn std::error::Error>> {
    let started = Instant::now();
    loop {
        let listed = services.list(&kube::api::ListParams::default()).await?;
        if listed.items.iter().filter(|service| has_address(service)).count() == expected {
            return Ok(());
        }
        if started.elapsed() > DEADLINE {
            return Err("not all services got an address".into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
