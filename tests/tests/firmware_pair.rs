//! Two boxes with the firmware as a failover pair: one loses its power, or hangs until its watchdog bites, and Linux's
//! client notices nothing but time.

#![allow(clippy::unwrap_used)]

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use e2e::daemon::binary;
use e2e::data;
use e2e::pair::ground::Ground;
use e2e::pair::networks::{Link, REFERENCE};
use e2e::pair::observer::OwnersObserver;
use e2e::poll;
use e2e::qemu::appliance::{Appliance, BOOT_PATIENCE, Starter};
use e2e::qemu::firmware::Firmware;
use e2e::tools::run_ok;

/// Times the power is cut, first of one box and then of the other; `IMAGE_CUTS` says fewer.
const CUTS: usize = 2;
/// What clients mount.
const FLOATING: &str = "192.0.2.1";
/// How long it may take to find out who answers for an address.
const ASKING: Duration = Duration::from_secs(2);
/// How long the loops go on at a pair that was left alone.
const QUIET: Duration = Duration::from_secs(5);

/// The judges' timers and the time of the mirror to acknowledge, forty times the defaults: an emulated processor is away for hundreds of milliseconds when another
/// one has the real one.
const TIMERS: &str = "[advanced.port-failover.timers]\nlease_ms = 4000\nquery_ms = 400\ncenter_lease_ms = 12000\n\
    center_lease_alone_ms = 24000\nwan_lost_ms = 18000\nservice_probe_ms = 2000\nservice_silent_ms = 12000\n\
    lan_probe_ms = 2000\nlan_silent_ms = 14000\n[advanced.storage-port.pair]\nacknowledge_ms = 10000\n";

/// The site file's tables of a member.
fn pair_tables(own: &Appliance, peer: &Appliance, member: &str) -> String {
    format!(
        "[heartbeat]\nnic = \"{nic}\"\naddress = \"{heartbeat}/24\"\n[pair]\nname = \"site-1\"\nmember = \"{member}\"\n\
         addresses = [\"{FLOATING}/24\"]\npeer_lan = \"{peer_lan}\"\npeer_heartbeat = \"{peer_heartbeat}\"\n\
         keys = \"pair\"\nreference = [\"{REFERENCE}\"]\n[[export]]\npath = \"/export\"\ntree = \"files\"\nsquash = \"none\"\n\
         {TIMERS}",
        nic = own.mac(Link::Heartbeat),
        heartbeat = own.address(Link::Heartbeat),
        peer_lan = peer.address(Link::Lan),
        peer_heartbeat = peer.address(Link::Heartbeat),
    )
}

/// Which box a client reaches: the one whose MAC answers for the floating address.
fn holder(ground: &Ground, boxes: &[Appliance; 2]) -> Option<usize> {
    let client = ground.client.namespace();
    let lan = Link::Lan.interface();
    client.run_ok("ip", &["neigh", "flush", "to", FLOATING, "dev", lan]);
    // Whatever comes of it, the kernel has asked who has the address.
    let service = SocketAddr::new(FLOATING.parse().unwrap(), 2_049);
    let _ = client.entrance().inside(|| TcpStream::connect_timeout(&service, ASKING));
    let told = client.run_ok("ip", &["neigh", "show", FLOATING, "dev", lan]);
    let told = String::from_utf8_lossy(&told).into_owned();
    boxes.iter().position(|port| told.contains(&port.mac(Link::Lan)))
}

/// PORT-19, FO-2, FO-11: a box of a pair loses its power under a load of writes; the other one goes on, and after the first
/// is back, so it is the other way round. Then all programs of the one that serves stop for good, while its kernel lives on:
/// the other one has the address, alone, and the watchdog restarts the first. The client's program gets no error, every
/// byte is what was written, and the client's kernel has nothing to complain of.
#[test]
fn a_pair_of_boxes_serves_on_when_one_loses_its_power_or_hangs() {
    let firmware = Firmware::with_shell();
    let ground = Ground::new("boxes");
    let keys = ground.site.path().join("keys");
    let [port, keys_text] =
        [binary("storage-port"), keys.clone()].map(|path| path.to_str().unwrap().to_owned());
    run_ok(&port, &["pair", "keys", "--name", "site-1", "--out", &keys_text]);
    let mut boxes =
        [0, 1].map(|number| Appliance::new(&ground, &firmware.disk(), number, Starter::Bios, &[]));
    for (own, peer, member) in [(0, 1, "a"), (1, 0, "b")] {
        boxes[own].provision(&ground, &pair_tables(&boxes[own], &boxes[peer], member));
        boxes[own].put_folder("pair", &keys.join(member));
    }
    boxes.iter_mut().for_each(Appliance::start);
    boxes.iter_mut().for_each(|port| drop(port.wait("STORAGE-PORT READY")));
    poll::until("one box has the address", BOOT_PATIENCE, || holder(&ground, &boxes));

    let mut guest = ground.boot(1);
    guest.ok(&format!(
        "mount -t nfs -o vers=3,nolock,hard,proto=tcp,port=2049,mountproto=tcp,mountport=2049 {FLOATING}:/export /mnt
        mkdir /mnt/work; head -c 3000000 /dev/urandom > /mnt/file; sync; md5sum < /mnt/file > /tmp/sum"
    ));
    guest.ok("nfs-guest stall /mnt/work /tmp/stop /tmp/stalls > /tmp/report 2>&1 & echo $! > /tmp/pid");
    poll::pause(QUIET);
    println!("| | longest read, ms | longest write and fsync, ms |\n|---|---|---|");
    let quiet = guest.stalls();
    println!("| quiet | {} | {} |", quiet[0], quiet[1]);
    let mut observer = OwnersObserver::start(&ground, FLOATING.parse().unwrap());
    let cuts = data::figure("IMAGE_CUTS", CUTS).min(CUTS);
    for failure in std::iter::repeat_n("power", cuts).chain(["hang"]) {
        let victim = holder(&ground, &boxes).expect("one box has the address");
        observer.mark();
        match failure {
            // Init, and the console that says it, go on.
            "hang" => boxes[victim].say("shell kill -STOP -1"),
            _ => boxes[victim].kill(),
        }
        poll::until("the other box has the address", BOOT_PATIENCE, || {
            (holder(&ground, &boxes) == Some(1 - victim)).then_some(())
        });
        poll::pause(QUIET);
        let [read, write] = guest.stalls();
        println!("| {failure} of box{victim} | {read} | {write} |");
        let owners = observer.mark();
        assert_eq!((owners.changes, owners.twice), (1, Duration::ZERO), "{failure}: {owners:?}");
        match failure {
            "hang" => {
                let (bitten, _) = boxes[victim].wait("starting slot a");
                println!("the watchdog has bitten after {:.1} s", bitten.as_secs_f64());
                boxes[victim].wait("STORAGE-PORT READY");
            }
            _ => drop(boxes[victim].start_until_ready()),
        }
        poll::until("the box that is back has the other's journal", BOOT_PATIENCE, || {
            boxes[1 - victim].say("status");
            // The menu comes again when all is said.
            boxes[1 - victim].wait("state | status |");
            boxes[1 - victim].has_said("what it acknowledges is on the other port, too").then_some(())
        });
        let [read, write] = guest.stalls();
        println!("| box{victim} is back | {read} | {write} |");
        assert_eq!(holder(&ground, &boxes), Some(1 - victim), "nothing moves back by itself");
    }
    let report = guest
        .ok("touch /tmp/stop; while kill -0 $(cat /tmp/pid) 2>/dev/null; do sleep 0.1; done; cat /tmp/report
        cd /; umount /mnt
        mount -t nfs -o vers=3,nolock,hard,proto=tcp,port=2049,mountproto=tcp,mountport=2049 192.0.2.1:/export /mnt
        md5sum < /mnt/file | cmp - /tmp/sum
        ! dmesg | grep -i -e 'nfs.*not responding' -e 'nfs.*error' -e 'rpc.*error'");
    assert!(report.ends_with(" rounds") && report.lines().count() == 1, "{report}");
}
