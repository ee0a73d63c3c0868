//! Our own programs: `lbd controller` beside the API server, `lbd speaker` on every node.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;

use super::Cluster;
use crate::Result;
use crate::daemon::Daemon;
use crate::plane::Plane;
use crate::role::Role;
use crate::wait::until;

/// Those that run, by their names: `controller`, `speaker-n1`.
#[derive(Debug, Default)]
pub(super) struct Programs(BTreeMap<String, Daemon>);

impl Programs {
    pub(super) fn live(&mut self) -> Result {
        self.0.values_mut().try_for_each(Daemon::lives)
    }

    fn of(&mut self, name: &str) -> Result<&mut Daemon> {
        self.0.get_mut(name).ok_or_else(|| format!("{name} does not run").into())
    }
}

/// The program under test: what `LBD` names, else the one of this package, which cargo builds before its tests.
///
/// # Errors
/// The program is not there.
pub fn lbd() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("LBD") {
        return Ok(PathBuf::from(named));
    }
    // A test is in target/PROFILE/deps, and the programs are in target/PROFILE.
    let own = std::env::current_exe()?;
    let mut folders = own.ancestors().skip(1).take(2).map(|folder| folder.join("lbd-under-test"));
    let found = folders.find(|path| path.exists());
    Ok(found.ok_or("lbd-under-test is not there: run this by cargo test, or name a program by LBD")?)
}

impl Cluster {
    /// Starts the controller, and a speaker on every node.
    ///
    /// # Errors
    /// What the system says.
    pub async fn start(&mut self) -> Result {
        self.start_controller(&[]).await?;
        self.start_speakers(&[]).await
    }

    /// Starts the controller with these further arguments.
    ///
    /// # Errors
    /// What the system says.
    pub async fn start_controller(&mut self, arguments: &[&str]) -> Result {
        self.start_controller_as("controller", arguments).await
    }

    /// Starts a controller under a name of its own, beside others.
    ///
    /// # Errors
    /// What the system says.
    pub async fn start_controller_as(&mut self, name: &str, arguments: &[&str]) -> Result {
        let mut command = Command::new(lbd()?);
        command.args(["controller", "--until-stdin-closes"]).args(self.plane.way(Role::Controller));
        command.args(arguments).env("RUST_LOG", "info,kube_client=off");
        // As its manifest says.
        command.env("LBD_HTTP", "[::]:7949");
        let daemon = Daemon::start(None, name, &self.folder, command).await?;
        self.programs.0.insert(name.to_owned(), daemon);
        Ok(())
    }

    /// Starts a speaker on every node, with these further arguments.
    ///
    /// # Errors
    /// What the system says.
    pub async fn start_speakers(&mut self, arguments: &[&str]) -> Result {
        let nodes: Vec<String> = self.site.nodes.iter().map(|node| node.name().to_owned()).collect();
        for node in nodes {
            self.start_speaker(&node, arguments).await?;
        }
        Ok(())
    }

    /// The key by which the speakers of this cluster know each other, in a file.
    fn membership_key(&self) -> Result<PathBuf> {
        let path = self.folder.join("membership-key");
        if !path.exists() {
            std::fs::write(&path, format!("the key of {}", self.folder.display()))?;
        }
        Ok(path)
    }

    /// Starts the speaker of a node.
    ///
    /// # Errors
    /// What the system says.
    pub async fn start_speaker(&mut self, node: &str, arguments: &[&str]) -> Result {
        let name = format!("speaker-{node}");
        let mut command = Command::new(lbd()?);
        command.args(["speaker", "--until-stdin-closes", "--node-name", node]);
        command.arg("--membership-key-file").arg(self.membership_key()?);
        // Most cases are not about the time for which a preferred node has to be there.
        command.env("LBD_FAILBACK_DELAY", "0");
        // As its manifest says.
        command.env("LBD_HTTP", "[::]:7948");
        command.args(self.plane.way(Role::Speaker)).args(arguments).env("RUST_LOG", "info,kube_client=off");
        let host = &self.site.node(node)?.host;
        let daemon = Daemon::start(Some(host), &name, &self.folder, command).await?;
        self.programs.0.insert(name, daemon);
        Ok(())
    }

    /// Tells a program to end (`controller`, `speaker-n1`), and waits until it has.
    ///
    /// # Errors
    /// It does not run.
    pub fn stop(&mut self, name: &str) -> Result {
        self.programs.of(name)?.stop()?;
        self.programs.0.remove(name);
        Ok(())
    }

    /// Kills a program without a word.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self, name: &str) -> Result {
        self.programs.of(name)?.kill()?;
        self.programs.0.remove(name);
        Ok(())
    }

    /// Freezes a program, or lets it go on.
    ///
    /// # Errors
    /// It does not run.
    pub fn freeze(&mut self, name: &str, frozen: bool) -> Result {
        self.programs.of(name)?.signal(if frozen { Signal::SIGSTOP } else { Signal::SIGCONT })
    }

    /// Ends the controller and starts it anew with these further arguments.
    ///
    /// # Errors
    /// What the system says.
    pub async fn restart_controller(&mut self, arguments: &[&str]) -> Result {
        self.stop("controller")?;
        self.start_controller(arguments).await
    }

    /// Tells all that runs of ours to end, and waits until it has.
    ///
    /// # Errors
    /// What the system says.
    pub fn stop_all(&mut self) -> Result {
        let names: Vec<String> = self.programs.0.keys().cloned().collect();
        names.iter().try_for_each(|name| self.stop(name))
    }

    /// Ends all that runs of ours, at once.
    pub(super) fn kill_all(&mut self) {
        self.programs.0.clear();
    }

    /// How many controllers run.
    pub(crate) fn controllers(&self) -> u64 {
        self.programs.0.keys().map(|name| u64::from(name.starts_with("controller"))).sum()
    }

    /// Waits until the speaker of a node knows everything, after a start.
    ///
    /// # Errors
    /// It does not in time.
    pub async fn speaker_is_back(&mut self, node: &str) -> Result {
        until(&format!("the speaker of {node} knows everything"), async || {
            let log = self.log(&format!("speaker-{node}"))?;
            if log.contains("everything is known") { Ok(()) } else { Err(log.into()) }
        })
        .await
    }

    /// Waits until the speaker of each node knows everything.
    ///
    /// # Errors
    /// One does not in time.
    pub async fn speakers_are_back(&mut self) -> Result {
        let nodes: Vec<String> = self.site.nodes.iter().map(|node| node.name().to_owned()).collect();
        for node in nodes {
            self.speaker_is_back(&node).await?;
        }
        Ok(())
    }

    /// What a program has said since its start.
    ///
    /// # Errors
    /// It does not run.
    pub fn log(&mut self, name: &str) -> Result<String> {
        Ok(self.programs.of(name)?.log())
    }

    /// The most memory that a program has had, in KiB.
    ///
    /// # Errors
    /// It does not run.
    pub fn peak_memory(&mut self, name: &str) -> Result<u64> {
        self.programs.of(name)?.peak_memory()
    }

    /// Fails if a program that runs was forbidden something: the shipped roles must allow all that it does.
    ///
    /// # Errors
    /// Something was forbidden.
    pub fn was_allowed_everything(&self) -> Result {
        if matches!(&self.plane, Plane::Real(real) if real.restarted) {
            return Ok(());
        }
        for (name, daemon) in &self.programs.0 {
            if let Some(line) = daemon.log().lines().find(|line| line.contains("forbidden")) {
                return Err(format!("{name} was forbidden something: {line}").into());
            }
        }
        Ok(())
    }

    /// What all programs said last.
    #[must_use]
    pub fn last_words(&self) -> String {
        let said = |(name, daemon): (&String, &Daemon)| format!("--- {name}\n{}\n", daemon.last_words(12));
        self.programs.0.iter().map(said).collect()
    }
}
