//! The questions that reach a station, written down beside whoever answers them.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use lbnet::filter::{Filter, Protocol};
use lbnet::socket::{FrameSocket, OpenError};
use lbnet::wire::Operation;
use lbnet::{ArpFrame, MacAddr, NdpFrame};

use crate::site::{Result, Station};

/// Who has this address?
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    pub(crate) target: IpAddr,
    /// The hardware address that it was sent to.
    pub(crate) to: MacAddr,
}

/// What a station has been asked.
pub(crate) struct Questions(Arc<Mutex<Vec<Question>>>);

impl Questions {
    /// Listens at `station` from now on.
    pub(crate) async fn at(station: &Station) -> Result<Self> {
        let index = NonZeroU32::new(station.host.net().index("eth0").await?).ok_or("index 0")?;
        let questions = Self(Arc::default());
        for protocol in [Protocol::Arp, Protocol::Ipv6] {
            let journal = Arc::clone(&questions.0);
            let listen = move || async move {
                let socket = FrameSocket::open(index, protocol, &Filter::open(protocol))?;
                tokio::task::spawn_local(listen(socket, journal));
                Ok::<_, OpenError>(())
            };
            station.host.run(listen).await??;
        }
        Ok(questions)
    }

    /// The questions about `target` so far.
    pub(crate) fn about(&self, target: impl Into<IpAddr>) -> Vec<Question> {
        let target = target.into();
        let questions = self.0.lock().expect("no panic while writing");
        questions.iter().filter(|question| question.target == target).copied().collect()
    }

    /// Forgets them all.
    pub(crate) fn clear(&self) {
        self.0.lock().expect("no panic while writing").clear();
    }
}

async fn listen(socket: FrameSocket, journal: Arc<Mutex<Vec<Question>>>) {
    let mut buffer = [0; 1514];
    while let Ok(bytes) = socket.recv(&mut buffer).await {
        if let Some(question) = question(bytes) {
            journal.lock().expect("no panic while reading").push(question);
        }
    }
}

fn question(bytes: &[u8]) -> Option<Question> {
    if let Ok(NdpFrame::Solicitation(asked)) = NdpFrame::parse(bytes) {
        return Some(Question { target: asked.target.into(), to: asked.destination });
    }
    let asked = ArpFrame::parse(bytes).ok().filter(|frame| frame.operation == Operation::Request)?;
    Some(Question { target: asked.target_ip.into(), to: asked.destination })
}
