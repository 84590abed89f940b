//! One judge, event by event: what it does then, and what it does not.

use std::time::Duration;

use failover::machine::Machine;
use failover::machine::action::{Action, Question, Severity};
use failover::machine::event::{
    CenterAnswer, Command, Event, Generation, Health, Member, Order, Path, PortEvent,
};
use failover::machine::message::{Kind, Message, Role};
use failover::machine::settings::{Settings, Unsafe};
use failover::machine::time::Time;

const LEASE: Duration = Duration::from_secs(1);

/// A judge, its clock, and the peer's side as far as a test plays it.
struct Judge {
    machine: Machine,
    settings: Settings,
    now: Time,
    wakes_at: Time,
    /// When it last asked the center.
    asked_at: Time,
    /// The newest that it said.
    said: Option<Message>,
    sequence: u64,
    peer_wan: bool,
}

impl Judge {
    fn new(member: Member) -> Self {
        let settings = Settings::new(member);
        let now = Time(1_000_000_000);
        let machine = Machine::new(settings.clone(), 1, Generation(4), now);
        Self { machine, settings, now, wakes_at: now, asked_at: now, said: None, sequence: 0, peer_wan: true }
    }

    fn tell(&mut self, event: Event) -> Vec<Action> {
        let actions = self.machine.step(event, self.now);
        for action in &actions {
            match action {
                Action::WakeAt(at) => self.wakes_at = *at,
                Action::Send(Path::Lan, message) => self.said = Some(message.clone()),
                Action::AskCenter(_) => self.asked_at = self.now,
                _ => {}
            }
        }
        actions
    }

    /// Wakes it whenever it wants, for so long; answers all it did.
    fn wait(&mut self, ms: u64) -> Vec<Action> {
        let end = self.now + Duration::from_millis(ms);
        let mut done = Vec::new();
        while self.wakes_at <= end {
            self.now = self.now.max(self.wakes_at);
            self.wakes_at = end + Duration::from_secs(3_600);
            done.extend(self.tell(Event::Timer));
        }
        self.now = end;
        done
    }

    /// The peer says this, in answer to the newest that it heard.
    fn hear(&mut self, role: Role, generation: u64, kind: Kind) -> Vec<Action> {
        self.hear_of(role, generation, kind, 0, true)
    }

    fn hear_of(
        &mut self,
        role: Role,
        generation: u64,
        kind: Kind,
        health: u32,
        eligible: bool,
    ) -> Vec<Action> {
        self.sequence += 1;
        let message = Message {
            speaks: 1,
            sender: if self.settings.member == Member::A { Member::B } else { Member::A },
            boot: 900,
            sequence: self.sequence,
            echo: self.said.as_ref().map(|said| (said.boot, said.sequence)),
            role,
            generation: Generation(generation),
            health,
            lan: true,
            wan: self.peer_wan,
            eligible,
            kind,
        };
        self.tell(Event::Received { path: Path::Lan, message })
    }

    fn status(&mut self, generation: u64) -> Vec<Action> {
        self.hear(Role::Active, generation, Kind::Status { opened: Vec::new(), closed: Vec::new() })
    }

    fn query(&mut self, generation: u64) -> Vec<Action> {
        let promise = Some(self.settings.lease);
        self.hear(Role::Passive, generation, Kind::Query { promise })
    }

    fn healthy(mut self) -> Self {
        self.tell(Event::Health(Health { score: 0, reasons: Vec::new(), lan: true, wan: true }));
        self.tell(Event::Port(PortEvent::Up { caught_up: true, owed: 0 }));
        self
    }

    fn answer(&mut self, sent: Time, answer: CenterAnswer) -> Vec<Action> {
        self.tell(Event::Center { sent, answer })
    }

    fn grant(&mut self, sent: Time, generation: u64) -> Vec<Action> {
        let generation = Generation(generation);
        self.answer(sent, CenterAnswer::Granted { generation, lease: LEASE, renewals: 1 })
    }

    fn role(&self) -> Role {
        self.machine.status(self.now).role
    }

    /// Waits until it claims, at most for so long; answers when it asked.
    fn claim(&mut self, ms: u64) -> Time {
        for _ in 0..ms {
            if self.wait(1).iter().any(|action| matches!(action, Action::AskCenter(Question::Acquire { .. })))
            {
                return self.asked_at;
            }
        }
        panic!("it did not claim within {ms} ms");
    }

    /// Active and alone, in generation 5.
    fn active(member: Member) -> Self {
        let mut judge = Self::new(member).healthy();
        let asked = judge.claim(400);
        let granted = judge.grant(asked, 5);
        assert!(granted.contains(&Action::Activate(Generation(5))), "{granted:?}");
        judge.tell(Event::Port(PortEvent::Active(Generation(5))));
        judge.wait(10);
        judge.tell(Event::AddressProbe { taken_by: None });
        assert_eq!(judge.role(), Role::Active);
        judge
    }

    /// Active, with a passive peer that asks each 10 ms.
    fn with_peer(member: Member) -> Self {
        let mut judge = Self::active(member);
        judge.ask_for(50);
        judge
    }

    /// The peer asks each 10 ms, for so long.
    fn ask_for(&mut self, ms: u64) -> Vec<Action> {
        let mut done = Vec::new();
        for _ in 0..ms / 10 {
            done.extend(self.wait(10));
            done.extend(self.query(5));
        }
        done
    }
}

fn places(actions: &[Action], wanted: &[fn(&Action) -> bool]) -> Vec<Option<usize>> {
    wanted.iter().map(|is_wanted| actions.iter().position(is_wanted)).collect()
}

fn is_open(action: &Action) -> bool {
    matches!(action, Action::OpenFence(_))
}

fn is_shut(action: &Action) -> bool {
    *action == Action::ShutFence
}

fn is_claim(action: &Action) -> bool {
    matches!(action, Action::AskCenter(Question::Acquire { .. }))
}

/// FO-11: after a start it claims nothing for a lease: an earlier run may have promised.
#[test]
fn a_start_waits_one_lease() {
    let mut judge = Judge::new(Member::A).healthy();
    assert!(!judge.wait(99).iter().any(is_claim));
    assert!(judge.wait(30).iter().any(is_claim));
}

/// FO-2: a port that is alone becomes active: remembered, activated, probed, opened, announced, in that order.
#[test]
fn alone_it_becomes_active() {
    let mut judge = Judge::new(Member::A).healthy();
    let asked = judge.claim(400);
    let mut done = judge.grant(asked, 5);
    done.extend(judge.tell(Event::Port(PortEvent::Active(Generation(5)))));
    done.extend(judge.wait(9));
    done.extend(judge.tell(Event::AddressProbe { taken_by: None }));
    let order = places(
        &done,
        &[
            |action| *action == Action::Remember(Generation(5)),
            |action| *action == Action::Activate(Generation(5)),
            |action| *action == Action::ProbeAddresses,
            is_open,
            |action| matches!(action, Action::HoldAddresses(_)),
            |action| *action == Action::Announce,
            |action| *action == Action::Tickle,
        ],
    );
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{order:?} of {done:?}");
}

/// FO-11: a dead peer is taken over only when the promise has run out, also if the center granted it before.
#[test]
fn a_dead_peer_is_taken_over_when_the_promise_has_run_out() {
    let mut judge = Judge::new(Member::B).healthy();
    for _ in 0..20 {
        judge.wait(10);
        judge.status(4);
    }
    judge.wait(10);
    let heard = judge.now - Duration::from_millis(10);
    let asked = judge.claim(100);
    assert!(asked.since(heard) >= Duration::from_millis(70), "asked after {:?}", asked.since(heard));
    let mut done = judge.grant(asked, 5);
    done.extend(judge.tell(Event::Port(PortEvent::Active(Generation(5)))));
    let probe = loop {
        let step = judge.wait(1);
        if step.contains(&Action::ProbeAddresses) {
            break judge.now;
        }
        assert!(judge.now.since(heard) < Duration::from_millis(110));
    };
    assert!(probe.since(heard) >= Duration::from_millis(91));
    assert!(!judge.tell(Event::AddressProbe { taken_by: None }).iter().any(is_open));
    let opened = loop {
        if judge.wait(1).iter().any(is_open) {
            break judge.now;
        }
    };
    let outage = opened.since(heard);
    assert!((100..=103).contains(&outage.as_millis()), "{outage:?}");
}

/// FO-4: while it hears the active it claims nothing, and promises.
#[test]
fn a_heard_active_is_left_alone() {
    let mut judge = Judge::new(Member::A).healthy();
    for _ in 0..100 {
        assert!(!judge.wait(10).iter().any(is_claim));
        judge.status(4);
    }
    let said = judge.said.clone().unwrap();
    assert_eq!(said.kind, Kind::Query { promise: Some(judge.settings.lease) });
}

/// FO-11: the peer's promise is lease enough: the fence stays open, and the center gets its lease back.
#[test]
fn the_peers_promise_keeps_it_active() {
    let mut judge = Judge::with_peer(Member::A);
    let done = judge.ask_for(3_000);
    assert!(done.iter().filter(|action| is_open(action)).count() > 100);
    assert!(!done.iter().any(is_shut));
    let back = Question::Release { generation: Generation(5), renewals: Some(1) };
    assert!(done.contains(&Action::AskCenter(back)));
    assert!(!done.contains(&Action::AskCenter(Question::Renew(Generation(5)))));
}

/// FO-11: where the center may have given a lease that was not heard of, its number is asked for before it is given back.
#[test]
fn a_lease_that_may_have_been_given_is_not_left_behind() {
    let mut judge = Judge::with_peer(Member::A);
    let renew = Action::AskCenter(Question::Renew(Generation(5)));
    let quiet = (0..300).find(|_| judge.wait(1).contains(&renew));
    assert!(quiet.is_some(), "the peer is quiet");
    judge.tell(Event::Center { sent: judge.now, answer: CenterAnswer::Unreachable });
    let done = judge.ask_for(500);
    assert!(done.contains(&renew));
    let is_return =
        |action: &Action| matches!(action, Action::AskCenter(Question::Release { renewals: Some(_), .. }));
    assert!(!done.iter().any(is_return));
}

/// FO-11: without peer and center the lease ends, and everything with it; the kernel had shut the fence by then.
#[test]
fn without_any_lease_it_stops() {
    let mut judge = Judge::with_peer(Member::A);
    let end = judge.now + judge.machine.status(judge.now).lease.unwrap().0;
    let done = judge.wait(1_500);
    assert!(done.contains(&Action::AskCenter(Question::Renew(Generation(5)))));
    assert!(done.iter().all(|action| !matches!(action, Action::OpenFence(until) if *until > end)));
    let order = places(
        &done,
        &[
            is_shut,
            |action| *action == Action::DropAddresses,
            |action| *action == Action::Deactivate,
            |action| matches!(action, Action::Send(_, Message { kind: Kind::Release, .. })),
        ],
    );
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{order:?}");
}

/// FO-11: both ways between the ports lost: the center's lease keeps it active.
#[test]
fn the_center_keeps_it_active_without_the_peer() {
    let mut judge = Judge::with_peer(Member::A);
    let mut renewals = 1;
    for _ in 0..3_000 {
        let done = judge.wait(1);
        assert!(!done.iter().any(is_shut));
        if done.contains(&Action::AskCenter(Question::Renew(Generation(5)))) {
            renewals += 1;
            let answer = CenterAnswer::Granted { generation: Generation(5), lease: LEASE, renewals };
            judge.answer(judge.now, answer);
        }
    }
    assert_eq!(judge.role(), Role::Active);
    assert!((8..=12).contains(&renewals), "{renewals}");
}

/// FO-11: after a pause the lease is looked at before anything else, also before an answer of the center's.
#[test]
fn after_a_pause_it_stops_first() {
    let mut judge = Judge::with_peer(Member::A);
    let asked = judge.now;
    judge.now = judge.now + Duration::from_secs(5);
    let answer =
        CenterAnswer::Granted { generation: Generation(5), lease: Duration::from_secs(60), renewals: 9 };
    let done = judge.answer(asked, answer);
    assert!(done.iter().any(is_shut));
    assert_ne!(judge.role(), Role::Active);
}

/// FO-11: whoever hears of a newer generation has lost, from whomever he hears it.
#[test]
fn a_newer_generation_ends_it() {
    let newer = Generation(6);
    let hear: [fn(&mut Judge) -> Vec<Action>; 3] = [
        |judge| judge.hear(Role::Acquiring, 6, Kind::Ready),
        |judge| judge.answer(judge.now, CenterAnswer::Superseded { generation: Generation(6) }),
        |judge| judge.tell(Event::Port(PortEvent::Refused(Generation(6)))),
    ];
    for hear in hear {
        let mut judge = Judge::with_peer(Member::A);
        let done = hear(&mut judge);
        assert!(done.iter().any(is_shut) && done.contains(&Action::Remember(newer)), "{done:?}");
        let said = judge.said.clone().unwrap();
        assert_eq!((said.kind, said.generation), (Kind::Release, newer));
    }
}

/// FO-11: an answer to a question that nobody waits for any more is never used.
#[test]
fn a_late_grant_is_not_used() {
    let mut judge = Judge::new(Member::B).healthy();
    let asked = judge.claim(400);
    judge.answer(asked, CenterAnswer::Unreachable);
    let done = judge.grant(asked, 5);
    assert!(!done.contains(&Action::Activate(Generation(5))));
    assert_ne!(judge.claim(400), asked);
}

/// FO-11: a lease of the center's that the other holds is waited for on the own clock, and given as passed only then.
#[test]
fn a_held_lease_is_waited_for() {
    let mut judge = Judge::new(Member::B).healthy();
    let asked = judge.claim(400);
    let held = CenterAnswer::Held { generation: Generation(4), renewals: 77, lease: LEASE };
    judge.answer(asked, held);
    let answered = judge.now;
    let again = judge.claim(2_000);
    assert!(again.since(answered) >= LEASE + Duration::from_millis(6), "{:?}", again.since(answered));
    let done = judge.machine.status(judge.now);
    assert_eq!(done.role, Role::Acquiring);
}

/// FO-2, FO-7: an order moves the addresses by agreement: PREPARE, READY, RELEASE.
#[test]
fn an_order_hands_over_by_agreement() {
    let mut active = Judge::with_peer(Member::A);
    let done = active.tell(Event::Command(Command { id: 3, order: Order::Standby }));
    assert!(!done.iter().any(is_shut));
    assert_eq!(active.said.clone().unwrap().kind, Kind::Prepare);
    let done = active.hear(Role::Acquiring, 6, Kind::Ready);
    assert!(done.iter().any(is_shut));
    assert!(done.contains(&Action::Answer(3, Ok("passive".to_owned()))));
    assert_eq!(active.said.clone().unwrap().kind, Kind::Release);

    let mut passive = Judge::new(Member::B).healthy();
    for _ in 0..20 {
        passive.wait(10);
        passive.status(5);
    }
    let done = passive.hear(Role::Active, 5, Kind::Prepare);
    assert!(done.contains(&Action::AskCenter(Question::Acquire { from: Generation(5), renewals: None })));
    passive.grant(passive.now, 6);
    assert_eq!(passive.said.clone().unwrap().kind, Kind::Ready);
    passive.tell(Event::Port(PortEvent::Active(Generation(6))));
    assert_ne!(passive.role(), Role::Active, "it waits for the release");
    let done = passive.hear(Role::Releasing, 6, Kind::Release);
    assert!(done.iter().any(is_open) && !done.contains(&Action::ProbeAddresses));
}

/// FO-5: a service that is dead is given up at once if the peer is fit, and kept if it is not.
#[test]
fn a_dead_service_is_given_up_to_a_fit_peer() {
    let mut judge = Judge::with_peer(Member::A);
    let done = judge.tell(Event::Port(PortEvent::Down));
    assert!(done.iter().any(is_shut));
    assert_eq!(judge.said.clone().unwrap().kind, Kind::Release);

    let mut judge = Judge::with_peer(Member::A);
    let promise = Some(judge.settings.lease);
    judge.hear_of(Role::Passive, 5, Kind::Query { promise }, 0, false);
    let done = judge.tell(Event::Port(PortEvent::Down));
    assert!(!done.iter().any(is_shut));
    assert_eq!(judge.role(), Role::Active);
    judge.wait(20);
    let done = judge.tell(Event::Port(PortEvent::Up { caught_up: true, owed: 0 }));
    let done = [done, judge.wait(100)].concat();
    assert!(done.contains(&Action::Activate(Generation(5))), "{done:?}");
}

/// FO-5: three silent probes of the service in a row, not two.
#[test]
fn a_hung_service_is_given_up() {
    let mut judge = Judge::with_peer(Member::A);
    for event in
        [PortEvent::Silent, PortEvent::Silent, PortEvent::Answered, PortEvent::Silent, PortEvent::Silent]
    {
        assert!(!judge.tell(Event::Port(event)).iter().any(is_shut));
    }
    assert!(judge.tell(Event::Port(PortEvent::Silent)).iter().any(is_shut));
}

fn health(score: u32, wan: bool) -> Event {
    Event::Health(Health { score, reasons: Vec::new(), lan: true, wan })
}

/// FO-5, FO-7: over the threshold it hands over to a peer that is better by the hysteresis, and to no other.
#[test]
fn a_sick_active_hands_over_to_a_better_peer() {
    for (mine, theirs, moves) in
        [(99, 0, false), (100, 0, true), (100, 80, true), (100, 81, false), (150, 150, false)]
    {
        let mut judge = Judge::with_peer(Member::A);
        let promise = Some(judge.settings.lease);
        judge.hear_of(Role::Passive, 5, Kind::Query { promise }, theirs, true);
        judge.tell(health(mine, true));
        let prepares = judge.said.clone().unwrap().kind == Kind::Prepare;
        assert_eq!(prepares, moves, "{mine} against {theirs}");
    }
}

/// FO-5: a lost WAN moves the addresses after 450 ms, if the peer has one.
#[test]
fn a_lost_wan_hands_over_after_a_while() {
    let mut judge = Judge::with_peer(Member::A);
    judge.tell(health(0, false));
    judge.ask_for(440);
    assert_ne!(judge.said.clone().unwrap().kind, Kind::Prepare);
    judge.ask_for(20);
    assert_eq!(judge.said.clone().unwrap().kind, Kind::Prepare);
}

/// FO-7: both WANs lost move nothing, and neither do two that come back one after the other.
#[test]
fn a_wan_that_comes_back_later_moves_nothing() {
    let mut judge = Judge::with_peer(Member::A);
    judge.tell(health(0, false));
    judge.peer_wan = false;
    judge.ask_for(3_000);
    judge.peer_wan = true;
    judge.ask_for(400);
    assert_ne!(judge.said.clone().unwrap().kind, Kind::Prepare);
    judge.tell(health(0, true));
    judge.ask_for(1_000);
    assert_ne!(judge.said.clone().unwrap().kind, Kind::Prepare);
}

/// FO-7: after a hand-over that came to nothing, ill health tries no other for the hold-down.
#[test]
fn ill_health_moves_nothing_in_a_hold_down() {
    let mut judge = Judge::with_peer(Member::A);
    judge.tell(health(500, true));
    assert_eq!(judge.said.clone().unwrap().kind, Kind::Prepare);
    judge.ask_for(2_100);
    assert_eq!(judge.role(), Role::Active);
    let mut prepares = 0;
    for _ in 0..900 {
        judge.ask_for(10);
        prepares += u32::from(judge.said.clone().unwrap().kind == Kind::Prepare);
    }
    assert_eq!(prepares, 0);
}

/// FO-11: an address that somebody answers for is not taken; it alarms once and asks again.
#[test]
fn an_address_in_use_is_not_taken() {
    let mut judge = Judge::new(Member::A).healthy();
    let asked = judge.claim(400);
    judge.grant(asked, 5);
    judge.tell(Event::Port(PortEvent::Active(Generation(5))));
    judge.wait(10);
    let (mut probes, mut alarms) = (0, 0);
    for _ in 0..5 {
        let mut done = judge.tell(Event::AddressProbe { taken_by: Some("02:00:00:00:00:07".to_owned()) });
        let renewed = CenterAnswer::Granted { generation: Generation(5), lease: LEASE, renewals: 2 };
        judge.answer(judge.now, renewed);
        done.extend(judge.wait(110));
        assert!(!done.iter().any(is_open));
        probes += done.iter().filter(|action| **action == Action::ProbeAddresses).count();
        alarms += done.iter().filter(|action| matches!(action, Action::Tell(Severity::Alarm, _))).count();
    }
    assert_eq!((probes, alarms), (5, 1));
    assert!(judge.tell(Event::AddressProbe { taken_by: None }).iter().any(is_open));
}

/// FO-7: a port that has not caught up takes over by force alone; one in maintenance not by itself.
#[test]
fn an_unfit_port_takes_over_by_force_alone() {
    let mut judge = Judge::new(Member::A).healthy();
    judge.tell(Event::Port(PortEvent::Up { caught_up: false, owed: 0 }));
    let done = judge.wait(2_000);
    assert!(!done.iter().any(is_claim));
    assert_eq!(done.iter().filter(|action| matches!(action, Action::Tell(Severity::Alarm, _))).count(), 1);
    let done = judge.tell(Event::Command(Command { id: 1, order: Order::Takeover { force: false } }));
    assert!(done.iter().any(|action| matches!(action, Action::Answer(1, Err(_)))));
    let done = judge.tell(Event::Command(Command { id: 2, order: Order::Takeover { force: true } }));
    assert!(done.iter().any(is_claim));

    let mut judge = Judge::new(Member::A).healthy();
    judge.tell(Event::Command(Command { id: 3, order: Order::Maintenance(true) }));
    assert!(!judge.wait(2_000).iter().any(is_claim));
    let done = judge.tell(Event::Command(Command { id: 4, order: Order::Maintenance(false) }));
    assert!(done.iter().any(is_claim));
}

/// FO-7: a judge that ends hands over if it can, releases if not, and claims nothing any more.
#[test]
fn a_judge_that_ends_releases() {
    let mut judge = Judge::active(Member::A);
    judge.wait(150);
    let done = judge.tell(Event::Command(Command { id: 1, order: Order::Stop }));
    assert!(done.iter().any(is_shut));
    let release = Question::Release { generation: Generation(5), renewals: None };
    assert!(done.contains(&Action::AskCenter(release)));
    assert!(done.contains(&Action::Answer(1, Ok("released".to_owned()))));
    assert!(!judge.wait(2_000).iter().any(is_claim));

    let mut judge = Judge::with_peer(Member::A);
    judge.tell(Event::Command(Command { id: 1, order: Order::Stop }));
    assert_eq!(judge.said.clone().unwrap().kind, Kind::Prepare);
}

/// FO-11: settings that would not be safe are refused.
#[test]
fn unsafe_settings_are_refused() {
    let good = Settings::new(Member::A);
    assert_eq!(good.check(), Ok(()));
    let bad = Settings { fence: false, ..good.clone() };
    assert_eq!(bad.check(), Err(Unsafe::NoFence));
    let bad = Settings { lease: Duration::from_millis(30), ..good.clone() };
    assert_eq!(bad.check(), Err(Unsafe::Query));
    let bad = Settings { kernel_slack: Duration::from_millis(60), ..good };
    assert_eq!(bad.check(), Err(Unsafe::Margin));
}

/// FO-7: orders may move the addresses as often as the operator likes: they lengthen no hold-down.
#[test]
fn orders_start_no_hold_down() {
    let mut judge = Judge::new(Member::B).healthy();
    for _ in 0..20 {
        judge.wait(10);
        judge.status(4);
    }
    judge.hear(Role::Active, 4, Kind::Prepare);
    judge.grant(judge.now, 5);
    judge.tell(Event::Port(PortEvent::Active(Generation(5))));
    judge.hear(Role::Releasing, 5, Kind::Release);
    assert_eq!(judge.role(), Role::Active);
    assert_eq!(judge.machine.status(judge.now).hold_down, Duration::ZERO);
}
