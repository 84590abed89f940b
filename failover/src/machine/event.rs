//! What the machine is told.

use std::time::Duration;

pub use protocol::pair::{Generation, Member};

use super::message::{Connection, Message};
use super::time::Time;

/// A way between the two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// The heartbeat link.
    Heartbeat,
    /// The clients' LAN.
    Lan,
}

/// Something has happened. All of it is told with `now`.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The moment that [`super::action::Action::WakeAt`] named, or a later one.
    Timer,
    /// A datagram of the peer whose seal was right. Whether it is fresh (boot nonce, sequence) the machine decides.
    Received {
        /// On which way.
        path: Path,
        /// What.
        message: Message,
    },
    /// What the probes found; told whenever something changed, and at least once in every probe interval.
    Health(Health),
    /// The center's answer to [`super::action::Action::AskCenter`], or that there was none. Each question gets one.
    Center {
        /// The `now` of the step that asked: it names the question, and a lease counts from it.
        sent: Time,
        /// The answer.
        answer: CenterAnswer,
    },
    /// The result of [`super::action::Action::ProbeAddresses`].
    AddressProbe {
        /// Somebody else answers for one of the addresses: his link-layer address, as text.
        taken_by: Option<String>,
    },
    /// What the port's own process says of itself, over its control socket.
    Port(PortEvent),
    /// All connections that clients have at the floating addresses of this active port, at most
    /// [`super::connections::CONNECTIONS_MAX`] of them; told whenever they were listed.
    Connections(Vec<Connection>),
    /// An operator's command.
    Command(Command),
}

/// The state of this machine, in one number and its reasons.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// The sum of the weights of everything that is wrong: 0 is well.
    pub score: u32,
    /// What is wrong, in words, with its weight.
    pub reasons: Vec<Reason>,
    /// The clients' LAN can be used: carrier, and the reference answers where there is one.
    pub lan: bool,
    /// The center is reached over the WAN.
    pub wan: bool,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What it costs.
    pub weight: u32,
    /// What is wrong, in one word that stays: the weight's key in `[health.weights]`, or `kernel`.
    pub kind: &'static str,
    /// For the operator: `cache disk /var/cache/0: a probe write took over 2 s`.
    pub text: String,
}

/// What the center says (`PortLease`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CenterAnswer {
    /// The generation is granted to this port, or its lease is renewed, for this long from the moment of asking.
    Granted {
        /// Which.
        generation: Generation,
        /// The lease; zero if none was asked for.
        lease: Duration,
        /// Its number, for [`super::action::Question::Release`].
        renewals: u64,
    },
    /// The other port holds a lease of the center. It may be taken over once `lease` has passed on the asker's own
    /// clock since this answer came, if `renewals` is still the same then.
    Held {
        /// The generation that is in force.
        generation: Generation,
        /// How often the lease was renewed.
        renewals: u64,
        /// How long it is good.
        lease: Duration,
    },
    /// A newer generation than the asker's is in force: he has lost.
    Superseded {
        /// It.
        generation: Generation,
    },
    /// The lease was given back.
    Released,
    /// No answer in time.
    Unreachable,
}

/// From the port's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortEvent {
    /// The process is there (the control socket is connected), and listens.
    Up {
        /// The mirror of the peer's journal is whole here: nothing acknowledged is lost if this port takes over.
        caught_up: bool,
        /// Acknowledged bytes that only this port has: neither the peer nor the center.
        owed: u64,
    },
    /// The process has ended, or closed the control socket.
    Down,
    /// A probe of the NFS service (NULL, GETATTR) was answered in time.
    Answered,
    /// It was not.
    Silent,
    /// It serves as the active of this generation.
    Active(Generation),
    /// It serves nobody.
    Passive,
    /// Peer or center refused it: this newer generation is in force.
    Refused(Generation),
}

/// From an operator; each is answered by [`super::action::Action::Answer`] with the same number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Of the question, to be answered.
    pub id: u64,
    /// What.
    pub order: Order,
}

/// What an operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Become active: by agreement if the peer is there. With `force` also if this port is sick or has not caught up.
    Takeover {
        /// Whatever it costs.
        force: bool,
    },
    /// Hand over to the peer.
    Standby,
    /// Do nothing by itself until told otherwise; an active one goes on serving. Forgotten when the judge starts again.
    Maintenance(bool),
    /// The judge is about to end: hand over if the peer can, release otherwise, and claim nothing any more.
    Stop,
}
