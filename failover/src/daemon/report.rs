//! From what the machine knows to what the operator is shown. Pure.

use super::chronicle;
use super::status::{
    Health, Lease, Link, Links, Mirror, Peer, Reason, Status, Steps, Takeover, millis, tenths,
};
use crate::config::Config;
use crate::health::sample::Nic;
use crate::machine::event::{Generation, Member};
use crate::machine::message::Role;
use crate::machine::status::{Giver, Status as View};
use crate::machine::time::Time;

/// A peer that was not heard for so long is missing.
const MISSING_MS: u64 = 1_000;

/// What the machine does not know.
#[derive(Debug)]
pub(super) struct Report {
    pair: String,
    member: Member,
    links: Links,
    mirror: Option<Mirror>,
    steps: Option<(Generation, Steps)>,
}

impl Report {
    /// Nothing is known yet.
    pub(super) fn new(config: &Config) -> Self {
        let link = |name: &str| Link { interface: name.to_owned(), carrier: true, peer_heard_ms: None };
        Self {
            pair: config.pair.name.clone(),
            member: config.pair.member,
            links: Links {
                heartbeat: link(&config.heartbeat.interface),
                lan: link(&config.lan.interface),
                wan: link(&config.wan.interface),
            },
            mirror: None,
            steps: None,
        }
    }

    /// Of a NIC.
    pub(super) fn carrier(&mut self, nic: Nic, has_carrier: bool) {
        let link = match nic {
            Nic::Heartbeat => &mut self.links.heartbeat,
            Nic::Lan => &mut self.links.lan,
            Nic::Wan => &mut self.links.wan,
        };
        link.carrier = has_carrier;
    }

    /// Of the port's process.
    pub(super) fn mirror(&mut self, caught_up: bool, owed_bytes: u64) {
        self.mirror = Some(Mirror { caught_up, owed_bytes });
    }

    /// It has ended.
    pub(super) fn port_gone(&mut self) {
        self.mirror = None;
    }

    /// Of a takeover.
    pub(super) fn steps(&mut self, steps: chronicle::Steps) {
        let chronicle::Steps { generation, center, probe, open, serving } = steps;
        let steps = Steps {
            granted_ms: tenths(center),
            probe_ms: tenths(probe),
            open_ms: tenths(open),
            serving_ms: tenths(serving),
        };
        self.steps = Some((generation, steps));
    }

    /// All of it together.
    pub(super) fn status(&self, view: &View, threshold: u32, now: Time) -> Status {
        let mut links = self.links.clone();
        if let Some(peer) = &view.peer {
            [links.heartbeat.peer_heard_ms, links.lan.peer_heard_ms] =
                peer.heard_on.map(|span| span.map(millis));
        }
        let health = view.health.clone().unwrap_or_default();
        let reasons = health.reasons.into_iter().map(|reason| Reason {
            weight: reason.weight,
            kind: reason.kind.to_owned(),
            text: reason.text,
        });
        let mut status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            pair: self.pair.clone(),
            member: self.member.as_str().to_owned(),
            role: name(view.role).to_owned(),
            generation: view.generation.0,
            lease: view.lease.map(|(remaining, giver)| Lease {
                giver: match giver {
                    Giver::Peer => "peer",
                    Giver::Center => "center",
                }
                .to_owned(),
                remaining_ms: millis(remaining),
            }),
            problems: Vec::new(),
            maintenance: view.maintenance,
            hold_down_ms: millis(view.hold_down),
            health: Health {
                score: health.score,
                threshold,
                reasons: reasons.collect(),
                lan: health.lan,
                wan: health.wan,
            },
            links,
            peer: view.peer.as_ref().map(|peer| Peer {
                role: name(peer.role).to_owned(),
                generation: peer.generation.0,
                score: peer.score,
                eligible: peer.eligible,
                heard_ms: millis(peer.heard),
            }),
            mirror: self.mirror.clone(),
            takeovers: view.takeovers,
            last_takeover: view.last_takeover.as_ref().map(|takeover| Takeover {
                generation: takeover.generation.0,
                reason: takeover.why.to_owned(),
                silent_ms: takeover.silent.map(millis),
                ago_ms: millis(now.since(takeover.at)),
                steps: self.steps.filter(|(known, _)| *known == takeover.generation).map(|(_, steps)| steps),
            }),
        };
        status.problems = problems(&status, view.unfit);
        status
    }
}

fn name(role: Role) -> &'static str {
    match role {
        Role::Starting => "starting",
        Role::Passive => "passive",
        Role::Acquiring => "acquiring",
        Role::Active => "active",
        Role::Releasing => "releasing",
    }
}

/// What the operator should look at.
fn problems(status: &Status, unfit: Option<&str>) -> Vec<String> {
    let mut problems: Vec<String> = status.health.reasons.iter().map(|reason| reason.text.clone()).collect();
    let mut add_if = |is_so: bool, text: &str| {
        if is_so {
            problems.push(text.to_owned());
        }
    };
    let is_settled = status.role == "active" || status.role == "passive";
    add_if(!is_settled, "the port is neither active nor passive yet");
    add_if(!status.health.lan, "the LAN cannot be used");
    add_if(!status.health.wan, "the storage center does not answer");
    add_if(status.maintenance, "maintenance is on: nothing moves by itself");
    let is_silent = |heard: Option<u64>| heard.is_none_or(|ms| ms > MISSING_MS);
    let (heartbeat, lan) = (&status.links.heartbeat, &status.links.lan);
    add_if(is_silent(heartbeat.peer_heard_ms), "the peer is not heard on the heartbeat link");
    add_if(is_silent(lan.peer_heard_ms), "the peer is not heard on the LAN");
    if let Some(unfit) = unfit {
        problems.push(format!("this port may not take over: {unfit}"));
    }
    problems
}
