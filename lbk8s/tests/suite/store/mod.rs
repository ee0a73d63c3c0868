//! The embedded store as its clients see it: each test claims something about a real API server.
#![cfg(feature = "store")]

mod api;
mod deletions;
mod faults;
mod guarded;
mod kept;
mod laws;
mod mirror;
mod objects;
mod pages;
mod patches;
mod recovery;
mod refusals;
mod selectors;
mod served;
mod services;
mod shown;
mod watches;
