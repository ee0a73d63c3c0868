//! Every word for machines with its meaning: from the comments of enums, and from `lbk8s::words` where there is none.

use std::collections::{BTreeMap, BTreeSet};

use lbcore::ownership::PassedOver;
use lbcore::ownership::claims::Cause;
use lbk8s::words::{IGNORED, PROBLEMS};

use super::source::{Source, calls, quoted};
use super::{Page, code, plain, table};

const REASONS: &str = "lbcore/src/reason.rs";
const OWNERSHIP: &str = "lbcore/src/ownership/mod.rs";
const CLAIMS: &str = "lbcore/src/ownership/claims/mod.rs";
const RESPONDER: &str = "lbnet/src/responder/mod.rs";

/// The words of an enum with `code()`, each with the meaning of its variant.
fn coded(path: &str, name: &str) -> Vec<[String; 2]> {
    let source = Source::of(path);
    let words: BTreeMap<String, String> = source.words(name).into_iter().collect();
    let row = |it: super::source::Variant| {
        let pattern = words.iter().find(|(pattern, _)| variant_of(pattern) == it.name);
        let word = pattern.unwrap_or_else(|| panic!("{path}: code() of {name} has no {}", it.name)).1;
        [code(word), plain(&it.meaning)]
    };
    source.variants(name).into_iter().map(row).collect()
}

/// The words of an enum that is written as its variants are called.
fn named(path: &str, name: &str) -> Vec<[String; 2]> {
    let variants = Source::of(path).variants(name).into_iter();
    variants.map(|it| [code(&it.name), plain(&it.meaning)]).collect()
}

fn variant_of(pattern: &str) -> &str {
    let name = pattern.trim_start_matches("Self::");
    name.split(|it: char| !it.is_alphanumeric()).next().unwrap_or_default()
}

/// The words of refusals: those of addresses that are kept say what is the matter with them.
fn refusals() -> (Vec<[String; 3]>, Vec<[String; 2]>) {
    let source = Source::of(REASONS);
    let is_final = source.text.split_once("fn is_final(&self)").expect("is_final").1;
    let is_final = is_final.split("=> true").next().unwrap_or_default();
    let (variants, losses) = (source.variants("Refusal"), source.variants("Loss"));
    let meaning = |of: &[super::source::Variant], name: &str| {
        let variant = of.iter().find(|it| it.name == name);
        plain(&variant.unwrap_or_else(|| panic!("{REASONS}: no {name}")).meaning)
    };
    let words = source.words("Refusal");
    let missing = variants.iter().find(|it| words.iter().all(|(pattern, _)| variant_of(pattern) != it.name));
    assert!(missing.is_none(), "{REASONS}: code() of Refusal has no {missing:?}");
    let concerns = Source::of("lbcore/src/allocator/keep.rs").text;
    let (mut refused, mut kept) = (Vec::new(), Vec::new());
    for (pattern, word) in words {
        if let Some((_, loss)) = pattern.split_once("Loss::") {
            kept.push([code(&word), meaning(&losses, variant_of(loss))]);
            continue;
        }
        let name = variant_of(&pattern);
        if concerns.contains(&format!("Refusal::{name} ")) && name != "Kept" {
            kept.push([code(&word), meaning(&variants, name)]);
        }
        // It is never said of one that asks.
        if name != "NotAlone" {
            let is_final = is_final.contains(&format!("Self::{name} "));
            let ends =
                if is_final { "when the Service or a pool is changed" } else { "when an address comes free" };
            let ends = if name == "NoPools" { "when there is a pool" } else { ends };
            let ends = if name == "Cordoned" { "when the pool is active again" } else { ends };
            refused.push([code(&word), meaning(&variants, name), ends.to_owned()]);
        }
    }
    (refused, kept)
}

/// Why nobody answers, with the words that say so.
fn nobody() -> Vec<[String; 2]> {
    let row = |it: super::source::Variant| {
        let mut said = String::new();
        for (index, part) in it.error.split(['{', '}']).enumerate() {
            said += if index % 2 == 0 { part } else { "…" };
        }
        [code(&said), plain(&it.meaning)]
    };
    Source::of(OWNERSHIP).variants("Nobody").into_iter().map(row).collect()
}

fn listed(words: &[[&str; 2]]) -> Vec<[String; 2]> {
    words.iter().map(|[word, meaning]| [code(word), (*meaning).to_owned()]).collect()
}

pub(super) fn page() -> Page {
    let (refused, kept) = refusals();
    let mut tables = String::new();
    let mut section = |title: &str, where_: &str, table: String| {
        tables.extend(["\n## ", title, "\n\n", where_, "\n\n", &table]);
    };
    let two = |word: &str, rows| table([word, "meaning"], rows);
    section(
        "How an address was chosen",
        "In plans, as the reason of a Service that is served.",
        two("code", coded(REASONS, "Grant")),
    );
    section(
        "Why a Service has no address",
        "The reason of its condition `lbd.io/Assigned`, of `lbd_controller_unserved_services`, and in plans.",
        table(["code", "meaning", "it ends"], refused),
    );
    section(
        "What is the matter with an address that is kept",
        "The same places, for a Service that has an address and should leave it, or is not alone with it.",
        two("code", kept),
    );
    section(
        "Why a pool was passed over",
        "In the answer of `lbd explain`.",
        two("code", coded(REASONS, "Verdict")),
    );
    section(
        "Why a plan leaves a Service out",
        "In plans; the first one is a condition's reason too.",
        two("code", listed(IGNORED)),
    );
    section(
        "Why a node answers",
        "`why.reason` of an address and of its history, in `/v1/addresses` and `/v1/moves`; in words in the event `nodeAssigned`.",
        two("cause", named(CLAIMS, "Cause")),
    );
    section(
        "Why a node does not answer",
        "`passedOver[].reason` in `/v1/addresses/ADDRESS`.",
        two("reason", named(OWNERSHIP, "PassedOver")),
    );
    section(
        "Why nobody answers",
        "`nobody` in `/v1/addresses`, and in the event `announceFailed`.",
        two("it says", nobody()),
    );
    section(
        "Why a frame is not answered",
        "The label `reason` of `lbd_speaker_frames_ignored_total`.",
        two("reason", coded(RESPONDER, "Drop")),
    );
    section(
        "What is wrong with an object",
        "Codes of problems: in `lbd check` and plans, in `/v1/status`, and as reasons of the condition `lbd.io/InForce`. In \
         manifests a Service without an address has a problem with a code from above.",
        two("code", listed(PROBLEMS)),
    );
    Page {
        file: "codes.md",
        title: "Codes: every reason, and what it means",
        begins: "Stable words for machines. Wherever one stands, a sentence for people stands beside it.",
        tables,
    }
}

/// A code as an argument: a word, or the constant that stands for one; of what is decided before the call, every word in
/// the function that could be meant.
fn argument_codes(argument: &str, before: &str, sources: &[Source]) -> Vec<String> {
    let is_code = |word: &str| word.len() > 4 && word.starts_with(|it: char| it.is_ascii_uppercase());
    if argument.starts_with('"') {
        return vec![argument.trim_matches('"').to_owned()];
    }
    let constant = argument.rsplit("::").next().unwrap_or_default();
    if constant.chars().all(|it| it.is_ascii_uppercase() || it == '_') {
        let head = format!("const {constant}: &str = ");
        let value = sources
            .iter()
            .find_map(|it| it.text.split_once(&head))
            .unwrap_or_else(|| panic!("no {constant}"));
        return vec![quoted(value.1).next().expect("a word").0.to_owned()];
    }
    let function = before.rsplit("fn ").next().unwrap_or_default();
    let words = quoted(function).filter(|(word, behind)| is_code(word) && !behind.starts_with(".into()"));
    words.map(|(word, _)| word.to_owned()).collect()
}

#[test]
fn no_code_of_a_problem_is_missing() {
    let sources = Source::all_of("lbk8s/src");
    let mut found = BTreeSet::new();
    for source in &sources {
        for (arguments, before) in calls(&source.text, "Problem::new(") {
            found.extend(argument_codes(arguments[1], before, &sources));
        }
        for (arguments, before) in calls(&source.text, "Self::new(object, ") {
            found.extend(argument_codes(arguments[0], before, &sources));
        }
        if source.path.contains("/convert/") {
            for (arguments, before) in
                [calls(&source.text, "faults.add("), calls(&source.text, "self.add(")].concat()
            {
                found.extend(argument_codes(arguments[0], before, &sources));
            }
        }
    }
    let refused = Source::of(REASONS).words("Refusal").into_iter().map(|(_, word)| word);
    let refused: BTreeSet<String> = refused.collect();
    let listed: BTreeSet<String> = PROBLEMS.iter().map(|[word, _]| (*word).to_owned()).collect();
    let missing: Vec<&String> =
        found.iter().filter(|it| !listed.contains(*it) && !refused.contains(*it)).collect();
    assert!(missing.is_empty(), "lbk8s::words::PROBLEMS has no {missing:?}");
    let unused: Vec<&String> = listed.difference(&found).collect();
    assert!(unused.is_empty(), "no source says {unused:?}, which lbk8s::words::PROBLEMS has");
}

#[test]
fn no_reason_of_a_plan_is_missing() {
    let text = Source::of("lbk8s/src/offline/report.rs").text;
    let found: BTreeSet<&str> = calls(&text, "Reason::new(")
        .into_iter()
        .filter_map(|(arguments, _)| arguments[0].strip_prefix('"')?.strip_suffix('"'))
        .collect();
    assert_eq!(found, IGNORED.iter().map(|[word, _]| *word).collect());
}

#[test]
fn variants_are_written_as_they_are_called() {
    assert_eq!(serde_json::to_value(Cause::First).expect("JSON")["reason"], "First");
    assert_eq!(serde_json::to_value(PassedOver::NoLocalEndpoint).expect("JSON"), "NoLocalEndpoint");
}
