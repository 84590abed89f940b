//! What two judges say to each other. `wire` knows it as bytes.

use std::time::Duration;

use super::event::{Generation, Member};

/// A connection of a client, for the tickle: `(client's address, floating address)`, both with port.
pub type Connection = (std::net::SocketAddr, std::net::SocketAddr);

/// One datagram. Sequence numbers and the boot nonce make it fresh, the seal authentic; both ways carry the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Highest version that the sender speaks; the two speak the lower one of theirs.
    pub speaks: u8,
    /// Who sends.
    pub sender: Member,
    /// New at every start of the sender's judge.
    pub boot: u64,
    /// Grows with every datagram of this boot; the same on both ways.
    pub sequence: u64,
    /// The newest datagram of the peer that the sender has seen: boot nonce and sequence. An echo of an older boot
    /// counts for nothing.
    pub echo: Option<(u64, u64)>,
    /// What the sender is.
    pub role: Role,
    /// The newest generation it knows.
    pub generation: Generation,
    /// Its health score; see `Health`.
    pub health: u32,
    /// Its LAN can be used, its WAN reaches the center.
    pub lan: bool,
    /// See `lan`.
    pub wan: bool,
    /// It may take over: its port is up, its mirror of the journal whole, and no operator keeps it from it.
    pub eligible: bool,
    /// What.
    pub kind: Kind,
}

/// What a judge is, as its peer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Started, waits one lease.
    Starting,
    /// Serves nobody.
    Passive,
    /// On its way to active.
    Acquiring,
    /// Has the addresses.
    Active,
    /// Gives them up.
    Releasing,
}

/// Which datagram.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// The passive asks. With `promise` it promises not to take over for so long since it got the datagram that `echo`
    /// names. The active counts from when it sent that one.
    Query {
        /// The lease.
        promise: Option<Duration>,
    },
    /// The active answers.
    Status {
        /// Client connections that were opened since what the peer has echoed, at most
        /// [`super::connections::CHANGES_PER_STATUS`] together with `closed`.
        opened: Vec<Connection>,
        /// Those that were closed.
        closed: Vec<Connection>,
    },
    /// The active asks the passive to take over.
    Prepare,
    /// The center granted the sender this generation. The active shuts its fence and answers `Release`; so does whoever
    /// is not active.
    Ready,
    /// The sender holds no address and will not take one in this generation or an older one: take it without waiting.
    Release,
}
