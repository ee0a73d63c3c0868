//! Exit codes, and the last words of a command that failed.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lbk8s::store::{AccessError, KeepError};
#[cfg(feature = "demo")]
use lblab::LabError;
use lbnet::StartError;
use lbnet::membership::carrier::CarrierError;
use lbnet::socket::OpenError;
use lbnet::whohas::AskError;

use crate::columns::harmless;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The laboratory could not be built.
    #[cfg(feature = "demo")]
    #[error(transparent)]
    Lab(#[from] LabError),
    /// Answering could not start.
    #[error("cannot answer on this host's interfaces: {0}")]
    Start(#[from] StartError),
    /// The other speakers cannot be reached.
    #[error("cannot reach other speakers: {0}")]
    Members(#[from] CarrierError),
    /// No key was named, and that was not meant.
    #[error(
        "speakers know each other by a key: name its file by --membership-key-file (in a cluster the Secret lbd-membership \
         has one; elsewhere: head -c 32 /dev/urandom | base64 > key), or say --insecure-membership"
    )]
    NoMembershipKey,
    /// The store would be open to a network.
    #[error(
        "the store is not served on {0}: on an address that is not loopback it needs --token-file, --tls-cert and --tls-key, \
         for whoever reaches it may change everything"
    )]
    Unprotected(SocketAddr),
    /// The store cannot be protected as was asked for.
    #[error("{path}: {why}")]
    Access {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: AccessError,
    },
    /// A file that an argument names cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is kept cannot be used.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// There is no way to the API server.
    #[error("cannot find the API server: {0}\nGive --server URL, --kubeconfig FILE, or run inside a cluster")]
    Client(String),
    /// The whole screen cannot be had.
    #[error("lbd top needs a terminal; lbd status --watch works everywhere")]
    NoTerminal,
    /// The API server does not tell what it is asked for.
    #[error("{url}: {why}")]
    Cluster {
        /// Where it is.
        url: String,
        /// What it says.
        why: String,
    },
    /// The address belongs to no Service, as far as those know that could be asked.
    #[error("no Service has {address}{why}")]
    NoSuchAddress {
        /// The address.
        address: std::net::IpAddr,
        /// Who could not be asked.
        why: String,
    },
    /// A node cannot be drained.
    #[error("node {node} cannot be drained: {why}")]
    Drain {
        /// The node.
        node: String,
        /// What the API server said.
        why: String,
    },
    /// Nobody can be asked to spread addresses.
    #[error("addresses cannot be spread evenly: {0}")]
    Rebalance(String),
    /// The demo saw something else than it should.
    #[cfg(feature = "demo")]
    #[error("the demo failed at step {step}: {why}")]
    Demo {
        /// The number of the step.
        step: u32,
        /// What was seen, and what was expected.
        why: String,
    },
    /// The thread that answers is gone; its last words are above.
    #[error("the thread that answers has ended; nothing is announced any more")]
    AnsweringEnded,
    /// Problems were found, and have been shown.
    #[error("problems were found")]
    Found,
    /// The Service is there, and does not ask lbd for an address.
    #[error(
        "Service {0} asks for no address of lbd's: it is of another type or class (spec.type, spec.loadBalancerClass)"
    )]
    NotOurs(String),
    /// Those who would know could not be asked.
    #[error("Service {name} is not known to those who could be asked. {why}")]
    NotKnown {
        /// The Service.
        name: String,
        /// Who could not be asked, and why.
        why: String,
    },
    /// Such an option is about a cluster.
    #[error("--kubeconfig, --context and --server are about a cluster: write --cluster too")]
    WithoutCluster,
    /// There is no such Service.
    #[error("there is no Service {name}{hint}")]
    NoSuchService {
        /// The Service.
        name: String,
        /// The one that was probably meant.
        hint: String,
    },
    /// A ConfigMap cannot be converted; all reasons.
    #[error("nothing is converted:\n{0}")]
    Convert(String),
    /// The LAN could not be asked.
    #[error("cannot ask: {0}")]
    Ask(#[from] AskError),
    /// No interface of this host can be asked on; why not each.
    #[error("there is no interface to ask on{0}")]
    NoInterface(String),
    /// Nobody has the address that was asked for; that has been shown.
    #[error("nobody answers")]
    NobodyAnswers,
    /// Several stations have the address that was asked for; that has been shown.
    #[error("more than one station answers")]
    SeveralAnswer,
    /// Stopped from outside before the work was done.
    #[cfg(feature = "demo")]
    #[error("interrupted")]
    Interrupted,
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Failure {
    /// What is wrong with a file by which the store was to be protected.
    pub(crate) fn access(path: &Path, why: AccessError) -> Self {
        Self::Access { path: path.to_owned(), why }
    }
}

/// What a command comes to.
pub(crate) type Outcome = Result<(), Failure>;

/// The exit codes, as `--help` lists them.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    the work is done, or a daemon was told to stop
  1    it failed; the message says why
  2    the arguments are not right
  3    not permitted: no raw sockets (speaker, announce, whohas), or no namespaces (demo)
  4    more than one station answers (whohas)
  130  interrupted before the work was done (demo)";

/// Says why a command failed, and how that is told to the caller.
pub(crate) fn report(outcome: Outcome) -> ExitCode {
    let Err(failure) = outcome else { return ExitCode::SUCCESS };
    let code = match &failure {
        #[cfg(feature = "demo")]
        Failure::Lab(LabError::Forbidden { .. }) => 3,
        Failure::Start(StartError::Socket(OpenError::NotPermitted(_)))
        | Failure::Ask(AskError::Open { error: OpenError::NotPermitted(_), .. }) => 3,
        Failure::Unprotected(_) | Failure::WithoutCluster => 2,
        Failure::SeveralAnswer => return ExitCode::from(4),
        #[cfg(feature = "demo")]
        Failure::Interrupted => 130,
        Failure::Found | Failure::NobodyAnswers => return ExitCode::FAILURE,
        // Whoever read our output has gone: the work is not done, and nobody is left to be told.
        Failure::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::FAILURE,
        _ => 1,
    };
    let said = failure.to_string();
    let lines = said.lines().map(harmless).collect::<Vec<_>>().join("\n");
    let _ = writeln!(anstream::stderr(), "lbd: {lines}");
    ExitCode::from(code)
}
