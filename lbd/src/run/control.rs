//! A socket on this host by which a person drains it: `lbd drain --socket`.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use lbk8s::objects::annotations::{DRAIN, REBALANCE};
use lbk8s::watching::explain_client;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// What can be asked for.
pub(crate) const DRAIN_HOST: &str = "drain";
pub(crate) const UNDO: &str = "undo";
pub(crate) const SPREAD: &str = "rebalance";
/// The answer when it is done; anything else says why it is not.
const DONE: &str = "done";

/// A socket that is gone when this is.
pub(super) struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Listens. Only this user, and root, can connect.
    pub(super) async fn open(path: &Path) -> io::Result<Self> {
        // One that nobody listens at is of a process that crashed.
        if path.exists() && UnixStream::connect(path).await.is_err() {
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Does what is asked for, of the node of this host.
    pub(super) async fn serve(self, client: Client, node: String) {
        loop {
            if let Ok((stream, _)) = self.listener.accept().await {
                // Whoever hangs up is not answered.
                let _ = answer(stream, &client, &node).await;
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // It may have been taken away already.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn answer(stream: UnixStream, client: &Client, node: &str) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut asked = String::new();
    stream.read_line(&mut asked).await?;
    let annotations = match asked.trim() {
        DRAIN_HOST => json!({DRAIN: "true"}),
        UNDO => json!({DRAIN: null}),
        SPREAD => json!({REBALANCE: Timestamp::now().to_string()}),
        other => {
            let said = format!("cannot {other:?}: write drain, undo or rebalance\n");
            return stream.write_all(said.as_bytes()).await;
        }
    };
    let nodes: Api<Node> = Api::all(client.clone());
    let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
    let said = match nodes.patch(node, &PatchParams::default(), &patch).await {
        Ok(_) => format!("{DONE}\n"),
        Err(error) => format!("{}\n", explain_client(&error)),
    };
    stream.write_all(said.as_bytes()).await
}

/// Asks the process behind a socket.
pub(crate) async fn ask(path: &Path, what: &str) -> Result<(), String> {
    let failed =
        |error: io::Error| format!("{}: {error}; does lbd run with --control there?", path.display());
    let stream = UnixStream::connect(path).await.map_err(failed)?;
    let mut stream = BufReader::new(stream);
    stream.write_all(format!("{what}\n").as_bytes()).await.map_err(failed)?;
    let mut said = String::new();
    stream.read_line(&mut said).await.map_err(failed)?;
    match said.trim() {
        DONE => Ok(()),
        "" => Err(format!("{}: it hung up", path.display())),
        why => Err(why.to_owned()),
    }
}
