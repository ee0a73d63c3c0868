//! `lbd completions` and `lbd man`: the command line, as a shell and as `man` know it.

use std::io::{self, Write};

use clap::CommandFactory;

use crate::cli::{Cli, CompletionsArguments, ManArguments};
use crate::exit::Outcome;

/// Prints the completions for a shell.
pub(crate) fn completions(arguments: &CompletionsArguments) -> Outcome {
    // It cannot be told that nobody reads any more, so that it is made first.
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "lbd", &mut text);
    io::stdout().write_all(&text)?;
    Ok(())
}

/// Writes the manual pages.
pub(crate) fn man(arguments: &ManArguments) -> Outcome {
    std::fs::create_dir_all(&arguments.folder)?;
    clap_mangen::generate_to(Cli::command(), &arguments.folder)?;
    writeln!(io::stdout(), "the manual pages are in {}; man lbd begins", arguments.folder.display())?;
    Ok(())
}
