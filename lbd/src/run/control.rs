//! A socket on this host by which a person drains it: `lbd drain --socket`.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use lbk8s::objects::annotations::{DRAIN, REBALANCE};
use lbk8s::watching::explain_client;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::show::warn;

/// What can be asked for.
pub(crate) const DRAIN_HOST: &str = "drain";
pub(crate) const UNDO: &str = "undo";
pub(crate) const SPREAD: &str = "rebalance";
/// Who says nothing for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest line that is read.
const LONGEST: u64 = 64;
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
        let is_socket = std::fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
        let is_refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        if is_socket && UnixStream::connect(path).await.err().is_some_and(is_refused) {
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Does what is asked for, of the node of this host.
    pub(super) async fn serve(self, client: Client, node: String) {
        loop {
            match self.listener.accept().await {
                // Whoever hangs up, or says nothing, is not answered.
                Ok((stream, _)) => drop(timeout(PATIENCE, answer(stream, &client, &node)).await),
                Err(error) => {
                    warn(&format!("{}: {error}", self.path.display()));
                    tokio::time::sleep(PATIENCE).await;
                }
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
    (&mut stream).take(LONGEST).read_line(&mut asked).await?;
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
    let mut said = String::new();
    let exchange = async {
        let mut stream = BufReader::new(UnixStream::connect(path).await?);
        stream.write_all(format!("{what}\n").as_bytes()).await?;
        stream.read_line(&mut said).await
    };
    let exchanged = timeout(2 * PATIENCE, exchange).await.map_err(io::Error::from).and_then(|it| it);
    exchanged.map_err(failed)?;
    match said.trim() {
        DONE => Ok(()),
        "" => Err(format!("{}: it hung up", path.display())),
        why => Err(why.to_owned()),
    }
}
