//! Every reason of an event and every condition, and that the sources know no other.

use std::collections::BTreeSet;

use lbk8s::words::{CONDITIONS, EVENTS};

use super::source::{Source, calls, quoted};
use super::{Page, code, table};

pub(super) fn page() -> Page {
    let events = EVENTS.iter().map(|it| {
        [
            code(it.word),
            it.about.to_owned(),
            it.severity.to_owned(),
            it.from.to_owned(),
            it.meaning.to_owned(),
        ]
    });
    let events = table(["reason", "about", "type", "from", "meaning"], events);
    let conditions =
        CONDITIONS.iter().map(|[word, on, meaning]| [code(word), (*on).to_owned(), (*meaning).to_owned()]);
    let conditions = table(["condition", "on", "what it says"], conditions);
    Page {
        file: "events.md",
        title: "Events and conditions",
        begins: "`kubectl describe svc NAME` shows the events of a Service. `kubectl get svc NAME -o yaml` shows its conditions, with a \
                 reason from [Codes](codes.md) and a message that says the same in words.",
        tables: format!("## Events\n\n{events}\n## Conditions\n\n{conditions}"),
    }
}

/// The reasons of conditions, which stand in the same sources.
const OF_CONDITIONS: [&str; 7] =
    ["Assigned", "InvalidRequest", "InForce", "Reconciled", "ConfigurationError", "True", "False"];

#[test]
fn no_event_is_missing() {
    let mut found = BTreeSet::new();
    let is_word = |word: &str| word.len() > 8 && word.chars().any(|it| it.is_ascii_uppercase());
    for source in Source::all_of("lbk8s/src").iter().filter(|it| it.path != "lbk8s/src/events.rs") {
        let mut elsewhere = false;
        for (fields, before) in calls(&source.text, "Event {") {
            let is_other = before.ends_with(|it: char| it.is_alphanumeric()) || before.ends_with("struct ");
            // A pattern that takes an event apart, or the end of a signature, names no reason.
            let reason = fields.iter().find_map(|field| field.strip_prefix("reason"));
            match reason.map(|rest| rest.trim_start_matches(':').trim().trim_matches('"')) {
                _ if is_other => {}
                Some("") => elsewhere = true,
                Some(word) => {
                    found.insert(word.to_owned());
                }
                None => {}
            }
        }
        // A reason that was handed to a function: any single word of this file may be one.
        if elsewhere {
            let words = quoted(&source.text).filter(|(word, behind)| {
                is_word(word) && !behind.starts_with([':', '.']) && !OF_CONDITIONS.contains(word)
            });
            found.extend(words.map(|(word, _)| word.to_owned()));
            found.extend(
                source.text.contains("=> \"ConfigurationError\"").then(|| "ConfigurationError".to_owned()),
            );
        }
    }
    let listed: BTreeSet<String> = EVENTS.iter().map(|it| it.word.to_owned()).collect();
    assert_eq!(found, listed, "lbk8s::words::EVENTS (right) is not what the sources send (left)");
}

#[test]
fn no_condition_is_missing() {
    let mut found = BTreeSet::new();
    for source in Source::all_of("lbk8s/src").iter().filter(|it| it.path != "lbk8s/src/words.rs") {
        let text = &source.text;
        for (at, begins) in text.match_indices("\"lbd.io/") {
            let word = text[at + 1..].split('"').next().unwrap_or_default();
            let name = &word[begins.len() - 1..];
            if name.starts_with(|it: char| it.is_ascii_uppercase()) {
                found.insert(word.to_owned());
            }
        }
        if let Some((_, body)) = text.split_once("fn condition(&self) -> &'static str {") {
            let body = body.split("\n    }\n").next().unwrap_or_default();
            found.extend(quoted(body).map(|(word, _)| word.to_owned()));
        }
    }
    let listed: BTreeSet<String> = CONDITIONS.iter().map(|[word, ..]| (*word).to_owned()).collect();
    assert_eq!(found, listed, "lbk8s::words::CONDITIONS (right) is not what the sources write (left)");
}
