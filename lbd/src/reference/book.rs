//! The book holds together: every page is in its table of contents, and every link leads somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::source::walk;
use super::{read, root};

/// The pages under `docs/` by their path there, each with its text.
pub(super) fn pages() -> BTreeMap<String, String> {
    let docs = root().join("docs");
    let mut pages = BTreeMap::new();
    walk(&docs, &mut |path| {
        if path.extension().is_some_and(|it| it == "md") {
            let name = path.strip_prefix(&docs).expect("below").to_str().expect("text").to_owned();
            pages.insert(name.clone(), read(&format!("docs/{name}")));
        }
    });
    pages
}

/// The lines of a page that are no code, with what is code in them left out.
fn prose(text: &str) -> Vec<String> {
    let mut in_code = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            lines.push(line.split('`').step_by(2).collect());
        }
    }
    lines
}

/// What a page links to and shows: whether it is a picture, its text, and the target.
fn links(text: &str) -> Vec<(bool, String, String)> {
    let mut links = Vec::new();
    let text = prose(text).join("\n");
    for (at, _) in text.match_indices("](") {
        let target = text[at + 2..].split(')').next().unwrap_or_default();
        let begin = text[..at].rfind('[').unwrap_or_else(|| panic!("no text of the link to {target}"));
        links.push((text[..begin].ends_with('!'), text[begin + 1..at].to_owned(), target.to_owned()));
    }
    links
}

/// What can be linked to in a page, by the rule of mdBook and of those who show Markdown elsewhere.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut in_code = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        in_code ^= line.trim_start().starts_with("```");
        let heading = line.trim_start_matches('#');
        if in_code || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let heading = heading.trim().to_lowercase();
        let anchor: String = heading
            .chars()
            .filter(|it| it.is_alphanumeric() || matches!(it, '_' | '-' | ' '))
            .map(|it| if it == ' ' { '-' } else { it })
            .collect();
        assert!(anchors.insert(anchor), "two headings {heading:?} in one page");
    }
    anchors
}

/// A target as a path from `docs/`; nothing if it leads out of it.
fn resolve(page: &str, target: &str) -> Option<String> {
    let mut path = PathBuf::from(page).parent()?.to_owned();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            part => path.push(part),
        }
    }
    path.to_str().map(str::to_owned)
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let pages = pages();
    let mut chapters = BTreeSet::new();
    for (_, _, target) in links(&pages["SUMMARY.md"]) {
        assert!(chapters.insert(target.clone()), "SUMMARY.md has {target} twice");
    }
    let there: BTreeSet<String> = pages.into_keys().filter(|page| page != "SUMMARY.md").collect();
    assert_eq!(chapters, there, "what docs/SUMMARY.md has (left) is not what docs/ has (right)");
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let mut wrong = Vec::new();
    let mut pictures = BTreeSet::new();
    for (page, text) in &pages {
        for (is_picture, said, target) in links(text) {
            if target.starts_with("https://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').map_or((&*target, None), |(it, at)| (it, Some(at)));
            let file = if file.is_empty() { Some(page.clone()) } else { resolve(page, file) };
            // In the book nothing else of the repository is there.
            let Some(file) = file else {
                wrong.push(format!("{page}: {target} leads out of docs/; write it as code"));
                continue;
            };
            let there = root().join("docs").join(&file).is_file();
            let has = anchor.is_none_or(|at| pages.get(&file).is_some_and(|text| anchors(text).contains(at)));
            if !there || !has {
                wrong.push(format!("{page}: {target} is not there"));
            }
            if is_picture {
                if said.len() < 20 {
                    wrong.push(format!("{page}: {target} says too little to who cannot see it: {said:?}"));
                }
                pictures.insert(file);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut drawn = BTreeSet::new();
    walk(&root().join("docs/pictures"), &mut |path| {
        let name = path.file_name().and_then(|it| it.to_str()).expect("text");
        drawn.insert(format!("pictures/{name}"));
    });
    assert_eq!(pictures, drawn, "pictures that pages show (left), and that are there (right)");
}

/// Elsewhere in the repository pages of the book are linked to as well.
#[test]
fn links_into_the_book_lead_somewhere() {
    let pages = pages();
    for from in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        for (_, _, target) in links(&read(from)) {
            let (file, anchor) = target.split_once('#').map_or((&*target, None), |(it, at)| (it, Some(at)));
            if let Some(page) = file.strip_prefix("docs/") {
                let text = pages.get(page).unwrap_or_else(|| panic!("{from}: {target} is not there"));
                assert!(anchor.is_none_or(|at| anchors(text).contains(at)), "{from}: {target} is not there");
            }
        }
    }
}

#[test]
fn pictures_are_for_everybody() {
    walk(&root().join("docs/pictures"), &mut |path| {
        let text = std::fs::read_to_string(path).expect("a picture");
        // On a dark page too, and for who hears the page.
        for part in ["<title id", "prefers-color-scheme: dark", "viewBox=\"0 0 480 ", "role=\"img\""] {
            assert!(text.contains(part), "{}: no {part}", path.display());
        }
    });
}
