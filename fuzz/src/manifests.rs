//! Manifest files: `lbk8s::manifest`.

use std::path::Path;

use k8s_openapi::api::core::v1::ConfigMap;
use lbk8s::manifest::{Manifest, ManifestError, Manifests, Place};
use lbk8s::objects::config_map;
use lbk8s::offline::report::Report;
use lbk8s::offline::{Options, World};
use lbk8s::schema::{FieldPath, Step};
use serde_json::Value;

use crate::config_map::check_legacy;

/// Reads the input as a file.
pub fn check(data: &[u8]) {
    let text = crate::text(data);
    let mut manifests = Manifests::default();
    manifests.read(Path::new("a.yaml"), &text);
    let lines = lines(&text);
    let inside = |place: &Place| assert!((1..=lines).contains(&place.line), "{place} of {lines} lines");
    for error in &manifests.errors {
        assert!(!error.to_string().is_empty());
        match error {
            ManifestError::Syntax { place, .. } | ManifestError::NotAnObject { place, .. } => inside(place),
            ManifestError::Unreadable { .. } => panic!("a text is no file: {error}"),
        }
    }
    for manifest in &manifests.objects {
        inside(&manifest.place);
        let reference = manifest.reference();
        assert!(manifest.is(&reference), "{reference}");
        // Each is looked for from the top: with aliases of aliases, all of them would take long.
        for path in paths(&manifest.value).iter().take(300) {
            inside(&manifest.locate(path));
        }
        check_config_map(manifest, inside);
    }
    check_findings(manifests, &text, inside);
}

/// Whatever is found wrong with a file stands in it.
fn check_findings(manifests: Manifests, text: &str, inside: impl Fn(&Place)) {
    let world = World::read(manifests, &Options::default());
    let plan = world.facts().plan();
    for finding in world.findings(&plan, true) {
        assert!(!finding.problem.message.is_empty(), "{:?}", finding.problem);
        finding.place.iter().for_each(&inside);
        if let Some((source, span)) = finding.text {
            assert_eq!(&*source, text);
            assert!(source.get(span.clone()).is_some_and(|text| !text.is_empty()), "{span:?}");
        }
    }
    drop(Report::new(&world, &plan, &[]));
}

/// The problems of a ConfigMap have their lines in the file, though they are about a text inside.
fn check_config_map(manifest: &Manifest, inside: impl Fn(&Place)) {
    if manifest.reference().kind != "ConfigMap" {
        return;
    }
    let Ok(map) = serde_json::from_value::<ConfigMap>(manifest.value.clone()) else { return };
    let legacy = config_map::read(&map);
    check_legacy(&legacy);
    for problem in &legacy.problems {
        inside(&manifest.locate_problem(problem));
    }
}

/// As YAML counts them, with an empty line behind the last break.
fn lines(text: &str) -> u64 {
    text.replace("\r\n", "\n").split(['\r', '\n']).count() as u64
}

/// The ways to all parts of a value.
fn paths(value: &Value) -> Vec<FieldPath> {
    let mut all = vec![(Vec::new(), value)];
    let mut next = 0;
    while let Some((steps, value)) = all.get(next).cloned() {
        next += 1;
        let deeper = |step| steps.iter().cloned().chain([step]).collect::<Vec<Step>>();
        match value {
            Value::Object(fields) => {
                all.extend(fields.iter().map(|(key, value)| (deeper(Step::Key(key.clone())), value)));
            }
            Value::Array(entries) => {
                all.extend(entries.iter().enumerate().map(|(at, value)| (deeper(Step::Index(at)), value)));
            }
            _ => {}
        }
    }
    all.into_iter().map(|(steps, _)| FieldPath::from(steps)).collect()
}
