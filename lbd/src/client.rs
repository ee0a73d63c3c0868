//! The way to the API server.

use std::time::Duration;

use kube::config::{
    AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};
use kube::{Client, Config};

use crate::cli::ClusterArguments;
use crate::exit::Failure;

/// How long an answer, or a part of one, is waited for. Longer than watches last.
const SILENCE: Duration = Duration::from_secs(58);
/// The same where a person waits.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long a connection is waited for.
const CONNECTING: Duration = Duration::from_secs(5);

/// A client for what the arguments name: a store, a kubeconfig, the cluster around us, or the user's default.
pub(crate) async fn connect(arguments: &ClusterArguments) -> Result<Client, Failure> {
    client(config(arguments).await?, SILENCE)
}

/// The same for a question that somebody waits for, with where it goes.
pub(crate) async fn connect_to_ask(arguments: &ClusterArguments) -> Result<(Client, String), Failure> {
    let config = config(arguments).await?;
    let url = config.cluster_url.to_string();
    Ok((client(config, PATIENCE)?, url))
}

/// A client that asks once, and waits so long for each part of an answer.
pub(crate) fn client(mut config: Config, silence: Duration) -> Result<Client, Failure> {
    // What is silent for so long is dead, as behind a proxy that vanished: a watch that lives is ended by the server
    // before that, and begun anew.
    config.read_timeout = Some(silence);
    config.connect_timeout = Some(CONNECTING);
    // Our loops try again themselves, with what is right by then; retries below them would only delay that.
    config.default_retry = false;
    if config.cluster_url.scheme_str() == Some("http") {
        // Nothing is verified; the trust anchors of the system, which an image has none of, are not looked for.
        config.root_cert.get_or_insert_default();
    }
    Client::try_from(config).map_err(|error| Failure::Client(error.to_string()))
}

async fn config(arguments: &ClusterArguments) -> Result<Config, Failure> {
    let options = KubeConfigOptions { context: arguments.context.clone(), ..KubeConfigOptions::default() };
    let of = |kubeconfig| Config::from_custom_kubeconfig(kubeconfig, &options);
    let fail = |error: kube::config::KubeconfigError| Failure::Client(error.to_string());
    match (&arguments.server, &arguments.kubeconfig) {
        (Some(url), _) if arguments.token_file.is_none() && arguments.certificate_authority.is_none() => {
            Ok(Config::new(url.clone()))
        }
        (Some(url), _) => of(for_store(url, arguments)).await.map_err(fail),
        (None, Some(file)) => {
            let fail = |error: kube::config::KubeconfigError| {
                Failure::Client(format!("--kubeconfig {}: {error}", file.display()))
            };
            of(Kubeconfig::read_from(file).map_err(fail)?).await.map_err(fail)
        }
        (None, None) if arguments.context.is_some() => {
            of(Kubeconfig::read().map_err(fail)?).await.map_err(fail)
        }
        // In a pod nothing else is meant, whatever lies in the image.
        (None, None) if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() => {
            Config::incluster().map_err(|error| Failure::Client(error.to_string()))
        }
        (None, None) => of(Kubeconfig::read().map_err(fail)?).await.map_err(fail),
    }
}

/// What a kubeconfig for a store would say.
fn for_store(url: &http::Uri, arguments: &ClusterArguments) -> Kubeconfig {
    let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|it| it.to_string_lossy().into_owned());
    let name = "store".to_owned();
    let cluster = Cluster {
        server: Some(url.to_string()),
        certificate_authority: path(&arguments.certificate_authority),
        ..Cluster::default()
    };
    let user = AuthInfo { token_file: path(&arguments.token_file), ..AuthInfo::default() };
    let context = Context { cluster: name.clone(), user: Some(name.clone()), ..Context::default() };
    Kubeconfig {
        clusters: vec![NamedCluster {
            name: name.clone(),
            cluster: Some(cluster),
            ..NamedCluster::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: name.clone(),
            auth_info: Some(user),
            ..NamedAuthInfo::default()
        }],
        contexts: vec![NamedContext {
            name: name.clone(),
            context: Some(context),
            ..NamedContext::default()
        }],
        current_context: Some(name),
        ..Kubeconfig::default()
    }
}
