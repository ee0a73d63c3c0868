//! A process with a log.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lblab::Host;
use lblab::sandbox::Process;
use nix::sys::signal::Signal;

use crate::Result;

/// A running process. It ends with this value, and with the test, however that ends.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    log: PathBuf,
    /// Where its own part of the log begins.
    begin: u64,
}

impl Daemon {
    /// Starts one of our programs on a host, or in the namespace of the calling thread. It ends when its standard
    /// input does.
    ///
    /// # Errors
    /// What the system says.
    pub async fn start(host: Option<&Host>, name: &str, folder: &Path, mut command: Command) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log)?;
        let begin = out.metadata()?.len();
        command.stdin(Stdio::piped()).stdout(out.try_clone()?).stderr(out);
        let process = match host {
            Some(host) => host.start(name, command).await?,
            None => Process::start(name, &mut command)?,
        };
        Ok(Self { process, log, begin })
    }

    /// Starts a foreign program, which the kernel kills when the thread that starts it ends.
    ///
    /// # Errors
    /// What the system says.
    pub async fn foreign(
        host: Option<&Host>,
        program: &Path,
        arguments: Vec<String>,
        folder: &Path,
    ) -> Result<Self> {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let name = host.map_or_else(|| name.to_string(), |host| format!("{name}-{}", host.name()));
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments);
        Self::start(host, &name, folder, command).await
    }

    /// Sends a signal: SIGSTOP freezes it, SIGCONT thaws it.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result {
        Ok(self.process.signal(signal)?)
    }

    /// Tells it to end, and waits until it has.
    ///
    /// # Errors
    /// What the system says.
    pub fn stop(&mut self) -> Result {
        self.process.stop()?;
        Ok(())
    }

    /// Kills it without a word, and waits until it is gone.
    ///
    /// # Errors
    /// What the system says.
    pub fn kill(&mut self) -> Result {
        self.process.child().kill()?;
        self.process.child().wait()?;
        Ok(())
    }

    /// Fails if it has ended by itself, with its last words.
    ///
    /// # Errors
    /// It has ended.
    pub fn lives(&mut self) -> Result {
        match self.process.child().try_wait()? {
            None => Ok(()),
            Some(status) => {
                Err(format!("{} ended ({status}): {}", self.process.name(), self.last_words(5)).into())
            }
        }
    }

    /// The most memory that it has had, in KiB.
    ///
    /// # Errors
    /// It has ended.
    pub fn peak_memory(&mut self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.child().id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        let number = line.trim().trim_end_matches(" kB");
        number.parse().map_err(|_| format!("no VmHWM in {status}").into())
    }

    /// All that it has said.
    #[must_use]
    pub fn log(&self) -> String {
        let all = std::fs::read(&self.log).unwrap_or_default();
        let own = all.get(usize::try_from(self.begin).unwrap_or_default()..).unwrap_or_default();
        String::from_utf8_lossy(own).into_owned()
    }

    /// The last lines of its log.
    #[must_use]
    pub fn last_words(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}
