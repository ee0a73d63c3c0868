//! `lbd check`: all that is wrong, as a compiler shows it.

use std::io::Write;

use lbk8s::objects::Severity;
use lbk8s::offline::report;

use super::snippet::Snippets;
use super::{print_json, read, summary, verdict};
use crate::cli::{CheckArguments, Format};
use crate::exit::Outcome;

pub(crate) fn main(arguments: &CheckArguments) -> Outcome {
    let world = read(&arguments.files, &arguments.world)?;
    let findings = world.findings(&world.facts().plan(), true);
    let count = |severity| findings.iter().filter(|it| it.problem.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    match arguments.output {
        Format::Json => print_json(&findings.iter().map(report::problem).collect::<Vec<_>>())?,
        Format::Text => {
            let mut out = anstream::stdout().lock();
            let mut snippets = Snippets::default();
            for finding in &findings {
                writeln!(out, "{}\n", snippets.render(finding))?;
            }
            writeln!(out, "{}", summary(errors, warnings))?;
        }
    }
    verdict(errors > 0 || arguments.strict && warnings > 0)
}
