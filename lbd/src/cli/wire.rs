//! How addresses are answered on the wire.

use clap::{Args, ValueEnum};
use lbnet::{Pattern, Selection};

/// How addresses are answered on the wire.
#[derive(Debug, Args)]
pub(crate) struct WireArguments {
    /// Answer on this interface only (repeatable): a name, eth*, or a regular expression as in /^en(o|p)/. By default:
    /// on the interfaces that carry an address's subnet
    #[arg(long = "interface", short, value_name = "NAME")]
    pub(crate) interfaces: Vec<Pattern>,
    /// Answer ping too, for addresses that are on no interface of this host
    #[arg(long)]
    pub(crate) echo: bool,
    /// What to do when another station claims an address that is answered here
    #[arg(long, value_enum, default_value = "report", value_name = "WHAT")]
    pub(crate) conflicts: Conflicts,
    /// Announcing frames a second, of all addresses together; storm control of switches drops more
    #[arg(long, default_value_t = lbnet::Profile::default().frames_per_second, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) announce_rate: u32,
}

/// What to do when another station claims an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Conflicts {
    /// Tell of it, and go on answering
    Report,
    /// Announce the address again, at most every 10 seconds
    Defend,
    /// Stop answering until nobody else has the address
    Yield,
}

impl From<&WireArguments> for lbnet::Settings {
    fn from(arguments: &WireArguments) -> Self {
        let frames_per_second = arguments.announce_rate;
        // At a higher rate more may go out at once too, half a second's worth as by default.
        let burst = frames_per_second.div_ceil(2).max(2);
        Self {
            interfaces: Selection { only: arguments.interfaces.clone(), ..Selection::default() },
            profile: lbnet::Profile { frames_per_second, burst, ..lbnet::Profile::default() },
            conflicts: match arguments.conflicts {
                Conflicts::Report => lbnet::Policy::Report,
                Conflicts::Defend => lbnet::Policy::Defend,
                Conflicts::Yield => lbnet::Policy::Yield,
            },
            echo: arguments.echo,
            ..Self::default()
        }
    }
}
