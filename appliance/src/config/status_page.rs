//! `[status_page]`: a page for a browser that says how the port is (PORT-17).

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[status_page]`. Without the table nothing is served.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct StatusPage {
    /// The TCP address of the page, for whoever reaches it.
    pub listen: SocketAddr,
    /// The certificate chain in PEM, for TLS; without it the page is plain HTTP.
    pub certificate: Option<PathBuf>,
    /// Its key in PEM, for the port alone to read.
    pub key: Option<PathBuf>,
    /// The file with the hash of the password for what changes something; without it nobody changes anything by the page.
    pub password_hash_file: Option<PathBuf>,
    /// Of a port of a pair: `[state] dir` of its judge, which is asked through the socket there.
    pub judge_state_dir: Option<PathBuf>,
}

/// The keys of [`StatusPage`].
pub(super) const KEYS: &[&str] = &["listen", "certificate", "key", "password_hash_file", "judge_state_dir"];

impl StatusPage {
    /// What no single value shows.
    pub(super) fn check(&self) -> Result<(), String> {
        match (&self.certificate, &self.key) {
            (Some(_), None) | (None, Some(_)) => {
                Err("[status_page]: give both `certificate` and `key`, or none of them".to_owned())
            }
            _ => Ok(()),
        }
    }
}
