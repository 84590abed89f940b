//! CIFS clients of a failover pair: who writes when the address moves learns of it at once, and goes on at the other
//! port.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::SocketAddr;
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
/// A client that is told nothing waits 20 s and longer. The goal is a second on a quiet machine.
const TOLD_WITHIN: Duration = Duration::from_millis(2_500);
/// Goes by until the client is in the middle of its file.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// FO-2, PORT-1: planned and after a crash, a client in the middle of a write is cut off at once, not left waiting,
/// and the port that now has the address serves it.
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
        let put = format!("put {} large", large.display());
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let said = run(&put);
                (said, Instant::now())
            });
            poll::pause(UNDER_WAY);
            assert!(!writer.is_finished(), "{fault:?}: the write was over before");
            let begun = Instant::now();
            fault.strike(&ground, &mut pair, victim);
            let struck = Instant::now();
            let served = poll::until("a new client is served", Duration::from_secs(20), || {
                let said = run(&format!("put {} after", small.display()));
                said.is_good.then(Instant::now)
            });
            let (said, told) = writer.join().unwrap();
            assert!(!said.is_good, "{fault:?}: {said:?}");
            let [told, served] = [told, served].map(|at| at.saturating_duration_since(struck));
            println!(
                "{fault:?}: told after {told:.1?}, served after {served:.1?} (struck in {:.1?})",
                struck - begun
            );
            assert!(told < TOLD_WITHIN, "{fault:?}: the client waited for {told:.1?}: {said:?}");
            assert!(served < TOLD_WITHIN, "{fault:?}: nobody was served for {served:.1?}");
        });
        assert_eq!(pair.holder(), Some(victim.other()), "{fault:?}");
        run("get before /dev/null; get after /dev/null; del large").good().unwrap();
        if fault == Fault::PlannedMove {
            pair.wait_well();
        }
    }
}
