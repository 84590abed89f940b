//! The judge of one port: what has happened and when, in; what is to be done, out. It does no I/O, reads no clock and
//! draws nothing at random, so that a simulation drives the very code that ships (FO-1 to FO-7, FO-11).
//!
//! # Why there is never more than one owner
//!
//! A port serves only under a *lease*: the peer's, which rests on the peer's promise not to take over, or one of the
//! storage center (`lease`). The kernel shuts the fence when the lease ends, whatever became of this process. A port
//! takes over only when its own promise has run out *and* the center granted it the next [`Generation`], which it
//! never grants while the other has a lease of the center's. Requests of an older generation are refused by the center
//! and by the peer.
//!
//! # States
//!
//! | state | what |
//! |---|---|
//! | starting | serves nobody, claims nothing: an earlier run may have promised. After one lease: passive |
//! | passive | asks the peer each 10 ms, with a promise while the peer is active. With reason (below): claims |
//! | claiming | a passive that has asked the center for the next generation. Granted: entering |
//! | entering | generation remembered, port told to activate, addresses probed; says READY |
//! | active | serves; answers each question with a STATUS; asks the center when the peer's lease is old |
//!
//! Entering becomes active when the promise is over (or the peer has released), the port serves and the addresses are
//! free. Both become passive when the lease is over, a higher generation is in force, or they give up.
//!
//! | event | passive | entering | active |
//! |---|---|---|---|
//! | silence of 0.7 leases | claims, if fit | – | asks the center for a lease, at 0.4 |
//! | peer there, nobody active | the better one claims; the other after 3 leases | – | – |
//! | PREPARE | claims, if fit | – | – |
//! | READY | RELEASE | steps down if its generation is higher | steps down, RELEASE |
//! | RELEASE | – | need not wait for its promise | – |
//! | higher generation | learns it | steps down | steps down |
//! | service dead (ended, hung, no LAN) | not fit | gives up | gives up; see below |
//! | WAN lost 450 ms, or score high | says so | – | hands over, if the peer is better and no hold-down runs |
//! | an address is answered for | – | alarms, probes again | – |
//! | maintenance | claims nothing | goes on | hands nothing over by itself |
//!
//! An active with a dead service gives up at once if the peer is fit, and after a center's lease if it is not heard;
//! a peer that is heard and not fit would not take it.
//!
//! # Timers
//!
//! | timer | default | of |
//! |---|---|---|
//! | lease | 100 ms | a promise; the wait after a start |
//! | query | 10 ms | the passive's questions, each answered; an active that hears nobody speaks as often |
//! | center asked | at 0.4 of a lease | the active, each third of a center's lease until the peer's is back |
//! | silence | 0.7 of a lease | of the peer, until the passive claims |
//! | center's lease | 1 s | who finds it held waits for so long on its own clock and asks again |
//! | announcements | 0, 2, 20, 100, 500 ms, 2 s, each 30 s | the new active; the first five with a tickle |
//! | hold-down | 10 s, doubling to 5 min | changes by ill health |
//!
//! Every lease is shortened by the drift of both clocks and the lateness of the kernel ([`Settings`]). A pause of the
//! process or of the machine shows as a jump of `now`: leases are looked at before anything else in each step.
//!
//! Limit: a kernel that counts the fence's time-out in jiffies counts nothing while the machine is suspended. After a
//! resume it leaves the fence open for what was left of the lease, unless the judge shuts it first; what is written
//! then is refused, for its generation is old.

pub mod action;
mod announce;
mod claim;
mod command;
mod condition;
pub mod connections;
pub mod event;
mod holddown;
pub mod lease;
pub mod message;
mod peer;
pub mod settings;
pub mod status;
mod talk;
mod tenure;
pub mod time;

use std::mem;
use std::time::Duration;

use self::action::{Action, Severity};
use self::claim::Claim;
use self::command::Pending;
use self::condition::Condition;
use self::connections::Connections;
use self::event::{Event, Generation, PortEvent};
use self::holddown::HoldDown;
use self::lease::Promise;
use self::message::Connection;
use self::peer::{Peer, Sent};
use self::settings::Settings;
use self::status::Takeover;
use self::tenure::Tenure;
use self::time::Time;

/// How often the hardware watchdog is fed.
const FEED: Duration = Duration::from_secs(1);

/// The judge of one port.
#[derive(Clone, Debug)]
pub struct Machine {
    settings: Settings,
    state: State,
    /// The newest that is known, whoever's.
    generation: Generation,
    condition: Condition,
    peer: Peer,
    sent: Sent,
    promise: Promise,
    connections: Connections,
    /// Whose connections are known: boot and generation.
    told_by: Option<(u64, Generation)>,
    hold_down: HoldDown,
    maintenance: bool,
    stopping: bool,
    pending: Option<Pending>,
    /// Since when neither this port nor the peer is known to be active.
    vacant_since: Time,
    /// Since when the peer reaches the center and this port does not.
    wan_worse_since: Option<Time>,
    /// It claims nothing by itself before.
    not_before: Time,
    /// How often it still says RELEASE unasked.
    releases: u8,
    speaks_at: Time,
    fed_at: Option<Time>,
    stepped_at: Time,
    wakes_at: Option<Time>,
    alarms: Alarms,
    takeovers: u64,
    last_takeover: Option<Takeover>,
    out: Vec<Action>,
}

#[derive(Clone, Debug)]
enum State {
    Starting { until: Time },
    Passive { claim: Option<Claim> },
    Tenure(Box<Tenure>),
}

/// What was told and is not told again before it has changed.
#[derive(Clone, Copy, Debug, Default)]
struct Alarms {
    unfit: bool,
    silent_on: [bool; 2],
}

impl Machine {
    /// A judge that starts now, on a machine without floating addresses and with its fence shut (first remove what an
    /// earlier run left). `boot` differs at every start; `remembered` is the last [`Action::Remember`]. Then have it
    /// take an [`Event::Timer`].
    pub fn new(settings: Settings, boot: u64, remembered: Generation, now: Time) -> Self {
        let until = now + settings.lease + settings.margin(settings.lease);
        Self {
            settings,
            state: State::Starting { until },
            generation: remembered,
            condition: Condition::default(),
            peer: Peer::default(),
            sent: Sent::new(boot),
            promise: Promise::default(),
            connections: Connections::default(),
            told_by: None,
            hold_down: HoldDown::default(),
            maintenance: false,
            stopping: false,
            pending: None,
            vacant_since: now,
            wan_worse_since: None,
            not_before: until,
            releases: 0,
            speaks_at: now,
            fed_at: None,
            stepped_at: now,
            wakes_at: None,
            alarms: Alarms::default(),
            takeovers: 0,
            last_takeover: None,
            out: vec![Action::Deactivate],
        }
    }

    /// What is to be done now that this has happened. `now` never goes back.
    pub fn step(&mut self, event: Event, now: Time) -> Vec<Action> {
        let now = now.max(self.stepped_at);
        self.check_lease(now);
        self.excuse_own_pause(now);
        match event {
            Event::Timer => self.wakes_at = None,
            Event::Received { path, message } => self.received(path, message, now),
            Event::Health(health) => self.condition.probed(health),
            Event::Center { sent, answer } => self.answered(sent, answer, now),
            Event::AddressProbe { taken_by } => self.probed(taken_by, now),
            Event::Port(event) => self.port_said(event, now),
            Event::Connections(connections) => self.listed(connections),
            Event::Command(command) => self.ordered(command, now),
        }
        self.condition.look(&self.settings, now);
        self.go_on(now);
        self.check_command(now);
        self.speak(now);
        self.wake(now);
        mem::take(&mut self.out)
    }

    /// The connections of clients at the floating addresses, as far as they are known.
    pub fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.connections.iter()
    }

    fn go_on(&mut self, now: Time) {
        if let State::Starting { until } = self.state
            && now >= until
        {
            self.state = State::Passive { claim: None };
        }
        self.look_for_an_active(now);
        self.compare_wans(now);
        match self.state {
            State::Starting { .. } => {}
            State::Passive { .. } => self.consider_claiming(now),
            State::Tenure(_) => self.hold_tenure(now),
        }
    }

    /// A passive that was paused itself heard nothing; that is not the peer's silence.
    fn excuse_own_pause(&mut self, now: Time) {
        if now.since(self.stepped_at) > self.settings.query * 3 {
            self.not_before = self.not_before.max(now + self.settings.query * 3);
        }
        self.stepped_at = now;
    }

    fn port_said(&mut self, event: PortEvent, now: Time) {
        self.condition.said(event);
        if let PortEvent::Refused(generation) = event {
            self.learn(generation, "the port was refused", now);
        }
    }

    fn listed(&mut self, connections: Vec<Connection>) {
        if self.reign().is_some() {
            self.connections.are(connections);
        }
    }

    /// Somebody knows this generation. Whoever holds an older one has lost.
    fn learn(&mut self, generation: Generation, how: &str, now: Time) {
        if generation <= self.generation {
            return;
        }
        self.generation = generation;
        self.step_down(&format!("generation {generation} is in force: {how}"), now);
        self.out.push(Action::Remember(generation));
    }

    fn tell(&mut self, severity: Severity, text: impl Into<String>) {
        self.out.push(Action::Tell(severity, text.into()));
    }

    fn wake(&mut self, now: Time) {
        let own = match &self.state {
            State::Starting { until } => Some(*until),
            State::Passive { claim } => claim.as_ref().and_then(|claim| claim.wakes_at()),
            State::Tenure(tenure) => tenure.wakes_at(self.promise.until(), &self.settings, now),
        };
        let next = own.map_or(self.speaks_at, |own| own.min(self.speaks_at));
        if self.wakes_at != Some(next) {
            self.wakes_at = Some(next);
            self.out.push(Action::WakeAt(next));
        }
    }
}
