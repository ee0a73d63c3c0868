//! Check commands: a host whose command fails does not answer for that Service.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

use lbcore::ServiceKey;
use lbk8s::speaker::Word;
use tokio::process::Command;
use tokio::sync::mpsc::UnboundedSender;

use super::show::{note, warn};

/// How often each command is run.
const EVERY: Duration = Duration::from_secs(1);
/// A command that takes longer has failed.
const DEADLINE: Duration = Duration::from_secs(5);
/// So often in a row it has to fail, or to succeed, before that counts.
const IN_A_ROW: u32 = 2;

/// Runs the commands for as long as it is not dropped, each by itself.
pub(super) async fn run(checks: BTreeMap<ServiceKey, String>, says: UnboundedSender<Word>) {
    let failing = RefCell::default();
    let all = checks.iter().map(|(service, command)| follow(service, command, &failing, &says));
    futures::future::join_all(all).await;
}

async fn follow(
    service: &ServiceKey,
    command: &str,
    failing: &RefCell<BTreeSet<ServiceKey>>,
    says: &UnboundedSender<Word>,
) {
    let mut in_a_row = 0;
    let mut again = tokio::time::interval(EVERY);
    again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        again.tick().await;
        let result = succeeds(command).await;
        let is_other = result.is_ok() == failing.borrow().contains(service);
        in_a_row = if is_other { in_a_row + 1 } else { 0 };
        if in_a_row < IN_A_ROW {
            continue;
        }
        in_a_row = 0;
        match result {
            Ok(()) => {
                failing.borrow_mut().remove(service);
                note(&format!("{service}: its check succeeds again; this host may answer for it"));
            }
            Err(why) => {
                failing.borrow_mut().insert(service.clone());
                warn(&format!("{service}: its check fails ({why}); other hosts answer for it, if any can"));
            }
        }
        // Where nobody answers, nobody has to be told.
        let _ = says.send(Word::Failing(failing.borrow().clone()));
    }
}

async fn succeeds(command: &str) -> Result<(), String> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.kill_on_drop(true);
    match tokio::time::timeout(DEADLINE, shell.status()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(status.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("it takes longer than {} s", DEADLINE.as_secs())),
    }
}
