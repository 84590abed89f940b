//! The bed of the failover tests sees what there is to see: with keepalived in place of our judge, outages of known
//! length, two owners of the address after kill -9, and nothing where nothing happens.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use e2e::pair::fault::Fault;
use e2e::pair::ground::Ground;
use e2e::pair::member::Side;
use e2e::pair::observer::Observer;
use e2e::pair::trial::Trial;
use e2e::pair::{Judges, Pair, table};
use e2e::poll;

/// FO-2: the probes tell an outage, a second owner and a quiet time apart.
#[test]
fn the_probes_see_outages_and_second_owners_and_nothing_else() {
    let ground = Ground::new("harness");
    let mut pair = Pair::start(&ground, 1, Judges::Keepalived);
    let mut observer = Observer::start(&ground, pair.address, false);
    observer.mark();
    poll::pause(Duration::from_secs(2));
    let quiet = observer.mark();
    assert_eq!(quiet.owner(&pair), Some(Side::A));
    assert_eq!((quiet.owners.changes, quiet.owners.twice), (0, Duration::ZERO), "{quiet:?}");
    assert!(quiet.calls.fresh.answered > 200 && quiet.calls.steady.answered > 100, "{quiet:?}");
    assert!(quiet.calls.fresh.outage < Duration::from_millis(250), "{quiet:?}");
    assert_eq!((quiet.calls.fresh.errors.count, quiet.calls.verifiers.len()), (0, 1), "{quiet:?}");

    let mut run = |fault| {
        let trial = Trial::run(
            &ground,
            &mut pair,
            &mut observer,
            fault,
            [Duration::from_millis(100), Duration::from_secs(4)],
        );
        println!("{}\n{}", table::head(), table::line(fault, std::slice::from_ref(&trial)));
        trial
    };
    // Three adverts missed and the skew: 0.3 to 0.4 s.
    let dead = run(Fault::PowerOff);
    assert_eq!(dead.after, Some(Side::B));
    assert!(dead.struck.calls.fresh.outage > Duration::from_millis(250), "{dead:?}");
    assert!(dead.struck.calls.fresh.outage < Duration::from_secs(2), "{dead:?}");
    assert!(dead.struck.calls.verifiers.len() > 1, "another server answers: {dead:?}");
    // The address stays where keepalived is gone, and the other takes it, too.
    let killed = run(Fault::KillJudge);
    assert!(killed.struck.owners.twice > Duration::from_secs(1), "{killed:?}");
    // A cable between the two is nothing to keepalived, which speaks on the LAN.
    let cut = run(Fault::HeartbeatCut);
    assert_eq!((cut.after, cut.struck.owners.changes), (Some(Side::A), 0), "{cut:?}");
    assert!(cut.struck.calls.fresh.outage < Duration::from_millis(250), "{cut:?}");
}
