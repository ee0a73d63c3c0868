//! A measured figure, the target it has to meet, and the verdict on it.

use serde::Serialize;

/// One measured value, with its target and what it is compared with.
#[derive(Debug, Clone)]
pub struct Figure {
    /// What was measured.
    pub figure: String,
    /// The measured value, in `unit`. `NaN` if it could not be measured here.
    pub value: f64,
    /// The unit of the value, of the baseline and of absolute targets. Empty for counts and ratios.
    pub unit: &'static str,
    /// The bound that the value has to keep.
    pub target: Target,
    /// What the value is compared with, measured in the same run: its name, and its value in `unit`.
    pub baseline: Option<(String, f64)>,
    /// A second value of the same measurement, in `unit`: for example the longest beside the median.
    pub also: Option<(String, f64)>,
}

/// The bound that a figure has to keep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// No bound: the figure is printed for information.
    None,
    /// The value is at most this, in the figure's unit.
    AtMost(f64),
    /// The value is at most the first bound, and the second value of the measurement ([`Figure::and`]) at most the second.
    AtMostBoth(f64, f64),
    /// The value is exactly this.
    Exactly(f64),
    /// The value is at most so many times the baseline.
    AtMostTimes(f64),
    /// The value is at least so many times the baseline.
    AtLeastTimes(f64),
}

/// Whether a figure meets its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The target is met.
    Ok,
    /// The target is missed.
    Missed,
    /// There is a target, but the value or its baseline could not be measured here.
    Unmeasured,
}

impl Figure {
    /// A figure without a baseline.
    #[must_use]
    pub fn new(figure: impl Into<String>, value: f64, unit: &'static str, target: Target) -> Self {
        Self { figure: figure.into(), value, unit, target, baseline: None, also: None }
    }

    /// The figure with a baseline.
    #[must_use]
    pub fn beside(self, what: impl Into<String>, value: f64) -> Self {
        Self { baseline: Some((what.into(), value)), ..self }
    }

    /// The figure with a second value of the same measurement.
    #[must_use]
    pub fn and(self, what: impl Into<String>, value: f64) -> Self {
        Self { also: Some((what.into(), value)), ..self }
    }

    /// The baseline divided by the value: above 1 where the value is the smaller one. `None` if the value is zero.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let ratio = self.baseline.as_ref().map(|(_, baseline)| baseline / self.value);
        ratio.filter(|ratio| ratio.is_finite())
    }

    /// Whether the target is met; `None` without a target.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        let number = |pair: &Option<(String, f64)>| pair.as_ref().map_or(f64::NAN, |(_, value)| *value);
        // What is compared with what. A comparison with NaN is false, so that is looked for before.
        let (values, is_met) = match self.target {
            Target::None => return None,
            Target::AtMost(bound) => ([self.value, bound], self.value <= bound),
            Target::AtMostBoth(bound, also) => {
                let second = number(&self.also);
                ([self.value, second], self.value <= bound && second <= also)
            }
            Target::Exactly(expected) => ([self.value, expected], (self.value - expected).abs() < 1e-9),
            Target::AtMostTimes(times) => {
                let baseline = number(&self.baseline);
                ([self.value, baseline], self.value <= times * baseline)
            }
            Target::AtLeastTimes(times) => {
                let baseline = number(&self.baseline);
                ([self.value, baseline], self.value >= times * baseline)
            }
        };
        Some(match is_met {
            _ if values.iter().any(|value| value.is_nan()) => Verdict::Unmeasured,
            true => Verdict::Ok,
            false => Verdict::Missed,
        })
    }

    /// The target in words, with its unit; empty without one.
    #[must_use]
    pub fn target_text(&self) -> String {
        let with_unit = |bound: f64| format!("{} {}", rounded(bound), self.unit).trim_end().to_owned();
        match self.target {
            Target::None => String::new(),
            Target::AtMost(bound) => format!("at most {}", with_unit(bound)),
            Target::AtMostBoth(bound, also) => {
                let what = self.also.as_ref().map_or("the other", |(what, _)| what);
                format!("at most {}, {what} {}", with_unit(bound), with_unit(also))
            }
            Target::Exactly(0.0) => "none".to_owned(),
            Target::Exactly(expected) => format!("exactly {}", with_unit(expected)),
            Target::AtMostTimes(times) if times < 0.1 => {
                format!("1/{} of the baseline", rounded(times.recip()))
            }
            Target::AtMostTimes(times) => format!("at most {} times the baseline", rounded(times)),
            Target::AtLeastTimes(times) => format!("at least {} times the baseline", rounded(times)),
        }
    }
}

impl Serialize for Figure {
    /// One flat object: the fields, the target in words, and the verdict.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut object = serializer.serialize_struct("Figure", 7)?;
        object.serialize_field("figure", &self.figure)?;
        object.serialize_field("value", &self.value)?;
        object.serialize_field("unit", self.unit)?;
        object.serialize_field("target", &self.target_text())?;
        object.serialize_field("verdict", &self.verdict())?;
        object.serialize_field("baseline", &self.baseline)?;
        object.serialize_field("also", &self.also)?;
        object.end()
    }
}

/// A number with three significant digits, or all digits of a larger one.
pub(crate) fn rounded(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_compares_the_value_with_the_target() {
        let figure = |value, target| Figure::new("", value, "ns", target);
        for (figure, verdict, text) in [
            (figure(7.0, Target::None), None, ""),
            (figure(150.0, Target::AtMost(150.0)), Some(Verdict::Ok), "at most 150 ns"),
            (figure(150.1, Target::AtMost(150.0)), Some(Verdict::Missed), "at most 150 ns"),
            (figure(f64::NAN, Target::AtMost(150.0)), Some(Verdict::Unmeasured), "at most 150 ns"),
            (figure(2.0, Target::Exactly(1.0)), Some(Verdict::Missed), "exactly 1.00 ns"),
            (figure(0.0, Target::Exactly(0.0)), Some(Verdict::Ok), "none"),
            (
                figure(5.0, Target::AtMostBoth(5.0, 9.0)).and("the longest", 10.0),
                Some(Verdict::Missed),
                "at most 5.00 ns, the longest 9.00 ns",
            ),
            (
                figure(5.0, Target::AtMostBoth(5.0, 9.0)).and("the longest", 9.0),
                Some(Verdict::Ok),
                "at most 5.00 ns, the longest 9.00 ns",
            ),
            (
                figure(2.3, Target::AtMostTimes(1.15)).beside("loop", 2.0),
                Some(Verdict::Ok),
                "at most 1.15 times the baseline",
            ),
            (
                figure(2.4, Target::AtMostTimes(1.15)).beside("loop", 2.0),
                Some(Verdict::Missed),
                "at most 1.15 times the baseline",
            ),
            (
                figure(2.4, Target::AtMostTimes(1.15)),
                Some(Verdict::Unmeasured),
                "at most 1.15 times the baseline",
            ),
            (
                figure(1.0, Target::AtMostTimes(0.001)).beside("walk", 999.0),
                Some(Verdict::Missed),
                "1/1000 of the baseline",
            ),
            (
                figure(1.0, Target::AtLeastTimes(1.0)).beside("loop", 1.5),
                Some(Verdict::Missed),
                "at least 1.00 times the baseline",
            ),
        ] {
            assert_eq!((figure.verdict(), figure.target_text().as_str()), (verdict, text), "{figure:?}");
        }
    }
}
