//! A list of cases, written once and run on either API server.

use std::process::ExitCode;

use futures::FutureExt;
use lblab::suite::{self, Making, Shared};

use crate::case::{Body, Case};
use crate::cases;
use crate::cluster::{Builder, Cluster, lbd};
use crate::plane::Kind;

/// Runs one case on a cluster, and says what went on if it fails.
async fn run(cluster: &mut Cluster, body: Body) -> std::result::Result<(), String> {
    let outcome = async {
        cluster.start().await?;
        // Otherwise the first addresses of a case may move while speakers come, one after another.
        cluster.speakers_are_back().await?;
        body(cluster).await?;
        cluster.lives()?;
        cluster.was_allowed_everything()
    };
    outcome.await.map_err(|error| format!("{error}\n{}", cluster.last_words()))
}

/// The suite on the embedded store: a cluster for each case.
#[must_use]
pub fn embedded() -> ExitCode {
    main(Kind::Embedded, |case| {
        let body = case.body;
        suite::Case::new(&case.name, || async {
            let cluster = Builder::new(Kind::Embedded).build().await;
            let mut cluster = cluster.map_err(|error| error.to_string())?;
            run(&mut cluster, body).await
        })
    })
}

/// Real control planes at the same time. One leaves two processors idle for half of a case's time.
const CONTROL_PLANES: usize = 2;

/// The suite on real control planes: one for many cases, tidied up before each.
#[must_use]
pub fn real() -> ExitCode {
    let shared = Shared::new(CONTROL_PLANES, build);
    main(Kind::Real, move |case| {
        let body = case.body;
        shared.case(&case.name, Box::new(|cluster| tidied(cluster, body).boxed_local()))
    })
}

fn build() -> Making<Cluster> {
    async { Builder::new(Kind::Real).build().await.map_err(|error| error.to_string()) }.boxed_local()
}

async fn tidied(cluster: &mut Cluster, body: Body) -> std::result::Result<(), String> {
    let tidied = async {
        cluster.restored().await?;
        cluster.tidy().await
    };
    tidied.await.map_err(|error| format!("tidying up: {error}"))?;
    run(cluster, body).await
}

fn main(kind: Kind, runs: impl Fn(Case) -> suite::Case) -> ExitCode {
    let built = lbd();
    suite::main(|| {
        let cases = cases::all().into_iter().filter(|case| case.only.is_none_or(|only| only == kind));
        let listed = cases.map(|case| {
            let not_yet = case.not_yet;
            let listed = match &built {
                Ok(_) => runs(case),
                Err(error) => {
                    let error = error.to_string();
                    suite::Case::new(&case.name, || async { Err(error) })
                }
            };
            match not_yet {
                Some(why) => listed.not_yet(why),
                None => listed,
            }
        });
        listed.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_the_readme_has_every_case() {
        let readme = include_str!("../README.md");
        let cases = cases::all();
        for case in &cases {
            let row = readme.lines().find(|line| line.contains(&format!("| `{}` |", case.name)));
            let row = row.unwrap_or_else(|| panic!("{} has no row", case.name));
            let column = |kind: Kind| match (case.only, case.not_yet) {
                (Some(only), _) if only != kind => "–",
                (_, Some(_)) => "not yet",
                _ => "passes",
            };
            let columns: Vec<&str> = row.split('|').map(str::trim).collect();
            let expected = [column(Kind::Embedded), column(Kind::Real)];
            assert_eq!(columns.get(3..5), Some(&expected[..]), "{row}");
        }
        let rows = readme.lines().filter(|line| line.starts_with('|') && line.contains("::"));
        let rows = rows.filter(|line| !line.contains("e2e/run")).count();
        assert_eq!(rows, cases.len(), "rows of cases that there are no more");
    }
}
