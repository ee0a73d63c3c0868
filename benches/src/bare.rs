//! The least that a program in user space can do: a loop that answers by a blocking packet socket.

use std::io::{self, ErrorKind, Read};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use lbnet::filter::Protocol;
use lbnet::wire::ARP_FRAME_LEN;
use socket2::Socket;

use crate::packet;
use crate::site::{Result, Site};

/// The name of the answering thread.
pub const THREAD: &str = "bare";
/// How often the loop looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);

/// A thread of the node that answers ARP for one address, until it is dropped.
#[derive(Debug)]
pub struct Bare {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Bare {
    /// Starts it.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn start(site: &Site, address: Ipv4Addr) -> Result<Self> {
        let (index, mac) = (site.node_index, site.node_nic.mac.octets());
        let ended = Arc::new(AtomicBool::new(false));
        let is_ended = Arc::clone(&ended);
        let started = site.node.run(move || async move {
            let socket = packet::open(index, Protocol::Arp, LOOK)?;
            let serve = move || serve(&socket, mac, address, &is_ended);
            std::thread::Builder::new().name(THREAD.to_owned()).spawn(serve)
        });
        Ok(Self { ended, thread: Some(started.await??) })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Questions that it did not answer show in the figures.
            let _ = thread.join();
        }
    }
}

/// Looks at nothing but the operation and the target, and moves bytes.
fn serve(socket: &Socket, mac: [u8; 6], address: Ipv4Addr, ended: &AtomicBool) -> io::Result<()> {
    let mut buffer = [0; 128];
    while !ended.load(Ordering::Relaxed) {
        let mut reading = socket;
        match reading.read(&mut buffer) {
            Ok(length) if length >= ARP_FRAME_LEN => {}
            Ok(_) => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        let frame = &mut buffer[..ARP_FRAME_LEN];
        if frame[20..22] != [0, 1] || frame[38..42] != address.octets() {
            continue;
        }
        // The sender becomes the target.
        frame.copy_within(22..32, 32);
        frame.copy_within(22..28, 0);
        frame[6..12].copy_from_slice(&mac);
        frame[21] = 2;
        frame[22..28].copy_from_slice(&mac);
        frame[28..32].copy_from_slice(&address.octets());
        socket.send(frame)?;
    }
    Ok(())
}
