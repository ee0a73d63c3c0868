//! What the processes that run find wrong with a cluster, beyond what single objects show: MetalLB beside them, a webhook that
//! it left, another writer.

use std::collections::BTreeSet;

use futures::future::join_all;
use lbk8s::Problem;
use lbk8s::controller::{ControllerStatus, RulesView};
use lbk8s::offline::Finding;
use lbk8s::speaker::SpeakerStatus;

use super::found::Source;
use super::reach::{Process, Role, Silence};
use super::run;
use crate::cli::ClusterArguments;
use crate::exit::Failure;

/// What the processes that run say together.
pub(crate) struct Said {
    problems: Vec<Problem>,
    /// By which rules addresses are given; nothing if no controller could be asked that gives them.
    pub(crate) rules: Option<RulesView>,
    /// Who could not be asked.
    pub(crate) unasked: Vec<String>,
}

impl Said {
    /// Asks those that run in a cluster.
    pub(crate) fn in_cluster(server: &ClusterArguments, namespace: &str) -> Result<Self, Failure> {
        run(async {
            let source = Source::at(&[], server, namespace.to_owned()).await?;
            let mut together = Self { problems: Vec::new(), rules: None, unasked: Vec::new() };
            let Some(processes) = source.processes().await? else {
                together.unasked.push("the pods of lbd may not be listed".to_owned());
                return Ok(together);
            };
            for (process, said) in join_all(asked(&processes).map(ask)).await {
                match said {
                    Ok((problems, rules)) => {
                        together.problems.extend(problems);
                        together.rules = together.rules.or(rules);
                    }
                    Err(Silence::NotThere) => {}
                    Err(Silence::Forbidden(why) | Silence::Failed(why)) => {
                        together.unasked.push(format!("{} cannot be asked: {why}", process.name));
                    }
                }
            }
            Ok(together)
        })
    }

    /// What is wrong by what runs, and not among these findings.
    pub(crate) fn beyond(self, known: &[Finding]) -> impl Iterator<Item = Finding> {
        let mut seen: BTreeSet<_> = known.iter().map(|finding| identity(&finding.problem)).collect();
        let new = self.problems.into_iter().filter(move |problem| seen.insert(identity(problem)));
        new.map(|problem| Finding { problem, place: None, text: None })
    }
}

/// Every controller, and one speaker: speakers read the same.
fn asked(processes: &[Process]) -> impl Iterator<Item = &Process> {
    let speaker = processes.iter().find(|process| process.role == Role::Speaker);
    processes.iter().filter(|process| process.role == Role::Controller).chain(speaker)
}

async fn ask(process: &Process) -> (&Process, Result<(Vec<Problem>, Option<RulesView>), Silence>) {
    let said = match process.role {
        Role::Controller => {
            let status = process.get::<ControllerStatus>("/v1/controller").await;
            status.map(|status| (status.problems, status.rules))
        }
        _ => process.get::<SpeakerStatus>("/v1/status").await.map(|status| (status.problems, None)),
    };
    (process, said)
}

fn identity(problem: &Problem) -> [String; 4] {
    let object = format!("{}", problem.object);
    [object, problem.code.to_string(), problem.path.clone(), problem.message.clone()]
}
