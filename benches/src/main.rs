//! `cargo run --release -p benches -- report [--json]`

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What this project promises in figures, measured on this machine.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure every figure and print one table
    Report {
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let Command::Report { json } = Cli::parse().command;
    // No thread exists yet: some figures are taken in network namespaces.
    let measured = lblab::sandbox::enter().map_err(Into::into).and_then(|()| benches::all());
    match measured.and_then(|figures| Ok(print(&figures, json)?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "report: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print(figures: &[benches::Figure], json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        for figure in figures {
            writeln!(out, "{}", serde_json::to_string(figure).map_err(io::Error::other)?)?;
        }
        return Ok(());
    }
    if cfg!(debug_assertions) {
        writeln!(out, "This is a debug build; for figures that count use --release.\n")?;
    }
    let rows = figures.iter().map(|figure| {
        let value = format!("{} {}", rounded(figure.value), figure.unit);
        let baseline = figure.baseline.as_ref().map_or(String::new(), |(what, value)| {
            let times = figure.ratio().map(|ratio| format!(" ({} times ours)", rounded(ratio)));
            format!("{what}: {} {}{}", rounded(*value), figure.unit, times.unwrap_or_default())
        });
        [figure.figure.clone(), value, figure.target.to_owned(), baseline]
    });
    let header = ["figure", "value", "target", "baseline in the same run"].map(str::to_owned);
    let table: Vec<[String; 4]> = std::iter::once(header).chain(rows).collect();
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    for [figure, value, target, baseline] in &table {
        let [a, b, c] = widths;
        writeln!(out, "{figure:<a$}  {value:>b$}  {target:<c$}  {baseline}")?;
    }
    Ok(())
}

/// Three digits that count, as people read them.
fn rounded(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
