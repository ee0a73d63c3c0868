//! What the processes that run find wrong with a cluster, beyond what single objects show: MetalLB beside them, a webhook that
//! it left, another writer.

use std::collections::BTreeSet;

use futures::future::join_all;
use lbk8s::Problem;
use lbk8s::controller::ControllerStatus;
use lbk8s::offline::Finding;
use lbk8s::speaker::SpeakerStatus;

use super::found::Source;
use super::reach::{Process, Role, Silence};
use super::run;
use crate::cli::ClusterArguments;
use crate::exit::Failure;

/// What is wrong by what runs and not among these findings, and who could not be asked.
pub(crate) fn find(
    server: &ClusterArguments,
    namespace: &str,
    known: &[Finding],
) -> Result<(Vec<Finding>, Vec<String>), Failure> {
    run(async {
        let source = Source::at(&[], server, namespace.to_owned()).await?;
        let Some(processes) = source.processes().await? else {
            return Ok((Vec::new(), vec!["the pods of lbd may not be listed".to_owned()]));
        };
        let mut seen: BTreeSet<_> = known.iter().map(|finding| identity(&finding.problem)).collect();
        let (mut found, mut unasked) = (Vec::new(), Vec::new());
        for (process, said) in join_all(asked(&processes).map(ask)).await {
            match said {
                Ok(problems) => found.extend(problems),
                Err(Silence::NotThere) => {}
                Err(Silence::Forbidden(why) | Silence::Failed(why)) => {
                    unasked.push(format!("{} cannot be asked: {why}", process.name));
                }
            }
        }
        found.retain(|problem| seen.insert(identity(problem)));
        let finding = |problem| Finding { problem, place: None, text: None };
        Ok((found.into_iter().map(finding).collect(), unasked))
    })
}

/// Every controller, and one speaker: speakers read the same.
fn asked(processes: &[Process]) -> impl Iterator<Item = &Process> {
    let speaker = processes.iter().find(|process| process.role == Role::Speaker);
    processes.iter().filter(|process| process.role == Role::Controller).chain(speaker)
}

async fn ask(process: &Process) -> (&Process, Result<Vec<Problem>, Silence>) {
    let problems = match process.role {
        Role::Controller => {
            process.get::<ControllerStatus>("/v1/controller").await.map(|status| status.problems)
        }
        _ => process.get::<SpeakerStatus>("/v1/status").await.map(|status| status.problems),
    };
    (process, problems)
}

fn identity(problem: &Problem) -> [String; 4] {
    let object = format!("{}", problem.object);
    [object, problem.code.to_string(), problem.path.clone(), problem.message.clone()]
}
