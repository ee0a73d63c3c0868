//! What pages tell to type is there: every `lbd` command in them names a subcommand and flags that it knows.

use clap::{Command, CommandFactory};

use super::book::pages;
use super::commands::below;
use crate::cli::Cli;

/// The commands of a page: in blocks of what is typed, and in code that begins with one.
fn typed(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut block: Option<&str> = None;
    let lines: Vec<&str> = text.lines().collect();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        at += 1;
        if let Some(language) = line.trim_start().strip_prefix("```") {
            block = if block.is_some() { None } else { Some(language) };
            continue;
        }
        match block {
            Some("console" | "text") => {
                let Some(line) = line.strip_prefix("$ ").or_else(|| line.strip_prefix("# ")) else {
                    continue;
                };
                let mut whole = line.to_owned();
                while whole.ends_with('\\') && at < lines.len() {
                    whole.pop();
                    whole += lines[at].trim_start();
                    at += 1;
                }
                let whole =
                    whole.trim_start_matches("sudo ").trim_start_matches("target/release/").to_owned();
                commands.extend(whole.starts_with("lbd ").then_some(whole));
            }
            Some(_) => {}
            None => {
                let code = line.split('`').skip(1).step_by(2);
                commands.extend(code.filter(|it| it.starts_with("lbd ")).map(str::to_owned));
            }
        }
    }
    commands
}

/// The words of a command, up to where another one or a comment begins; what is in quotes is one.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for it in command.chars() {
        match (it, quote) {
            (it, Some(open)) if it == open => quote = None,
            ('"' | '\'', None) => quote = Some(it),
            ('|' | '&' | ';' | '>' | '#', None) => break,
            (' ', None) => words.push(String::new()),
            (it, _) => words.last_mut().expect("one").push(it),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What is not known of a command.
fn unknown(command: &str, known: &[(String, Command)]) -> Option<String> {
    let words = words(command);
    let name = words.get(1)?;
    // `lbd COMMAND` and the like.
    if !name.starts_with(|it: char| it.is_ascii_lowercase()) {
        return None;
    }
    let of = |name: &str| known.iter().find(|(it, _)| it == name);
    let whole = format!("lbd {name}");
    let Some((_, known)) = of(&whole) else {
        return Some(format!("there is no command {whole:?}"));
    };
    for flag in words[2..].iter().filter(|word| word.starts_with('-') && word.len() > 1) {
        let flag = flag.split('=').next().unwrap_or_default();
        let is = |arg: &clap::Arg| match flag.strip_prefix("--") {
            Some(long) => arg.get_long() == Some(long),
            None => arg.get_short() == flag.chars().nth(1),
        };
        if !known.get_arguments().any(is) {
            return Some(format!("{whole:?} has no {flag}"));
        }
    }
    None
}

fn known() -> Vec<(String, Command)> {
    let mut root = Cli::command();
    root.build();
    let mut known = Vec::new();
    below(&root, "lbd", &mut known);
    known
}

#[test]
fn every_command_in_the_book_is_one() {
    let known = known();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (page, text) in pages() {
        for command in typed(&text) {
            seen += 1;
            wrong.extend(unknown(&command, &known).map(|why| format!("docs/{page}: `{command}`: {why}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 50, "{seen}");
}

#[test]
fn what_is_not_there_is_noticed() {
    let known = known();
    let text = "`lbd plan --nothing` and\n```console\n$ sudo lbd nothing\n$ lbd plan -f a \\\n    --strict   # --fine\n```\n";
    let commands = typed(text);
    assert_eq!(commands.len(), 3);
    let wrong: Vec<bool> = commands.iter().map(|it| unknown(it, &known).is_some()).collect();
    assert_eq!(wrong, [true, true, false], "{commands:?}");
}
