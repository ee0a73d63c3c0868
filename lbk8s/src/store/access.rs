//! Who may use the store over TCP: everybody on the wire, or who has the token; in the clear or by TLS.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, header};
use subtle::ConstantTimeEq;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use super::ApiError;

/// Who may use the store over TCP. By default everybody who reaches the port, in the clear: that is for loopback.
#[derive(Clone, Default)]
pub struct Access {
    token: Option<Arc<str>>,
    pub(super) tls: Option<TlsAcceptor>,
}

/// Why a store cannot be protected.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// There is no token.
    #[error("the token is empty; write one line that nobody can guess")]
    EmptyToken,
    /// The certificates cannot be read.
    #[error("no certificate can be read ({0}); it has to be PEM, as in -----BEGIN CERTIFICATE-----")]
    Certificate(String),
    /// The key cannot be read.
    #[error("no private key can be read ({0}); it has to be PEM, as in -----BEGIN PRIVATE KEY-----")]
    Key(String),
    /// They do not fit each other.
    #[error("certificate and key cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

impl Access {
    /// The same, for who sends `Authorization: Bearer` and this token. Space around it does not count.
    ///
    /// # Errors
    /// [`AccessError::EmptyToken`].
    pub fn with_token(self, token: &str) -> Result<Self, AccessError> {
        let token = token.trim();
        if token.is_empty() {
            return Err(AccessError::EmptyToken);
        }
        Ok(Self { token: Some(token.into()), ..self })
    }

    /// The same, by TLS: with certificates (the server's own first) and their key, both as PEM.
    ///
    /// # Errors
    /// They cannot be read, or do not fit each other.
    pub fn with_tls(self, certificates: &[u8], key: &[u8]) -> Result<Self, AccessError> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|error| AccessError::Certificate(error.to_string()))?;
        if certificates.is_empty() {
            return Err(AccessError::Certificate("there is none".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| AccessError::Key(error.to_string()))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certificates, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: Some(TlsAcceptor::from(Arc::new(config))), ..self })
    }

    /// Whether the sender of these headers may ask. How much of a wrong token is right cannot be told from the time.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(token) = &self.token else { return Ok(()) };
        let sent = headers.get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes).unwrap_or_default();
        let sent = sent.split_at_checked("Bearer ".len());
        let is_it = sent.is_some_and(|(scheme, sent)| {
            scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(sent.ct_eq(token.as_bytes()))
        });
        if is_it { Ok(()) } else { Err(ApiError::unauthorized()) }
    }
}

impl fmt::Debug for Access {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (token, tls) = (self.token.is_some(), self.tls.is_some());
        f.debug_struct("Access").field("token", &token).field("tls", &tls).finish()
    }
}
