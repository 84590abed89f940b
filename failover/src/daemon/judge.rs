//! The judge: takes events to the machine and its actions to the [`Hands`]. No clock, no socket: it is told the time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::sync::oneshot;

use super::center_leases::CenterLeases;
use super::chronicle::{Chronicle, Steps};
use super::complaints::Complaints;
use super::hands::{Deed, Done, Hands};
use super::lan::LanSense;
use super::mailbox::News;
use super::port::Role;
use super::report::Report;
use crate::config::Config;
use crate::health::judgement::Judgement;
use crate::health::sample::{Nic, Sample};
use crate::machine::Machine;
use crate::machine::action::{Action, Severity};
use crate::machine::event::{CenterAnswer, Command, Event, Health, Order, Path, PortEvent, Reason};
use crate::machine::message::{Connection, Message};
use crate::machine::time::Time;

/// How often the LAN is asked during an address probe: one frame may be lost.
const PROBE_INTERVAL: Duration = Duration::from_micros(2_500);
/// Commands that wait for their end; another is refused.
const ORDERS_MAX: usize = 32;

/// One judge.
pub(super) struct Judge<H> {
    machine: Machine,
    hands: H,
    report: Report,
    health: HealthView,
    lan: LanSense,
    leases: CenterLeases,
    complaints: Complaints,
    chronicle: Chronicle,
    orders: BTreeMap<u64, oneshot::Sender<Result<String, String>>>,
    orders_taken: u64,
    stop_order: Option<u64>,
    /// What came of an action at once, to be told when all actions of the step are done.
    echoes: VecDeque<Event>,
    wake_at: Option<Time>,
    probing: Option<Probing>,
    probe_span: Duration,
    references: Option<Rounds>,
    is_active: bool,
    is_stopped: bool,
}

/// What the machine was last told of this machine's health, and when it is told again.
struct HealthView {
    judgement: Judgement,
    threshold: u32,
    wan: bool,
    told: Option<Health>,
    rounds: Rounds,
}

/// An address probe that runs.
#[derive(Clone, Copy)]
struct Probing {
    ask_at: Time,
    until: Time,
}

/// Something that is done again and again.
struct Rounds {
    every: Duration,
    next: Time,
}

impl Rounds {
    fn is_due(&mut self, now: Time) -> bool {
        let is_due = now >= self.next;
        if is_due {
            // What was missed is not made up for.
            self.next = now + self.every;
        }
        is_due
    }
}

impl<H: Hands> Judge<H> {
    /// Around a machine that has just begun.
    pub(super) fn new(config: &Config, machine: Machine, probe_span: Duration, hands: H, now: Time) -> Self {
        let has_references = !config.lan.reference.is_empty();
        Self {
            machine,
            hands,
            report: Report::new(config),
            health: HealthView {
                judgement: Judgement::new(&config.health),
                threshold: config.health.threshold,
                wan: false,
                told: None,
                rounds: Rounds { every: config.health.interval(), next: now },
            },
            lan: LanSense::new(has_references, config.timers.lan_silent(), now),
            leases: CenterLeases::new(&config.timers),
            complaints: Complaints::default(),
            chronicle: Chronicle::default(),
            orders: BTreeMap::new(),
            orders_taken: 0,
            stop_order: None,
            echoes: VecDeque::new(),
            wake_at: Some(now),
            probing: None,
            probe_span,
            references: has_references.then(|| Rounds { every: config.timers.lan_probe(), next: now }),
            is_active: false,
            is_stopped: false,
        }
    }

    /// The hands, for what only the loop does with them.
    pub(super) fn hands(&mut self) -> &mut H {
        &mut self.hands
    }

    /// The same, to look at.
    pub(super) fn hands_now(&self) -> &H {
        &self.hands
    }

    /// Lets them go.
    pub(super) fn into_hands(self) -> H {
        self.hands
    }

    /// Whether this port has the addresses.
    pub(super) fn is_active(&self) -> bool {
        self.is_active
    }

    /// Whether the machine has ended its part, after [`Order::Stop`].
    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// When something is to be done although nothing has happened.
    pub(super) fn next(&self) -> Time {
        let references = self.references.as_ref().map(|rounds| rounds.next);
        let probing = self.probing.map(|probing| probing.ask_at.min(probing.until));
        let own = [self.wake_at, references, probing];
        own.into_iter().flatten().fold(self.health.rounds.next, Time::min)
    }

    /// A datagram of the peer came.
    pub(super) fn received(&mut self, path: Path, message: Message, now: Time) {
        if path == Path::Lan {
            self.lan.heard(now);
        }
        self.step(Event::Received { path, message }, now);
    }

    /// Another host of the LAN was heard.
    pub(super) fn reference_heard(&mut self, now: Time) {
        self.lan.heard(now);
    }

    /// A NIC gained or lost its carrier, or has it still.
    pub(super) fn carrier(&mut self, nic: Nic, has_carrier: bool, now: Time) {
        self.report.carrier(nic, has_carrier);
        self.health.judgement.take(Sample::Carrier(nic, has_carrier), now);
        if nic == Nic::Lan {
            self.lan.carrier(has_carrier, now);
        }
        self.tell_health_if_changed(now);
    }

    /// News of another thread.
    pub(super) fn news(&mut self, news: News, now: Time) {
        match news {
            News::Sample(sample) => {
                self.health.judgement.take(sample, now);
                self.tell_health_if_changed(now);
            }
            News::CenterReached(is_reached) => {
                self.health.wan = is_reached;
                self.tell_health_if_changed(now);
            }
            News::Center { sent, answer } => self.step(Event::Center { sent, answer }, now),
            News::Port(event) => {
                match event {
                    PortEvent::Up { caught_up, owed } => self.report.mirror(caught_up, owed),
                    PortEvent::Down => self.report.port_gone(),
                    _ => {}
                }
                self.step(Event::Port(event), now);
            }
            News::Connections(connections) => self.step(Event::Connections(connections), now),
            News::Order(order, answer) => self.order(order, answer, now),
            News::Status(answer) => {
                let status = self.report.status(&self.machine.status(now), self.health.threshold, now);
                // Who asked may have gone.
                let _ = answer.send(status);
            }
        }
    }

    /// Does what is due.
    pub(super) fn look(&mut self, now: Time) {
        if self.wake_at.is_some_and(|at| at <= now) {
            self.wake_at = None;
            self.step(Event::Timer, now);
        }
        self.go_on_probing(now);
        if self.references.as_mut().is_some_and(|rounds| rounds.is_due(now)) {
            let done = self.hands.ask_references();
            self.note(Deed::AskReferences, done, now);
        }
        if self.health.rounds.is_due(now) {
            self.tell_health(now);
        } else {
            self.tell_health_if_changed(now);
        }
    }

    fn order(&mut self, order: Order, answer: oneshot::Sender<Result<String, String>>, now: Time) {
        if self.orders.len() >= ORDERS_MAX && order != Order::Stop {
            let _ = answer.send(Err("too many commands wait already: try again when they have ended".into()));
            return;
        }
        self.orders_taken += 1;
        self.orders.insert(self.orders_taken, answer);
        if order == Order::Stop {
            self.stop_order = Some(self.orders_taken);
        }
        self.step(Event::Command(Command { id: self.orders_taken, order }), now);
    }

    fn health(&self, now: Time) -> Health {
        let (mut score, mut reasons) = self.health.judgement.verdict(now);
        for (what, why) in self.complaints.vital(now) {
            // A port whose kernel does not obey cannot serve.
            score = score.saturating_add(self.health.threshold);
            let text = format!("cannot {what}: {why}");
            reasons.push(Reason { weight: self.health.threshold, kind: "kernel", text });
        }
        Health { score, reasons, lan: self.lan.is_usable(now), wan: self.health.wan }
    }

    fn tell_health_if_changed(&mut self, now: Time) {
        let health = self.health(now);
        if self.health.told.as_ref() != Some(&health) {
            self.health.told = Some(health.clone());
            self.step(Event::Health(health), now);
        }
    }

    fn tell_health(&mut self, now: Time) {
        let health = self.health(now);
        self.health.told = Some(health.clone());
        self.step(Event::Health(health), now);
    }

    fn step(&mut self, event: Event, now: Time) {
        self.echoes.push_back(event);
        while let Some(event) = self.echoes.pop_front() {
            let steps = self.chronicle.event(&event, now);
            let actions = self.machine.step(event, now);
            self.tell_steps(steps, now);
            for action in actions {
                let steps = self.chronicle.action(&action, now);
                self.act(action, now);
                self.tell_steps(steps, now);
            }
        }
    }

    fn act(&mut self, action: Action, now: Time) {
        match action {
            Action::WakeAt(at) => self.wake_at = Some(at),
            Action::Send(path, message) => self.hands.send(path, &message),
            Action::OpenFence(until) => {
                self.is_active = true;
                self.done(Deed::OpenFence, now, |hands| hands.open_fence(until));
            }
            Action::ShutFence => self.done(Deed::ShutFence, now, H::shut_fence),
            Action::HoldAddresses(until) => {
                self.done(Deed::HoldAddresses, now, |hands| hands.hold_addresses(until));
            }
            Action::DropAddresses => {
                self.is_active = false;
                self.done(Deed::DropAddresses, now, H::drop_addresses);
            }
            Action::ProbeAddresses => {
                // Begun by `look`, which comes before the loop waits again.
                self.probing = Some(Probing { ask_at: now, until: now + self.probe_span });
            }
            Action::Announce => {
                let clients = self.connections();
                self.done(Deed::Announce, now, |hands| hands.announce(&clients));
            }
            Action::Tickle => {
                let clients = self.connections();
                self.done(Deed::Tickle, now, |hands| hands.tickle(&clients));
            }
            Action::AskCenter(question) => {
                let lease =
                    self.leases.wanted(question, self.machine.status(now).peer.map(|peer| peer.heard));
                if !self.hands.ask_center(question, lease, now) {
                    let answer = CenterAnswer::Unreachable;
                    self.echoes.push_back(Event::Center { sent: now, answer });
                }
            }
            Action::Activate(generation) => {
                self.hands.command_port(Role::Active { generation: generation.0 });
            }
            Action::Deactivate => self.hands.command_port(Role::Passive),
            Action::Remember(generation) => {
                self.done(Deed::Remember, now, |hands| hands.remember(generation));
            }
            Action::Feed => self.done(Deed::Feed, now, H::feed),
            Action::Tell(severity, text) => tell(severity, &text),
            Action::Answer(id, answer) => self.answer(id, answer),
        }
    }

    fn answer(&mut self, id: u64, answer: Result<String, String>) {
        self.is_stopped |= self.stop_order == Some(id);
        if let Some(waiting) = self.orders.remove(&id) {
            // Who asked may have gone.
            let _ = waiting.send(answer);
        }
    }

    fn go_on_probing(&mut self, now: Time) {
        let Some(probing) = &mut self.probing else { return };
        let is_last = now >= probing.until;
        if !is_last && now >= probing.ask_at {
            probing.ask_at = now + PROBE_INTERVAL;
            let done = self.hands.probe_addresses();
            self.note(Deed::ProbeAddresses, done, now);
        }
        let taken_by = self.hands.claimed_by(is_last);
        if is_last || taken_by.is_some() {
            self.probing = None;
            self.step(Event::AddressProbe { taken_by }, now);
        }
    }

    fn connections(&self) -> Vec<Connection> {
        self.machine.connections().copied().collect()
    }

    fn done(&mut self, what: Deed, now: Time, work: impl FnOnce(&mut H) -> Done) {
        let done = work(&mut self.hands);
        self.note(what, done, now);
    }

    fn note(&mut self, what: Deed, done: Done, now: Time) {
        if let Err(trouble) = done
            && self.complaints.failed(what, trouble.to_string(), now)
        {
            tracing::error!("cannot {what}: {trouble}");
        }
    }

    fn tell_steps(&mut self, steps: Option<Steps>, now: Time) {
        if let Some(steps) = steps {
            self.report.steps(steps);
            let status = self.machine.status(now);
            let reason = status.last_takeover.map_or("", |takeover| takeover.why);
            let Steps { generation, center, probe, open, serving } = steps;
            tracing::warn!(
                %generation, reason, ?center, ?probe, ?open, ?serving, "this port has taken over"
            );
        }
    }
}

fn tell(severity: Severity, text: &str) {
    match severity {
        Severity::Info => tracing::info!("{text}"),
        Severity::Warning => tracing::warn!("{text}"),
        Severity::Alarm => tracing::error!("ALARM: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path as FilePath;

    use super::*;
    use crate::machine::action::Question;
    use crate::machine::event::{Generation, Member};
    use crate::machine::settings::Settings;

    /// Notes what it is told to do.
    #[derive(Default)]
    struct Notes {
        done: Vec<String>,
        questions: Vec<(Question, Time)>,
        role: Option<Role>,
        is_center_full: bool,
        claimed_by: Option<String>,
        is_fence_broken: bool,
    }

    impl Notes {
        fn note(&mut self, what: &str) -> Done {
            self.done.push(what.to_owned());
            Ok(())
        }
    }

    impl Hands for Notes {
        fn send(&mut self, _: Path, _: &Message) {}
        fn open_fence(&mut self, _: Time) -> Done {
            self.note("open")?;
            if self.is_fence_broken { Err(super::super::hands::Trouble::of("no such table")) } else { Ok(()) }
        }
        fn shut_fence(&mut self) -> Done {
            self.note("shut")
        }
        fn hold_addresses(&mut self, _: Time) -> Done {
            self.note("hold")
        }
        fn drop_addresses(&mut self) -> Done {
            self.note("drop")
        }
        fn probe_addresses(&mut self) -> Done {
            self.note("probe")
        }
        fn claimed_by(&mut self, _: bool) -> Option<String> {
            self.claimed_by.take()
        }
        fn announce(&mut self, _: &[Connection]) -> Done {
            self.note("announce")
        }
        fn tickle(&mut self, _: &[Connection]) -> Done {
            self.note("tickle")
        }
        fn ask_center(&mut self, question: Question, _: Duration, now: Time) -> bool {
            self.questions.push((question, now));
            !self.is_center_full
        }
        fn command_port(&mut self, role: Role) {
            self.role = Some(role);
        }
        fn remember(&mut self, generation: Generation) -> Done {
            self.note(&format!("remember {generation}"))
        }
        fn feed(&mut self) -> Done {
            Ok(())
        }
        fn ask_references(&mut self) -> Done {
            self.note("ask references")
        }
    }

    /// A judge whose peer is never heard, and its clock.
    struct Scene {
        judge: Judge<Notes>,
        now: Time,
    }

    impl Scene {
        fn new() -> Self {
            let config = Config::load(FilePath::new("port-failover.example.toml")).unwrap();
            let now = Time(10_000_000);
            let settings = Settings::new(Member::A);
            let probe_span = settings.probe;
            let machine = Machine::new(settings, 7, Generation(3), now);
            let mut scene =
                Self { judge: Judge::new(&config, machine, probe_span, Notes::default(), now), now };
            scene.judge.look(now);
            scene.news(News::CenterReached(true));
            scene.news(News::Port(PortEvent::Up { caught_up: true, owed: 0 }));
            scene.news(News::Port(PortEvent::Passive));
            scene
        }

        fn news(&mut self, news: News) {
            self.judge.news(news, self.now);
        }

        /// As the loop does: from one moment at which something is due to the next, while the LAN lives.
        fn go_on_until(&mut self, mut is_so: impl FnMut(&mut Judge<Notes>) -> bool) {
            let end = self.now + Duration::from_secs(30);
            while !is_so(&mut self.judge) {
                assert!(self.now < end, "it never came to that; done: {:?}", self.judge.hands.done);
                self.now = self.judge.next().max(self.now + Duration::from_micros(100));
                self.judge.reference_heard(self.now);
                self.judge.look(self.now);
            }
        }

        fn grant(&mut self) -> Generation {
            self.go_on_until(|judge| !judge.hands.questions.is_empty());
            let (question, sent) = self.judge.hands.questions.pop().unwrap();
            let Question::Acquire { from, .. } = question else { panic!("{question:?}") };
            let generation = Generation(from.0 + 1);
            let lease = Duration::from_secs(20);
            self.news(News::Center {
                sent,
                answer: CenterAnswer::Granted { generation, lease, renewals: 1 },
            });
            generation
        }

        fn status(&mut self) -> super::super::status::Status {
            let (answer, mut answered) = oneshot::channel();
            self.news(News::Status(answer));
            answered.try_recv().unwrap()
        }
    }

    fn position(done: &[String], what: &str) -> usize {
        done.iter().position(|other| other == what).unwrap_or_else(|| panic!("no {what} in {done:?}"))
    }

    /// FO-2: remembered, probed, opened, announced, in this order; and told with its steps.
    #[test]
    fn a_port_without_a_peer_takes_over_step_by_step() {
        let mut scene = Scene::new();
        let generation = scene.grant();
        assert_eq!(generation, Generation(4));
        scene.go_on_until(|judge| judge.hands.role == Some(Role::Active { generation: 4 }));
        scene.news(News::Port(PortEvent::Active(generation)));
        scene.go_on_until(|judge| judge.is_active());
        let order = ["remember 4", "probe", "open", "hold", "announce", "tickle"];
        let places = order.map(|what| position(&scene.judge.hands.done, what));
        assert!(places.is_sorted(), "{:?}", scene.judge.hands.done);
        let status = scene.status();
        assert_eq!((status.role.as_str(), status.generation, status.takeovers), ("active", 4, 1));
        let steps = status.last_takeover.unwrap().steps.unwrap();
        assert!(steps.probe_ms >= 8.0 && steps.open_ms >= steps.probe_ms, "{steps:?}");
        assert!(status.problems.iter().any(|problem| problem.contains("peer is not heard")));
    }

    /// FO-11: an address that somebody answers for is not taken.
    #[test]
    fn an_address_that_is_taken_is_not_held() {
        let mut scene = Scene::new();
        let generation = scene.grant();
        scene.news(News::Port(PortEvent::Active(generation)));
        scene.judge.hands.claimed_by = Some("02:00:00:00:00:01 has 192.0.2.10".to_owned());
        scene.go_on_until(|judge| judge.hands.claimed_by.is_none());
        assert!(!scene.judge.hands.done.iter().any(|what| what == "open" || what == "hold"));
    }

    /// FO-5: a port whose kernel does not obey is sick, and says why.
    #[test]
    fn what_the_kernel_refuses_makes_the_port_sick() {
        let mut scene = Scene::new();
        scene.judge.hands.is_fence_broken = true;
        let generation = scene.grant();
        scene.news(News::Port(PortEvent::Active(generation)));
        scene.go_on_until(|judge| judge.hands.done.iter().any(|what| what == "open"));
        scene.judge.look(scene.now);
        let health = scene.status().health;
        assert!(health.score >= health.threshold, "{health:?}");
        assert!(health.reasons[0].text.contains("open the fence: no such table"), "{health:?}");
    }

    #[test]
    fn a_question_that_cannot_be_asked_counts_as_not_answered() {
        let mut scene = Scene::new();
        scene.judge.hands.is_center_full = true;
        scene.go_on_until(|judge| judge.hands.questions.len() > 2);
        assert!(!scene.judge.is_active());
    }

    /// FO-4: carrier and health are told on; a lost LAN at once.
    #[test]
    fn a_lost_carrier_is_a_problem_at_once() {
        let mut scene = Scene::new();
        assert!(scene.status().health.lan);
        scene.judge.carrier(Nic::Lan, false, scene.now);
        let status = scene.status();
        assert!(!status.health.lan && !status.links.lan.carrier);
        assert!(status.problems.iter().any(|problem| problem == "the LAN cannot be used"), "{status:?}");
    }

    #[test]
    fn the_end_comes_when_the_machine_has_done_its_part() {
        let mut scene = Scene::new();
        let (answer, mut answered) = oneshot::channel();
        scene.news(News::Order(Order::Stop, answer));
        scene.go_on_until(|judge| judge.is_stopped());
        answered.try_recv().unwrap().unwrap();
    }
}
