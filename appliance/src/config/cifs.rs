//! `[cifs]`: the exports shared with CIFS clients as well (PORT-1).

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Longest name of a server that all clients take (MS-NBTE 2.2.1).
const NAME_BYTES_MAX: usize = 15;

/// `[cifs]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Cifs {
    /// TCP address.
    pub listen: SocketAddr,
    /// By which the server calls itself.
    #[serde(default = "Cifs::default_name")]
    pub name: String,
    /// The file with those who may log on, for nobody but the port to read.
    pub users: PathBuf,
    /// Whether requests must be signed.
    #[serde(default = "Demand::required")]
    pub signing: Demand,
    /// Whether all must be encrypted.
    #[serde(default = "Demand::offered")]
    pub encryption: Demand,
}

/// `signing` and `encryption`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Demand {
    /// Who does not is refused.
    Required,
    /// Who wants to does.
    Offered,
}

impl Demand {
    fn required() -> Self {
        Self::Required
    }

    fn offered() -> Self {
        Self::Offered
    }
}

impl From<Demand> for cifs::server::Demand {
    fn from(demand: Demand) -> Self {
        match demand {
            Demand::Required => Self::Required,
            Demand::Offered => Self::Offered,
        }
    }
}

impl Cifs {
    fn default_name() -> String {
        "STORAGE-PORT".into()
    }

    /// What no single value shows.
    pub(super) fn check(&self) -> Result<(), String> {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX || !self.name.bytes().all(is_good) {
            return Err(format!(
                "[cifs] name `{}`: at most {NAME_BYTES_MAX} letters, digits and hyphens",
                self.name.escape_debug()
            ));
        }
        Ok(())
    }
}
