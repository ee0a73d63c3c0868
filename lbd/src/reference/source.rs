//! Sources, read as far as rustfmt writes them down: what variants and words mean stands there and nowhere else.

use std::path::Path;

use super::{read, root};

/// A source without its tests.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    pub(super) fn of(path: &str) -> Self {
        let text = read(path);
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
        Self { path: path.to_owned(), text }
    }

    /// All of a crate but its tests and what only its store has.
    pub(super) fn all_of(folder: &str) -> Vec<Self> {
        let mut files = Vec::new();
        walk(&root().join(folder), &mut |path| {
            if path.extension().is_some_and(|it| it == "rs") {
                let path = path.strip_prefix(root()).expect("below").to_str().expect("text").to_owned();
                if !path.ends_with("tests.rs") && !path.contains("/tests/") && !path.contains("/store/") {
                    files.push(Self::of(&path));
                }
            }
        });
        assert!(files.len() > 3, "{folder}");
        files
    }

    /// The block of a whole item that begins behind `head`, without its braces.
    fn block(&self, head: &str) -> &str {
        let rest = self.text.split_once(head).unwrap_or_else(|| panic!("{}: no {head:?}", self.path)).1;
        rest.split_once("\n}\n").unwrap_or_else(|| panic!("{}: no end of {head:?}", self.path)).0
    }

    /// The variants of an enum, each with what its comment says and the text of its `#[error]`.
    pub(super) fn variants(&self, name: &str) -> Vec<Variant> {
        let mut variants = Vec::new();
        let (mut doc, mut attributes) = (String::new(), String::new());
        for line in self.block(&format!("\npub enum {name} {{")).lines() {
            let Some(line) = line.strip_prefix("    ").filter(|line| !line.starts_with([' ', '}', ')']))
            else {
                attributes += line.trim();
                continue;
            };
            if let Some(words) = line.strip_prefix("///") {
                doc += words;
            } else if line.starts_with('#') {
                attributes += line;
            } else {
                let name = line.split(|it: char| !it.is_alphanumeric()).next().unwrap_or_default().to_owned();
                let error = attributes.split('"').nth(1).unwrap_or_default().to_owned();
                variants.push(Variant { name, meaning: std::mem::take(&mut doc).trim().to_owned(), error });
                attributes.clear();
            }
        }
        assert!(
            variants.iter().all(|it| !it.name.is_empty() && !it.meaning.is_empty()),
            "{name}: {variants:?}"
        );
        variants
    }

    /// What `code()` of an enum says of its variants: each pattern, and the word.
    pub(super) fn words(&self, name: &str) -> Vec<(String, String)> {
        let body = self.block(&format!("\nimpl {name} {{"));
        let body = body.split_once("fn code(").unwrap_or_else(|| panic!("{name} has no code()")).1;
        let body = body.split("\n    }\n").next().unwrap_or_default();
        let arms = body.lines().filter_map(|line| line.trim().split_once(" => \""));
        let words = arms.flat_map(|(patterns, word)| {
            let word = word.trim_end_matches(',').trim_end_matches('"').to_owned();
            patterns.split(" | ").map(move |pattern| (pattern.to_owned(), word.clone())).collect::<Vec<_>>()
        });
        words.collect()
    }
}

/// A variant of an enum.
#[derive(Debug)]
pub(super) struct Variant {
    pub(super) name: String,
    pub(super) meaning: String,
    pub(super) error: String,
}

/// Tells of every file in a folder, in the order of names.
pub(super) fn walk(folder: &Path, file: &mut impl FnMut(&Path)) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() { walk(&path, file) } else { file(&path) }
    }
}

/// The arguments of every call that begins with `head` (with its parenthesis), and the text before the call.
pub(super) fn calls<'a>(text: &'a str, head: &str) -> Vec<(Vec<&'a str>, &'a str)> {
    let begins = text.match_indices(head).map(|(at, _)| at);
    begins.map(|at| (arguments(&text[at + head.len()..]), &text[..at])).collect()
}

/// What stands between commas, up to the bracket that closes.
fn arguments(text: &str) -> Vec<&str> {
    let (mut depth, mut in_text, mut escaped, mut from) = (0, false, false, 0);
    let mut arguments = Vec::new();
    for (at, it) in text.char_indices() {
        match it {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            _ if in_text => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => {
                arguments.push(text[from..at].trim());
                break;
            }
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                arguments.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    arguments
}

/// Single words in quotes, each with what stands behind it.
pub(super) fn quoted(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let quotes = text.match_indices('"').map(|(at, _)| at + 1);
    quotes.filter_map(|at| {
        let (word, behind) = text[at..].split_once('"')?;
        (!word.is_empty() && word.chars().all(|it| it.is_ascii_alphanumeric())).then_some((word, behind))
    })
}
