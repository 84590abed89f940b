//! `[pair]`: the two ports that share their addresses (FO-1).

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Longest name of a pair, as the storage center has it.
const NAME_BYTES_MAX: usize = 64;

/// `[pair]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Pair {
    /// The pair's name at the storage center, among those of the first `[[customer]]`.
    pub name: String,
    /// Which of the two this port is.
    pub member: Member,
    /// The pair's key, the same file on both ports: the file handles are made with it.
    pub key_file: PathBuf,
    /// TCP address, on the link between the two, where the other port mirrors its journal to.
    pub listen: SocketAddr,
    /// The same of the other port.
    pub peer: SocketAddr,
    /// What this port shows the other: PEM, for the DNS name `<member>.<name>`.
    pub certificate_file: PathBuf,
    /// Its key in PEM.
    pub certificate_key_file: PathBuf,
    /// Who signed both ports' certificates: PEM.
    pub ca_file: PathBuf,
    /// What a durable write waits for while the other port is away.
    #[serde(default)]
    pub when_alone: WhenAlone,
    /// How long the other port may take to have a record on its disk before this one goes on alone.
    #[serde(default = "Pair::default_acknowledge")]
    pub acknowledge_ms: NonZeroU64,
}

/// `member`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Member {
    /// One.
    A,
    /// The other.
    B,
}

impl Member {
    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

/// `when_alone`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenAlone {
    /// For the storage center to have the bytes: they survive this port as well.
    #[default]
    WriteThrough,
    /// For this port's own disk, which is then the only place where they are.
    Local,
}

impl Pair {
    /// Many times what a disk's sync takes, and a stall that clients' users hardly notice.
    fn default_acknowledge() -> NonZeroU64 {
        const { NonZeroU64::new(250).expect("not zero") }
    }

    /// `acknowledge_ms` as a duration.
    pub fn acknowledge(&self) -> Duration {
        Duration::from_millis(self.acknowledge_ms.get())
    }

    /// What no single value shows.
    pub(super) fn check(&self) -> Result<(), String> {
        let is_fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let name = &self.name;
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_fit) {
            return Err(format!(
                "[pair] name `{name}`: give 1 to {NAME_BYTES_MAX} lower-case letters, digits and hyphens"
            ));
        }
        if self.listen == self.peer {
            return Err("[pair]: `peer` is this port's own `listen`: give the other port's".into());
        }
        Ok(())
    }
}
