//! Manifests: YAML and JSON files as Kubernetes objects, with the line of every field.
//!
//! One broken document does not hide the others. What is wrong is said with file, line and field.

#[cfg(feature = "store")]
pub mod apply;
mod documents;
mod tree;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use self::tree::Tree;
use crate::ObjectRef;
use crate::objects::Problem;
use crate::objects::annotations::{DEPRECATED, UNKNOWN_ANNOTATION};
use crate::schema::{FieldPath, Step, UNKNOWN_FIELD};

/// An object from a file.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The object.
    pub value: Value,
    /// Where its document begins.
    pub place: Place,
    /// The whole text of the file.
    pub source: Arc<str>,
    /// None if it stands in no file.
    tree: Option<Tree>,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; 0 stands for the whole file.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line == 0 { Ok(()) } else { write!(f, ":{}", self.line) }
    }
}

/// Something that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The file or folder cannot be read.
    #[error("{}: {why}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        why: String,
    },
    /// A document is no YAML and no JSON. The others of the file are read.
    #[error("{place}: not YAML: {why}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser says.
        why: String,
    },
    /// A document is no object of Kubernetes.
    #[error("{place}: {why}; an object needs apiVersion, kind and metadata.name")]
    NotAnObject {
        /// Where.
        place: Place,
        /// What is missing.
        why: String,
    },
}

/// The objects of some files, in the order of the paths and of the documents in each.
#[derive(Debug, Clone, Default)]
pub struct Manifests {
    /// The objects.
    pub objects: Vec<Manifest>,
    /// What could not be read.
    pub errors: Vec<ManifestError>,
    /// The texts of the files that have objects or errors.
    pub sources: BTreeMap<PathBuf, Arc<str>>,
}

/// The files that a path stands for: itself, or of a folder the manifests in it, by name.
///
/// # Errors
/// The path is not there, or the folder cannot be read.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, ManifestError> {
    let unreadable =
        |error: std::io::Error| ManifestError::Unreadable { file: path.to_owned(), why: error.to_string() };
    if !path.metadata().map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in path.read_dir().map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let wanted = file.extension().is_some_and(|it| it == "yaml" || it == "yml" || it == "json");
        if wanted && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads the objects of all files under `paths`.
#[must_use]
pub fn load(paths: &[PathBuf]) -> Manifests {
    let mut manifests = Manifests::default();
    for path in paths {
        match files(path) {
            Err(error) => manifests.errors.push(error),
            Ok(files) => {
                for file in files {
                    match std::fs::read_to_string(&file) {
                        Ok(text) => manifests.read(&file, &text),
                        Err(error) => {
                            let why = error.to_string();
                            manifests.errors.push(ManifestError::Unreadable { file, why });
                        }
                    }
                }
            }
        }
    }
    manifests
}

impl Manifests {
    /// Reads the objects of a text that stands in `file`.
    pub fn read(&mut self, file: &Path, text: &str) {
        let source: Arc<str> = text.into();
        self.sources.insert(file.to_owned(), source.clone());
        for document in documents::split(text) {
            let at = |line| Place { file: file.to_owned(), line };
            let parsed = document.and_then(|(before, start, document)| {
                Tree::parse(document, before, start).map(|tree| (before, tree))
            });
            match parsed {
                Err((line, why)) => self.errors.push(ManifestError::Syntax { place: at(line), why }),
                Ok((line, tree)) => self.add(&at(tree.line().max(line)), &source, tree),
            }
        }
    }

    fn add(&mut self, place: &Place, source: &Arc<str>, tree: Tree) {
        let value = tree.value();
        if value.is_null() {
            return;
        }
        if value["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) && value["items"].is_array() {
            for item in tree.into_items() {
                let place = Place { line: item.line(), ..place.clone() };
                self.add(&place, source, item);
            }
            return;
        }
        let parts = [
            ("apiVersion", &value["apiVersion"]),
            ("kind", &value["kind"]),
            ("metadata.name", &value["metadata"]["name"]),
        ];
        let wrong = parts.into_iter().filter_map(|(field, value)| match value {
            Value::String(_) => None,
            Value::Null => Some(format!("{field} is missing")),
            other => Some(format!("{field} is {other} and no text (put it in quotes)")),
        });
        let wrong: Vec<String> = wrong.collect();
        if wrong.is_empty() {
            self.objects.push(Manifest {
                value,
                place: place.clone(),
                source: source.clone(),
                tree: Some(tree),
            });
        } else {
            let why = wrong.join(", ");
            self.errors.push(ManifestError::NotAnObject { place: place.clone(), why });
        }
    }
}

impl Manifest {
    /// An object that stands in no file, as of a cluster.
    #[must_use]
    pub fn in_no_file(value: Value) -> Self {
        Self { value, place: Place { file: PathBuf::new(), line: 0 }, source: "".into(), tree: None }
    }

    /// Whether it stands in a file.
    #[must_use]
    pub fn is_in_file(&self) -> bool {
        self.tree.is_some()
    }

    /// The reference of the object, as it is written.
    #[must_use]
    pub fn reference(&self) -> ObjectRef {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        ObjectRef {
            api_version: text(&self.value["apiVersion"]).into(),
            kind: text(&self.value["kind"]).into(),
            namespace: text(&self.value["metadata"]["namespace"]).into(),
            name: text(&self.value["metadata"]["name"]).into(),
            uid: "".into(),
        }
    }

    /// Whether the object is the one that `object` names.
    #[must_use]
    pub fn is(&self, object: &ObjectRef) -> bool {
        self.reference().same_name(object) || self.reference_in_cluster().same_name(object)
    }

    /// The reference under which a namespaced object is applied: without a namespace of its own, in `default`.
    #[must_use]
    pub fn reference_in_cluster(&self) -> ObjectRef {
        let own = self.reference();
        let namespace = if own.namespace.is_empty() { "default".into() } else { own.namespace };
        ObjectRef { namespace, ..own }
    }

    /// The place of a field; of its nearest parent if the field itself is not there.
    #[must_use]
    pub fn locate(&self, path: &FieldPath) -> Place {
        Place {
            file: self.place.file.clone(),
            line: self.tree.as_ref().map_or(0, |tree| tree.locate(path.steps())),
        }
    }

    /// The place that a problem is about. Its path may lead on into the text of a ConfigMap.
    #[must_use]
    pub fn locate_problem(&self, problem: &Problem) -> Place {
        self.locate_path(&problem.path)
    }

    /// The bytes of [`Manifest::source`] that a problem is about, if they can be told.
    #[must_use]
    pub fn span_of(&self, problem: &Problem) -> Option<Range<usize>> {
        let (outer, inner) = problem.path.split_once(": ").unwrap_or((&problem.path, ""));
        let outer = annotation(outer).unwrap_or_else(|| FieldPath::parse(outer));
        let by_name = [UNKNOWN_FIELD, UNKNOWN_ANNOTATION, DEPRECATED].contains(&&*problem.code);
        let tree = self.tree.as_ref()?;
        let span = if inner.is_empty() {
            tree.span(outer.steps(), by_name, problem.span)
        } else {
            tree.span_inside(outer.steps(), FieldPath::parse(inner).steps(), by_name, problem.span)
        };
        span.filter(|span| self.source.get(span.clone()).is_some_and(|text| !text.is_empty()))
    }

    /// The place of a field by its path, which may lead on into the text of a ConfigMap (`data.config: peers`).
    #[must_use]
    pub fn locate_path(&self, path: &str) -> Place {
        let (outer, inner) = path.split_once(": ").unwrap_or((path, ""));
        let outer = annotation(outer).unwrap_or_else(|| FieldPath::parse(outer));
        let Some(tree) = &self.tree else { return self.place.clone() };
        let line = tree.locate(outer.steps());
        if inner.is_empty() {
            return Place { file: self.place.file.clone(), line };
        }
        let line = tree.locate_inside(outer.steps(), FieldPath::parse(inner).steps()).unwrap_or(line);
        Place { file: self.place.file.clone(), line }
    }
}

/// `metadata.annotations[example.com/key]`, whose key has dots of its own.
fn annotation(path: &str) -> Option<FieldPath> {
    let key = path.strip_prefix("metadata.annotations[")?.strip_suffix(']')?;
    let steps = ["metadata", "annotations", key].map(|step| Step::Key(step.to_owned()));
    Some(FieldPath::from(steps.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Manifests {
        let mut manifests = Manifests::default();
        manifests.read(Path::new("a.yaml"), text);
        manifests
    }

    #[test]
    fn every_document_is_read_and_a_broken_one_hides_no_other() {
        let manifests = read(
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\nkind: [\n---\n# nothing\n---\napiVersion: v1\nkind: Service\nmetadata:\n  name: b\n",
        );
        let found: Vec<_> =
            manifests.objects.iter().map(|it| format!("{} {}", it.place, it.reference())).collect();
        assert_eq!(found, ["a.yaml:1 Namespace a", "a.yaml:9 Service b"]);
        assert_eq!(manifests.errors.len(), 1);
        assert!(
            manifests.errors[0].to_string().starts_with("a.yaml:5: not YAML: "),
            "{}",
            manifests.errors[0]
        );
    }

    #[test]
    fn fields_are_found_on_their_lines() {
        let manifests = read(
            "---\napiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata:\n  name: p\nspec:\n  addresses:\n  - 10.0.0.0/24\n  - 10.0.1.9-10.0.1.1\n",
        );
        let line = |path| manifests.objects[0].locate(&FieldPath::parse(path)).line;
        assert_eq!(line("spec.addresses[1]"), 9);
        assert_eq!(line("metadata.name"), 5);
        assert_eq!(line("spec.missing.deeper"), 6);
    }

    #[test]
    fn problems_inside_the_text_of_a_config_map_are_found_on_their_lines() {
        let text = "kind: ConfigMap\napiVersion: v1\nmetadata:\n  name: config\n  namespace: metallb-system\ndata:\n  config: |\n    address-pools:\n    - name: default\n      protocol: layer2\n      addresses:\n      - 10.0.0.9-10.0.0.1\n";
        let manifests = read(text);
        let object = manifests.objects[0].reference();
        let problem =
            Problem::new(&object, "InvalidAddress", "data.config: address-pools[0].addresses[0]", "");
        assert_eq!(manifests.objects[0].locate_problem(&problem).line, 12);
    }

    #[test]
    fn lists_and_json_are_taken_apart() {
        let text = "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\n  {\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"a\"}},\n  {\"kind\": \"Service\"}\n]}";
        let manifests = read(text);
        assert_eq!(manifests.objects[0].place.line, 2);
        assert_eq!(
            manifests.errors[0].to_string(),
            "a.yaml:3: apiVersion is missing, metadata.name is missing; an object needs apiVersion, kind and metadata.name"
        );
    }
}
