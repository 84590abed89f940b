//! FO-11: the rules of the lease, under two ports that play by them and a network that does not.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const LEASE_MS: u32 = 300;

fn acquire(from: u64, renewals: Option<u64>) -> LeaseQuestion {
    LeaseQuestion::Acquire { from: Generation(from), renewals, lease_ms: LEASE_MS }
}

fn renew(generation: u64) -> LeaseQuestion {
    LeaseQuestion::Renew { generation: Generation(generation), lease_ms: LEASE_MS }
}

/// One of two ports as it plays by the rules: it asks, waits on a clock of its own, and asks again.
#[derive(Clone, Copy, Debug, Default)]
struct Port {
    /// The newest it has heard of.
    known: u64,
    /// Its own, if it is active.
    active: Option<u64>,
    /// Its lease of the center ends then, on the one clock of the model.
    lease_until: u64,
    /// The number of it.
    renewals: u64,
    /// What it was told of the other's lease, and when that will have passed.
    waits: Option<(u64, u64)>,
}

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// Time goes on.
    Pass(u64),
    /// A port asks for the next generation; the answer may be lost.
    Acquire { member: Member, is_heard: bool },
    /// An active port renews; the answer may be lost.
    Renew { member: Member, is_heard: bool },
    /// An active port has its peer's lease again, and gives back the center's; the word may not come through.
    GiveBack { member: Member, is_heard: bool },
    /// An active port steps down and says so; the word may not come through.
    StepDown { member: Member, is_heard: bool },
    /// A port forgets all but what it has on disk.
    Restart(Member),
    /// A question that was sent before comes again, late.
    Late(usize),
}

fn member() -> impl Strategy<Value = Member> {
    prop_oneof![Just(Member::A), Just(Member::B)]
}

fn step() -> impl Strategy<Value = Step> {
    let heard = || prop::bool::weighted(0.8);
    prop_oneof![
        3 => (1..400_u64).prop_map(Step::Pass),
        4 => (member(), heard()).prop_map(|(member, is_heard)| Step::Acquire { member, is_heard }),
        3 => (member(), heard()).prop_map(|(member, is_heard)| Step::Renew { member, is_heard }),
        1 => (member(), heard()).prop_map(|(member, is_heard)| Step::GiveBack { member, is_heard }),
        1 => (member(), heard()).prop_map(|(member, is_heard)| Step::StepDown { member, is_heard }),
        1 => member().prop_map(Step::Restart),
        1 => any::<usize>().prop_map(Step::Late),
    ]
}

#[derive(Default)]
struct World {
    now: u64,
    center: Lease,
    ports: [Port; 2],
    /// Whose each generation is.
    granted: BTreeMap<u64, Member>,
    sent: Vec<(Member, LeaseQuestion)>,
}

impl World {
    fn port(&mut self, member: Member) -> &mut Port {
        &mut self.ports[usize::from(member == Member::B)]
    }

    /// The center's part, with what must hold of each answer.
    fn ask(&mut self, member: Member, question: LeaseQuestion) -> LeaseAnswer {
        self.sent.push((member, question));
        let (answer, next) = self.center.ask(member, question).expect("each port is one member");
        assert!(next.generation >= self.center.generation, "generations grow");
        assert!(next.renewals >= self.center.renewals, "renewals grow");
        if let (LeaseQuestion::Acquire { .. }, LeaseAnswer::Granted { generation, .. }) = (question, answer) {
            let owner = *self.granted.entry(generation.0).or_insert(member);
            assert_eq!(owner, member, "generation {generation} was granted twice");
        }
        self.center = next;
        answer
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Pass(span) => self.now += span,
            Step::Acquire { member, is_heard } => {
                let now = self.now;
                let Port { known, waits, .. } = *self.port(member);
                let renewals = waits.filter(|(_, until)| *until <= now).map(|(renewals, _)| renewals);
                let answer = self.ask(member, acquire(known, renewals));
                let port = self.port(member);
                match answer {
                    _ if !is_heard => {}
                    LeaseAnswer::Granted { generation, lease_ms, renewals } => {
                        let lease_until = now + u64::from(lease_ms);
                        let (known, active) = (generation.0, Some(generation.0));
                        *port = Port { known, active, lease_until, renewals, waits: None };
                    }
                    LeaseAnswer::Held { renewals, lease_ms, .. } => {
                        port.waits = Some((renewals, now + u64::from(lease_ms)));
                    }
                    LeaseAnswer::Superseded { generation } => {
                        *port = Port { known: generation.0, ..Port::default() };
                    }
                    other => panic!("{other:?}"),
                }
            }
            Step::Renew { member, is_heard } => {
                let now = self.now;
                let Some(generation) = self.port(member).active else { return };
                let answer = self.ask(member, renew(generation));
                let port = self.port(member);
                match answer {
                    _ if !is_heard => {}
                    LeaseAnswer::Granted { lease_ms, renewals, .. } => {
                        (port.lease_until, port.renewals) = (now + u64::from(lease_ms), renewals);
                    }
                    LeaseAnswer::Superseded { generation } => {
                        *port = Port { known: generation.0, ..Port::default() };
                    }
                    other => panic!("{other:?}"),
                }
            }
            Step::GiveBack { member, is_heard } => {
                let port = self.port(member);
                let Some(generation) = port.active else { return };
                port.lease_until = 0;
                let question = LeaseQuestion::Release {
                    generation: Generation(generation),
                    renewals: Some(port.renewals),
                };
                match is_heard {
                    true => drop(self.ask(member, question)),
                    false => self.sent.push((member, question)),
                }
            }
            Step::StepDown { member, is_heard } => {
                let Some(generation) = self.port(member).active.take() else { return };
                self.port(member).lease_until = 0;
                if is_heard {
                    self.ask(
                        member,
                        LeaseQuestion::Release { generation: Generation(generation), renewals: None },
                    );
                }
            }
            Step::Restart(member) => {
                // The kernel keeps the fence open as long as the lease.
                let Port { known, lease_until, .. } = *self.port(member);
                *self.port(member) = Port { known, lease_until, ..Port::default() };
            }
            Step::Late(which) => {
                if !self.sent.is_empty() {
                    let (member, question) = self.sent[which % self.sent.len()];
                    self.ask(member, question);
                }
            }
        }
        let now = self.now;
        let leased = self.ports.iter().filter(|port| now < port.lease_until).count();
        assert!(leased <= 1, "two leases at {now}: {:?}", self.ports);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// FO-11: whatever is lost, repeated, late or forgotten, no generation is granted to both ports, and never do both
    /// have a lease of the center.
    #[test]
    fn there_are_never_two_leases_and_no_generation_is_granted_twice(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::default();
        steps.into_iter().for_each(|step| world.take(step));
    }
}
