//! `lbd explain`: which pools were looked at for a Service, in which order, and why each was passed over.

use std::io::{self, Write};

use lbk8s::offline::explain::Explanation;
use lbk8s::suggest;

use super::plan::{addresses, word};
use super::{print_json, read};
use crate::cli::{ExplainArguments, Format};
use crate::cluster;
use crate::columns::harmless;
use crate::exit::{Failure, Outcome};

pub(crate) fn main(arguments: &ExplainArguments) -> Outcome {
    if arguments.files.is_empty() {
        return cluster::explain(arguments);
    }
    let world = read(&arguments.files, &arguments.world)?;
    let Some(explanation) = world.explain(&arguments.service) else {
        let (name, known) = (arguments.service.to_string(), world.service_names().collect::<Vec<_>>());
        let near = suggest::nearest(&name, known.iter().map(String::as_str));
        return Err(Failure::NoSuchService { name, hint: suggest::hint(near) });
    };
    match arguments.output {
        Format::Json => print_json(&explanation)?,
        Format::Text => print(&explanation)?,
    }
    Ok(())
}

fn print(explanation: &Explanation) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    let service = &explanation.service;
    let (name, outcome) = (format!("{}/{}", service.namespace, service.name), word(service.outcome));
    if service.addresses.is_empty() {
        writeln!(out, "{name} is {outcome}: {}", service.reason.message)?;
    } else {
        writeln!(out, "{name} is {outcome} {}: {}", addresses(service), service.reason.message)?;
    }
    print_pools(&mut out, explanation)
}

/// Which pools would be looked at.
pub(crate) fn print_pools(out: &mut impl Write, explanation: &Explanation) -> io::Result<()> {
    for search in &explanation.families {
        writeln!(out, "\nIf it asked for {} now, these pools would be looked at:", search.family)?;
        for (number, look) in (1..).zip(&search.pools) {
            let gives = look.ip.as_ref().map(|ip| format!("pool {:?} gives {ip}: ", look.pool));
            writeln!(out, "  {number}. {}{}", gives.unwrap_or_default(), harmless(&look.reason.message))?;
        }
    }
    if let Some(refusal) = &explanation.refusal {
        writeln!(out, "\nIf it asked now, no pool would be looked at: {}", harmless(&refusal.message))?;
    }
    Ok(())
}
