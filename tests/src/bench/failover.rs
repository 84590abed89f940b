//! `./bench failover`: a pair with `port-failover` and one with Debian's keepalived under the same failures, by turns,
//! and what a client saw of each.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::pair::fault::Fault;
use crate::pair::ground::Ground;
use crate::pair::observer::Observer;
use crate::pair::trial::Trial;
use crate::pair::{Judges, Pair, table};
use crate::poll;

/// Both, with their names in the tables.
const ALL: [(Judges, &str); 2] =
    [(Judges::Failover, "port-failover"), (Judges::Keepalived, "keepalived, adverts every 0.1 s")];
/// How long nothing happens before: what a pair has to settle after the last failure is settled.
const QUIET: Duration = Duration::from_millis(1_500);
/// How long a failure lasts: longer than keepalived's script and Linux's back-off of 3 s, so that what comes back at all
/// comes back.
const HELD: Duration = Duration::from_millis(3_600);

/// Lets each failure whose title contains `filter` happen `rounds` times to each, and prints the tables.
pub fn compare(rounds: usize, filter: &str) {
    let faults: Vec<Fault> = Fault::ALL.into_iter().filter(|fault| fault.title().contains(filter)).collect();
    assert!(!faults.is_empty(), "no failure has {filter:?} in its title");
    let mut systems = ALL.map(|(judges, name)| {
        let ground = Ground::new("bench");
        let pair = Pair::start(&ground, 1, judges);
        (name, pair, ground, BTreeMap::<&str, Vec<Trial>>::new())
    });
    for round in 1..=rounds {
        for &fault in &faults {
            for (name, pair, ground, trials) in &mut systems {
                eprintln!("round {round} of {rounds}: {}: {name}", fault.title());
                let mut observer = Observer::start(ground, pair.address, false);
                let trial = Trial::run(ground, pair, &mut observer, fault, [QUIET, HELD]);
                trials.entry(fault.title()).or_default().push(trial);
            }
        }
    }
    for (name, _, _, trials) in &systems {
        println!("\n{name}\n\n{}", table::head());
        for fault in &faults {
            println!("{}", table::line(*fault, &trials[fault.title()]));
        }
    }
}

/// Watches both for so many minutes while every processor is busy: nothing happens to them, so the address stays.
pub fn keep_busy(minutes: u64) {
    let systems = ALL.map(|(judges, name)| {
        let ground = Ground::new("busy");
        let pair = Pair::start(&ground, 1, judges);
        let observer = Observer::start(&ground, pair.address, false);
        (name, observer, pair, ground)
    });
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // One more than there are processors: none is ever idle.
        for _ in 0..=thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let mut number = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    number = black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
                }
            });
        }
        poll::pause(Duration::from_secs(60 * minutes));
        stop.store(true, Ordering::Relaxed);
    });
    println!(
        "| all processors busy for {minutes} minutes | false takeovers | two owners, ms | longest outage, ms |"
    );
    println!("|---|---|---|---|");
    for (name, mut observer, _pair, _ground) in systems {
        let seen = observer.mark();
        let (owners, fresh) = (&seen.owners, &seen.calls.fresh);
        println!(
            "| {name} | {} | {} | {} |",
            owners.changes,
            owners.twice.as_millis(),
            fresh.outage.as_millis()
        );
    }
}
