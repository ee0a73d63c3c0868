//! Every command with its arguments, as clap knows them.

use clap::{Arg, Command, CommandFactory};

use super::{Page, code, plain, table};
use crate::cli::Cli;

pub(super) fn page() -> Page {
    let mut root = Cli::command();
    root.build();
    let mut commands = Vec::new();
    below(&root, "lbd", &mut commands);
    let rows = commands.iter().map(|(name, command)| {
        let link = format!("[`{name}`](#{})", name.replace(' ', "-"));
        [link, plain(&about(command))]
    });
    let mut tables = table(["command", "what it does"], rows);
    tables += &after(&root);
    for (name, command) in &commands {
        tables += &section(name, command);
    }
    Page {
        file: "commands.md",
        title: "Commands and flags",
        begins: "What `--help` says. The environment variable below a flag counts where the flag is not given. `lbd man FOLDER` writes the same \
                 as manual pages, and `lbd completions` completes it in a shell.",
        tables,
    }
}

/// The commands of a command, and theirs, but those that are hidden.
pub(super) fn below(command: &Command, name: &str, into: &mut Vec<(String, Command)>) {
    for sub in command.get_subcommands().filter(|it| !it.is_hide_set() && it.get_name() != "help") {
        let name = format!("{name} {}", sub.get_name());
        into.push((name.clone(), sub.clone()));
        below(sub, &name, into);
    }
}

fn about(command: &Command) -> String {
    let about = command.get_long_about().or(command.get_about());
    about.unwrap_or_else(|| panic!("{} says nothing of itself", command.get_name())).to_string()
}

fn section(name: &str, command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let mut text = format!("\n## {name}\n\n{}\n\n```text\n{usage}\n```\n", plain(&about(command)));
    let shown = |it: &&Arg| !it.is_hide_set() && !matches!(it.get_id().as_str(), "help" | "version");
    let rows: Vec<[String; 3]> = command.get_arguments().filter(shown).map(row).collect();
    if !rows.is_empty() {
        text += "\n";
        text += &table(["argument, environment", "default", "meaning"], rows);
    }
    text + &after(command)
}

/// What a command says last: examples, exit codes.
fn after(command: &Command) -> String {
    let after = command.get_after_long_help().or(command.get_after_help());
    after.map(|after| format!("\n```text\n{}\n```\n", after.to_string().trim())).unwrap_or_default()
}

fn row(arg: &Arg) -> [String; 3] {
    let takes = arg.get_action().takes_values();
    let several = arg.get_num_args().is_some_and(|it| it.max_values() > 1);
    let value = arg.get_value_names().and_then(<[_]>::first).map(ToString::to_string);
    let value = value.unwrap_or_else(|| arg.get_id().as_str().to_uppercase());
    let value = if several { format!("{value}...") } else { value };
    let short = arg.get_short().map(|it| format!("-{it}"));
    let long = arg.get_long().map(|it| format!("--{it}"));
    let flags: Vec<String> = short.into_iter().chain(long).collect();
    let name = match (flags.is_empty(), takes) {
        (true, _) => value,
        (false, true) => format!("{} {value}", flags.join(", ")),
        (false, false) => flags.join(", "),
    };
    let env = arg.get_env().map(|it| format!("<br>{}", code(&it.to_string_lossy()))).unwrap_or_default();
    let defaults: Vec<String> =
        arg.get_default_values().iter().map(|it| code(&it.to_string_lossy())).collect();
    let default = match (takes, arg.is_required_set()) {
        (_, true) => "required".to_owned(),
        (true, false) => defaults.join(", "),
        (false, false) => String::new(),
    };
    let help = arg.get_long_help().or(arg.get_help());
    let help = help.unwrap_or_else(|| panic!("{} says nothing of itself", arg.get_id())).to_string();
    let values = arg.get_possible_values();
    let values = values.iter().filter(|it| takes && !it.is_hide_set()).map(|it| {
        let meaning = it.get_help().map(|help| format!(": {}", plain(&help.to_string()))).unwrap_or_default();
        format!("<br>{}{meaning}", code(it.get_name()))
    });
    let meaning = plain(&help) + &values.collect::<String>();
    [code(&name) + &env, default, meaning]
}
