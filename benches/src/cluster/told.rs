//! What was measured, as figures with their targets.

use std::time::Duration;

use super::{Measuring, ms};
use crate::{Figure, Target, percentile};

/// With so many present a real server has a target: a fifth and a twentieth of what MetalLB 0.16 takes on the same one
/// with 3,200 present, 63 and 1,563 ms.
const MANY: usize = 3_000;
const MEDIAN: Target = Target::AtMost(12.6);
const P99: Target = Target::AtMost(78.0);

/// With more Services present an assignment takes no longer, by what the API server alone takes longer. (Without that
/// baseline it cannot be told apart.)
const GROWTH: Target = Target::AtMostTimes(1.25);

/// A time with the fewest present, and what the server alone took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fewest {
    present: usize,
    value: f64,
    bare: Option<f64>,
}

impl Measuring<'_> {
    /// A time with so many present: its median and its p99, each by what it is with the fewest present.
    pub(super) fn tell(
        &mut self,
        what: &str,
        present: usize,
        taken: &[Duration],
        beside: Option<(&str, &[Duration])>,
    ) {
        for (share, name, target) in [(50, "median", MEDIAN), (99, "p99", P99)] {
            let what = format!("{what}, {name}");
            let value = ms(percentile(taken.to_vec(), share));
            let target = if self.real && present == MANY { target } else { Target::None };
            let figure = Figure::new(format!("{what}, {present} present ({})", self.on), value, "ms", target);
            let bare = beside.map(|(_, took)| ms(percentile(took.to_vec(), share)));
            self.figures.push(match beside.zip(bare) {
                Some(((what, _), bare)) => figure.beside(what, bare),
                None => figure,
            });
            let fewest = *self.fewest.entry(what.clone()).or_insert(Fewest { present, value, bare });
            if fewest.present != present {
                let name =
                    format!("{what}, {present} present, by that with {} ({})", fewest.present, self.on);
                let figure = Figure::new(name, value / fewest.value, "times", GROWTH);
                // What the server alone takes grows too, and nobody is faster than that.
                self.figures.push(match bare.zip(fewest.bare) {
                    Some((now, then)) => figure.beside("the server alone", now / then),
                    None => figure,
                });
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "the counts are small")]
    pub(super) fn count_writes(&mut self, before: Option<u64>, given: usize, how: &str) {
        if let (Some(before), Some(now)) = (before, self.written()) {
            let name = format!("status writes for each address, {given} {how} ({})", self.on);
            let each = (now - before) as f64 / given as f64;
            self.figures.push(Figure::new(name, each, "", Target::Exactly(1.0)));
        }
    }
}
