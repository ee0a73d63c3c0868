//! A cluster as it was in the beginning, for the next test.

use super::Cluster;
use super::nodes::put_node;
use crate::Result;

/// What tests make. Services go first: what they hold is given up while somebody may still look.
const KINDS: [&str; 7] =
    ["Service", "Pod", "L2Advertisement", "IPAddressPool", "ConfigMap", "EndpointSlice", "ServiceL2Status"];

impl Cluster {
    /// Ends all our programs, and removes all that tests make.
    ///
    /// # Errors
    /// What the API server or the kernel says.
    pub async fn tidy(&mut self) -> Result {
        self.stop_all();
        self.site.reset().await?;
        self.end_pods().await?;
        for kind in KINDS {
            self.delete_all(kind).await?;
        }
        self.delete_all("Event").await?;
        for node in &self.site.nodes {
            put_node(&self.client, node).await?;
        }
        for entry in std::fs::read_dir(&self.folder)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("controller") && name.ends_with(".log") || name.starts_with("speaker") && name.ends_with(".log") {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}
