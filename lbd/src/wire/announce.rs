//! `lbd announce`: the responder alone.

use std::io::Write;
use std::time::{Duration, Instant};

use lbnet::layer2::Event;
use lbnet::{Layer2, Rule, Snapshot};

use crate::cli::AnnounceArguments;
use crate::exit::{Failure, Outcome};
use crate::{logs, shutdown};

pub(crate) fn main(arguments: &AnnounceArguments) -> Outcome {
    logs::start("warn");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(arguments))
}

async fn serve(arguments: &AnnounceArguments) -> Outcome {
    let (layer2, mut events) = Layer2::start((&arguments.wire).into())?;
    let rule = match &arguments.wire.interfaces[..] {
        [] => Rule::any(),
        chosen => Rule::matching(chosen.to_vec()),
    };
    for address in &arguments.addresses {
        if arguments.no_probe {
            layer2.announce(*address, rule.clone());
        } else {
            layer2.announce_new(*address, rule.clone());
        }
    }
    let started = Instant::now();
    let stop = shutdown::requested(false);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            stopped = &mut stop => {
                stopped?;
                return sum_up(&layer2.snapshot().await, started.elapsed());
            }
            event = events.recv() => match event {
                Some(event) => show(&event)?,
                None => return Err(Failure::AnsweringEnded),
            },
        }
    }
}

/// Says what happened, a line each.
fn show(event: &Event) -> Outcome {
    let line = match event {
        Event::Opened { .. } | Event::Closed { .. } | Event::Interfaces(_) => return Ok(()),
        Event::Failed { interface, error } => format!("cannot answer on {interface}: {error}"),
        Event::NoGroup { interface, error } => {
            format!("cannot join multicast groups on {interface} ({error}): IPv6 may be switched off there")
        }
        Event::Placed { address, interfaces, passed_over } if interfaces.is_empty() => {
            let why: Vec<String> = passed_over.iter().map(|(name, why)| format!("{name}: {why}")).collect();
            format!("{address} is answered nowhere ({})", why.join(", "))
        }
        Event::Placed { address, interfaces, .. } => {
            format!("{address} is answered on {}", interfaces.join(", "))
        }
        Event::Taken { address, mac, interface } => {
            format!(
                "{address} is not answered: {mac} has it already (heard on {interface}); waiting until it is free"
            )
        }
        Event::Conflict { address, mac, interface, policy } => {
            format!("{address} conflicts: {mac} has it too (heard on {interface}); {policy}")
        }
        Event::ConflictOver { address, mac } => format!("{mac} does not claim {address} any more"),
        Event::KernelAnswers(answer) => answer.to_string(),
        Event::NetlinkLost(error) => format!("cannot follow the interfaces ({error}); trying again"),
    };
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn sum_up(snapshot: &Snapshot, after: Duration) -> Outcome {
    let mut out = std::io::stdout();
    for (name, interface) in &snapshot.interfaces {
        let counters = &interface.counters;
        writeln!(
            out,
            "{name}: {} ARP, {} NDP and {} echo requests answered in {:.0} s",
            counters.arp,
            counters.ndp,
            counters.echo,
            after.as_secs_f64()
        )?;
        for (reason, frames) in &counters.dropped {
            writeln!(out, "  {frames} not answered: {reason}")?;
        }
    }
    Ok(writeln!(out, "{} frames sent without being asked", snapshot.announced)?)
}
