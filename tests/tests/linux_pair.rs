//! Linux's own client at a failover pair: Debian's kernel in a guest, a hard mount, a reading and a writing loop that
//! notice nothing but time.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use e2e::pair::fault::{Fault, Holder};
use e2e::pair::ground::Ground;
use e2e::pair::{Judges, Pair};
use e2e::poll;

/// What is done to the pair, one after the other; the planned moves lead there and back.
const FAULTS: [Fault; 8] = [
    Fault::PowerOff,
    Fault::KillService,
    Fault::KillBoth,
    Fault::PlannedMove,
    Fault::PlannedMove,
    Fault::HeartbeatCut,
    Fault::PathsCut,
    Fault::Frozen,
];
/// How long each lasts: longer than a Linux client's back-off of 3 s, so that one is seen.
const HELD: Duration = Duration::from_secs(4);
/// The goal is 0.5 s at a crash, on a quiet machine. An emulated processor on a busy one has stalls of its own; what a
/// client does that was refused (3 s) or met its old socket (181 s) is told from them all the same.
const STALL_MAX_MS: u64 = 2_500;

const MOUNT: &str = "mount -t nfs -o vers=3,nolock,hard,proto=tcp,port=2049,mountproto=tcp,mountport=2049 \
                     server:/export /mnt";

/// FO-2, FO-7, FO-8: crash, planned move, fail-back, a cut cable: no application error, and a short stall.
#[test]
fn linux_notices_nothing_but_a_short_stall() {
    let ground = Ground::new("linux");
    let mut pair = Pair::start(&ground, 1, Judges::Failover);
    let mut guest = ground.boot(1);
    guest.ok(&format!("{MOUNT}; mkdir /mnt/work"));
    guest.ok("nfs-guest stall /mnt/work /tmp/stop /tmp/stalls > /tmp/report 2>&1 & echo $! > /tmp/pid");
    poll::pause(Duration::from_secs(2));
    let mut slow = Vec::new();
    let quiet = guest.stalls();
    println!("| failure | longest read, ms | longest write and fsync, ms |\n|---|---|---|");
    println!("| none | {} | {} |", quiet[0], quiet[1]);
    for fault in FAULTS {
        let victim = pair.holder().expect("somebody has the address");
        fault.strike(&ground, &mut pair, victim);
        poll::pause(HELD);
        let [read, write] = guest.stalls();
        println!("| {} | {read} | {write} |", fault.title());
        let expected = if fault.holder() == Holder::Moves { victim.other() } else { victim };
        assert!(pair.has_address(expected), "{fault:?}: {expected:?} has the address");
        fault.mend(&ground, &mut pair, victim);
        pair.wait_well();
        let mended = guest.stalls();
        println!("| mended | {} | {} |", mended[0], mended[1]);
        if [read, write, mended[0], mended[1]].into_iter().any(|ms| ms > STALL_MAX_MS) {
            slow.push(format!("{}: {read}, {write}; mended: {mended:?}", fault.title()));
        }
    }
    let report = guest.ok(
        "touch /tmp/stop; while kill -0 $(cat /tmp/pid) 2>/dev/null; do sleep 0.1; done; cat /tmp/report",
    );
    assert!(report.ends_with(" rounds") && report.lines().count() == 1, "{report}");
    assert!(slow.is_empty(), "stalls in ms: {slow:?}");
}
