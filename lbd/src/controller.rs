//! `lbd controller`.

use std::hash::{BuildHasher, RandomState};

use lbk8s::controller::{Inspector, Settings, lease, log, membership_key, run};

use crate::cli::ControllerArguments;
use crate::exit::Outcome;
use crate::http::Asked;
use crate::{client, host, http, logs, shutdown};

pub(crate) fn main(arguments: ControllerArguments) -> Outcome {
    logs::start("info,kube_client=off");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = client::connect(&arguments.server.cluster).await?;
        let until_stdin_closes = arguments.server.until_stdin_closes;
        let pod = arguments.pod_name.unwrap_or_else(host::name);
        let inspector = Inspector::default();
        let settings = Settings {
            namespace: arguments.server.namespace(),
            class: arguments.server.lb_class.clone(),
            lost_addresses: arguments.lost_addresses.into(),
            follow_config_map: arguments.server.follow_config_map(),
            beside_metallb: arguments.server.beside_metallb,
            identity: pod.clone(),
            inspector: inspector.clone(),
        };
        let asked = Asked { speaker: None, controller: Some(inspector), metrics: arguments.metrics };
        let told = http::serve(arguments.http, asked);
        let namespace = settings.namespace.clone();
        tracing::info!(version = env!("CARGO_PKG_VERSION"), namespace, "controller starts");
        let mut stopped = Ok(());
        let stop = async { stopped = shutdown::requested(until_stdin_closes).await };
        if arguments.without_lease {
            tokio::select! {
                () = run(client, settings, log) => {}
                () = told => {}
                () = stop => {}
            }
        } else {
            // A name of its own for each process: one that crashed has not given back what it had.
            let identity = format!("{pod}-{:08x}", RandomState::new().hash_one(pod.as_str()) >> 32);
            let work = || {
                let (client, settings) = (client.clone(), settings.clone());
                async move {
                    tokio::join!(
                        membership_key::make(&client, &settings.namespace),
                        run(client.clone(), settings.clone(), log)
                    );
                }
            };
            tokio::select! {
                () = lease::hold(client.clone(), &namespace, &identity, work, stop) => {}
                () = told => {}
            }
        }
        stopped?;
        tracing::info!("controller stops");
        Ok(())
    })
}
