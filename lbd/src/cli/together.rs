//! How the speakers of a cluster know each other, and when addresses move between them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use lbnet::membership::carrier::CarrierSettings;

use crate::exit::Failure;

/// How the speakers of a cluster know each other, and when addresses move between them.
#[derive(Debug, Args)]
pub(crate) struct TogetherArguments {
    /// The key by which speakers know each other, the same on all nodes; files beside it with a dot and a word behind its
    /// name only open, so that keys can change without a gap
    #[arg(long, env = "LBD_MEMBERSHIP_KEY_FILE", value_name = "FILE")]
    pub(crate) membership_key_file: Option<PathBuf>,
    /// Work without a key: whoever can send datagrams to this host can take its addresses
    #[arg(long, conflicts_with = "membership_key_file")]
    pub(crate) insecure_membership: bool,
    /// The UDP port of speakers, the same on all nodes
    #[arg(long, env = "LBD_MEMBERSHIP_PORT", default_value_t = lbnet::membership::carrier::PORT, value_name = "PORT")]
    pub(crate) membership_port: u16,
    /// Milliseconds between two heartbeats; after three that are missing others are asked, and after less than half a
    /// second by default an address has its next owner
    #[arg(long, env = "LBD_HEARTBEAT", default_value_t = 100, value_name = "MS")]
    #[arg(value_parser = clap::value_parser!(u64).range(20..=5000))]
    pub(crate) heartbeat: u64,
    /// When an address returns to a better node: to one that is preferred more, after a while, or always and at once, as
    /// with MetalLB
    #[arg(long, env = "LBD_FAILBACK", value_enum, default_value = "preferred", value_name = "WHEN")]
    pub(crate) failback: Failback,
    /// Seconds for which a node that is preferred more has to be there without a break before it takes an address back
    #[arg(long, env = "LBD_FAILBACK_DELAY", default_value_t = 30, value_name = "S")]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub(crate) failback_delay: u64,
    /// Let a cordon send a node's addresses elsewhere, as lbd.io/drain does
    #[arg(long, env = "LBD_MOVE_ON_CORDON")]
    pub(crate) move_on_cordon: bool,
}

/// When an address returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Failback {
    /// To a node that is preferred more, after --failback-delay
    Preferred,
    /// To the node that MetalLB's rule would choose, at once
    Always,
}

impl TogetherArguments {
    /// When an address returns to a better node.
    pub(crate) fn failback(&self) -> lbcore::ownership::claims::Failback {
        match self.failback {
            Failback::Preferred => lbcore::ownership::claims::Failback::Preferred {
                after: std::time::Duration::from_secs(self.failback_delay),
            },
            Failback::Always => lbcore::ownership::claims::Failback::Always,
        }
    }

    /// How the speaker of a node is carried, and the permit that this keeps up.
    pub(crate) fn carrier(&self, name: &str) -> Result<CarrierSettings, Failure> {
        if self.membership_key_file.is_none() && !self.insecure_membership {
            return Err(Failure::NoMembershipKey);
        }
        Ok(CarrierSettings {
            name: name.to_owned(),
            port: self.membership_port,
            keys: self.membership_key_file.clone(),
            membership: lbnet::membership::Settings {
                interval: std::time::Duration::from_millis(self.heartbeat),
                ..lbnet::membership::Settings::default()
            },
            permit: std::sync::Arc::new(lbnet::Permit::lapsed()),
            records: Vec::new(),
        })
    }
}
