//! A cluster as it was in the beginning, for the next test.

use super::Cluster;
use super::nodes::put_node;
use crate::Result;
use crate::plane::Plane;

/// What tests make. Services go first: what they hold is given up while somebody may still look.
const KINDS: [&str; 14] = [
    "ValidatingWebhookConfiguration",
    "Service",
    "Pod",
    "L2Advertisement",
    "IPAddressPool",
    "ConfigMap",
    "EndpointSlice",
    "ServiceL2Status",
    "ConfigurationState",
    "NodeFacts",
    "Lease",
    "Secret",
    "Event",
    "Namespace",
];

impl Cluster {
    /// Ends all our programs, and removes all that tests make.
    ///
    /// # Errors
    /// What the API server or the kernel says.
    pub async fn tidy(&mut self) -> Result {
        self.kill_all();
        self.site.reset().await?;
        self.end_pods().await?;
        for kind in KINDS {
            self.delete_all(kind).await?;
        }
        for node in &self.site.nodes {
            put_node(&self.client, node).await?;
        }
        for entry in std::fs::read_dir(&self.folder)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let ours = name.starts_with("controller") || name.starts_with("speaker");
            if ours && entry.path().extension().is_some_and(|it| it == "log") {
                std::fs::remove_file(entry.path())?;
            }
        }
        if let Plane::Real(real) = &mut self.plane {
            real.begin().await?;
        }
        Ok(())
    }
}
