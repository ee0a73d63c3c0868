//! A problem as a compiler shows it: the line, what is wrong underlined, and why.

use std::collections::BTreeMap;
use std::path::PathBuf;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use lbk8s::objects::Severity;
use lbk8s::offline::Finding;

/// Shows problems; remembers where the lines of the files begin.
#[derive(Debug, Default)]
pub(super) struct Snippets(BTreeMap<PathBuf, Vec<usize>>);

impl Snippets {
    /// The problem in several lines, styled; the writer takes the style off where it is not wanted.
    pub(super) fn render(&mut self, finding: &Finding) -> String {
        let problem = &finding.problem;
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = if problem.path.is_empty() {
            problem.object.to_string()
        } else {
            format!("{}: {}", problem.object, problem.path)
        };
        let title = level.primary_title(title).id(&*problem.code);
        let group = if let (Some((text, span)), Some(place)) = (&finding.text, &finding.place) {
            let starts = self.0.entry(place.file.clone()).or_insert_with(|| line_starts(text));
            // Of a large file only the lines in question are handed over.
            let first = starts.partition_point(|start| *start <= span.start) - 1;
            let behind = starts.partition_point(|start| *start < span.end);
            let from = starts[first];
            let to = starts.get(behind).copied().unwrap_or(text.len());
            let label = AnnotationKind::Primary.span(span.start - from..span.end - from);
            let snippet = Snippet::source(&text[from..to])
                .line_start(first + 1)
                .path(place.file.display().to_string())
                .annotation(label.label(problem.message.clone()));
            title.element(snippet)
        } else {
            // It has no words of its own in the file.
            let group = title.element(Level::NOTE.message(problem.message.clone()));
            match &finding.place {
                Some(place) => group.element(Level::NOTE.message(format!("in {place}"))),
                None => group,
            }
        };
        Renderer::styled().render(&[group])
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}
