//! Questions about manifests: `lbd plan`, `lbd check`, `lbd explain` and `lbd convert`.

pub(crate) mod check;
pub(crate) mod convert;
pub(crate) mod explain;
pub(crate) mod plan;
mod snippet;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lbk8s::manifest::{self, Manifests};
use lbk8s::offline::{Options, World};
use serde::Serialize;

use crate::cli::WorldArguments;
use crate::exit::{Failure, Outcome};

/// The path that stands for standard input.
const STDIN: &str = "-";

/// Reads the objects of these files in this order.
pub(crate) fn load(paths: &[PathBuf]) -> io::Result<Manifests> {
    let mut manifests = Manifests::default();
    for path in paths {
        if path == Path::new(STDIN) {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text)?;
            manifests.read(Path::new("<stdin>"), &text);
        } else {
            let read = manifest::load(std::slice::from_ref(path));
            manifests.objects.extend(read.objects);
            manifests.sources.extend(read.sources);
            manifests.errors.extend(read.errors);
        }
    }
    Ok(manifests)
}

fn read(paths: &[PathBuf], arguments: &WorldArguments) -> io::Result<World> {
    Ok(world(load(paths)?, arguments))
}

/// These objects as they would count in a cluster.
pub(crate) fn world(manifests: Manifests, arguments: &WorldArguments) -> World {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let options = Options {
        namespace: arguments.namespace.clone(),
        class: arguments.lb_class.clone(),
        lost_addresses: arguments.lost_addresses.map(Into::into).unwrap_or_default(),
        now: i64::try_from(now.as_micros()).unwrap_or(i64::MAX),
    };
    World::read(manifests, &options)
}

pub(crate) fn print_json(value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)
}

/// What a command comes to that found problems or none.
fn verdict(found: bool) -> Outcome {
    if found { Err(Failure::Found) } else { Ok(()) }
}

/// `2 errors and 1 warning`.
fn summary(errors: usize, warnings: usize) -> String {
    let count = |number: usize, what: &str| match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    };
    match (errors, warnings) {
        (0, 0) => "No problems".to_owned(),
        (0, _) => count(warnings, "warning"),
        (_, 0) => count(errors, "error"),
        _ => format!("{} and {}", count(errors, "error"), count(warnings, "warning")),
    }
}
