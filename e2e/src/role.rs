//! The two programs, by whose rights they work.

/// Whose rights a program has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The service account `lbd-controller`.
    Controller,
    /// The service account `lbd-speaker`.
    Speaker,
}
