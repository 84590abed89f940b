//! `[status_page]`: a page for a browser that says how the storage center is.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// `[status_page]`. Without the table nothing is served.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusPage {
    /// The TCP address of the page, for whoever reaches it.
    pub listen: SocketAddr,
    /// The certificate chain in PEM, for TLS; without it the page is plain HTTP.
    pub certificate: Option<PathBuf>,
    /// Its key in PEM.
    pub key: Option<PathBuf>,
}

impl StatusPage {
    pub(super) fn nonsense(&self) -> Option<String> {
        (self.certificate.is_some() != self.key.is_some())
            .then(|| "status_page: give both `certificate` and `key` for TLS, or neither".to_string())
    }
}
