//! `lbd check`: all that is wrong, as a compiler shows it.

use std::io::Write;

use lbk8s::objects::Severity;
use lbk8s::offline::report;

use super::snippet::Snippets;
use super::{print_json, read, summary, verdict};
use crate::cli::{CheckArguments, Format};
use crate::cluster::{manifests, running};
use crate::columns::harmless;
use crate::exit::{Failure, Outcome};
use crate::offline;

pub(crate) fn main(arguments: &CheckArguments) -> Outcome {
    if !arguments.cluster && arguments.server.is_given() {
        return Err(Failure::WithoutCluster);
    }
    let findings = if arguments.cluster {
        let objects = manifests::read(&arguments.server, &arguments.world.namespace)?;
        let world = offline::world(objects.clone(), &arguments.world);
        let plan = world.facts().plan();
        let findings = [world.findings(&plan, true), world.nearly_full(&plan)].concat();
        let (more, unasked) = running::find(&arguments.server, &arguments.world.namespace, &findings)?;
        for why in unasked {
            writeln!(anstream::stderr(), "lbd: {}, so that only objects are checked", harmless(&why))?;
        }
        let findings = [findings, more].concat();
        manifests::with_text(findings, &objects)
    } else {
        let world = read(&arguments.files, &arguments.world)?;
        world.findings(&world.facts().plan(), true)
    };
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
