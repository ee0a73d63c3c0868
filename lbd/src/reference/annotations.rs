//! Every annotation, from the tables above the constants.

use std::collections::{BTreeMap, BTreeSet};

use lbk8s::objects::annotations::{ALLOCATED_FROM_OF_OLD, DEPRECATED_PREFIX, OWN_PREFIX, PREFIX};

use super::source::Source;
use super::{Page, code, table};

const SOURCE: &str = "lbk8s/src/objects/annotations.rs";

/// The constants by name; one that stands for another crate's is looked up there.
fn constants() -> BTreeMap<String, String> {
    let mut constants = BTreeMap::new();
    for path in ["lbcore/src/pool/mod.rs", SOURCE] {
        for line in Source::of(path).text.lines() {
            let parts = line.strip_prefix("pub const ").and_then(|line| line.split_once(": &str = "));
            if let Some((name, value)) = parts.filter(|(_, value)| value.starts_with('"')) {
                constants.insert(name.to_owned(), value.trim_matches(['"', ';']).to_owned());
            }
        }
    }
    constants
}

/// The key of an annotation; MetalLB's are written without their prefix.
fn key(constant: &str) -> Option<String> {
    match constant {
        PREFIX | DEPRECATED_PREFIX | OWN_PREFIX => None,
        whole if whole.contains('/') => Some(whole.to_owned()),
        // Codes begin with a capital.
        name if name.starts_with(|it: char| it.is_ascii_lowercase()) => Some(format!("{PREFIX}{name}")),
        _ => None,
    }
}

fn twin(key: &str) -> String {
    match key {
        ALLOCATED_FROM_OF_OLD => "the same, before v0.15".to_owned(),
        _ if key.starts_with(OWN_PREFIX) => "none".to_owned(),
        _ => match key.strip_prefix(PREFIX) {
            Some(name) if !name.starts_with("ip-allocated") => {
                format!("the same; `{DEPRECATED_PREFIX}{name}` is read too")
            }
            _ => "the same".to_owned(),
        },
    }
}

/// The rows of the tables: on which object, the key, the value, the meaning.
fn rows() -> Vec<[String; 4]> {
    let (text, constants) = (Source::of(SOURCE).text, constants());
    let lines = text.lines().filter_map(|line| line.strip_prefix("//! | "));
    let mut on = String::new();
    let mut rows = Vec::new();
    for line in lines.filter(|line| line.contains("[`")) {
        let cells: Vec<&str> = line.trim_end_matches('|').splitn(4, '|').map(str::trim).collect();
        let [at, name, value, meaning] = cells[..] else { panic!("{line}") };
        if !at.is_empty() {
            at.clone_into(&mut on);
        }
        let name = name.trim_matches(['[', ']', '`']);
        let constant = constants.get(name).unwrap_or_else(|| panic!("{SOURCE}: there is no {name}"));
        let key = key(constant).unwrap_or_else(|| panic!("{name} is no annotation"));
        rows.push([on.clone(), key, value.to_owned(), meaning.to_owned()]);
    }
    rows
}

pub(super) fn page() -> Page {
    let rows = rows();
    let of = |written: bool| {
        let rows = rows.iter().filter(move |row| row[0].starts_with("written") == written);
        let rows = rows.map(|[on, key, value, meaning]| {
            let on = on.trim_start_matches("written on ").to_owned();
            [code(key), on, value.clone(), meaning.clone(), twin(key)]
        });
        table(["annotation", "on", "value", "meaning", "MetalLB's"], rows)
    };
    Page {
        file: "annotations.md",
        title: "Annotations",
        begins: "An empty value is as none. With a value that cannot be read what was in force before stays, and an event says what \
                 is wrong. [Addresses](../addresses.md) explains those of pools and Services, [Failover](../failover.md) those of \
                 nodes.",
        tables: format!("## For you to write\n\n{}\n## Written by lbd\n\n{}", of(false), of(true)),
    }
}

#[test]
fn no_annotation_is_missing() {
    let listed: BTreeSet<String> = rows().into_iter().map(|[_, key, ..]| key).collect();
    let mut known: BTreeSet<String> = constants().values().filter_map(|it| key(it)).collect();
    // Somebody may write one without a constant.
    for source in ["lbcore/src", "lbk8s/src", "lbd/src"].into_iter().flat_map(Source::all_of) {
        if source.path.contains("/reference/") {
            continue;
        }
        for (at, _) in source.text.match_indices("\"lbd.io/") {
            let word = source.text[at + 1..].split('"').next().unwrap_or_default();
            let name = word.trim_start_matches(OWN_PREFIX);
            let is_annotation = name.starts_with(|it: char| it.is_ascii_lowercase())
                && name.chars().all(|it| it.is_ascii_lowercase() || it == '-')
                // A resource of the API.
                && name != "nodefacts";
            known.extend(is_annotation.then(|| word.to_owned()));
        }
    }
    assert_eq!(listed, known, "the tables at the top of {SOURCE} are not those of the constants");
}

#[test]
fn pages_name_annotations_that_are_there() {
    let mut known: BTreeSet<String> = rows().into_iter().map(|[_, key, ..]| key).collect();
    known.extend(lbk8s::words::CONDITIONS.iter().map(|[word, ..]| (*word).to_owned()));
    let mut wrong = Vec::new();
    for (page, text) in super::book::pages() {
        let spans =
            text.split('`').filter(|span| span.starts_with(OWN_PREFIX) && span.len() > OWN_PREFIX.len());
        let words = spans.map(|span| span.split([':', ' ']).next().unwrap_or_default());
        let strange = words.filter(|word| !known.contains(*word) && !word.contains("v1alpha1"));
        wrong.extend(strange.map(|word| format!("docs/{page}: {word}")));
    }
    assert!(wrong.is_empty(), "nobody reads {wrong:?}");
}
