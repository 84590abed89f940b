//! What the judge does to the world, as a trait: the loop's own logic is tried without root and without a network.

use std::time::Duration;

use super::port::Role;
use crate::machine::action::Question;
use crate::machine::event::{Generation, Path};
use crate::machine::message::{Connection, Message};
use crate::machine::time::Time;

/// Why something could not be done: one line, for the log. The judge goes on; leases end by themselves.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Trouble(String);

impl Trouble {
    /// With the error's own text, which says what failed.
    pub(super) fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Whether it was done.
pub(super) type Done = Result<(), Trouble>;

/// Something to be done, for the log; the first three are vital.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deed {
    OpenFence,
    HoldAddresses,
    DropAddresses,
    ShutFence,
    ProbeAddresses,
    Announce,
    Tickle,
    Remember,
    Feed,
    AskReferences,
}

impl Deed {
    /// Whether a port that cannot do it cannot serve, or be followed by another.
    pub(super) fn is_vital(self) -> bool {
        matches!(self, Self::OpenFence | Self::HoldAddresses | Self::DropAddresses)
    }
}

impl std::fmt::Display for Deed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OpenFence => "open the fence",
            Self::HoldAddresses => "hold the floating addresses",
            Self::DropAddresses => "drop the floating addresses and their connections",
            Self::ShutFence => "shut the fence",
            Self::ProbeAddresses => "probe the floating addresses",
            Self::Announce => "announce the floating addresses",
            Self::Tickle => "tickle the clients' connections",
            Self::Remember => "remember the generation",
            Self::Feed => "feed the watchdog",
            Self::AskReferences => "ask the LAN's references",
        })
    }
}

/// The actions of the machine, and what they need. None of them waits for anybody but the kernel and, to remember, the
/// disk.
pub(super) trait Hands {
    /// Sends it on that way; what cannot be sent is lost, as on a network.
    fn send(&mut self, path: Path, message: &Message);
    /// See [`crate::machine::action::Action::OpenFence`].
    fn open_fence(&mut self, until: Time) -> Done;
    /// See [`crate::machine::action::Action::ShutFence`].
    fn shut_fence(&mut self) -> Done;
    /// See [`crate::machine::action::Action::HoldAddresses`].
    fn hold_addresses(&mut self, until: Time) -> Done;
    /// See [`crate::machine::action::Action::DropAddresses`].
    fn drop_addresses(&mut self) -> Done;
    /// Asks the LAN once for the floating addresses, and listens from now on.
    fn probe_addresses(&mut self) -> Done;
    /// Who has answered since the first of these questions; with `true` it listens no more.
    fn claimed_by(&mut self, is_last: bool) -> Option<String>;
    /// See [`crate::machine::action::Action::Announce`].
    fn announce(&mut self, connections: &[Connection]) -> Done;
    /// See [`crate::machine::action::Action::Tickle`].
    fn tickle(&mut self, connections: &[Connection]) -> Done;
    /// See [`crate::machine::action::Action::AskCenter`]. The lease is the one to
    /// ask for. False if it cannot be asked now: then nobody will answer.
    fn ask_center(&mut self, question: Question, lease: Duration, now: Time) -> bool;
    /// See [`crate::machine::action::Action::Activate`] and the one after it.
    fn command_port(&mut self, role: Role);
    /// See [`crate::machine::action::Action::Remember`].
    fn remember(&mut self, generation: Generation) -> Done;
    /// See [`crate::machine::action::Action::Feed`].
    fn feed(&mut self) -> Done;
    /// Asks the references on the LAN.
    fn ask_references(&mut self) -> Done;
}
