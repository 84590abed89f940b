//! What the machine wants done.

use super::event::{Generation, Path};
use super::message::Message;
use super::time::Time;

/// To be done at once, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Wake the machine with `Event::Timer` then; it replaces the earlier wish.
    WakeAt(Time),
    /// Send it to the peer. The shell seals it.
    Send(Path, Message),
    /// Let frames from and to the floating addresses pass, until then and no longer: the kernel shuts it by itself. It
    /// takes the place of an earlier one, also where that was to last longer.
    OpenFence(Time),
    /// Let none pass, now.
    ShutFence,
    /// Ask on the LAN whether somebody has the floating addresses (RFC 5227); answer with `Event::AddressProbe`.
    ProbeAddresses,
    /// Add the floating addresses, or renew them, until then and no longer: the kernel removes them by itself. It
    /// counts in seconds: round down, and remove them if less than one remains. It takes the place of an earlier one,
    /// also where that was to last longer.
    HoldAddresses(Time),
    /// Remove them, then destroy silently every TCP connection of clients at them.
    DropAddresses,
    /// Gratuitous ARP, unsolicited neighbour advertisements, and a who-has to each client of
    /// [`super::Machine::connections`].
    Announce,
    /// Tickle every connection of [`super::Machine::connections`], so that the clients reconnect at once.
    Tickle,
    /// Ask the center; answer with `Event::Center`.
    AskCenter(Question),
    /// Tell the port's process to serve as the active of this generation; it says `PortEvent::Active`.
    Activate(Generation),
    /// Tell the port's process to serve nobody; it says `PortEvent::Passive`.
    Deactivate,
    /// Keep it on disk before anything that comes after it is done.
    Remember(Generation),
    /// Feed the hardware watchdog.
    Feed,
    /// For the log and the operator: what happened and why.
    Tell(Severity, String),
    /// The answer to the command of this number: done, or why not and what to do.
    Answer(u64, Result<String, String>),
}

/// To the center (`PortLease`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Grant the generation after `from` to me. `renewals`: what an earlier `Held` said, if its lease has passed since.
    Acquire {
        /// The newest generation I know.
        from: Generation,
        /// See `CenterAnswer::Held`.
        renewals: Option<u64>,
    },
    /// I am active in this generation and have no lease of the peer: give me one of yours.
    Renew(Generation),
    /// Take your lease back.
    Release {
        /// Mine.
        generation: Generation,
        /// Only if it is still the one of this number: I go on in this generation with the peer's lease, so a question
        /// that is late must not take a newer lease. `None`: I never serve in this generation again.
        renewals: Option<u64>,
    },
}

/// How loud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Goes its way.
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody must act.
    Alarm,
}
