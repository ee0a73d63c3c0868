//! `lbd convert`: a ConfigMap of MetalLB before v0.13 as today's objects.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use k8s_openapi::api::core::v1::ConfigMap;
use lbk8s::manifest::Manifests;
use lbk8s::objects::config_map;
use lbk8s::{CONFIG_NAMESPACE, ObjectRef, Problem, convert};
use serde_json::Value;

use super::load;
use crate::cli::ConvertArguments;
use crate::exit::{Failure, Outcome};

pub(crate) fn main(arguments: &ConvertArguments) -> Outcome {
    let objects = if arguments.only_data {
        let text = if arguments.file == Path::new(super::STDIN) {
            io::read_to_string(io::stdin())?
        } else {
            std::fs::read_to_string(&arguments.file).map_err(|error| unreadable(&arguments.file, &error))?
        };
        let object = named_as_ever();
        convert::convert_text(&text, &object, CONFIG_NAMESPACE)
            .map_err(|problems| refused(&problems, None))?
    } else {
        from_manifests(&load(std::slice::from_ref(&arguments.file))?)?
    };
    let mut out = io::stdout().lock();
    for (index, object) in objects.iter().enumerate() {
        let text = serde_saphyr::to_string(object).map_err(io::Error::other)?;
        let separator = if index > 0 { "---\n" } else { "" };
        writeln!(out, "{separator}{}", text.trim_end())?;
    }
    Ok(())
}

fn from_manifests(manifests: &Manifests) -> Result<Vec<Value>, Failure> {
    if let Some(error) = manifests.errors.first() {
        return Err(Failure::Convert(error.to_string()));
    }
    let maps = manifests.objects.iter().filter(|it| it.reference().kind == "ConfigMap");
    let with_key = |value: &Value| value["data"][config_map::KEY].is_string();
    let maps: Vec<_> = maps.collect();
    let several: Vec<String> =
        maps.iter().filter(|it| with_key(&it.value)).map(|it| format!("  {}", it.place)).collect();
    if several.len() > 1 {
        let message = format!("  there are several ConfigMaps; give one of them:\n{}", several.join("\n"));
        return Err(Failure::Convert(message));
    }
    let found = maps.iter().find(|it| with_key(&it.value)).or_else(|| maps.first());
    let Some(manifest) = found else {
        let message = "there is no ConfigMap in the file; with --only-data the text alone is taken";
        return Err(Failure::Convert(message.to_owned()));
    };
    let map: ConfigMap = serde_json::from_value(manifest.value.clone())
        .map_err(|error| Failure::Convert(error.to_string()))?;
    convert::convert(&map).map_err(|problems| {
        let place = |problem: &Problem| manifest.locate_problem(problem).to_string();
        refused(&problems, Some(&place))
    })
}

fn named_as_ever() -> ObjectRef {
    ObjectRef {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        namespace: CONFIG_NAMESPACE.into(),
        name: config_map::NAME.into(),
        uid: "".into(),
    }
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::Convert(format!("{}: {error}", file.display()))
}

/// All reasons, a line each.
fn refused(problems: &[Problem], place: Option<&dyn Fn(&Problem) -> String>) -> Failure {
    let mut text = String::new();
    for problem in problems {
        let place = place.map(|place| format!("{}: ", place(problem))).unwrap_or_default();
        let path = problem.path.trim_start_matches("data.config: ");
        let _ = writeln!(text, "  {place}{path}: {}", problem.message);
    }
    Failure::Convert(text.trim_end().to_owned())
}
