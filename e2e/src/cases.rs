//! The cases, in the order of MetalLB's own end-to-end suite for layer 2, and beyond it.

mod assignment;
mod l2;

use crate::suite::Case;

/// All of them.
#[must_use]
pub fn all() -> Vec<Case> {
    let modules = [("assignment", assignment::cases()), ("l2", l2::cases())];
    modules.into_iter().flat_map(|(module, cases)| cases.into_iter().map(move |case| case.within(module))).collect()
}
