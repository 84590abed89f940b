//! `[status_page]`: a page for a browser that says how the port is (PORT-17).

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[status_page]`. Without the table nothing is served.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct StatusPage {
    /// The TCP address of the page, for whoever reaches it.
    pub listen: SocketAddr,
    /// The file with the hash of the password for what changes something; without it nobody changes anything by the page.
    pub password_hash_file: Option<PathBuf>,
    /// Of a port of a pair: `[state] dir` of its judge, which is asked through the socket there.
    pub judge_state_dir: Option<PathBuf>,
}

/// The keys of [`StatusPage`].
pub(super) const KEYS: &[&str] = &["listen", "password_hash_file", "judge_state_dir"];
