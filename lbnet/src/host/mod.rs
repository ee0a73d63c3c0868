//! What this host does by itself, beside what it is asked to do here.

mod addresses;
mod interfaces;
mod kernel;
mod neighbours;

pub use addresses::HostAddresses;
pub use interfaces::interfaces;
pub(crate) use kernel::ArpIgnores;
pub use kernel::{ArpIgnore, KernelAnswer, kernel_answers};
pub use neighbours::{Neighbour, neighbours};
