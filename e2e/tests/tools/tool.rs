//! The system's tools, and what is made of their words.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader};
use std::net::IpAddr;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use lblab::sandbox::Process;
use lbnet::MacAddr;
use serde_json::Value;

use crate::site::{Result, Station, until};

/// The Debian package that has a tool.
fn package(tool: &str) -> &str {
    match tool {
        "arping" => "iputils-arping",
        "ping" => "iputils-ping",
        "ip" | "bridge" => "iproute2",
        other => other,
    }
}

fn missing(tool: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!("there is no {tool} here: install Debian's package {}", package(tool))
        }
        _ => format!("{tool}: {error}"),
    }
}

/// Runs a tool in the namespace of the calling thread, which it must not hold up: others work on it.
pub(crate) async fn run(tool: &'static str, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(tool);
    command.args(arguments);
    // A thread that is started for this begins in the namespace of the one that starts it.
    let output = tokio::task::spawn_blocking(move || command.output()).await?;
    output.map_err(|error| missing(tool, &error).into())
}

/// The same, and it must succeed.
pub(crate) async fn done(tool: &'static str, arguments: &[&str]) -> Result<String> {
    said(tool, arguments, run(tool, arguments).await?)
}

/// What a tool said that succeeded.
fn said(tool: &str, arguments: &[&str], output: Output) -> Result<String> {
    if output.status.success() {
        Ok(String::from_utf8(output.stdout)?)
    } else {
        Err(format!("{tool} {}: {output:?}", arguments.join(" ")).into())
    }
}

/// What the kernel knows of a neighbour: the state's name, and the hardware address if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Neighbour {
    pub(crate) state: String,
    pub(crate) mac: Option<MacAddr>,
}

impl Station {
    /// Runs a tool on the host.
    pub(crate) async fn run(&self, tool: &'static str, arguments: &[&str]) -> Result<Output> {
        let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
        let run = move || async move {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            run(tool, &arguments).await.map_err(|error| error.to_string())
        };
        Ok(self.host.run(run).await??)
    }

    /// The same, and it must succeed.
    pub(crate) async fn done(&self, tool: &'static str, arguments: &[&str]) -> Result<String> {
        said(tool, arguments, self.run(tool, arguments).await?)
    }

    /// Everybody who answers `arping` or `ndisc6` for `target`, asked by multicast.
    pub(crate) async fn who_answers(&self, target: impl Into<IpAddr>) -> Result<BTreeSet<MacAddr>> {
        let target = target.into();
        let text = target.to_string();
        if target.is_ipv6() {
            let arguments = ["-m", "-q", "-r", "2", "-w", "1000", &text, "eth0"];
            let output = self.run("ndisc6", &arguments).await?;
            return match output.status.code() {
                Some(0) => String::from_utf8(output.stdout)?.lines().map(mac).collect(),
                // "If ndisc6 does not receive any response [...] it will exit with code 2" (ndisc6(8)).
                Some(2) => Ok(BTreeSet::new()),
                _ => Err(format!("{output:?}").into()),
            };
        }
        // Without -b all questions but the first go to whoever answered that.
        let output = self.run("arping", &["-I", "eth0", "-b", "-c", "2", "-w", "2", &text]).await?;
        let said = String::from_utf8(output.stdout)?;
        if !said.contains(" broadcast(s))") {
            return Err(format!("not the arping of iputils-arping: {said}{:?}", output.stderr).into());
        }
        let bracketed = said.lines().filter_map(|line| line.split_once('[')?.1.split_once(']'));
        bracketed.map(|(found, _)| mac(found)).collect()
    }

    /// Asks until all of `expected` have answered, because a busy machine may answer late. Anybody else fails it at
    /// once; if nobody is expected, it is asked once.
    pub(crate) async fn answered_by(&self, target: impl Into<IpAddr>, expected: &[MacAddr]) -> Result {
        let (target, expected) = (target.into(), expected.iter().copied().collect::<BTreeSet<_>>());
        until(&format!("{target} is answered by {expected:?}"), async || {
            let answered = self.who_answers(target).await?;
            assert!(answered.is_subset(&expected), "{target}: {answered:?} instead of {expected:?}");
            Ok((answered == expected).then_some(()))
        })
        .await
    }

    /// What the kernel's cache has about `target`.
    pub(crate) async fn neighbour(&self, target: impl Into<IpAddr>) -> Result<Option<Neighbour>> {
        let text = target.into().to_string();
        let said = self.done("ip", &["-j", "neigh", "show", "to", &text, "dev", "eth0"]).await?;
        let entries: Value = serde_json::from_str(&said)?;
        let Some(entry) = entries.get(0) else { return Ok(None) };
        let state = entry["state"][0].as_str().ok_or_else(|| format!("no state in {said}"))?.to_owned();
        let mac = entry["lladdr"].as_str().map(mac).transpose()?;
        Ok(Some(Neighbour { state, mac }))
    }

    /// Waits until the kernel's cache has `mac` for `target`.
    pub(crate) async fn knows(&self, target: impl Into<IpAddr>, mac: MacAddr) -> Result {
        let target = target.into();
        until(&format!("{} has {target} at {mac}", self.host.name()), async || {
            let entry = self.neighbour(target).await?;
            Ok(entry.filter(|entry| entry.mac == Some(mac)).map(drop))
        })
        .await
    }

    /// Begins to write down how the kernel's cache changes.
    pub(crate) async fn monitor(&self) -> Result<Monitor> {
        // If there is none, it is named here.
        self.done("ip", &["-V"]).await?;
        let mut command = Command::new("ip");
        command.args(["-o", "monitor", "neigh"]).stdout(Stdio::piped());
        let mut process = self.host.start("ip monitor", command).await?;
        let lines = BufReader::new(process.child().stdout.take().ok_or("no pipe")?).lines();
        let journal = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&journal);
        // It ends with the process.
        std::thread::spawn(move || {
            for line in lines.map_while(io::Result::ok) {
                if let Some(change) = change(&line) {
                    writer.lock().expect("no panic while writing").push(change);
                }
            }
        });
        let monitor = Monitor { journal, _process: process };
        // Until it listens it hears nothing: an entry that comes and goes shows that it does.
        until("ip monitor listens", async || {
            let entry = ["neigh", "replace", "192.168.3.222", "lladdr", "02:00:00:00:00:de", "dev", "eth0"];
            self.done("ip", &entry).await?;
            self.done("ip", &["neigh", "del", "192.168.3.222", "dev", "eth0"]).await?;
            Ok((!monitor.all().is_empty()).then_some(()))
        })
        .await?;
        Ok(monitor)
    }
}

/// How the kernel's cache has changed: whom about, and what it said.
type Change = (IpAddr, Neighbour);

/// `ip monitor neigh` at work.
pub(crate) struct Monitor {
    journal: Arc<Mutex<Vec<Change>>>,
    _process: Process,
}

impl Monitor {
    /// All changes so far.
    pub(crate) fn all(&self) -> Vec<Change> {
        self.journal.lock().expect("no panic while reading").clone()
    }

    /// The changes of one entry.
    pub(crate) fn of(&self, target: IpAddr) -> Vec<Neighbour> {
        self.all().into_iter().filter(|(about, _)| *about == target).map(|(_, entry)| entry).collect()
    }
}

/// `192.168.3.253 dev eth0 lladdr 02:00:00:a8:03:0b REACHABLE`, perhaps with `router` before the state.
fn change(line: &str) -> Option<Change> {
    let mut words = line.split_whitespace().skip_while(|word| *word == "Deleted");
    let target = words.next()?.parse().ok()?;
    let words: Vec<&str> = words.collect();
    let mac = words.iter().skip_while(|word| **word != "lladdr").nth(1).and_then(|word| word.parse().ok());
    Some((target, Neighbour { state: (*words.last()?).to_owned(), mac }))
}

fn mac(text: &str) -> Result<MacAddr> {
    text.trim().parse().map_err(|_| format!("{text:?} is no hardware address").into())
}
