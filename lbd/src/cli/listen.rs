//! Where `lbd run` serves its store, and to whom.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use lbk8s::store::{Access, AccessError};

use crate::exit::Failure;

#[derive(Debug, Args)]
pub(crate) struct ListenArguments {
    /// Serve the store here, for kubectl and other clients. On an address that is not loopback only with --token-file,
    /// --tls-cert and --tls-key
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    listen: Option<SocketAddr>,
    /// Serve the store only to who sends the token in this file (Authorization: Bearer)
    #[arg(long, value_name = "FILE", requires = "listen")]
    token_file: Option<PathBuf>,
    /// Serve the store by TLS, with the certificates in this PEM file, the server's own first
    #[arg(long, value_name = "FILE", requires_all = ["listen", "tls_key"])]
    tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert, in a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl ListenArguments {
    /// Where the store listens, if it does.
    pub(crate) fn at(&self) -> Option<SocketAddr> {
        self.listen
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls_cert.is_some() { "https" } else { "http" }
    }

    /// Who may use it. Over a network it is never served to everybody, nor in the clear.
    pub(crate) fn access(&self) -> Result<Access, Failure> {
        let protected = self.token_file.is_some() && self.tls_cert.is_some();
        if let Some(at) = self.listen.filter(|at| !at.ip().is_loopback() && !protected) {
            return Err(Failure::Unprotected(at));
        }
        let mut access = Access::default();
        if let Some(path) = &self.token_file {
            let token = String::from_utf8(read(path)?).unwrap_or_default();
            access = access.with_token(&token).map_err(|error| Failure::access(path, error))?;
        }
        if let (Some(path), Some(key)) = (&self.tls_cert, &self.tls_key) {
            access = access.with_tls(&read(path)?, &read(key)?).map_err(|error| {
                let at_fault = if matches!(error, AccessError::Key(_)) { key } else { path };
                Failure::access(at_fault, error)
            })?;
        }
        Ok(access)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|source| Failure::Unreadable { path: path.to_owned(), source })
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an address and a port, as in 127.0.0.1:8080".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        listening: ListenArguments,
    }

    fn access(arguments: &[&str]) -> Result<Access, String> {
        let line = Line::try_parse_from([&["lbd"], arguments].concat()).map_err(|error| error.to_string())?;
        line.listening.access().map_err(|error| error.to_string())
    }

    #[test]
    fn a_network_is_not_served_without_a_token_and_tls() {
        assert!(access(&[]).is_ok());
        for at in ["127.0.0.1:8080", "[::1]:8080"] {
            assert!(access(&["--listen", at]).is_ok(), "{at}");
        }
        for at in ["0.0.0.0:8080", "192.0.2.1:8080", "[::]:8080"] {
            for with in [&[][..], &["--token-file", "t"], &["--tls-cert", "c", "--tls-key", "k"]] {
                let error = access(&[&["--listen", at], with].concat()).unwrap_err();
                assert!(error.contains("--token-file") && error.contains("--tls-cert"), "{error}");
            }
        }
    }

    #[test]
    fn what_belongs_together_is_asked_for_together() {
        for arguments in [
            &["--listen", "8080"][..],
            &["--token-file", "t"],
            &["--listen", "127.0.0.1:1", "--tls-cert", "c"],
            &["--listen", "127.0.0.1:1", "--tls-key", "k"],
        ] {
            assert!(access(arguments).is_err(), "{arguments:?}");
        }
        let error = access(&["--listen", "127.0.0.1:1", "--token-file", "/not/there"]).unwrap_err();
        assert!(error.contains("/not/there"), "{error}");
    }
}
