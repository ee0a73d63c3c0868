//! Questions about manifests, or about the objects of a cluster.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use lbcore::ServiceKey;
use lbk8s::controller::RulesView;

use super::{ClusterArguments, Format};

/// What becomes of held addresses that their pool no longer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LostAddresses {
    /// They are kept until the Service goes or lbd.io/release gives them up
    Keep,
    /// They are taken away at once, as MetalLB does
    TakeAway,
}

impl From<LostAddresses> for lbcore::LostAddresses {
    fn from(lost: LostAddresses) -> Self {
        match lost {
            LostAddresses::Keep => Self::Keep,
            LostAddresses::TakeAway => Self::TakeAway,
        }
    }
}

/// How manifests are taken, and what counts of a cluster.
#[derive(Debug, Args)]
pub(crate) struct WorldArguments {
    /// The namespace of pools and advertisements
    #[arg(long, short, env = "LBD_NAMESPACE", default_value = lbk8s::CONFIG_NAMESPACE, value_name = "NAME")]
    pub(crate) namespace: String,
    /// Serve only Services of this loadBalancerClass. By default: in a cluster those of the controller that runs there, else
    /// those without a class
    #[arg(long, env = "LBD_LB_CLASS", value_name = "CLASS")]
    pub(crate) lb_class: Option<String>,
    /// What becomes of addresses that Services hold and no pool has any more. By default: in a cluster what the controller that
    /// runs there makes of them, else they are kept
    #[arg(long, value_enum, value_name = "WHAT", env = "LBD_LOST_ADDRESSES")]
    pub(crate) lost_addresses: Option<LostAddresses>,
}

impl WorldArguments {
    /// What is not said otherwise is as the controller that runs has it.
    pub(crate) fn or_as(&self, rules: Option<&RulesView>) -> Self {
        let lost = rules.filter(|rules| rules.takes_lost_away).map(|_| LostAddresses::TakeAway);
        Self {
            namespace: self.namespace.clone(),
            lb_class: self.lb_class.clone().or_else(|| rules?.class.clone()),
            lost_addresses: self.lost_addresses.or(lost),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    /// Show what changes in a cluster when these manifests are applied to it
    #[arg(long, conflicts_with = "against")]
    pub(crate) cluster: bool,
    /// Manifests: files, folders of .yaml, .yml and .json files, or - for standard input (repeatable)
    #[arg(short, long = "file", required = true, num_args = 1.., value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Show what changes against these manifests: what Services get there is what they hold when the others come
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub(crate) against: Vec<PathBuf>,
    /// In which form to print
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub(crate) output: Format,
    /// Let warnings count as errors
    #[arg(long)]
    pub(crate) strict: bool,
    #[command(flatten)]
    pub(crate) world: WorldArguments,
    #[command(flatten)]
    pub(crate) server: ClusterArguments,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Check the objects of a cluster
    #[arg(long, conflicts_with = "files")]
    pub(crate) cluster: bool,
    /// Manifests: files, folders of .yaml, .yml and .json files, or - for standard input (repeatable)
    #[arg(short, long = "file", required_unless_present = "cluster", num_args = 1.., value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// In which form to print
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub(crate) output: Format,
    /// Let warnings count as errors
    #[arg(long)]
    pub(crate) strict: bool,
    #[command(flatten)]
    pub(crate) world: WorldArguments,
    #[command(flatten)]
    pub(crate) server: ClusterArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// The Service
    #[arg(value_name = "NAMESPACE/NAME")]
    pub(crate) service: ServiceKey,
    /// Manifests: files, folders of .yaml, .yml and .json files, or - for standard input (repeatable). By default: what
    /// the cluster has
    #[arg(short, long = "file", num_args = 1.., value_name = "FILE", conflicts_with_all = ["kubeconfig", "context", "server"])]
    pub(crate) files: Vec<PathBuf>,
    /// Ask the speaker, the controller or the `lbd run` at this address (its --http), and no API server (repeatable)
    #[arg(long, value_delimiter = ',', value_name = "ADDRESS:PORT")]
    #[arg(conflicts_with_all = ["files", "kubeconfig", "context", "server"])]
    pub(crate) at: Vec<SocketAddr>,
    /// In which form to print
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub(crate) output: Format,
    #[command(flatten)]
    pub(crate) world: WorldArguments,
    #[command(flatten)]
    pub(crate) server: ClusterArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ConvertArguments {
    /// The ConfigMap, or with --only-data the text in it; - for standard input
    #[arg(short, long = "file", default_value = "-", value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The file holds the text under data.config alone
    #[arg(long)]
    pub(crate) only_data: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_as_the_controller_has_it() {
        let said = |class: Option<&str>, lost_addresses| WorldArguments {
            namespace: "x".to_owned(),
            lb_class: class.map(str::to_owned),
            lost_addresses,
        };
        let rules = RulesView { class: Some("c".to_owned()), takes_lost_away: true };
        let of = |world: WorldArguments| {
            let lost = world.lost_addresses.map(lbcore::LostAddresses::from);
            (world.lb_class, lost)
        };
        let (keep, take) = (lbcore::LostAddresses::Keep, lbcore::LostAddresses::TakeAway);
        assert_eq!(of(said(None, None).or_as(Some(&rules))), (Some("c".to_owned()), Some(take)));
        assert_eq!(of(said(None, None).or_as(None)), (None, None));
        let own = said(Some("d"), Some(LostAddresses::Keep)).or_as(Some(&rules));
        assert_eq!(of(own), (Some("d".to_owned()), Some(keep)));
    }
}
