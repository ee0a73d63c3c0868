//! `lbd check`: all that is wrong, as a compiler shows it.

use std::io::Write;

use lbk8s::objects::Severity;
use lbk8s::offline::{Finding, report};

use super::snippet::Snippets;
use super::{print_json, read, summary, verdict};
use crate::cli::{CheckArguments, Format};
use crate::cluster::manifests;
use crate::cluster::running::Said;
use crate::columns::harmless;
use crate::exit::{Failure, Outcome};
use crate::offline;

pub(crate) fn main(arguments: &CheckArguments) -> Outcome {
    if !arguments.cluster && arguments.server.is_given() {
        return Err(Failure::WithoutCluster);
    }
    let findings = if arguments.cluster {
        let objects = manifests::read(&arguments.server, &arguments.world.namespace)?;
        let said = Said::in_cluster(&arguments.server, &arguments.world.namespace)?;
        for why in &said.unasked {
            writeln!(anstream::stderr(), "lbd: {}, so that only objects are checked", harmless(why))?;
        }
        let world = offline::world(objects.clone(), &arguments.world.or_as(said.rules.as_ref()));
        let plan = world.facts().plan();
        let mut findings = [world.findings(&plan, true), world.nearly_full(&plan)].concat();
        let more: Vec<Finding> = said.beyond(&findings).collect();
        findings.extend(more);
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
