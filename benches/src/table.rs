//! Prints figures as a table or as JSON, and sums up the verdicts.

use std::io::{self, Write};

use crate::figure::{Figure, Verdict, rounded};

/// How many targets were met, and which were not.
#[derive(Debug, Default)]
pub struct Verdicts {
    met: usize,
    missed: Vec<String>,
    unmeasured: Vec<String>,
}

impl Verdicts {
    /// Counts the verdicts of these figures.
    pub fn add(&mut self, figures: &[Figure]) {
        for figure in figures {
            match figure.verdict() {
                None => {}
                Some(Verdict::Ok) => self.met += 1,
                Some(Verdict::Missed) => self.missed.push(figure.figure.clone()),
                Some(Verdict::Unmeasured) => self.unmeasured.push(figure.figure.clone()),
            }
        }
    }

    /// Whether every target was met: none was missed, and none could not be measured.
    #[must_use]
    pub fn all_met(&self) -> bool {
        self.missed.is_empty() && self.unmeasured.is_empty()
    }

    /// Prints the last line of a report: the count, and the names of what was missed or not measured.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let of = self.met + self.missed.len() + self.unmeasured.len();
        write!(out, "{} of {of} targets met", self.met)?;
        for (what, names) in [("missed", &self.missed), ("not measured", &self.unmeasured)] {
            if !names.is_empty() {
                write!(out, "; {} {what}: {}", names.len(), names.join(" | "))?;
            }
        }
        writeln!(out)
    }
}

/// Prints one JSON object a line.
///
/// # Errors
/// The output cannot be written.
pub fn print_json(out: &mut impl Write, figures: &[Figure]) -> io::Result<()> {
    for figure in figures {
        writeln!(out, "{}", serde_json::to_string(figure).map_err(io::Error::other)?)?;
    }
    Ok(())
}

/// Prints a table.
///
/// # Errors
/// The output cannot be written.
pub fn print_table(out: &mut impl Write, figures: &[Figure]) -> io::Result<()> {
    let header = ["figure", "value", "target", "verdict", "baseline in the same run"].map(str::to_owned);
    let table: Vec<[String; 5]> = std::iter::once(header).chain(figures.iter().map(row)).collect();
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let [a, b, c, d] = [width(0), width(1), width(2), width(3)];
    for [figure, value, target, verdict, beside] in &table {
        let line = format!("{figure:<a$}  {value:>b$}  {target:<c$}  {verdict:<d$}  {beside}");
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn row(figure: &Figure) -> [String; 5] {
    let with_unit = |value: f64| format!("{} {}", rounded(value), figure.unit).trim_end().to_owned();
    let verdict = match figure.verdict() {
        None => "",
        Some(Verdict::Ok) => "ok",
        Some(Verdict::Missed) => "MISSED",
        Some(Verdict::Unmeasured) => "not measured",
    };
    let beside = match (&figure.baseline, &figure.also) {
        (Some((what, value)), _) => {
            let times = figure.ratio().map(|ratio| format!(" ({} times ours)", rounded(ratio)));
            format!("{what}: {}{}", with_unit(*value), times.unwrap_or_default())
        }
        (None, Some((what, value))) => format!("{what}: {}", with_unit(*value)),
        (None, None) => String::new(),
    };
    [figure.figure.clone(), with_unit(figure.value), figure.target_text(), verdict.to_owned(), beside]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Target;

    #[test]
    fn the_last_line_counts_the_targets_and_names_those_that_are_not_met() {
        let figure = |name: &str, value| Figure::new(name, value, "ms", Target::AtMost(1.0));
        let mut verdicts = Verdicts::default();
        verdicts.add(&[figure("a", 1.0), Figure::new("b", 9.0, "ms", Target::None)]);
        let printed = |verdicts: &Verdicts| {
            let mut out = Vec::new();
            verdicts.print(&mut out).unwrap();
            (verdicts.all_met(), String::from_utf8(out).unwrap())
        };
        assert_eq!(printed(&verdicts), (true, "1 of 1 targets met\n".to_owned()));
        verdicts.add(&[figure("c", 2.0), figure("d", 3.0), figure("e", f64::NAN)]);
        let text = "1 of 4 targets met; 2 missed: c | d; 1 not measured: e\n";
        assert_eq!(printed(&verdicts), (false, text.to_owned()));
    }

    #[test]
    fn a_table_has_the_verdict_beside_the_target() {
        let figures = [
            Figure::new("slow", 2.0, "ms", Target::AtMostTimes(1.5)).beside("bare", 1.0),
            Figure::new("gap", 5.0, "ms", Target::AtMost(9.0)).and("the longest", 7.0),
        ];
        let mut out = Vec::new();
        print_table(&mut out, &figures).unwrap();
        let lines: Vec<_> = std::str::from_utf8(&out).unwrap().lines().collect();
        assert_eq!(
            lines,
            [
                "figure    value  target                           verdict  baseline in the same run",
                "slow    2.00 ms  at most 1.50 times the baseline  MISSED   bare: 1.00 ms (0.50 times ours)",
                "gap     5.00 ms  at most 9.00 ms                  ok       the longest: 7.00 ms",
            ]
        );
    }
}
