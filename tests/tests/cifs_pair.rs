//! CIFS clients of a failover pair: who writes when the address moves learns of it at once, and goes on at the other
//! port.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use e2e::pair::fault::Fault;
use e2e::pair::ground::Ground;
use e2e::pair::ours::{CIFS_PORT, CIFS_USER};
use e2e::pair::{Judges, Pair};
use e2e::poll;
use e2e::smbclient::Smbclient;

/// More than goes over before the address moves.
const LARGE_BYTES: u64 = 2 << 30;
/// A client that is told nothing waits 20 s and longer.
const BACK_WITHIN: Duration = Duration::from_secs(1);
/// A client that comes for the first time while nobody has the address: its kernel asks again after a second.
const NEW_WITHIN: Duration = Duration::from_millis(2_500);
/// A write is durable when all that the failed port had acknowledged, here some hundred MiB, is at the other port or, alone,
/// at the storage center.
const DURABLE_WITHIN: Duration = Duration::from_secs(10);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Goes by until the client is in the middle of its file.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// FO-2, PORT-1: planned and after a crash, a client in the middle of a write is cut off at once, not left waiting, and goes
/// on at the port that now has the address, within a second of the failure.
#[test]
fn clients_go_on_at_the_other_port() {
    let ground = Ground::new("cifs");
    let mut pair = Pair::start(&ground, 1, Judges::Failover);
    let server = SocketAddr::from((pair.address, CIFS_PORT));
    let client = Smbclient::new(server, CIFS_USER.name, CIFS_USER.password);
    let files = ground.site.path();
    let (large, small) = (files.join("large"), files.join("small"));
    fs::File::create(&large).unwrap().set_len(LARGE_BYTES).unwrap();
    fs::write(&small, b"small").unwrap();
    let run = |commands: &str| ground.client.namespace().entrance().inside(|| client.run("export", commands));
    run(&format!("put {} before", small.display())).good().unwrap();
    for fault in [Fault::PlannedMove, Fault::PowerOff] {
        let victim = pair.holder().expect("somebody has the address");
        let passive = pair.member(victim.other()).host.namespace();
        let refused = passive.entrance().inside(|| std::net::TcpStream::connect(("127.0.0.1", CIFS_PORT)));
        assert!(refused.is_err(), "a port that is off duty listens");
        let put = |file: &Path, name: &str| run(&format!("put {} {name}", file.display()));
        let served = || poll::until("a client is served", PATIENCE, || run("ls").is_good.then(Instant::now));
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let said = put(&large, "large");
                let (told, back) = (Instant::now(), served());
                put(&small, "after").good().unwrap();
                (said, [told, back, Instant::now()])
            });
            poll::pause(UNDER_WAY);
            assert!(!writer.is_finished(), "{fault:?}: the write was over before");
            let begun = Instant::now();
            fault.strike(&ground, &mut pair, victim);
            let struck = Instant::now();
            let new = served();
            let (said, times) = writer.join().unwrap();
            assert!(!said.is_good, "{fault:?}: {said:?}");
            let since = |at: Instant| at.saturating_duration_since(struck);
            let ([told, back, durable], new) = (times.map(since), since(new));
            println!(
                "{fault:?}: told after {told:.0?}, on again after {back:.0?}, a write durable after {durable:.0?}; a new \
                 client was served after {new:.0?} (struck in {:.0?})",
                struck - begun
            );
            assert!(back < BACK_WITHIN, "{fault:?}: told after {told:.1?}, on after {back:.1?}: {said:?}");
            assert!(durable < DURABLE_WITHIN, "{fault:?}: a write took {durable:.1?}");
            assert!(new < NEW_WITHIN, "{fault:?}: a new client waited for {new:.1?}");
        });
        assert_eq!(pair.holder(), Some(victim.other()), "{fault:?}");
        run("get before /dev/null; get after /dev/null; del large").good().unwrap();
        assert!(!run("get large /dev/null").is_good, "{fault:?}: what was deleted is there");
        if fault == Fault::PlannedMove {
            pair.wait_well();
        }
    }
}
