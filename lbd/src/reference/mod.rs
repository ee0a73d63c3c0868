//! The book's tables are made of the code, and its links and commands are tried: `docs/reference/`, `docs/SUMMARY.md`.
//!
//! `UPDATE_REFERENCE=1 cargo test -p lbd --lib reference` writes the tables down; read the difference before keeping it.

mod annotations;
mod book;
mod codes;
mod commands;
mod events;
mod kinds;
mod source;
mod typed;

use std::path::{Path, PathBuf};

/// The folder of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A page of tables.
struct Page {
    /// Under `docs/reference/`.
    file: &'static str,
    title: &'static str,
    /// What is said before the tables.
    begins: &'static str,
    tables: String,
}

impl Page {
    fn text(&self) -> String {
        let Self { title, begins, tables, .. } = self;
        let by = "<!-- Made of the code: UPDATE_REFERENCE=1 cargo test -p lbd --lib reference -->";
        format!("# {title}\n\n{by}\n\n{begins}\n\n{}\n", tables.trim())
    }
}

/// A table for people.
fn table<const N: usize>(heads: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rows: Vec<[String; N]> = rows.into_iter().collect();
    assert!(!rows.is_empty(), "nothing under {heads:?}");
    let rows = rows.iter().map(|row| line(&row.each_ref().map(|cell| cell.trim().replace('|', "\\|"))));
    line(&heads.map(str::to_owned)) + &format!("|{}\n", "---|".repeat(N)) + &rows.collect::<String>()
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

/// What `<NAME>` and the like are in a page that may hold HTML.
fn plain(text: &str) -> String {
    let mut parts: Vec<String> = text.split('`').map(str::to_owned).collect();
    for outside in parts.iter_mut().step_by(2) {
        *outside = outside.replace('<', "&lt;").replace('*', "\\*").replace('_', "\\_");
    }
    parts.join("`").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_tables_are_those_of_the_code() {
    let pages = [commands::page(), annotations::page(), kinds::page(), events::page(), codes::page()];
    let folder = root().join("docs/reference");
    let update = std::env::var_os("UPDATE_REFERENCE").is_some();
    let mut stale = Vec::new();
    for page in &pages {
        let (path, text) = (folder.join(page.file), page.text());
        if std::fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        if update {
            std::fs::create_dir_all(&folder).expect("docs/reference");
            std::fs::write(&path, text).expect("a page");
        } else {
            stale.push(page.file);
        }
    }
    assert!(
        stale.is_empty(),
        "docs/reference/{stale:?} is not what the code says; UPDATE_REFERENCE=1 cargo test -p lbd --lib reference \
         writes it down"
    );
    // What is there beside them nobody keeps right.
    let files = std::fs::read_dir(&folder).expect("docs/reference");
    let files = files.map(|file| file.expect("a file").file_name().into_string().expect("text"));
    let strangers: Vec<String> = files.filter(|file| pages.iter().all(|page| page.file != *file)).collect();
    assert!(strangers.is_empty(), "docs/reference has {strangers:?}, which nothing makes");
}
