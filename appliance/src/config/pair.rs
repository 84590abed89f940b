//! `[pair]`: the two ports that share their addresses (FO-1).

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use protocol::pair::{Member, PAIR_NAME_BYTES_MAX, PairName};
use serde::{Deserialize, Serialize};

/// What the name of the pair has behind it where the storage center keeps the mirror's mark.
const MARK: &str = "-mirror";

/// `[pair]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Pair {
    /// The pair's name at the storage center, among those of the first `[[customer]]`.
    pub name: String,
    /// Which of the two this port is, `a` or `b`.
    #[serde(with = "letter")]
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
    /// How long the other port may take to have a record on its disk before this one goes on alone. The same on both.
    #[serde(default = "Pair::default_acknowledge")]
    pub acknowledge_ms: NonZeroU64,
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

    /// Under which names the storage center knows the pair, and keeps the mark of its mirror; `None` for a name that
    /// cannot be one.
    pub fn names(&self) -> Option<(PairName, PairName)> {
        Some((PairName::parse(&self.name)?, PairName::parse(&format!("{}{MARK}", self.name))?))
    }

    /// The other port.
    pub const fn other(&self) -> Member {
        match self.member {
            Member::A => Member::B,
            Member::B => Member::A,
        }
    }

    /// What no single value shows.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.names().is_none() {
            return Err(format!(
                "[pair] name `{}`: give 1 to {} lower-case letters, digits and hyphens",
                self.name,
                PAIR_NAME_BYTES_MAX - MARK.len()
            ));
        }
        if self.listen == self.peer {
            return Err("[pair]: `peer` is this port's own `listen`: give the other port's".into());
        }
        Ok(())
    }
}

/// A member as its letter.
mod letter {
    use super::Member;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(member: &Member, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(member.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Member, D::Error> {
        let text = String::deserialize(from)?;
        Member::parse(&text).ok_or_else(|| de::Error::custom("a member is `a` or `b`"))
    }
}
