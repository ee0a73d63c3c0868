//! `lbd whohas`: who answers for an address on the LAN.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use lbnet::host::{Neighbour, interfaces, neighbours};
use lbnet::interface::table::Table;
use lbnet::whohas::{Answer, Asking, who_has};
use lbnet::{Interface, MacAddr, Pattern, Rule, Segments, Selection};
use serde::{Deserialize, Serialize};

use crate::cli::{Format, WhohasArguments};
use crate::columns::columns;
use crate::exit::{Failure, Outcome};

const LOUD: Style = AnsiColor::Red.on_default().bold();

pub(crate) fn main(arguments: &WhohasArguments) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asking = Asking { questions: arguments.count, pause: Duration::from_millis(arguments.wait) };
    let found = runtime.block_on(ask(arguments.address, &arguments.interfaces, asking))?;
    match arguments.output {
        Format::Json => {
            let line = serde_json::to_string(&found).map_err(std::io::Error::other)?;
            writeln!(std::io::stdout(), "{line}")?;
        }
        Format::Text => found.print()?,
    }
    match found.macs().len() {
        0 => Err(Failure::NobodyAnswers),
        1 => Ok(()),
        _ => Err(Failure::SeveralAnswer),
    }
}

/// Asks the LAN on these interfaces; on those that carry the address's subnet if none is named.
pub(crate) async fn ask(address: IpAddr, on: &[Pattern], asking: Asking) -> Result<Found, Failure> {
    let host = interfaces().await?;
    let asked = chosen(address, on, &host)?;
    let answers = who_has(&asked, address, asking).await?;
    // Read after the question: whoever was asked for its own reasons is known by now.
    let known = neighbours().await.unwrap_or_default();
    Ok(Found {
        address,
        asked_on: asked.iter().map(|it| it.name.clone()).collect(),
        questions: asking.questions,
        on_this_host: host.holders(address).map(|it| it.name.clone()).collect(),
        stations: stations(address, &answers, &host, &known),
    })
}

/// The interfaces to ask on.
fn chosen(address: IpAddr, on: &[Pattern], host: &Table) -> Result<Vec<Interface>, Failure> {
    let selection = Selection { only: on.to_vec(), ..Selection::default() };
    let of_host = host.interfaces();
    let usable: Vec<&Interface> = of_host.values().filter(|it| selection.usable(it).is_ok()).collect();
    let rule = if on.is_empty() { Rule::any() } else { Rule::matching(on.to_vec()) };
    let chosen = rule.choose(address, usable.into_iter(), std::iter::empty(), &Segments::default());
    if chosen.is_empty() {
        let why = |it: &Interface| Some(format!("\n  {}: {}", it.name, selection.usable(it).err()?));
        return Err(Failure::NoInterface(of_host.values().filter_map(why).collect()));
    }
    Ok(chosen.iter().filter_map(|index| of_host.get(index)).cloned().collect())
}

/// What was asked and who answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Found {
    pub(crate) address: IpAddr,
    pub(crate) asked_on: Vec<String>,
    questions: u32,
    /// The interfaces of this host that have the address themselves.
    on_this_host: Vec<String>,
    pub(crate) stations: Vec<Station>,
}

/// A station that answered on one interface.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Station {
    pub(crate) mac: String,
    interface: String,
    milliseconds: f64,
    answers: u32,
    /// The interface of this host that has this hardware address, if one has.
    own_interface: Option<String>,
    /// Other addresses that this host knows the station by.
    known_as: BTreeSet<IpAddr>,
    locally_administered: bool,
    /// The virtual router that has this hardware address by RFC 5798 section 7.3.
    virtual_router: Option<u8>,
}

fn stations(address: IpAddr, answers: &[Answer], host: &Table, known: &[Neighbour]) -> Vec<Station> {
    let mut by_mac: BTreeMap<MacAddr, BTreeSet<IpAddr>> = BTreeMap::new();
    for neighbour in known.iter().filter(|neighbour| neighbour.address != address) {
        by_mac.entry(neighbour.mac).or_default().insert(neighbour.address);
    }
    let station = |answer: &Answer| {
        let own = host.interfaces().values().find(|it| it.mac == Some(answer.mac));
        Station {
            mac: answer.mac.to_string(),
            interface: answer.interface.clone(),
            milliseconds: answer.took.as_secs_f64() * 1e3,
            answers: answer.answers,
            own_interface: own.map(|it| it.name.clone()),
            known_as: by_mac.get(&answer.mac).cloned().unwrap_or_default(),
            locally_administered: answer.mac.0 & 2 != 0,
            virtual_router: match answer.mac.octets() {
                [0, 0, 0x5e, 0, 1 | 2, router] => Some(router),
                _ => None,
            },
        }
    };
    answers.iter().map(station).collect()
}

impl Found {
    /// Without what this host knows of its neighbours beside what it was asked.
    pub(crate) fn without_neighbours(mut self) -> Self {
        self.stations.iter_mut().for_each(|station| station.known_as.clear());
        self
    }

    /// The hardware addresses that answered.
    pub(crate) fn macs(&self) -> BTreeSet<&str> {
        self.stations.iter().map(|station| &*station.mac).collect()
    }

    fn print(&self) -> std::io::Result<()> {
        let mut out = anstream::stdout();
        let Self { address, questions, .. } = self;
        match self.macs().len() {
            0 => writeln!(
                out,
                "nobody answers for {address} on {} ({questions} questions)",
                self.asked_on.join(", ")
            )?,
            1 => writeln!(out, "{address} is answered by one station:")?,
            many => {
                writeln!(
                    out,
                    "{LOUD}{address} IS ANSWERED BY {many} STATIONS: whoever asks gets one or the other{LOUD:#}"
                )?;
            }
        }
        for line in columns(&self.stations.iter().map(|station| station.row(*questions)).collect::<Vec<_>>())
        {
            writeln!(out, "  {line}")?;
        }
        if !self.on_this_host.is_empty() {
            let holders = self.on_this_host.join(", ");
            writeln!(
                out,
                "this host has {address} itself, on {holders}: its own answers are heard by others only"
            )?;
        }
        Ok(())
    }
}

impl Station {
    fn row(&self, questions: u32) -> [String; 5] {
        let mut facts = Vec::new();
        if let Some(own) = &self.own_interface {
            facts.push(format!("this host's own {own}"));
        }
        if !self.known_as.is_empty() {
            let mut known = String::from("known here as ");
            let addresses: Vec<String> = self.known_as.iter().map(ToString::to_string).collect();
            let _ = write!(known, "{}", addresses.join(", "));
            facts.push(known);
        }
        if let Some(router) = self.virtual_router {
            facts.push(format!("virtual router {router} (VRRP)"));
        }
        if self.locally_administered {
            facts.push("locally administered, as of a virtual machine".to_owned());
        }
        [
            self.mac.clone(),
            self.interface.clone(),
            format!("{:.2} ms", self.milliseconds),
            format!("{} of {questions}", self.answers),
            facts.join("; "),
        ]
    }
}
