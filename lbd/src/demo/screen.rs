//! What the demo shows: calm text for people, one JSON object a line for machines.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::{Value, json};

use super::lan::DemoLan;
use crate::exit::Failure;

const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const STRONG: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// How long something may take before a progress line tells of it, and how often that is renewed.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// What was seen in a step.
pub(super) struct Seen {
    /// For people, a line each.
    pub(super) lines: Vec<String>,
    /// For machines.
    pub(super) facts: Value,
}

pub(super) struct Screen {
    json: bool,
    progress: bool,
}

impl Screen {
    pub(super) fn new(json: bool) -> Self {
        Self { json, progress: !json && io::stdout().is_terminal() }
    }

    pub(super) fn intro(&self) -> io::Result<()> {
        self.say(&format!(
            "{STRONG}lbd demo{STRONG:#}: addresses for LoadBalancer Services, without a cloud"
        ))?;
        self.say(&format!("{DIM}Everything happens in network namespaces of this process; nothing outside is touched.{DIM:#}\n"))
    }

    pub(super) fn about_lan(&self, lan: &DemoLan) -> io::Result<()> {
        let nodes: Vec<String> = lan
            .nodes
            .iter()
            .map(|node| format!("{} {} ({})", node.name(), node.nic.address, node.nic.mac))
            .collect();
        let took = millis(lan.took);
        self.say(&format!("{STRONG}The LAN{STRONG:#} 192.168.3.0/24, built in {took} ms"))?;
        for node in nodes {
            self.say(&format!("     node   {node}"))?;
        }
        self.say(&format!("     client {}, outside the cluster", lan.client_nic.address))?;
        self.say(&format!(
            "{DIM}     There is no kube-proxy and no kubelet here. A stand-in takes the connections on each node and runs\n     a pod of each Service there; the kernels are told not to answer ARP for addresses (arp_ignore=1).{DIM:#}\n"
        ))
    }

    /// Waits for `work`, and says so if it takes time.
    pub(super) async fn waiting<T, E>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure>
    where
        Failure: From<E>,
    {
        let started = Instant::now();
        tokio::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => {
                    self.clear()?;
                    return result.map_err(Failure::from);
                }
                () = tokio::time::sleep(PROGRESS_EVERY), if self.progress => {
                    let mut out = anstream::stdout();
                    write!(out, "\r\x1b[2K{DIM}   … {what} ({:.1} s){DIM:#}", started.elapsed().as_secs_f64())?;
                    out.flush()?;
                }
            }
        }
    }

    /// Works one step of the story and tells of it.
    pub(super) async fn step(
        &self,
        number: u32,
        name: &str,
        work: impl Future<Output = Result<Seen, Failure>>,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        let result = self.waiting(name, work).await;
        let took = started.elapsed();
        if self.json {
            let seen = match &result {
                Ok(seen) => seen.facts.clone(),
                Err(failure) => json!({"error": failure.to_string()}),
            };
            print_json(&StepLine { step: number, name, ok: result.is_ok(), ms: rounded(took), seen })?;
        } else {
            let mark = if result.is_ok() { format!("{GOOD}✔{GOOD:#}") } else { format!("{BAD}✘{BAD:#}") };
            self.say(&format!("{mark} {STRONG}{number} {name}{STRONG:#} {DIM}{} ms{DIM:#}", millis(took)))?;
            for line in result.iter().flat_map(|seen| &seen.lines) {
                self.say(&format!("     {line}"))?;
            }
        }
        result.map(drop).map_err(|failure| Failure::Demo { step: number, why: failure.to_string() })
    }

    pub(super) fn done(&self, ok: bool, took: Duration) -> io::Result<()> {
        self.clear()?;
        if self.json {
            return print_json(&DoneLine { done: true, ok, ms: rounded(took) });
        }
        if ok {
            let seconds = took.as_secs_f64();
            self.say(&format!("\n{GOOD}All of it was verified from the client's side{GOOD:#}, in {seconds:.1} s. Everything is cleaned up."))?;
        }
        Ok(())
    }

    fn say(&self, line: &str) -> io::Result<()> {
        if self.json { Ok(()) } else { writeln!(anstream::stdout(), "{line}") }
    }

    fn clear(&self) -> io::Result<()> {
        if self.progress {
            write!(io::stdout(), "\r\x1b[2K")?;
            io::stdout().flush()?;
        }
        Ok(())
    }
}

/// A step, for machines. The order of the fields is the order on the line.
#[derive(Serialize)]
struct StepLine<'s> {
    step: u32,
    name: &'s str,
    ok: bool,
    ms: f64,
    seen: Value,
}

/// The last line, for machines.
#[derive(Serialize)]
struct DoneLine {
    done: bool,
    ok: bool,
    ms: f64,
}

fn print_json(line: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string(line).map_err(io::Error::other)?;
    writeln!(io::stdout(), "{text}")
}

/// Milliseconds as a number, rounded to a tenth.
pub(super) fn rounded(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

/// Milliseconds with one decimal.
pub(super) fn millis(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1000.0)
}
