//! Whether frames come in on an interface, as its kernel counts them.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use futures::TryStreamExt;
use rtnetlink::Handle;
use rtnetlink::packet_route::link::LinkAttribute;

/// How often it is looked, as long as it matters: several times while others are asked whether they hear this node.
pub(super) const EVERY: Duration = Duration::from_millis(50);
/// The kernel answers at once, or is not waited for.
const PATIENCE: Duration = Duration::from_millis(20);

/// What was counted when it was looked last.
#[derive(Debug, Default)]
pub(super) struct Frames {
    netlink: Option<Handle>,
    counted: BTreeMap<u32, u64>,
}

impl Frames {
    /// Nothing matters any more.
    pub(super) fn forget(&mut self) {
        self.counted.clear();
    }

    /// Whether frames have come in on an interface since it was last looked; at first, none.
    pub(super) async fn came(&mut self, index: u32) -> bool {
        // Who cannot look sees nothing.
        let counted = tokio::time::timeout(PATIENCE, self.count(index)).await;
        let Some(now) = counted.ok().and_then(Result::ok).flatten() else { return false };
        self.counted.insert(index, now).is_some_and(|before| now > before)
    }

    async fn count(&mut self, index: u32) -> io::Result<Option<u64>> {
        let netlink = if let Some(netlink) = &self.netlink {
            netlink.clone()
        } else {
            let (connection, netlink, _) = rtnetlink::new_connection()?;
            tokio::spawn(connection);
            self.netlink.insert(netlink).clone()
        };
        let mut links = netlink.link().get().match_index(index).execute();
        let link = links.try_next().await.map_err(io::Error::other)?;
        let received = |attribute| match attribute {
            LinkAttribute::Stats64(stats) => Some(stats.rx_packets),
            _ => None,
        };
        Ok(link.and_then(|link| link.attributes.into_iter().find_map(received)))
    }
}
