//! What the operation `status` answers: a judge at one moment, in a form that stays.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A judge's answer. Fields may come in; those that are here keep their meaning. Spans are in milliseconds.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Status {
    /// Of the program.
    pub version: String,
    /// Of the process.
    pub pid: u32,
    /// The pair's name.
    pub pair: String,
    /// `a` or `b`.
    pub member: String,
    /// `starting`, `passive`, `acquiring`, `active` or `releasing`.
    pub role: String,
    /// How often the address has changed hands, as far as this judge knows.
    pub generation: u64,
    /// What an active one serves under.
    pub lease: Option<Lease>,
    /// What is not as it should be, in words; empty if all is well.
    pub problems: Vec<String>,
    /// An operator keeps it from acting by itself.
    pub maintenance: bool,
    /// For so long no ill health moves the addresses.
    pub hold_down_ms: u64,
    /// What the probes found.
    pub health: Health,
    /// The three NICs.
    pub links: Links,
    /// The other port, if it was ever heard.
    pub peer: Option<Peer>,
    /// What the two have of each other's writes.
    pub mirror: Option<Mirror>,
    /// How often this port became active since its judge started.
    pub takeovers: u64,
    /// The last time.
    pub last_takeover: Option<Takeover>,
}

/// `lease`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Lease {
    /// `peer` or `center`.
    pub giver: String,
    /// Until the kernel shuts the fence, unless it is renewed.
    pub remaining_ms: u64,
}

/// `health`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Health {
    /// Sum of the weights; 0 is well.
    pub score: u32,
    /// From here on the port makes room for a better one.
    pub threshold: u32,
    /// What is wrong.
    pub reasons: Vec<Reason>,
    /// The clients' LAN can be used.
    pub lan: bool,
    /// The center is reached.
    pub wan: bool,
}

/// One of `reasons`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Reason {
    /// What it costs.
    pub weight: u32,
    /// What is wrong, in one word that stays: a key of `[health.weights]`, or `kernel`.
    #[serde(default)]
    pub kind: String,
    /// In words.
    pub text: String,
}

/// `links`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Links {
    /// To the peer.
    pub heartbeat: Link,
    /// To the clients, and the second way to the peer.
    pub lan: Link,
    /// To the center; the peer is not heard there.
    pub wan: Link,
}

/// One of `links`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Link {
    /// The NIC's name.
    pub interface: String,
    /// It has carrier.
    pub carrier: bool,
    /// How long ago the peer was heard on it.
    pub peer_heard_ms: Option<u64>,
}

/// `peer`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Peer {
    /// As [`Status::role`].
    pub role: String,
    /// As [`Status::generation`].
    pub generation: u64,
    /// As [`Health::score`].
    pub score: u32,
    /// It may take over.
    pub eligible: bool,
    /// How long ago it was heard on any link.
    pub heard_ms: u64,
}

/// `mirror`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Mirror {
    /// Nothing acknowledged is lost if this port takes over now.
    pub caught_up: bool,
    /// Acknowledged bytes that neither the peer nor the center has.
    pub owed_bytes: u64,
}

/// `last_takeover`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Takeover {
    /// The generation that was claimed.
    pub generation: u64,
    /// Why.
    pub reason: String,
    /// How long the peer had not been heard when the fence was opened.
    pub silent_ms: Option<u64>,
    /// How long ago it was.
    pub ago_ms: u64,
    /// How long each step took, once the port serves.
    pub steps: Option<Steps>,
}

/// `steps`. All but `probe_ms` are counted from the first question to the center.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub struct Steps {
    /// Until it granted the generation.
    pub granted_ms: f64,
    /// Asking on the LAN whether somebody has the addresses.
    pub probe_ms: f64,
    /// Until the addresses could be used.
    pub open_ms: f64,
    /// Until the port's process had said that it serves.
    pub serving_ms: f64,
}

impl Status {
    /// Whether everything is as it should be.
    pub fn is_well(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Whole milliseconds; what is beyond all counting is the largest number.
pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds with one digit behind the point.
pub(super) fn tenths(span: Duration) -> f64 {
    (span.as_secs_f64() * 10_000.0).round() / 10.0
}

/// For people.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pair, member, role, generation, health, takeovers, .. } = self;
        write!(f, "port {member} of pair {pair}: {role}, generation {generation}")?;
        if let Some(Lease { giver, remaining_ms }) = &self.lease {
            write!(f, ", lease of the {giver} for {remaining_ms} ms")?;
        }
        let Health { score, threshold, reasons, .. } = health;
        write!(f, "\nhealth {score} of {threshold}")?;
        for Reason { weight, text, .. } in reasons {
            write!(f, "\n  {weight}: {text}")?;
        }
        match &self.peer {
            Some(Peer { role, generation, score, eligible, heard_ms }) => {
                let may = if *eligible { "may" } else { "may not" };
                write!(
                    f,
                    "\npeer: {role}, generation {generation}, health {score}, {may} take over, heard {heard_ms} ms ago"
                )?;
            }
            None => write!(f, "\npeer: never heard")?,
        }
        let links =
            [("heartbeat", &self.links.heartbeat), ("lan", &self.links.lan), ("wan", &self.links.wan)];
        for (name, Link { interface, carrier, peer_heard_ms }) in links {
            let carrier = if *carrier { "carrier" } else { "no carrier" };
            write!(f, "\n{name}: {interface}, {carrier}")?;
            if let Some(ms) = peer_heard_ms {
                write!(f, ", peer heard {ms} ms ago")?;
            }
        }
        if let Some(Mirror { caught_up, owed_bytes }) = &self.mirror {
            let state = if *caught_up { "whole" } else { "not whole" };
            write!(f, "\nmirror: {state}, {owed_bytes} bytes are nowhere else")?;
        }
        write!(f, "\ntakeovers: {takeovers}")?;
        if let Some(Takeover { generation, reason, ago_ms, steps, .. }) = &self.last_takeover {
            write!(f, ", the last to generation {generation} {} s ago: {reason}", ago_ms / 1000)?;
            if let Some(Steps { open_ms, serving_ms, .. }) = steps {
                write!(f, "; open after {open_ms} ms, serving after {serving_ms} ms")?;
            }
        }
        for problem in &self.problems {
            write!(f, "\nproblem: {problem}")?;
        }
        Ok(())
    }
}
