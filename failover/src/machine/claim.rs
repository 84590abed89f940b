//! The passive: when it has reason to claim the next generation, and what the center says to that.

use std::time::Duration;

use super::action::{Action, Question, Severity};
use super::event::{CenterAnswer, Generation, Member};
use super::message::Role;
use super::peer::View;
use super::tenure::Tenure;
use super::time::Time;
use super::{Machine, State};

/// The shell answers every question within this; one that was lost is asked again.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Pause before the center is asked again that was not reached, or whose answer may be another one soon.
const AGAIN: Duration = Duration::from_millis(50);
/// How long a PREPARE counts.
const PREPARED: Duration = Duration::from_millis(300);

/// On the way to a grant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) why: Why,
    /// The question that is under way was asked then.
    asked: Option<Time>,
    /// Ask again then.
    at: Time,
    /// The other has a lease of the center's: its number, and when that will have run out if it was not renewed.
    held: Option<(u64, Time)>,
}

/// What for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Nothing is heard of the peer.
    Silent,
    /// The peer is there and not active.
    Vacant,
    /// The active asked for it; not wanted any more after this.
    Prepared(Time),
    /// An operator wants it.
    Ordered {
        /// Although this port is not fit.
        force: bool,
        /// Not wanted any more after this.
        until: Time,
    },
}

impl Why {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Silent => "the peer is silent",
            Self::Vacant => "the peer is not active",
            Self::Prepared(_) => "the active peer asked for it",
            Self::Ordered { .. } => "an operator ordered it",
        }
    }

    /// By agreement, or by order, and not because somebody is missed.
    pub(super) fn is_planned(self) -> bool {
        matches!(self, Self::Prepared(_) | Self::Ordered { .. })
    }
}

impl Claim {
    fn new(why: Why, now: Time) -> Self {
        Self { why, asked: None, at: now, held: None }
    }

    pub(super) fn wakes_at(&self) -> Option<Time> {
        self.asked.is_none().then_some(self.at)
    }
}

impl Machine {
    /// The active asks this port to take over.
    pub(super) fn prepare(&mut self, now: Time) {
        let why = Why::Prepared(now + PREPARED);
        if self.unfit().is_some() {
            return;
        }
        match &mut self.state {
            State::Passive { claim: Some(claim) } if matches!(claim.why, Why::Prepared(_)) => claim.why = why,
            State::Passive { claim: claim @ None } => *claim = Some(Claim::new(why, now)),
            _ => {}
        }
    }

    /// An operator wants this passive port to be active.
    pub(super) fn claim_by_order(&mut self, force: bool, until: Time, now: Time) {
        let why = Why::Ordered { force, until };
        match &mut self.state {
            State::Passive { claim: Some(claim) } => claim.why = why,
            State::Passive { claim } => *claim = Some(Claim::new(why, now)),
            State::Starting { .. } | State::Tenure(_) => {}
        }
    }

    /// Why this port must not take over by itself.
    pub(super) fn unfit(&self) -> Option<&'static str> {
        if self.stopping {
            Some("its judge is ending")
        } else if self.maintenance {
            Some("it is in maintenance")
        } else {
            self.condition.unfit(&self.settings)
        }
    }

    pub(super) fn consider_claiming(&mut self, now: Time) {
        let State::Passive { claim } = &self.state else { return };
        let mut claim = *claim;
        // A question under way is waited for, whatever happens: its answer may be a generation.
        let is_waiting =
            claim.is_some_and(|claim| claim.asked.is_some_and(|asked| now.since(asked) < ANSWER_MAX));
        if !is_waiting {
            claim = match claim.filter(|claim| claim.why.is_planned()) {
                Some(planned) => Some(planned).filter(|planned| self.is_wanted(planned.why, now)),
                None => self
                    .reason_to_claim(now)
                    .map(|why| Claim { why, ..claim.unwrap_or(Claim::new(why, now)) }),
            };
            if let Some(claim) = &mut claim {
                self.ask(claim, now);
            }
        }
        self.state = State::Passive { claim };
    }

    fn ask(&mut self, claim: &mut Claim, now: Time) {
        claim.asked = None;
        if now < claim.at {
            return;
        }
        let renewals = claim.held.filter(|(_, ripe)| now >= *ripe).map(|(renewals, _)| renewals);
        claim.asked = Some(now);
        self.out.push(Action::AskCenter(Question::Acquire { from: self.generation, renewals }));
    }

    fn reason_to_claim(&mut self, now: Time) -> Option<Why> {
        let peer = self.peer.within(self.settings.silence(), now);
        let why = match peer {
            Some(View { role: Role::Active, .. }) => None,
            Some(peer) => self.is_mine_to_claim(peer, now).then_some(Why::Vacant),
            None => Some(Why::Silent),
        };
        let why = why.filter(|_| now >= self.not_before);
        match self.unfit().filter(|_| why == Some(Why::Silent)) {
            Some(unfit) if !self.alarms.unfit => {
                self.alarms.unfit = true;
                let text =
                    format!("nobody serves: the peer is silent, and this port may not take over: {unfit}");
                self.tell(Severity::Alarm, text);
            }
            Some(_) => {}
            None => self.alarms.unfit = false,
        }
        why.filter(|_| self.unfit().is_none())
    }

    /// Of two ports that are both there and not active, the better one claims; the other one only if nothing comes of it.
    fn is_mine_to_claim(&self, peer: View, now: Time) -> bool {
        let vacant = now.since(self.vacant_since);
        match peer.role {
            // The center knows who was first.
            Role::Acquiring => vacant >= self.settings.lease * 3 + self.settings.center_lease,
            Role::Starting => true,
            _ => self.is_better_than(peer) || vacant >= self.settings.lease * 3,
        }
    }

    fn is_better_than(&self, peer: View) -> bool {
        let (mine, theirs) = (self.condition.score(), peer.health);
        if !peer.eligible || self.condition.wan() != peer.wan {
            !peer.eligible || self.condition.wan()
        } else if mine.abs_diff(theirs) >= self.settings.hysteresis {
            mine < theirs
        } else {
            self.settings.member == Member::A
        }
    }

    fn is_wanted(&self, why: Why, now: Time) -> bool {
        match why {
            Why::Silent | Why::Vacant => self.unfit().is_none(),
            Why::Prepared(until) => now < until && self.unfit().is_none(),
            Why::Ordered { force, until } => {
                now < until && !self.stopping && (force || self.unfit().is_none())
            }
        }
    }

    /// The center answers the question of `sent`.
    pub(super) fn answered(&mut self, sent: Time, answer: CenterAnswer, now: Time) {
        if let CenterAnswer::Superseded { generation } | CenterAnswer::Held { generation, .. } = answer {
            self.learn(generation, "the center says so", now);
        }
        match &mut self.state {
            State::Tenure(tenure) => tenure.answered(sent, answer, &self.settings),
            State::Passive { claim: Some(claim) } if claim.asked == Some(sent) => {
                let mut claim = *claim;
                claim.asked = None;
                self.answered_claim(claim, sent, answer, now);
            }
            // Nobody waits for it any more: a grant that comes late is claimed again, never used.
            State::Passive { .. } | State::Starting { .. } => {}
        }
    }

    fn answered_claim(&mut self, mut claim: Claim, sent: Time, answer: CenterAnswer, now: Time) {
        claim.at = now + AGAIN;
        match answer {
            CenterAnswer::Granted { generation, lease, renewals } if generation > self.generation => {
                if self.is_wanted(claim.why, now) {
                    self.enter(Tenure::new(claim.why, generation, now), sent, lease, renewals, now);
                    return;
                }
                self.generation = generation;
                self.out.push(Action::Remember(generation));
                self.out.push(Action::AskCenter(Question::Release { generation, renewals: None }));
            }
            CenterAnswer::Held { renewals, lease, .. } => {
                let is_same = claim.held.is_some_and(|(known, _)| known == renewals);
                if !is_same {
                    claim.held = Some((renewals, now + lease + self.settings.margin(lease)));
                }
                // Nobody relies on a lease whose holder has released: the center will know in a moment.
                let is_soon = claim.why.is_planned() || self.peer.has_released(self.generation);
                if let Some((_, ripe)) = claim.held.filter(|_| !is_soon) {
                    claim.at = claim.at.max(ripe);
                }
            }
            CenterAnswer::Superseded { .. } => claim.at = now + self.settings.query,
            CenterAnswer::Granted { .. } | CenterAnswer::Released | CenterAnswer::Unreachable => {}
        }
        self.state = State::Passive { claim: Some(claim) };
    }

    fn enter(&mut self, mut tenure: Tenure, sent: Time, lease: Duration, renewals: u64, now: Time) {
        let generation = tenure.generation;
        let answer = CenterAnswer::Granted { generation, lease, renewals };
        tenure.answered(sent, answer, &self.settings);
        self.generation = generation;
        self.out.push(Action::Remember(generation));
        self.out.push(Action::Activate(generation));
        let quiet = self.peer.heard().map_or(0, |heard| now.since(heard).as_millis());
        let text = format!(
            "takes over in generation {generation}: {} (last heard {quiet} ms ago)",
            tenure.why.text()
        );
        self.tell(Severity::Warning, text);
        self.state = State::Tenure(Box::new(tenure));
        self.speaks_at = now;
    }

    /// Keeps for how long nobody has been active.
    pub(super) fn look_for_an_active(&mut self, now: Time) {
        let peer = self.peer.within(self.settings.lease, now);
        if matches!(self.state, State::Tenure(_)) || peer.is_some_and(|peer| peer.role == Role::Active) {
            self.vacant_since = now;
        }
    }

    /// The generation that this port holds, entering or active.
    pub(super) fn tenure_generation(&self) -> Option<Generation> {
        match &self.state {
            State::Tenure(tenure) => Some(tenure.generation),
            State::Starting { .. } | State::Passive { .. } => None,
        }
    }
}
