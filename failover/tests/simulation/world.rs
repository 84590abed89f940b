//! Time, links, and what happens next.

mod links;
mod ports;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::env;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem;
use std::time::Duration;

use failover::machine::Machine;
use failover::machine::action::{Action, Question};
use failover::machine::event::{self, CenterAnswer, Command, Event, Generation, Member, Path, PortEvent};
use failover::machine::message::Message;
use failover::machine::settings::Settings;
use failover::machine::time::Time;
use failover::wire::Seal;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::center::Center;
use super::checks::Checks;
use super::faults::{self, Fault, Order};
use super::node::{Clock, Count, Node};
use super::sabotage::Sabotage;

const MS: u64 = 1_000;
/// The shell gives up a question after this.
const DEADLINE: u64 = 300 * MS;
const MEMBERS: [Member; 2] = [Member::A, Member::B];

/// What happens at a moment. `life` names the process that it is for: it is nothing to a later one.
enum What {
    Wake { node: usize, token: u64 },
    Arrives { node: usize, path: Path, message: Message },
    Asked { node: usize, life: u64, id: u64, question: Question },
    Answered { node: usize, life: u64, id: u64, sent: Time, answer: CenterAnswer },
    Deadline { node: usize, life: u64, id: u64 },
    Probed { node: usize, life: u64 },
    PortDoes { node: usize, life: u64, serve: Option<u64> },
    Refused { node: usize, life: u64, generation: u64 },
    Later { node: usize, life: u64, actions: Vec<Action> },
    Unpause { node: usize },
    Probe { node: usize },
    Look,
    Draw,
    SecretOrder { node: usize },
    Begin(Fault, u64),
    End(Fault),
}

/// How this history is.
struct Profile {
    length: u64,
    fault_every: Option<u64>,
    loss: f64,
    late_per_mille: u32,
    delay: u64,
    wan_delay: u64,
    wan_late: f64,
    with_wire: bool,
    interrupts: f64,
}

pub struct World {
    rng: StdRng,
    sabotage: Option<Sabotage>,
    now: u64,
    queue: BTreeMap<Reverse<(u64, u64)>, What>,
    order: u64,
    settings: [Settings; 2],
    seals: Option<[Seal; 2]>,
    profile: Profile,
    nodes: [Node; 2],
    center: Center,
    center_down: Count,
    /// By path and sender.
    ways: [[Count; 2]; 2],
    storm: Count,
    /// By node: questions, answers.
    wan: [[Count; 2]; 2],
    faults: u32,
    checks: Checks,
    opened: [u64; 2],
    stepped_at: [Time; 2],
    said: [Option<(u64, u64)>; 2],
    stop: [Option<u64>; 2],
    ids: u64,
    digest: DefaultHasher,
    trace: bool,
}

impl World {
    pub fn new(seed: u64, sabotage: Option<Sabotage>) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let with_fence = rng.random_bool(0.85);
        let mut profile = Profile {
            length: rng.random_range(4_000..12_000) * MS * if with_fence { 1 } else { 6 },
            fault_every: [Some(300 * MS), Some(1_000 * MS), Some(3_000 * MS), None][rng.random_range(0..4)],
            loss: [0.0, 0.0, 0.01, 0.1, 0.3][rng.random_range(0..5)],
            late_per_mille: [0, 1, 20][rng.random_range(0..3)],
            delay: [100, 500, 3_000][rng.random_range(0..3)],
            wan_delay: [500, 2_500, 10_000, 25_000, 50_000][rng.random_range(0..5)],
            wan_late: [0.0, 0.01, 0.05][rng.random_range(0..3)],
            with_wire: rng.random_bool(0.1),
            interrupts: [0.0, 0.0002][rng.random_range(0..2)],
        };
        if let Some(sabotage) = sabotage {
            profile.fault_every = (sabotage != Sabotage::OrderNobodyGave).then_some(1_000 * MS);
        }
        let settings = MEMBERS.map(|member| settings(member, with_fence, sabotage));
        settings[0].check().expect("safe settings");
        let (lease, center_lease) =
            (settings[0].lease.as_micros() as u64, settings[0].center_lease.as_micros() as u64);
        // A start waits a lease; a dead active's lease at the center is waited for once or twice; questions go astray.
        let serves_within = 3 * (lease + center_lease) + 1_200 * MS;
        let twice_max = if with_fence { 2_500 * MS } else { 0 };
        let is_lossy = profile.loss > 0.02;
        let seals = profile.with_wire.then(|| {
            MEMBERS
                .map(|member| Seal::new("site-1", member, b"the key of the pair", None).expect("a good key"))
        });
        let clocks = [0, 1].map(|_| clock(&mut rng, 0, &settings[0]));
        let mut world = Self {
            checks: Checks::new(with_fence, serves_within, twice_max, 3_000 * MS * 9 / 10, is_lossy),
            rng,
            sabotage,
            now: 0,
            queue: BTreeMap::new(),
            order: 0,
            settings,
            seals,
            profile,
            nodes: clocks.map(Node::new),
            center: Center::new(sabotage),
            center_down: Count::default(),
            ways: Default::default(),
            storm: Count::default(),
            wan: Default::default(),
            faults: 0,
            opened: [0; 2],
            stepped_at: [Time(0); 2],
            said: [None; 2],
            stop: [None; 2],
            ids: 0,
            digest: DefaultHasher::new(),
            trace: env::var_os("FAILOVER_TRACE").is_some(),
        };
        world.begin();
        world
    }

    /// To the end; the digest of what happened.
    pub fn run(mut self) -> Result<u64, String> {
        while let Some((Reverse((at, _)), what)) = self.queue.pop_last() {
            if at > self.profile.length {
                break;
            }
            self.now = at;
            self.happen(what).map_err(|failure| format!("after {} µs: {failure}", self.now))?;
        }
        self.checks.openings.hash(&mut self.digest);
        Ok(self.digest.finish())
    }

    fn begin(&mut self) {
        for node in 0..2 {
            let start = self.rng.random_range(0..300 * MS);
            self.judge_starts_at(start, node);
            self.at(start, What::Probe { node });
        }
        self.at(0, What::Look);
        self.draw_fault();
        if self.sabotage == Some(Sabotage::OrderNobodyGave) {
            self.at(self.profile.length - 200 * MS, What::SecretOrder { node: 0 });
            self.at(self.profile.length - 100 * MS, What::SecretOrder { node: 1 });
        }
    }

    fn at(&mut self, at: u64, what: What) {
        self.order += 1;
        self.queue.insert(Reverse((at.max(self.now), self.order)), what);
    }

    fn after(&mut self, span: u64, what: What) {
        self.at(self.now + span, what);
    }

    fn between(&mut self, from: u64, to: u64) -> u64 {
        self.rng.random_range(from..=to)
    }

    fn tell(&self, text: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>10} {}", self.now, text());
        }
    }

    fn happen(&mut self, what: What) -> Result<(), String> {
        match what {
            What::Wake { node, token } => {
                if self.nodes[node].wakes == token {
                    self.deliver(node, Event::Timer)?;
                }
            }
            What::Arrives { node, path, message } => {
                let message = self.spoil(node, message);
                self.deliver(node, Event::Received { path, message })?;
            }
            What::Asked { node, life, id, question } => self.asked(node, life, id, question)?,
            What::Answered { node, life, id, sent, answer } => {
                let questions = &mut self.nodes[node].questions;
                let place = questions.iter().position(|(known, _)| *known == id);
                place.map(|place| questions.swap_remove(place));
                let is_late = place.is_none();
                if self.nodes[node].life == life && (!is_late || self.rng.random_bool(0.3)) {
                    self.deliver(node, Event::Center { sent, answer })?;
                }
            }
            What::Deadline { node, life, id } => {
                let questions = &mut self.nodes[node].questions;
                let Some(place) = questions.iter().position(|(known, _)| *known == id) else { return Ok(()) };
                let (_, sent) = questions.swap_remove(place);
                if self.nodes[node].life == life && self.sabotage != Some(Sabotage::AnswersLost) {
                    self.deliver(node, Event::Center { sent, answer: CenterAnswer::Unreachable })?;
                }
            }
            What::Probed { node, life } => {
                let other = &self.nodes[1 - node];
                let is_seen = !self.ways[Path::Lan as usize].iter().any(|way| way.any());
                let answers = is_seen && other.has_address(self.now) && other.is_fence_open(self.now);
                let taken_by = answers.then(|| "the other".to_owned());
                if self.nodes[node].life == life {
                    self.deliver(node, Event::AddressProbe { taken_by })?;
                }
            }
            What::PortDoes { node, life, serve } => self.port_does(node, life, serve)?,
            What::Refused { node, life, generation } => {
                if self.nodes[node].port.life == life && self.nodes[node].port.is_alive {
                    self.deliver(node, Event::Port(PortEvent::Refused(Generation(generation))))?;
                }
            }
            What::Later { node, life, actions } => {
                if self.nodes[node].life == life {
                    self.execute(node, actions)?;
                }
            }
            What::Unpause { node } => self.end(Fault::JudgePaused(node))?,
            What::Probe { node } => self.probe(node)?,
            What::Look => {
                self.after(10 * MS, What::Look);
                if self.faults > 0 {
                    self.checks.cause_at = self.now;
                }
                let center_is_well = !self.center_down.any();
                self.checks.look(&self.nodes, center_is_well, self.now)?;
                self.check_calm()?;
            }
            What::Draw => self.draw_fault(),
            What::SecretOrder { node } => self.command(node, event::Order::Takeover { force: false })?,
            What::Begin(fault, span) => {
                self.tell(|| format!("-- {fault:?} for {span} µs"));
                self.faults += 1;
                self.checks.cause_at = self.now;
                self.break_it(fault)?;
                self.after(span, What::End(fault));
            }
            What::End(fault) => {
                self.tell(|| format!("-- {fault:?} is over"));
                self.end(fault)?;
            }
        }
        Ok(())
    }

    /// FO-4: without a fault one port is active, and the peer's lease is all that it needs: the center is asked at the
    /// beginning, and when the network is slow for a moment.
    fn check_calm(&self) -> Result<(), String> {
        let is_calm =
            self.profile.fault_every.is_none() && self.profile.interrupts == 0.0 && !self.checks.is_lossy;
        let renewals_max = 10 + 2 * self.now / 1_000_000;
        if !is_calm || self.sabotage.is_some() || self.now < self.checks.serves_within {
            return Ok(());
        }
        let leases = [0, 1].map(|node| self.nodes[node].machine.as_ref()?.status(self.local(node)).lease);
        match leases {
            [Some(_), None] | [None, Some(_)] if self.center.renewals <= renewals_max => Ok(()),
            _ => Err(format!("FO-4: not calm: leases {leases:?}, {} of the center's", self.center.renewals)),
        }
    }

    fn draw_fault(&mut self) {
        let Some(every) = self.profile.fault_every else { return };
        let (mut fault, mut span) = faults::draw(&mut self.rng);
        while self.sabotage.is_some_and(|sabotage| !sabotage.shows_with(fault)) && self.rng.random_bool(0.9) {
            (fault, span) = faults::draw(&mut self.rng);
        }
        let pause = self.between(0, 2 * every);
        self.after(pause, What::Begin(fault, span));
        if let Fault::WaysFrom(node) = fault
            && self.rng.random()
        {
            // A link often dies in one direction first.
            let later = pause + self.between(0, 150 * MS);
            self.after(later, What::Begin(Fault::WaysFrom(1 - node), span));
        }
        self.after(pause, What::Draw);
    }

    fn break_it(&mut self, fault: Fault) -> Result<(), String> {
        match fault {
            Fault::Way { path, from } => self.ways[path as usize][from].begin(),
            Fault::WaysFrom(node) => self.ways.iter_mut().for_each(|way| way[node].begin()),
            Fault::AllWays => self.ways.iter_mut().flatten().for_each(Count::begin),
            Fault::LanLost(node) => {
                self.ways[Path::Lan as usize].iter_mut().for_each(Count::begin);
                self.nodes[node].lan_lost.begin();
                self.say_health(node)?;
            }
            Fault::WanLost { node, up, down } => {
                self.nodes[node].wan_lost.begin();
                for (count, is_lost) in self.wan[node].iter_mut().zip([up, down]) {
                    if is_lost {
                        count.begin();
                    }
                }
            }
            Fault::CenterDown => self.center_down.begin(),
            Fault::JudgePaused(node) => self.nodes[node].judge_paused.begin(),
            Fault::MachineSuspended(node) => {
                if !self.nodes[node].suspended.any() {
                    self.nodes[node].suspended_at = self.now;
                }
                self.nodes[node].suspended.begin();
            }
            Fault::JudgeDead(node) => self.judge_ends(node),
            Fault::PortDead(node) => self.port_ends(node)?,
            Fault::BothDead(node) => {
                self.judge_ends(node);
                self.port_ends(node)?;
            }
            Fault::PortHung(node) => self.nodes[node].port.hung.begin(),
            Fault::PortBehind(node) => {
                self.nodes[node].port.behind.begin();
                self.say_port(node)?;
            }
            Fault::PowerOff(node) => {
                self.judge_ends(node);
                self.port_ends(node)?;
                let node = &mut self.nodes[node];
                node.is_on = false;
                (node.fence_until, node.address_until) = (0, 0);
            }
            Fault::Sick(node) => {
                self.nodes[node].sick.begin();
                self.say_health(node)?;
            }
            Fault::Storm => self.storm.begin(),
            Fault::Maintenance(node) => {
                self.nodes[node].maintenance = self.nodes[node].machine.is_some();
                self.command(node, event::Order::Maintenance(true))?;
            }
            Fault::Order(node, order) => {
                self.checks.ordered_at = Some(self.now);
                let order = match order {
                    Order::Takeover => event::Order::Takeover { force: false },
                    Order::Force => event::Order::Takeover { force: true },
                    Order::Standby => event::Order::Standby,
                    Order::Stop => event::Order::Stop,
                };
                self.command(node, order)?;
            }
        }
        Ok(())
    }

    fn end(&mut self, fault: Fault) -> Result<(), String> {
        self.faults -= 1;
        self.checks.cause_at = self.checks.cause_at.max(if self.faults == 0 { self.now } else { 0 });
        match fault {
            Fault::Way { path, from } => self.ways[path as usize][from].end(),
            Fault::WaysFrom(node) => self.ways.iter_mut().for_each(|way| way[node].end()),
            Fault::AllWays => self.ways.iter_mut().flatten().for_each(Count::end),
            Fault::LanLost(node) => {
                self.ways[Path::Lan as usize].iter_mut().for_each(Count::end);
                self.nodes[node].lan_lost.end();
                self.say_health(node)?;
            }
            Fault::WanLost { node, up, down } => {
                self.nodes[node].wan_lost.end();
                for (count, is_lost) in self.wan[node].iter_mut().zip([up, down]) {
                    if is_lost {
                        count.end();
                    }
                }
            }
            Fault::CenterDown => {
                self.center_down.end();
                self.center.restart();
            }
            Fault::JudgePaused(node) => {
                self.nodes[node].judge_paused.end();
                self.go_on(node)?;
            }
            Fault::MachineSuspended(node) => {
                self.nodes[node].suspended.end();
                if !self.nodes[node].suspended.any() {
                    self.resume(node)?;
                }
            }
            Fault::JudgeDead(node) => self.judge_starts(node)?,
            Fault::PortDead(node) => self.port_starts(node)?,
            Fault::BothDead(node) => {
                self.port_starts(node)?;
                self.judge_starts(node)?;
            }
            Fault::PortHung(node) => {
                self.nodes[node].port.hung.end();
                self.catch_up(node)?;
            }
            Fault::PortBehind(node) => {
                self.nodes[node].port.behind.end();
                self.say_port(node)?;
            }
            Fault::PowerOff(node) if self.nodes[node].is_on => {}
            Fault::PowerOff(node) => {
                self.nodes[node].is_on = true;
                self.nodes[node].clock = clock(&mut self.rng, self.now, &self.settings[node]);
                self.port_starts(node)?;
                self.judge_starts(node)?;
            }
            Fault::Sick(node) => {
                self.nodes[node].sick.end();
                self.say_health(node)?;
            }
            Fault::Storm => self.storm.end(),
            Fault::Maintenance(node) => {
                self.nodes[node].maintenance = false;
                self.command(node, event::Order::Maintenance(false))?;
            }
            Fault::Order(..) => {}
        }
        Ok(())
    }

    // The judge and its shell.

    fn judge_starts_at(&mut self, at: u64, node: usize) {
        self.faults += 1;
        self.at(at, What::End(Fault::JudgeDead(node)));
    }

    fn judge_starts(&mut self, node: usize) -> Result<(), String> {
        if self.nodes[node].machine.is_some() || !self.nodes[node].is_on {
            return Ok(());
        }
        let mut start = self.local(node);
        if self.sabotage == Some(Sabotage::NoWaitAfterStart) {
            start = start - Duration::from_secs(10);
        }
        let boot = self.rng.random();
        let this = &mut self.nodes[node];
        (this.fence_until, this.address_until) = (0, 0);
        this.maintenance = false;
        this.machine = Some(Machine::new(self.settings[node].clone(), boot, this.remembered, start));
        self.checks.judge_started();
        self.tell(|| format!("{:?} starts", MEMBERS[node]));
        self.deliver(node, Event::Timer)?;
        self.say_health(node)?;
        if self.nodes[node].port.is_alive {
            self.say_port(node)?;
            let event = match self.nodes[node].port.serving {
                Some(generation) => PortEvent::Active(Generation(generation)),
                None => PortEvent::Passive,
            };
            self.deliver(node, Event::Port(event))?;
        }
        Ok(())
    }

    fn judge_ends(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        node.machine = None;
        node.life += 1;
        node.wakes += 1;
        node.inbox.clear();
        node.rest.clear();
        node.questions.clear();
    }

    fn local(&self, node: usize) -> Time {
        self.nodes[node].clock.read(self.now)
    }

    fn deliver(&mut self, node: usize, event: Event) -> Result<(), String> {
        let this = &mut self.nodes[node];
        if this.machine.is_none() {
            return Ok(());
        }
        if !this.judge_runs() {
            let is_lost = !this.runs() && matches!(event, Event::Received { .. });
            if !is_lost && this.inbox.len() < 2_000 {
                this.inbox.push_back(event);
            }
            return Ok(());
        }
        let now = self.local(node);
        let Some(machine) = &mut self.nodes[node].machine else { return Ok(()) };
        let text = self.trace.then(|| format!("{event:?}"));
        let actions = machine.step(event, now);
        if let Some(text) = text
            && (!text.starts_with("Received")
                || actions.iter().any(|action| {
                    !matches!(action, Action::Send(..) | Action::WakeAt(_) | Action::OpenFence(_))
                }))
            && text != "Timer"
        {
            self.tell(|| format!("{:?} {text}", MEMBERS[node]));
        }
        self.stepped_at[node] = now;
        if self.sabotage == Some(Sabotage::ReleaseFirst) && actions.contains(&Action::ShutFence) {
            let (first, later) = actions.into_iter().partition(|action| matches!(action, Action::Send(..)));
            let life = self.nodes[node].life;
            self.after(100 * MS, What::Later { node, life, actions: later });
            return self.execute(node, first);
        }
        self.execute(node, actions)
    }

    /// Carries them out; it may be interrupted at any place.
    fn execute(&mut self, node: usize, actions: Vec<Action>) -> Result<(), String> {
        let mut actions = actions.into_iter();
        while let Some(action) = actions.next() {
            if self.profile.interrupts > 0.0 && self.rng.random_bool(self.profile.interrupts) {
                self.faults += 1;
                self.nodes[node].judge_paused.begin();
                self.nodes[node].rest = [action].into_iter().chain(actions).collect();
                let pause = self.between(MS, 400 * MS);
                self.tell(|| format!("-- {:?} is interrupted for {pause} µs", MEMBERS[node]));
                self.after(pause, What::Unpause { node });
                return Ok(());
            }
            self.carry_out(node, action)?;
            if self.nodes[node].machine.is_none() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, node: usize, action: Action) -> Result<(), String> {
        (self.now, node, mem::discriminant(&action)).hash(&mut self.digest);
        if self.trace && !matches!(action, Action::Send(..) | Action::WakeAt(_) | Action::OpenFence(_)) {
            self.tell(|| format!("{:?}   {action:?}", MEMBERS[node]));
        }
        match action {
            Action::WakeAt(at) => {
                self.nodes[node].wakes += 1;
                let token = self.nodes[node].wakes;
                let span = self.nodes[node].clock.true_span(at.since(self.local(node)));
                let late =
                    if self.rng.random_bool(0.01) { self.between(0, 5 * MS) } else { self.between(2, 100) };
                self.after(span + late, What::Wake { node, token });
            }
            Action::Send(path, message) => self.send(node, path, message),
            Action::OpenFence(until) => {
                let span = self.kernel_span(node, until);
                let Some(span) = span.filter(|_| self.checks.with_fence) else { return Ok(()) };
                let late = self.between(0, 7 * MS);
                self.nodes[node].fence_until = match self.sabotage {
                    Some(Sabotage::FenceStaysOpen) => u64::MAX,
                    _ => self.now + span + late,
                };
                self.check_owner(node)?;
            }
            Action::ShutFence => self.nodes[node].fence_until = 0,
            Action::ProbeAddresses => {
                let life = self.nodes[node].life;
                self.after(8 * MS, What::Probed { node, life });
            }
            Action::HoldAddresses(until) => {
                let seconds = self.kernel_span(node, until).unwrap_or(0) / 1_000_000;
                let late = self.between(0, 250 * MS);
                self.nodes[node].address_until =
                    if seconds > 0 { self.now + seconds * 1_000_000 + late } else { 0 };
                self.check_owner(node)?;
            }
            Action::DropAddresses => self.nodes[node].address_until = 0,
            Action::AskCenter(question) => self.ask(node, question),
            Action::Activate(generation) => self.tell_port(node, Some(generation.0)),
            Action::Deactivate => self.tell_port(node, None),
            Action::Remember(generation) => self.nodes[node].remembered = generation,
            Action::Answer(id, _) => {
                if self.stop[node] == Some(id) {
                    self.stop[node] = None;
                    self.judge_ends(node);
                    let pause = self.between(50 * MS, 800 * MS);
                    self.judge_starts_at(self.now + pause, node);
                }
            }
            Action::Announce | Action::Tickle | Action::Feed | Action::Tell(..) => {}
        }
        Ok(())
    }

    /// How long the kernel is told, in true time; nothing if that is over.
    fn kernel_span(&self, node: usize, until: Time) -> Option<u64> {
        let span = until.since(self.local(node));
        (!span.is_zero()).then(|| self.nodes[node].clock.true_span(span))
    }

    fn check_owner(&mut self, node: usize) -> Result<(), String> {
        self.checks.one_owner(&self.nodes, self.now)?;
        let Some(machine) = &self.nodes[node].machine else { return Ok(()) };
        let Some(takeover) = machine.status(self.local(node)).last_takeover else { return Ok(()) };
        let generation = takeover.generation.0;
        if self.center.granted.get(&generation) != Some(&node) {
            return Err(format!("I2: generation {generation} was never granted to it"));
        }
        if self.opened[node] != generation {
            self.opened[node] = generation;
            let by_agreement = takeover.why == "the active peer asked for it";
            let granted = self.now.saturating_sub(takeover.since_grant.as_micros() as u64);
            self.checks.opened(node, by_agreement, granted, self.now)?;
        }
        Ok(())
    }

    /// After a pause: first what was interrupted, then what has come.
    fn go_on(&mut self, node: usize) -> Result<(), String> {
        if !self.nodes[node].judge_runs() {
            return Ok(());
        }
        let rest = mem::take(&mut self.nodes[node].rest);
        self.execute(node, rest)?;
        let inbox = mem::take(&mut self.nodes[node].inbox);
        inbox.into_iter().try_for_each(|event| self.deliver(node, event))
    }

    fn resume(&mut self, node: usize) -> Result<(), String> {
        if self.sabotage == Some(Sabotage::ClockStops) {
            let this = &mut self.nodes[node];
            let span = self.now - this.suspended_at.max(this.clock.start);
            this.clock.stood_still += span;
            this.fence_until += span;
            this.address_until += span;
        }
        self.checks.one_owner(&self.nodes, self.now)?;
        self.catch_up(node)?;
        self.go_on(node)
    }

    fn command(&mut self, node: usize, order: event::Order) -> Result<(), String> {
        self.ids += 1;
        let id = self.ids;
        if order == event::Order::Stop {
            self.stop[node] = Some(id);
        }
        self.deliver(node, Event::Command(Command { id, order }))
    }

    fn say_health(&mut self, node: usize) -> Result<(), String> {
        let health = self.nodes[node].health();
        self.deliver(node, Event::Health(health))
    }
}

fn settings(member: Member, fence: bool, sabotage: Option<Sabotage>) -> Settings {
    let mut settings = Settings::new(member);
    settings.hold_down = Duration::from_secs(3);
    settings.center_lease = Duration::from_millis(400);
    if sabotage == Some(Sabotage::NoHoldDown) {
        settings.hold_down = Duration::ZERO;
        settings.hold_down_max = Duration::ZERO;
    }
    if !fence {
        settings.fence = false;
        settings.kernel_slack = Duration::from_millis(260);
        settings.query = Duration::from_millis(50);
        settings.lease = Duration::from_millis(2_500);
        settings.center_lease = Duration::from_millis(2_500);
    }
    settings
}

fn clock(rng: &mut StdRng, now: u64, settings: &Settings) -> Clock {
    let drift = i64::from(settings.drift_per_mille) * 1_000;
    Clock {
        start: now,
        offset: rng.random_range(100_000_000..1_000_000_000),
        rate_ppm: rng.random_range(-drift..=drift),
        stood_still: 0,
    }
}
