//! Starting the programs of Kubernetes: which flags.

use std::path::Path;

use super::credentials::Credentials;
use crate::Result;
use crate::daemon::Daemon;
use crate::site::SERVER;

const ETCD: &str = "http://127.0.0.1:2379";

pub(super) async fn start_etcd(programs: &Path, folder: &Path) -> Result<Daemon> {
    let data = folder.join("etcd");
    let arguments = [
        &format!("--data-dir={}", data.display()),
        &format!("--listen-client-urls={ETCD}"),
        &format!("--advertise-client-urls={ETCD}"),
        "--listen-peer-urls=http://127.0.0.1:2380",
        // It need not outlive the machine.
        "--unsafe-no-fsync",
        "--log-level=warn",
    ];
    Daemon::foreign(None, &programs.join("etcd"), arguments.map(str::to_owned).to_vec(), folder).await
}

pub(super) async fn start_server(programs: &Path, folder: &Path) -> Result<Daemon> {
    let at = |name: &str| folder.join(name).display().to_string();
    let arguments = [
        &format!("--etcd-servers={ETCD}"),
        &format!("--bind-address={SERVER}"),
        "--secure-port=6443",
        &format!("--cert-dir={}", at("certificates")),
        "--service-cluster-ip-range=10.96.0.0/16,fd96::/112",
        // Wide enough for thousands of load balancers.
        "--service-node-port-range=20000-60000",
        "--service-account-issuer=https://kubernetes.default.svc",
        &format!("--service-account-key-file={}", at("service-accounts.pem")),
        &format!("--service-account-signing-key-file={}", at("service-accounts.pem")),
        "--authorization-mode=RBAC",
        &format!("--token-auth-file={}", at("tokens.csv")),
        // Nobody makes the service account `default` of a namespace here.
        "--disable-admission-plugins=ServiceAccount",
        "--endpoint-reconciler-type=none",
    ];
    Daemon::foreign(None, &programs.join("kube-apiserver"), arguments.map(str::to_owned).to_vec(), folder)
        .await
}

pub(super) async fn start_manager(
    programs: &Path,
    folder: &Path,
    credentials: &Credentials,
) -> Result<Daemon> {
    let arguments = [
        &format!("--kubeconfig={}", credentials.admin().display()),
        "--controllers=endpointslice-controller,garbage-collector-controller,namespace-controller",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        &format!("--cert-dir={}", folder.join("manager").display()),
    ];
    let program = programs.join("kube-controller-manager");
    Daemon::foreign(None, &program, arguments.map(str::to_owned).to_vec(), folder).await
}
