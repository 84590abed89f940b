//! Whoever was granted a generation: keeps a lease, opens when it may, serves, and gives it up.

use std::time::Duration;

use super::action::{Action, Question, Severity};
use super::announce::{Due, Schedule};
use super::claim::Why;
use super::condition::Serving;
use super::event::{CenterAnswer, Generation};
use super::lease::Lease;
use super::peer::View;
use super::settings::Settings;
use super::status::Takeover;
use super::time::Time;
use super::{Machine, State};

/// How much longer the lease must be than the fence is open for the kernel to be told.
const FENCE_STEP: Duration = Duration::from_millis(15);
/// How often the addresses' lifetime is renewed.
const ADDRESS_STEP: Duration = Duration::from_millis(500);
/// The kernel counts lifetimes in these.
const ADDRESS_UNIT: Duration = Duration::from_secs(1);
/// Pause between two probes of an address that somebody else has.
const PROBE_AGAIN: Duration = Duration::from_millis(100);
/// A probe without a result is repeated.
const PROBE_MAX: Duration = Duration::from_millis(500);
/// How long the peer's lease must have been good before the center's is given back.
const STEADY: Duration = Duration::from_millis(250);
/// How long its taking it back may last before it is asked again.
const RETURN_MAX: Duration = Duration::from_secs(1);
/// RELEASE is said so often by who steps down.
const RELEASES: u8 = 3;
/// Pause after a tenure that came to nothing.
const REST: Duration = Duration::from_secs(1);

/// A generation that was granted to this port.
#[derive(Clone, Debug)]
pub(super) struct Tenure {
    pub(super) generation: Generation,
    pub(super) why: Why,
    pub(super) lease: Lease,
    granted_at: Time,
    /// When the port's process was told last to serve in this generation.
    activated_at: Time,
    renews_at: Time,
    /// The center has a lease of this number in its table.
    center_holds: Option<u64>,
    /// A question for a lease got no answer: the center may have another one than the last that was heard of.
    is_unsure: bool,
    /// It was asked then to take that one back.
    returning: Option<(Time, u64)>,
    /// Since when the peer's lease is good.
    steady_since: Option<Time>,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    Entering { probe: Probe, has_alarmed: bool },
    Active(Reign),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    Due(Time),
    Asked(Time),
    Free,
}

/// An active's.
#[derive(Clone, Debug)]
pub(super) struct Reign {
    /// An echo of anything older gives no lease.
    first_sequence: u64,
    fence_until: Time,
    addresses_at: Time,
    announce: Schedule,
    announced_again: Time,
    pub(super) handover: Option<Handover>,
}

/// A hand-over that was begun.
#[derive(Clone, Debug)]
pub(super) struct Handover {
    since: Time,
    why: String,
    /// By ill health, and not by an order.
    is_ill: bool,
}

impl Tenure {
    pub(super) fn new(why: Why, generation: Generation, now: Time) -> Self {
        Self {
            generation,
            why,
            lease: Lease::default(),
            granted_at: now,
            activated_at: now,
            renews_at: now,
            center_holds: None,
            is_unsure: false,
            returning: None,
            steady_since: None,
            stage: Stage::Entering { probe: Probe::Due(Time(0)), has_alarmed: false },
        }
    }

    /// The center answers the question of `sent`.
    pub(super) fn answered(&mut self, sent: Time, answer: CenterAnswer, settings: &Settings) {
        match answer {
            CenterAnswer::Granted { generation, lease, renewals }
                if generation == self.generation && !lease.is_zero() =>
            {
                // An answer that was overtaken by the lease's return: the center has that one no more.
                if self.returning.is_some_and(|(_, returned)| renewals <= returned) {
                    return;
                }
                self.lease.granted(sent, lease, settings);
                self.is_unsure = false;
                self.center_holds = self.center_holds.max(Some(renewals));
                self.renews_at = self.renews_at.max(sent + lease / 3);
            }
            CenterAnswer::Released => {
                if let Some((asked, renewals)) = self.returning
                    && asked == sent
                    && self.center_holds == Some(renewals)
                {
                    self.center_holds = None;
                }
            }
            // The next one goes soon, but not at once: a center that refuses connections answers in no time.
            CenterAnswer::Unreachable => {
                self.renews_at = self.renews_at.min(sent + settings.center_lease / 6);
                self.is_unsure |= self.returning.is_none_or(|(asked, _)| asked != sent);
            }
            _ => {}
        }
    }

    pub(super) fn reign(&self) -> Option<&Reign> {
        match &self.stage {
            Stage::Active(reign) => Some(reign),
            Stage::Entering { .. } => None,
        }
    }

    pub(super) fn wakes_at(&self, promise: Time, settings: &Settings, now: Time) -> Option<Time> {
        match &self.stage {
            Stage::Entering { probe: Probe::Due(at), .. } => Some((*at).max(promise - settings.probe)),
            Stage::Entering { .. } => Some(promise),
            Stage::Active(reign) => Some(self.lease.until().min(reign.announce.next())),
        }
        .filter(|at| *at > now)
    }
}

impl Machine {
    /// First of all in each step: who was away too long has no lease any more.
    pub(super) fn check_lease(&mut self, now: Time) {
        if let State::Tenure(tenure) = &self.state
            && tenure.reign().is_some()
            && now >= tenure.lease.until()
        {
            self.step_down("the lease has ended", now);
        }
    }

    pub(super) fn reign(&self) -> Option<&Reign> {
        match &self.state {
            State::Tenure(tenure) => tenure.reign(),
            State::Starting { .. } | State::Passive { .. } => None,
        }
    }

    pub(super) fn handover_mut(&mut self) -> Option<&mut Option<Handover>> {
        match &mut self.state {
            State::Tenure(tenure) => match &mut tenure.stage {
                Stage::Active(reign) => Some(&mut reign.handover),
                Stage::Entering { .. } => None,
            },
            State::Starting { .. } | State::Passive { .. } => None,
        }
    }

    /// The peer promised `span` when it had seen what was sent under this number and at this time.
    pub(super) fn promised(&mut self, sequence: u64, at: Time, span: Duration) {
        if let State::Tenure(tenure) = &mut self.state
            && let Stage::Active(reign) = &tenure.stage
            && sequence >= reign.first_sequence
        {
            tenure.lease.promised(at, span, &self.settings);
        }
    }

    pub(super) fn hold_tenure(&mut self, now: Time) {
        self.keep_lease(now);
        self.keep_serving(now);
        match &self.state {
            State::Tenure(tenure) if tenure.reign().is_some() => self.reign_on(now),
            State::Tenure(_) => self.enter_on(now),
            State::Starting { .. } | State::Passive { .. } => {}
        }
    }

    /// The center is asked while the peer gives no fresh lease, and gets its own back when the peer has given one for a
    /// while, or when the peer shall take over.
    fn keep_lease(&mut self, now: Time) {
        let State::Tenure(tenure) = &mut self.state else { return };
        let generation = tenure.generation;
        if !tenure.lease.is_fresh(self.settings.ask_center_after(), now) {
            tenure.steady_since = None;
            if now >= tenure.renews_at {
                tenure.renews_at = now + self.settings.center_lease / 3;
                self.out.push(Action::AskCenter(Question::Renew(generation)));
            }
            return;
        }
        let since = *tenure.steady_since.get_or_insert(now);
        let is_steady =
            now.since(since) >= STEADY || tenure.reign().is_some_and(|reign| reign.handover.is_some());
        let is_asked = tenure.returning.is_some_and(|(asked, _)| now.since(asked) < RETURN_MAX);
        if !is_steady || is_asked {
            return;
        }
        if tenure.is_unsure {
            // Under its old number the center would not take it back.
            if now >= tenure.renews_at {
                tenure.renews_at = now + self.settings.center_lease / 3;
                self.out.push(Action::AskCenter(Question::Renew(generation)));
            }
        } else if let Some(renewals) = tenure.center_holds {
            tenure.lease.give_back();
            tenure.returning = Some((now, renewals));
            // First the kernel, which knows of the center's lease until now.
            if let Stage::Active(reign) = &mut tenure.stage {
                reign.fence_until = tenure.lease.until();
                reign.addresses_at = now;
                self.out.push(Action::OpenFence(reign.fence_until));
                self.out.extend(
                    addresses_until(reign.fence_until, now, &self.settings).map(Action::HoldAddresses),
                );
            }
            self.out.push(Action::AskCenter(Question::Release { generation, renewals: Some(renewals) }));
        }
    }

    fn enter_on(&mut self, now: Time) {
        let promise = self.promise.until();
        let State::Tenure(tenure) = &mut self.state else { return };
        let Stage::Entering { probe, .. } = &mut tenure.stage else { return };
        let is_released = self.peer.has_released(Generation(tenure.generation.0 - 1));
        if let Probe::Asked(at) = *probe
            && now.since(at) >= PROBE_MAX
        {
            *probe = Probe::Due(now);
        }
        if let Probe::Due(at) = *probe
            && now >= at.max(promise - self.settings.probe)
            && !is_released
        {
            *probe = Probe::Asked(now);
            self.out.push(Action::ProbeAddresses);
        }
        let is_free = is_released || (now >= promise && *probe == Probe::Free);
        let serves = self.condition.serving() == Serving::As(tenure.generation);
        let has_lease = tenure.lease.until() > now + self.settings.query;
        let is_late = now.since(tenure.granted_at) >= self.settings.patience && !serves;
        if is_free && serves && has_lease {
            self.open(now);
        } else if is_late || self.condition.dead(&self.settings).is_some() {
            self.not_before = now + REST;
            self.step_down("its port does not become active", now);
        }
    }

    /// What the address probe found.
    pub(super) fn probed(&mut self, taken_by: Option<String>, now: Time) {
        let State::Tenure(tenure) = &mut self.state else { return };
        let Stage::Entering { probe, has_alarmed } = &mut tenure.stage else { return };
        match taken_by {
            None => *probe = Probe::Free,
            Some(by) => {
                *probe = Probe::Due(now + PROBE_AGAIN);
                if !std::mem::replace(has_alarmed, true) {
                    let text =
                        format!("{by} has a floating address: end it there; asking again until it is free");
                    self.tell(Severity::Alarm, text);
                }
            }
        }
    }

    fn open(&mut self, now: Time) {
        let State::Tenure(tenure) = &mut self.state else { return };
        let until = tenure.lease.until();
        let Some(end) = addresses_until(until, now, &self.settings) else { return };
        tenure.stage = Stage::Active(Reign {
            first_sequence: self.sent.last() + 1,
            fence_until: until,
            addresses_at: now,
            announce: Schedule::new(now),
            announced_again: now,
            handover: None,
        });
        let (why, granted_at, generation) = (tenure.why, tenure.granted_at, tenure.generation);
        self.out.push(Action::OpenFence(until));
        self.out.push(Action::HoldAddresses(end));
        self.connections.inherit();
        if matches!(why, Why::Prepared { is_ill: true, .. }) {
            self.hold_down.moved(self.settings.hold_down, self.settings.hold_down_max, now);
        }
        self.takeovers += 1;
        self.last_takeover = Some(Takeover {
            generation,
            at: now,
            why: why.text(),
            silent: self.peer.heard().map(|heard| now.since(heard)),
            since_grant: now.since(granted_at),
        });
        self.tell(Severity::Info, format!("active in generation {generation}"));
        self.speaks_at = now;
        self.reign_on(now);
    }

    fn reign_on(&mut self, now: Time) {
        self.keep_open(now);
        self.consider_giving_up(now);
    }

    /// Fence, addresses, announcements: as long as the lease lasts, and not longer.
    fn keep_open(&mut self, now: Time) {
        let State::Tenure(tenure) = &mut self.state else { return };
        let Stage::Active(reign) = &mut tenure.stage else { return };
        let until = tenure.lease.until();
        if until >= reign.fence_until + FENCE_STEP {
            reign.fence_until = until;
            self.out.push(Action::OpenFence(until));
        }
        if now.since(reign.addresses_at) >= ADDRESS_STEP
            && let Some(end) = addresses_until(until, now, &self.settings)
        {
            reign.addresses_at = now;
            self.out.push(Action::HoldAddresses(end));
        }
        match reign.announce.due(now) {
            Some(Due::AnnounceAndTickle) => self.out.extend([Action::Announce, Action::Tickle]),
            Some(Due::Announce) => {
                self.connections.forget_inherited();
                self.out.push(Action::Announce);
            }
            None => {}
        }
    }

    /// Somebody else was heard with the addresses: clients and switches are told again whose they are.
    pub(super) fn announce_again(&mut self, now: Time) {
        if let State::Tenure(tenure) = &mut self.state
            && let Stage::Active(reign) = &mut tenure.stage
            && now.since(reign.announced_again) >= PROBE_AGAIN
        {
            reign.announced_again = now;
            self.out.push(Action::Announce);
        }
    }

    /// A process that was started again, or forgot, is told again what it is.
    fn keep_serving(&mut self, now: Time) {
        let State::Tenure(tenure) = &mut self.state else { return };
        let serves = self.condition.serving() == Serving::As(tenure.generation);
        if !serves && self.condition.is_up() && now.since(tenure.activated_at) >= self.settings.lease {
            tenure.activated_at = now;
            self.out.push(Action::Activate(tenure.generation));
        }
    }

    /// Ill health, if the peer is better.
    fn consider_giving_up(&mut self, now: Time) {
        let Some(reign) = self.reign() else { return };
        if let Some(handover) = &reign.handover {
            if now.since(handover.since) >= self.settings.patience {
                let text = format!("the peer did not take over ({}): this port goes on", handover.why);
                self.tell(Severity::Warning, text);
                self.hold_down.moved(self.settings.hold_down, self.settings.hold_down_max, now);
                self.take_back();
            } else if handover.is_ill && !self.is_ill() {
                // The peer goes by the health in what it is told: of a port that is well it would take over as by an
                // order, and no hold-down would keep the address from coming back at once.
                self.tell(Severity::Info, "health is good again: this port goes on".to_owned());
                self.take_back();
            }
            return;
        }
        if self.maintenance {
            return;
        }
        let dead = self.condition.dead(&self.settings);
        let successor = self.successor(now);
        if let Some(dead) = dead
            && (successor.is_some() || self.is_in_the_way(now))
        {
            self.step_down(dead, now);
        } else if let Some(peer) = successor
            && let Some(why) = self.ill_health(peer, now)
        {
            self.hold_down.moved(self.settings.hold_down, self.settings.hold_down_max, now);
            self.start_handover(why, true, now);
        }
    }

    /// Takes a hand-over back.
    fn take_back(&mut self) {
        if let Some(handover) = self.handover_mut() {
            *handover = None;
        }
    }

    /// Whether it is ill, however well the peer is.
    fn is_ill(&self) -> bool {
        self.condition.score() >= self.settings.threshold || self.wan_worse_since.is_some()
    }

    /// A dead service must not keep the center's lease for ever: a peer that is not heard may be well.
    fn is_in_the_way(&self, now: Time) -> bool {
        let is_alone = self.peer.within(self.settings.lease, now).is_none();
        self.condition.dead_for(now) >= self.settings.center_lease && is_alone
    }

    /// The peer, if it could take over now.
    pub(super) fn successor(&self, now: Time) -> Option<View> {
        let peer = self.peer.within(self.settings.lease, now)?;
        (peer.eligible && peer.lan && peer.wan).then_some(peer)
    }

    fn ill_health(&self, peer: View, now: Time) -> Option<String> {
        if !self.hold_down.is_over(now) || self.condition.owed() > 0 {
            return None;
        }
        if let Some(since) = self.wan_worse_since
            && now.since(since) >= self.settings.wan_patience
        {
            return Some("the WAN is lost here and not at the peer".to_owned());
        }
        let score = self.condition.score();
        let is_sick =
            score >= self.settings.threshold && peer.health.saturating_add(self.settings.hysteresis) <= score;
        is_sick.then(|| format!("health {score}, the peer's {}: {}", peer.health, self.condition.reasons()))
    }

    /// Asks the peer to take over, as somebody ordered.
    pub(super) fn hand_over(&mut self, why: String, now: Time) {
        self.start_handover(why, false, now);
    }

    fn start_handover(&mut self, why: String, is_ill: bool, now: Time) {
        self.tell(Severity::Warning, format!("hands over: {why}"));
        if let Some(handover) = self.handover_mut() {
            *handover = Some(Handover { since: now, why, is_ill });
        }
        self.speaks_at = now;
    }

    /// Serves no longer, and has no generation any more.
    pub(super) fn step_down(&mut self, why: &str, now: Time) {
        let State::Tenure(tenure) = &self.state else { return };
        let generation = tenure.generation;
        if let Some(reign) = tenure.reign() {
            if reign.handover.is_some() {
                self.hold_down.restart(now);
            }
            self.out.extend([Action::ShutFence, Action::DropAddresses]);
        }
        self.state = State::Passive { claim: None };
        self.out.push(Action::Deactivate);
        if self.generation == generation {
            self.out.push(Action::AskCenter(Question::Release { generation, renewals: None }));
        }
        self.releases = RELEASES;
        self.speaks_at = now;
        self.vacant_since = now;
        self.connections.forget_inherited();
        self.tell(Severity::Warning, format!("gives up generation {generation}: {why}"));
    }
}

/// Until when the kernel may keep the addresses; `None` if the lease is too short for the kernel to count.
fn addresses_until(lease: Time, now: Time, settings: &Settings) -> Option<Time> {
    if settings.fence {
        return Some(now + settings.address_lifetime);
    }
    Some(lease).filter(|until| until.since(now) >= ADDRESS_UNIT)
}
