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
    /// What serves.
    #[serde(default)]
    pub engine: Engine,
    /// The file with those who may log on, for nobody but the port to read. Samba may have others, by `include`.
    pub users: Option<PathBuf>,
    /// With Samba: a file with more of `[global]` of `smb.conf`, by which the site joins a domain.
    pub include: Option<PathBuf>,
    /// Whether requests must be signed.
    #[serde(default = "Demand::required")]
    pub signing: Demand,
    /// Whether all must be encrypted.
    #[serde(default = "Demand::offered")]
    pub encryption: Demand,
}

/// `engine`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// The port itself.
    #[default]
    BuiltIn,
    /// The machine's Samba, over a mount of each export.
    Samba,
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
        match (self.engine, &self.users, &self.include) {
            (Engine::BuiltIn, None, _) => {
                Err("[cifs] needs `users`: a file with those who may log on".into())
            }
            (Engine::BuiltIn, _, Some(_)) => Err("[cifs] include: for engine = \"samba\" alone".into()),
            (Engine::Samba, None, None) => {
                Err("[cifs] needs `users`, or `include` with where Samba finds those who may log on".into())
            }
            _ => Ok(()),
        }
    }
}
