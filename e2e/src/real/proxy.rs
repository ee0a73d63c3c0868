//! kube-proxy on a node.

use super::ControlPlane;
use crate::Result;
use crate::daemon::Daemon;
use crate::site::Node;

/// Starts kube-proxy on a node.
///
/// # Errors
/// What the system says.
pub async fn kube_proxy(plane: &ControlPlane, node: &Node) -> Result<Daemon> {
    let arguments = [
        &format!("--kubeconfig={}", plane.folder.join("kube-proxy.kubeconfig").display()),
        &format!("--hostname-override={}", node.name()),
        "--proxy-mode=iptables",
        "--cluster-cidr=10.244.0.0/16,fd00:244::/32",
        "--iptables-min-sync-period=50ms",
        // The settings of connection tracking belong to the machine.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
    ];
    let program = plane.programs.join("kube-proxy");
    Daemon::foreign(Some(&node.host), &program, arguments.map(str::to_owned).to_vec(), &plane.folder).await
}
