//! What is said when answering cannot start.

use std::io::Write;
use std::process::{Command, ExitCode};

use lblab::suite::Case;
use lbnet::socket::OpenError;
use lbnet::{Layer2, Selection, Settings, StartError};
use nix::sched::{CloneFlags, unshare};

use crate::site::{Result, Site};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("a_chosen_interface_that_is_not_there_is_named_with_those_that_are", no_interface),
        Case::new("without_the_capability_the_error_says_what_to_do", no_permission),
    ]
}

async fn no_interface() -> Result {
    let site = Site::new().await?;
    let node = site.node(11).await?;
    let settings = Settings { interfaces: Selection::only(["eth0", "eth7"]), ..Settings::default() };
    let error = node.host.run(move || async move { Layer2::start(settings).map(drop) }).await?.unwrap_err();
    assert_eq!(error.to_string(), "there is no interface \"eth7\"; this host has lo, eth0");
    let StartError::NoInterface { name, there } = error else { panic!("{error:?}") };
    assert_eq!((name.as_str(), there), ("eth7", vec!["lo".to_owned(), "eth0".to_owned()]));
    Ok(())
}

/// Set for a copy of this program that is to try without permission.
pub(crate) const WITHOUT_PERMISSION: &str = "LBNET_TEST_WITHOUT_PERMISSION";

async fn no_permission() -> Result {
    let copy = Command::new(std::env::current_exe()?).env(WITHOUT_PERMISSION, "1").output()?;
    let said = String::from_utf8(copy.stdout)?;
    assert!(copy.status.success(), "{said}{}", String::from_utf8(copy.stderr)?);
    assert!(said.contains("may not open packet sockets") && said.contains("NET_RAW"), "{said}");
    Ok(())
}

/// The copy: has no rights in the network namespace that it came from, once it is in a user namespace of its
/// own.
pub(crate) fn without_permission() -> ExitCode {
    let outcome = unshare(CloneFlags::CLONE_NEWUSER).map(|()| Layer2::start(Settings::default()));
    let refused = matches!(outcome, Ok(Err(StartError::Socket(OpenError::NotPermitted(_)))));
    let said = match &outcome {
        Ok(Err(error)) => error.to_string(),
        other => format!("{other:?}"),
    };
    let _ = writeln!(std::io::stdout(), "{said}");
    if refused { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
