//! Connections that are there already, on which a word goes there and back again and again: what becomes of them.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::{Host, LabError};

/// The pause between a word that came back and the next one.
const PAUSE: Duration = Duration::from_millis(10);

/// What is known of a connection.
#[derive(Debug, Clone, Default)]
pub struct Life {
    /// When a word came back last.
    pub heard: Option<Instant>,
    /// When this end was told that the connection is no more, and how.
    pub ended: Option<(Instant, String)>,
}

/// Connections, until it is dropped.
#[derive(Debug)]
pub struct Lasting {
    lives: Arc<Mutex<Vec<Life>>>,
    _stop: oneshot::Sender<()>,
}

impl Lasting {
    /// Makes `count` connections from `host` to an echo server, and talks on them.
    ///
    /// # Errors
    /// Not all come about.
    pub async fn start(host: &Host, server: SocketAddr, count: usize) -> Result<Self, LabError> {
        let doing = LabError::io(format!("connecting to {server} on {}", host.name()));
        let lives = Arc::new(Mutex::new(vec![Life::default(); count]));
        let (stop, stopped) = oneshot::channel::<()>();
        let noting = Arc::clone(&lives);
        let begin = move || async move {
            let mut talks = Vec::new();
            for number in 0..count {
                let stream = TcpStream::connect(server).await?;
                stream.set_nodelay(true)?;
                talks.push(spawn_local(talk(stream, Arc::clone(&noting), number)));
            }
            spawn_local(async move {
                // Its sender is dropped, or sends nothing.
                let _ = stopped.await;
                talks.iter().for_each(tokio::task::JoinHandle::abort);
            });
            Ok::<_, io::Error>(())
        };
        host.run(begin).await?.map_err(doing)?;
        Ok(Self { lives, _stop: stop })
    }

    /// What is known of each by now.
    #[must_use]
    pub fn lives(&self) -> Vec<Life> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn talk(mut stream: TcpStream, lives: Arc<Mutex<Vec<Life>>>, number: usize) {
    let note = |act: &dyn Fn(&mut Life)| {
        act(&mut lives.lock().unwrap_or_else(PoisonError::into_inner)[number]);
    };
    loop {
        let exchange = async {
            stream.write_all(b"?").await?;
            let mut back = [0];
            stream.read_exact(&mut back).await
        };
        match exchange.await {
            Ok(_) => note(&|life| life.heard = Some(Instant::now())),
            Err(error) => {
                note(&|life| life.ended = Some((Instant::now(), error.to_string())));
                return;
            }
        }
        sleep(PAUSE).await;
    }
}
