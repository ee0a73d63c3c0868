//! The interfaces of this host at one moment.

use std::io;

use crate::interface::monitor::Monitor;
use crate::interface::table::Table;

/// Asks the kernel for the interfaces of the network namespace of the calling thread. Needs a tokio runtime.
///
/// # Errors
/// The kernel cannot be asked, or does not answer.
pub async fn interfaces() -> io::Result<Table> {
    Ok(Monitor::open().await?.table().clone())
}
