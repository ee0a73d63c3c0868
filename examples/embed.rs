//! `lbk8s` with the feature `controller` only: an allocator inside a controller of your own.
//!
//! It serves the Services of one class from a pool that it knows itself, on the cluster of your kubeconfig or
//! on a store: `lbd run --manifests ... --listen 127.0.0.1:8080`, then
//! `cargo run -p examples --bin embed http://127.0.0.1:8080`

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{Event, finalizer};
use kube::runtime::watcher;
use kube::{Client, Config, ResourceExt};
use lbcore::allocator::Claim;
use lbcore::{Allocator, PoolSpec};
use lbk8s::objects::service::{ServiceView, Wish};
use serde_json::json;

const CLASS: &str = "example.com/embedded";
const FINALIZER: &str = "example.com/address";

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Kube(#[from] kube::Error),
    #[error(transparent)]
    Finalizer(#[from] Box<kube::runtime::finalizer::Error<Error>>),
}

struct Context {
    client: Client,
    allocator: Mutex<Allocator>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = match std::env::args().nth(1) {
            Some(url) => Client::try_from(Config::new(url.parse()?))?,
            None => Client::try_default().await?,
        };
        let mut allocator = Allocator::default();
        allocator.set_pools(vec![PoolSpec::parse("embedded", ["198.51.100.0/29"])?]);
        adopt(&client, &mut allocator).await?;

        let context = Arc::new(Context { client: client.clone(), allocator: Mutex::new(allocator) });
        let services = Api::<Service>::all(client);
        let mut reconciled =
            Controller::new(services, watcher::Config::default()).run(reconcile, retry, context).boxed();
        writeln!(io::stdout(), "serving Services of class {CLASS}")?;
        while let Some(result) = reconciled.next().await {
            if let Err(error) = result {
                writeln!(io::stderr(), "{error}")?;
            }
        }
        Ok(())
    })
}

/// What Services hold already is taken over before anything is given.
async fn adopt(client: &Client, allocator: &mut Allocator) -> Result<(), Error> {
    let services = Api::<Service>::all(client.clone()).list(&ListParams::default()).await?;
    let claims = services.iter().filter_map(|service| {
        let view = read(service);
        let addresses = view.addresses();
        match view.wish {
            Wish::Addresses(ref request) => Some(Claim {
                request: request.clone(),
                addresses,
                recorded_pools: view.recorded_pools(),
                recorded_pool: view.recorded_pool,
            }),
            _ => None,
        }
    });
    allocator.adopt(claims.collect());
    Ok(())
}

async fn reconcile(service: Arc<Service>, context: Arc<Context>) -> Result<Action, Error> {
    let ours = service.spec.as_ref().and_then(|spec| spec.load_balancer_class.as_deref()) == Some(CLASS);
    if !ours && !service.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        return Ok(Action::await_change());
    }
    let api = Api::<Service>::namespaced(context.client.clone(), &service.namespace().unwrap_or_default());
    let handle = |event| async {
        match event {
            Event::Apply(service) => give(&service, &context, &api).await,
            Event::Cleanup(service) => {
                let key = read(&service).key;
                let mut allocator = context.allocator.lock().unwrap_or_else(PoisonError::into_inner);
                allocator.release(&key);
                Ok(Action::await_change())
            }
        }
    };
    Ok(finalizer(&api, FINALIZER, service, handle).await.map_err(Box::new)?)
}

async fn give(service: &Service, context: &Context, api: &Api<Service>) -> Result<Action, Error> {
    let view = read(service);
    let Wish::Addresses(request) = view.wish.clone() else {
        context.allocator.lock().unwrap_or_else(PoisonError::into_inner).release(&view.key);
        return Ok(Action::await_change());
    };
    let decision = context.allocator.lock().unwrap_or_else(PoisonError::into_inner).request(request);
    let addresses = decision.addresses();
    if let Some(refusal) = decision.refusal() {
        let _ = writeln!(io::stdout(), "{}: {refusal}", view.key);
    }
    if addresses != view.addresses() {
        let ingress: Vec<_> = addresses.iter().map(|address| json!({"ip": address})).collect();
        let status = json!({"status": {"loadBalancer": {"ingress": ingress}}});
        api.patch_status(&service.name_any(), &PatchParams::default(), &Patch::Merge(status)).await?;
        let _ = writeln!(io::stdout(), "{}: {addresses:?}", view.key);
    }
    // A service that waits looks again; an embedder with more to do would use `Allocator::woken`.
    let again =
        if addresses.is_empty() { Action::requeue(Duration::from_secs(5)) } else { Action::await_change() };
    Ok(again)
}

fn read(service: &Service) -> ServiceView {
    ServiceView::read(service, &Some(CLASS.to_owned()))
}

fn retry(_: Arc<Service>, error: &Error, _: Arc<Context>) -> Action {
    let _ = writeln!(io::stderr(), "trying again: {error}");
    Action::requeue(Duration::from_secs(1))
}
