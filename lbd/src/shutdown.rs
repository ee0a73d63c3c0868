//! Being told to stop.

use std::io::{self, Read};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Waits for SIGTERM or Ctrl-C; with `stdin` also for the end of standard input, which is how a child learns
/// that its parent is gone, however it went.
pub(crate) async fn requested(stdin: bool) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let closed = stdin_closed(stdin);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = closed => {}
    }
    Ok(())
}

async fn stdin_closed(wanted: bool) {
    if !wanted {
        return std::future::pending().await;
    }
    let (closed, waiting) = oneshot::channel();
    // A thread of its own: a blocking read must not keep the runtime from ending.
    std::thread::spawn(move || {
        let mut ignored = [0; 64];
        while matches!(io::stdin().read(&mut ignored), Ok(1..)) {}
        drop(closed);
    });
    let _: Result<(), _> = waiting.await;
}
