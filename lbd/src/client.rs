//! The way to the API server.

use std::path::Path;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::cli::{ServerArguments, WhereArguments};
use crate::exit::Failure;

/// How long an answer, or a part of one, is waited for. Longer than watches last.
const SILENCE: Duration = Duration::from_secs(58);
/// How long a connection is waited for.
const CONNECTING: Duration = Duration::from_secs(5);

/// A client for what the arguments name: a store, a kubeconfig, the cluster around us, or the user's default.
pub(crate) async fn connect(arguments: &ServerArguments) -> Result<Client, Failure> {
    connect_to(arguments.server.as_ref(), arguments.kubeconfig.as_deref()).await
}

/// The same for a command of people.
pub(crate) async fn connect_where(arguments: &WhereArguments) -> Result<Client, Failure> {
    connect_to(arguments.server.as_ref(), arguments.kubeconfig.as_deref()).await
}

async fn connect_to(server: Option<&http::Uri>, kubeconfig: Option<&Path>) -> Result<Client, Failure> {
    let mut config = match (server, kubeconfig) {
        (Some(url), _) => Config::new(url.clone()),
        (None, Some(file)) => {
            let fail = |error: kube::config::KubeconfigError| {
                Failure::Client(format!("--kubeconfig {}: {error}", file.display()))
            };
            let kubeconfig = Kubeconfig::read_from(file).map_err(fail)?;
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(fail)?
        }
        // In a pod nothing else is meant, whatever lies in the image.
        (None, None) if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() => {
            Config::incluster().map_err(|error| Failure::Client(error.to_string()))?
        }
        (None, None) => Config::infer().await.map_err(|error| Failure::Client(error.to_string()))?,
    };
    // What is silent for so long is dead, as behind a proxy that vanished: a watch that lives is ended by the server
    // before that, and begun anew.
    config.read_timeout = Some(SILENCE);
    config.connect_timeout = Some(CONNECTING);
    // Our loops try again themselves, with what is right by then; retries below them would only delay that.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| Failure::Client(error.to_string()))
}
