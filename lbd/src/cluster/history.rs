//! `lbd history`: who has answered for an address, since when, and why.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::IpAddr;

use futures::stream::{self, StreamExt};
use lbk8s::speaker::view::{AddressExplained, TenureView};
use serde::Serialize;

use super::found::{AT_ONCE, Source};
use super::reach::{Process, Role, Silence};
use super::run;
use super::status::BOLD;
use crate::cli::{Format, HistoryArguments};
use crate::columns::{fitted, harmless, terminal_width};
use crate::exit::{Failure, Outcome};
use crate::offline::print_json;

/// What the speakers together know of who answered.
#[derive(Debug, Serialize)]
struct History {
    address: IpAddr,
    services: Vec<String>,
    /// The last one last.
    tenures: Vec<TenureView>,
}

pub(crate) fn main(arguments: &HistoryArguments) -> Outcome {
    let history = run(async {
        let source = Source::of(&arguments.shown.ask).await?;
        let Some(processes) = source.processes().await? else {
            let why = ", as far as you may know: pods may not be listed. The roles lbd-viewer (deploy/viewer.yaml) have what is \
                       needed";
            return Err(Failure::NoSuchAddress { address: arguments.address, why: why.to_owned() });
        };
        let explained = explained(&processes, arguments.address).await?;
        Ok(together(arguments.address, &explained))
    })?;
    match arguments.shown.output {
        Format::Json => print_json(&history)?,
        Format::Text => print(&history)?,
    }
    Ok(())
}

/// What each speaker that can be asked says of an address, with itself.
///
/// # Errors
/// None of them has it.
pub(super) async fn explained(
    processes: &[Process],
    address: IpAddr,
) -> Result<Vec<(&Process, AddressExplained)>, Failure> {
    let path = format!("/v1/addresses/{address}");
    let speakers = processes.iter().filter(|process| process.role != Role::Controller);
    let path = &path;
    let asked = speakers.map(|process| async move { (process, process.get::<AddressExplained>(path).await) });
    let asked: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    let mut explained = Vec::new();
    let mut silent = Vec::new();
    for (process, said) in asked {
        match said {
            Ok(it) => explained.push((process, it)),
            Err(Silence::NotThere) => {}
            Err(Silence::Forbidden(why) | Silence::Failed(why)) => {
                silent.push(format!("{} cannot be asked: {why}", process.name));
            }
        }
    }
    if explained.is_empty() {
        let why = match &silent[..] {
            [] if processes.is_empty() => ", as far as is known: no speaker is to be seen".to_owned(),
            [] => String::new(),
            [first, ..] => format!(", as far as is known: {first}"),
        };
        return Err(Failure::NoSuchAddress { address, why });
    }
    Ok(explained)
}

/// Each speaker remembers from its own start on, and by its own clock; what several do is told once.
fn together(address: IpAddr, explained: &[(&Process, AddressExplained)]) -> History {
    let mut tenures: BTreeMap<(u64, Option<String>), TenureView> = BTreeMap::new();
    let mut services: Vec<String> = Vec::new();
    for (_, explained) in explained {
        services.extend(explained.view.services.iter().map(ToString::to_string));
        // Between two owners there is a moment without one, which each speaker hears of in its own.
        for tenure in explained.history.iter().filter(|tenure| tenure.owner.is_some()) {
            let kept = tenures.entry((tenure.epoch, tenure.owner.clone())).or_insert_with(|| tenure.clone());
            if tenure.since < kept.since {
                *kept = TenureView { why: tenure.why.clone().or(kept.why.take()), ..tenure.clone() };
            } else if kept.why.is_none() {
                kept.why.clone_from(&tenure.why);
            }
        }
    }
    services.sort();
    services.dedup();
    let mut tenures: Vec<TenureView> = tenures.into_values().collect();
    tenures.sort_by(|a, b| a.since.cmp(&b.since).then(a.epoch.cmp(&b.epoch)));
    if explained.iter().all(|(_, it)| it.history.last().is_some_and(|last| last.owner.is_none())) {
        let lasts = explained.iter().filter_map(|(_, it)| it.history.last());
        tenures.extend(lasts.max_by_key(|last| last.since).cloned());
    }
    History { address, services, tenures }
}

fn print(history: &History) -> std::io::Result<()> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{} of {}", history.address, harmless(&history.services.join(", ")))?;
    if history.tenures.is_empty() {
        // A host that is alone claims nothing.
        return writeln!(out, "No speaker has heard that anybody claimed it.");
    }
    for line in lines(&history.tenures, terminal_width()).iter().enumerate() {
        match line {
            (0, header) => writeln!(out, "{BOLD}{header}{BOLD:#}")?,
            (_, line) => writeln!(out, "{line}")?,
        }
    }
    Ok(())
}

pub(super) fn lines(tenures: &[TenureView], width: Option<usize>) -> Vec<String> {
    let header = ["SINCE", "NODE", "EPOCH", "WHY"].map(str::to_owned);
    let row = |tenure: &TenureView| {
        [
            tenure.since.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
            tenure.owner.clone().unwrap_or_else(|| "<nobody>".to_owned()),
            tenure.epoch.to_string(),
            tenure
                .why
                .as_ref()
                .map_or_else(|| "-".to_owned(), |why| format!("{}: {}", why.cause.word(), why.text)),
        ]
    };
    fitted(&std::iter::once(header).chain(tenures.iter().map(row)).collect::<Vec<_>>(), width, &[2])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(tenures: &[(i64, Option<&str>, u64)]) -> AddressExplained {
        let tenure = |(second, owner, epoch): &(i64, Option<&str>, u64)| {
            let why = owner.map(|_| serde_json::json!({"reason": "First", "text": "nobody answered for it"}));
            serde_json::json!({
                "since": format!("2026-01-01T00:00:{second:02}Z"), "owner": owner, "epoch": epoch, "why": why,
            })
        };
        let explained = serde_json::json!({
            "address": "192.0.2.1", "services": ["default/web"], "owner": null, "epoch": null, "since": null,
            "why": null, "here": false, "interfaces": [], "pool": null, "nobody": null, "apart": null,
            "candidates": [], "passedOver": [], "history": tenures.iter().map(tenure).collect::<Vec<_>>(),
        });
        serde_json::from_value(explained).expect("as a speaker says it")
    }

    fn owners(all: &[AddressExplained]) -> Vec<Option<String>> {
        let process = Process::at("127.0.0.1:1".parse().expect("an address"));
        let all: Vec<_> = all.iter().map(|it| (&process, it.clone())).collect();
        let history = together("192.0.2.1".parse().expect("an address"), &all);
        history.tenures.into_iter().map(|tenure| tenure.owner).collect()
    }

    #[tokio::test]
    async fn what_several_remember_is_told_once_and_a_moment_is_no_owner() {
        let one = explained(&[(1, Some("a"), 1), (5, None, 0), (6, Some("b"), 2)]);
        let other = explained(&[(6, Some("b"), 2), (7, None, 0), (8, Some("b"), 2)]);
        let name = |name: &str| Some(name.to_owned());
        assert_eq!(owners(&[one.clone(), other]), [name("a"), name("b")]);
        let ended = explained(&[(6, Some("b"), 2), (9, None, 0)]);
        assert_eq!(owners(std::slice::from_ref(&ended)), [name("b"), None]);
        assert_eq!(owners(&[one, ended]), [name("a"), name("b")], "one of them hears an owner");
    }
}
