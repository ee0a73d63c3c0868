//! A problem, and where in which file it stands.

use std::ops::Range;
use std::sync::Arc;

use lbcore::Refusal;
use serde_json::Value;

use crate::manifest::{Manifest, ManifestError, Manifests, Place};
use crate::objects::annotations::{ADDRESS_POOL, DEPRECATED_PREFIX, LOAD_BALANCER_IPS, PREFIX, path};
use crate::objects::{ObjectRef, Problem};

/// A problem, and where it stands.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The problem.
    pub problem: Problem,
    /// The file and the line; none of an object that is in no file.
    pub place: Option<Place>,
    /// The text of the file and the faulty bytes in it.
    pub text: Option<(Arc<str>, Range<usize>)>,
}

impl Finding {
    pub(super) fn new(problem: Problem, manifest: Option<&Manifest>) -> Self {
        let manifest = manifest.filter(|manifest| manifest.is_in_file());
        let place = manifest.map(|manifest| manifest.locate_problem(&problem));
        let text = manifest.and_then(|manifest| Some((manifest.source.clone(), manifest.span_of(&problem)?)));
        Self { problem, place, text }
    }

    /// The same, of an object that stands in this file.
    #[must_use]
    pub fn located_in(self, manifest: &Manifest) -> Self {
        Self::new(self.problem, Some(manifest))
    }

    pub(super) fn of_file(error: &ManifestError, manifests: &Manifests) -> Self {
        let (place, code, why) = match error {
            ManifestError::Unreadable { file, why } => {
                (Place { file: file.clone(), line: 0 }, "Unreadable", why.clone())
            }
            ManifestError::Syntax { place, why } => (place.clone(), "Syntax", format!("is not YAML: {why}")),
            ManifestError::NotAnObject { place, why } => {
                let message = format!("{why}; an object needs apiVersion, kind and metadata.name");
                (place.clone(), "NotAnObject", message)
            }
        };
        let object = ObjectRef {
            api_version: "".into(),
            kind: "File".into(),
            namespace: "".into(),
            name: place.file.display().to_string().into(),
            uid: "".into(),
        };
        let source = manifests.sources.get(&place.file);
        let text = source.and_then(|source| Some((source.clone(), line(source, place.line)?)));
        Self { problem: Problem::new(&object, code, "", why), place: Some(place), text }
    }

    /// Findings are told in the order of the files and their lines, errors first on each.
    pub(super) fn order(&self) -> impl Ord + '_ {
        let problem = &self.problem;
        (&self.place, problem.severity, &problem.path, &problem.message)
    }
}

/// The bytes of a line, without the blanks around it; none of one that is empty.
fn line(text: &str, number: u64) -> Option<Range<usize>> {
    let index = usize::try_from(number).ok()?.checked_sub(1)?;
    let line = text.lines().nth(index)?;
    let start = line.as_ptr() as usize - text.as_ptr() as usize;
    let blanks = line.len() - line.trim_start().len();
    let range = start + blanks..start + line.trim_end().len();
    (!range.is_empty()).then_some(range)
}

/// The field of a Service, as it is written, that a refusal is about.
pub(super) fn field_of(refusal: &Refusal, service: &Value) -> String {
    let annotation = |name: &str| {
        [PREFIX, DEPRECATED_PREFIX].map(|prefix| format!("{prefix}{name}")).into_iter().find(|key| {
            service["metadata"]["annotations"][key.as_str()]
                .as_str()
                .is_some_and(|text| !text.trim().is_empty())
        })
    };
    let by_pool = || annotation(ADDRESS_POOL).map(|key| path(&key));
    let by_address = || {
        let field = service["spec"]["loadBalancerIP"].is_string().then(|| "spec.loadBalancerIP".to_owned());
        annotation(LOAD_BALANCER_IPS).map(|key| path(&key)).or(field)
    };
    let field = match refusal {
        Refusal::UnknownPool { .. } | Refusal::NotAdmitted { .. } | Refusal::Cordoned { .. } => {
            by_pool().or_else(by_address)
        }
        Refusal::OutsidePools { .. }
        | Refusal::OtherPool { .. }
        | Refusal::FamilyNotWanted { .. }
        | Refusal::Excluded { .. }
        | Refusal::Reserved { .. }
        | Refusal::Taken { .. }
        | Refusal::NotAlone { .. } => by_address(),
        Refusal::NoPools | Refusal::NoneFree { .. } | Refusal::Kept { .. } => None,
    };
    field.unwrap_or_else(|| "metadata.name".to_owned())
}
