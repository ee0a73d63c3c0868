//! A problem as a compiler shows it: the line, what is wrong underlined, and why.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use lbk8s::objects::Severity;
use lbk8s::offline::Finding;

/// The problem in several lines, styled; the writer takes the style off where it is not wanted.
pub(super) fn render(finding: &Finding) -> String {
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
    let title = level.primary_title(title).id(problem.code);
    let group = if let (Some((text, span)), Some(place)) = (&finding.text, &finding.place) {
        let label = AnnotationKind::Primary.span(span.clone()).label(problem.message.clone());
        let snippet = Snippet::source(&**text).path(place.file.display().to_string());
        title.element(snippet.annotation(label))
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
