//! Where the API server is, and which of its objects count.

use std::path::PathBuf;

use clap::Args;
use lbk8s::objects::config::FollowConfigMap;

use super::not_empty;

/// Where the API server is.
#[derive(Debug, Default, Args)]
pub(crate) struct ClusterArguments {
    /// Use this kubeconfig. By default: the cluster this process runs in, else $KUBECONFIG or ~/.kube/config
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Use this context of the kubeconfig. By default: its current one
    #[arg(long, value_name = "NAME", value_parser = not_empty)]
    pub(crate) context: Option<String>,
    /// Use the store at this address (`lbd run --listen`), without a kubeconfig
    #[arg(long, value_name = "URL", conflicts_with_all = ["kubeconfig", "context"], value_parser = server_url)]
    pub(crate) server: Option<http::Uri>,
    /// Send the token in this file to the store (its --token-file)
    #[arg(long, value_name = "FILE", requires = "server")]
    pub(crate) token_file: Option<PathBuf>,
    /// Trust the certificates in this PEM file when the store shows its own (its --tls-cert)
    #[arg(long, value_name = "FILE", requires = "server")]
    pub(crate) certificate_authority: Option<PathBuf>,
}

impl ClusterArguments {
    /// Whether any of it is given.
    pub(crate) fn is_given(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some() || self.server.is_some()
    }
}

#[derive(Debug, Args)]
pub(crate) struct ServerArguments {
    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
    #[command(flatten)]
    namespace: NamespaceArguments,
    /// Serve only Services of this loadBalancerClass. By default: those without a class
    #[arg(long, env = "LBD_LB_CLASS", value_name = "CLASS")]
    pub(crate) lb_class: Option<String>,
    /// Let the pools of the v0.12 ConfigMap count beside those of today. By default it counts only where there are
    /// none
    #[arg(long, env = "LBD_FOLLOW_CONFIG_MAP")]
    follow_config_map: bool,
    /// Work although MetalLB's controller or speakers still run. By default lbd waits until they are gone
    #[arg(long, env = "LBD_BESIDE_METALLB")]
    pub(crate) beside_metallb: bool,
    /// End when standard input closes: for a parent that may die
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
}

impl ServerArguments {
    /// The namespace of pools and advertisements.
    pub(crate) fn namespace(&self) -> String {
        self.namespace.name()
    }

    pub(crate) fn follow_config_map(&self) -> FollowConfigMap {
        if self.follow_config_map { FollowConfigMap::Always } else { FollowConfigMap::WithoutPools }
    }
}

#[derive(Debug, Args)]
pub(crate) struct NamespaceArguments {
    /// The namespace of pools and advertisements. By default: that of the pod this process runs in, else
    /// metallb-system
    #[arg(long, short, env = "LBD_NAMESPACE", value_name = "NAME", value_parser = not_empty)]
    namespace: Option<String>,
}

/// Where Kubernetes tells a pod its namespace.
const POD_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

impl NamespaceArguments {
    /// The namespace of pools and advertisements.
    pub(crate) fn name(&self) -> String {
        let of_pod = || std::fs::read_to_string(POD_NAMESPACE).ok().map(|text| text.trim().to_owned());
        let named = self.namespace.clone().or_else(of_pod).filter(|name| !name.is_empty());
        named.unwrap_or_else(|| lbk8s::CONFIG_NAMESPACE.to_owned())
    }
}

/// Where the API server is, for commands that change something.
#[derive(Debug, Args)]
pub(crate) struct WhereArguments {
    /// Without a cluster: this host, whose lbd run listens on this socket (--control)
    #[arg(long, value_name = "PATH", conflicts_with_all = ["kubeconfig", "context", "server"])]
    pub(crate) socket: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
}

fn server_url(text: &str) -> Result<http::Uri, String> {
    let url: Option<http::Uri> = text.parse().ok();
    let whole = |url: &http::Uri| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some();
    url.filter(whole).ok_or_else(|| "write a URL, as in http://127.0.0.1:8080".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_whole_url() {
        assert!(server_url("http://127.0.0.1:8080").is_ok() && server_url("https://[::1]:6443").is_ok());
        for text in ["127.0.0.1:8080", "localhost", "", "http://", "ftp://a", "http://[::bad"] {
            assert!(server_url(text).is_err(), "{text}");
        }
    }
}
