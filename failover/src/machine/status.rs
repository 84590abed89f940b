//! What the operator is shown.

use std::time::Duration;

use super::event::{Generation, Health, Path};
pub use super::lease::Giver;
use super::message::Role;
use super::time::Time;
use super::{Machine, State};

/// One judge at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// What this port is.
    pub role: Role,
    /// The newest generation that is known.
    pub generation: Generation,
    /// How much of the lease is left, and whose it is.
    pub lease: Option<(Duration, Giver)>,
    /// What the probes found.
    pub health: Option<Health>,
    /// Why this port may not take over, if so.
    pub unfit: Option<&'static str>,
    /// Acknowledged bytes that only this port has.
    pub owed: u64,
    /// An operator keeps it from acting by itself.
    pub maintenance: bool,
    /// The peer, if it was ever heard.
    pub peer: Option<PeerStatus>,
    /// How often this port became active since its judge started.
    pub takeovers: u64,
    /// The last time.
    pub last_takeover: Option<Takeover>,
    /// No ill health moves the addresses for so long.
    pub hold_down: Duration,
}

/// The peer, as it last said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// What it is.
    pub role: Role,
    /// The newest generation that it knows.
    pub generation: Generation,
    /// Its health score.
    pub score: u32,
    /// It may take over.
    pub eligible: bool,
    /// How long ago it was heard.
    pub heard: Duration,
    /// How long ago on the heartbeat link and on the LAN.
    pub heard_on: [Option<Duration>; 2],
}

/// How this port became active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Takeover {
    /// In which generation.
    pub generation: Generation,
    /// When the fence was opened.
    pub at: Time,
    /// Why.
    pub why: &'static str,
    /// How long the peer had not been heard.
    pub silent: Option<Duration>,
    /// How long ago the center had granted it.
    pub since_grant: Duration,
}

impl Machine {
    /// How it stands.
    pub fn status(&self, now: Time) -> Status {
        let heard_on = |path| self.peer.heard_on(path).map(|heard| now.since(heard));
        let (role, lease) = match &self.state {
            State::Starting { .. } => (Role::Starting, None),
            State::Passive { claim: None } => (Role::Passive, None),
            State::Passive { claim: Some(_) } => (Role::Acquiring, None),
            State::Tenure(tenure) => {
                let role = if tenure.reign().is_some() { Role::Active } else { Role::Acquiring };
                (role, tenure.lease.giver().map(|giver| (tenure.lease.until().since(now), giver)))
            }
        };
        Status {
            role,
            generation: self.generation,
            lease,
            health: self.condition.health().cloned(),
            unfit: self.unfit(),
            owed: self.condition.owed(),
            maintenance: self.maintenance,
            peer: self.peer.view().map(|view| PeerStatus {
                role: view.role,
                generation: view.generation,
                score: view.health,
                eligible: view.eligible,
                heard: self.peer.heard().map_or(Duration::MAX, |heard| now.since(heard)),
                heard_on: [heard_on(Path::Heartbeat), heard_on(Path::Lan)],
            }),
            takeovers: self.takeovers,
            last_takeover: self.last_takeover.clone(),
            hold_down: self.hold_down.until().since(now),
        }
    }
}
