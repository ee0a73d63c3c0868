//! The controller: its decisions alone, and the whole of it on the embedded store.
#![cfg(feature = "controller")]

mod decisions;
mod external_writes;
mod families;
mod faults;
mod late_events;
mod node_addresses;
mod release_history;
mod release_history_over_time;
mod retention;
mod retention_records;
mod retention_writes;
mod walkthrough;
