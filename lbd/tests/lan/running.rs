//! A command that runs on a host of the laboratory, and what it says.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use lblab::sandbox::Process;
use lblab::{Host, LabError};
use nix::sys::signal::Signal;

/// A running command, and what it says on both of its outputs.
pub(crate) struct Running {
    process: Process,
    lines: Receiver<String>,
    /// All that was looked at so far.
    pub(crate) seen: VecDeque<String>,
}

/// How long to wait for something that must happen. Nothing is waited for longer than it takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The file in the folder of a command that keeps what it says.
pub(crate) const LOG: &str = "log";

impl Running {
    pub(crate) async fn start(host: &Host, name: &str, mut command: Command) -> Result<Self, LabError> {
        let open = |folder: &Path| File::options().append(true).create(true).open(folder.join(LOG)).ok();
        let log = command.get_current_dir().and_then(open);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = host.start(name, command).await?;
        let (sender, lines) = channel();
        let pipes: [Option<Box<dyn Read + Send>>; 2] = [
            process.child().stdout.take().map(|pipe| Box::new(pipe) as _),
            process.child().stderr.take().map(|pipe| Box::new(pipe) as _),
        ];
        for pipe in pipes.into_iter().flatten() {
            let sender = sender.clone();
            let mut log = log.as_ref().and_then(|log| log.try_clone().ok());
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    if let Some(log) = &mut log {
                        // A log that cannot be written is no reason to fail.
                        let _ = writeln!(log, "{line}");
                    }
                    let _ = sender.send(line);
                }
            });
        }
        Ok(Self { process, lines, seen: VecDeque::new() })
    }

    /// Tells it to stop, and waits for that; its exit code.
    pub(crate) fn stop(&mut self) -> Result<Option<i32>, String> {
        self.process.stop().map(|status| status.code()).map_err(|error| error.to_string())
    }

    /// Kills it without a word, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Result<(), String> {
        let child = self.process.child();
        child.kill().and_then(|()| child.wait()).map(drop).map_err(|error| error.to_string())
    }

    /// Makes it stand still, or go on.
    pub(crate) fn freeze(&mut self, frozen: bool) -> Result<(), String> {
        let signal = if frozen { Signal::SIGSTOP } else { Signal::SIGCONT };
        self.process.signal(signal).map_err(|error| error.to_string())
    }

    /// Waits for a line that contains all of `parts`.
    pub(crate) async fn says(&mut self, parts: &[&str]) -> Result<String, String> {
        let started = Instant::now();
        loop {
            self.seen.extend(self.lines.try_iter());
            if let Some(line) = self.seen.iter().find(|line| parts.iter().all(|part| line.contains(part))) {
                return Ok(line.clone());
            }
            if started.elapsed() > PATIENCE {
                return Err(format!("it does not say {parts:?}, but {:#?}", self.seen));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How many lines contain `part`, so far.
    pub(crate) fn count(&mut self, part: &str) -> usize {
        self.seen.extend(self.lines.try_iter());
        self.seen.iter().filter(|line| line.contains(part)).count()
    }
}
