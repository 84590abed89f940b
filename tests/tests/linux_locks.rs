//! Locks of Linux's own NFS clients, in two guests with their own lock daemons: between the guests, and when one of
//! them or the port restarts.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use e2e::qemu::guest::Guest;
use e2e::qemu::lan::Lan;
use e2e::site::PortSettings;

/// mount.nfs starts rpc.statd where there is none; rpcbind is there before, as on any machine.
const MOUNT: &str = "rpcbind; mount -t nfs -o vers=3 server:/export /mnt";
/// For what takes milliseconds on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// For a lock given by call-back. A Linux client asks again by itself only after 30 s.
const CALL_BACK: Duration = Duration::from_secs(20);

/// Whether a guest is given a lock of `/mnt/file` at once: `granted`, or `denied` with the bytes in the way.
fn probe(guest: &mut Guest, piece: &str) -> String {
    guest.run(&format!("nfs-guest lock /mnt/file {piece}")).output.trim().to_owned()
}

/// Has a process of a guest wait for a lock of `/mnt/file` and keep it. The process is called by its `name`.
fn hold(guest: &mut Guest, name: &str, piece: &str) {
    guest.ok(&format!(
        "nfs-guest hold /mnt/file {piece} /tmp/{name}.held /tmp/{name}.release > /tmp/{name}.log 2>&1 &
        echo $! > /tmp/{name}.pid"
    ));
}

/// Waits until that process has its lock.
#[track_caller]
fn wait_held(guest: &mut Guest, name: &str, patience: Duration) {
    wait_for(guest, &format!("test -e /tmp/{name}.held"), patience);
}

/// Waits until that process waits for its lock.
#[track_caller]
fn wait_blocked(guest: &mut Guest, name: &str) {
    wait_for(guest, &format!("grep -q nlmclnt_block /proc/$(cat /tmp/{name}.pid)/wchan"), PATIENCE);
}

/// Waits until a command succeeds in the guest.
#[track_caller]
fn wait_for(guest: &mut Guest, command: &str, patience: Duration) {
    let seconds = patience.as_secs();
    guest.ok(&format!("timeout {seconds} sh -c 'until {command}; do sleep 0.05; done'"));
}

/// Has that process give its lock back.
fn release(guest: &mut Guest, name: &str) {
    guest.ok(&format!("touch /tmp/{name}.release"));
    wait_for(guest, &format!("test ! -e /proc/$(cat /tmp/{name}.pid)"), PATIENCE);
    assert_eq!(guest.ok(&format!("cat /tmp/{name}.log")), "");
}

/// Locks of two clients exclude each other byte by byte, whole-file locks (`flock`) too. A lock that was waited for is
/// given by a call-back as soon as it is free; one that nobody waits for any more is not given.
#[test]
fn locks_of_two_clients_exclude_each_other() {
    let lan = Lan::new("locks");
    let (_site, _port) = lan.serve(PortSettings::default());
    let [mut one, mut two] = lan.boot_all::<2>();
    one.ok(MOUNT);
    two.ok(MOUNT);
    hold(&mut one, "first", "write 100 100");
    wait_held(&mut one, "first", PATIENCE);
    assert_eq!(probe(&mut two, "read 199 1"), "denied: 100 100");
    assert_eq!(probe(&mut two, "write 0 0"), "denied: 100 100");
    assert_eq!(probe(&mut two, "write 0 100"), "granted");
    assert_eq!(probe(&mut two, "write 200 0"), "granted");
    assert_eq!(probe(&mut two, "write 9223372036854775000 100"), "granted");

    hold(&mut two, "shared", "read 300 100");
    wait_held(&mut two, "shared", PATIENCE);
    assert_eq!(probe(&mut one, "read 350 1"), "granted");
    assert_eq!(probe(&mut one, "write 350 1"), "denied: 300 100");
    release(&mut two, "shared");
    assert_eq!(probe(&mut one, "write 350 1"), "granted");

    // Waits, and gives up.
    hold(&mut two, "late", "write 150 1");
    wait_blocked(&mut two, "late");
    two.ok("kill $(cat /tmp/late.pid)");
    wait_for(&mut two, "test ! -e /proc/$(cat /tmp/late.pid)", PATIENCE);
    // Waits, and is given it.
    hold(&mut two, "second", "write 150 100");
    wait_blocked(&mut two, "second");
    release(&mut one, "first");
    wait_held(&mut two, "second", CALL_BACK);
    assert_eq!(probe(&mut one, "write 0 0"), "denied: 150 100");
    release(&mut two, "second");
    assert_eq!(probe(&mut one, "write 0 0"), "granted");

    one.ok(
        "flock -x /mnt/whole -c 'touch /tmp/whole.held; while [ -e /tmp/whole.held ]; do sleep 0.05; done' \
            > /dev/null 2>&1 &
        while [ ! -e /tmp/whole.held ]; do sleep 0.05; done",
    );
    assert_ne!(two.run("flock -n -x /mnt/whole true").status, 0);
    one.ok("rm /tmp/whole.held; flock -x /mnt/whole true");
    two.ok("flock -n -x /mnt/whole true; umount /mnt");
}

/// A client that loses its power says so when it is back, and its locks are free for others.
#[test]
fn a_client_that_reboots_loses_its_locks() {
    let lan = Lan::new("reboot");
    let (_site, _port) = lan.serve(PortSettings::default());
    let [mut one, mut two] = lan.boot_all::<2>();
    one.ok(MOUNT);
    two.ok(MOUNT);
    hold(&mut one, "first", "write 0 0");
    wait_held(&mut one, "first", PATIENCE);
    hold(&mut two, "second", "write 0 10");
    wait_blocked(&mut two, "second");
    // A guest's files are in its memory; a real client has these on a disk.
    let kept = one.ok("tar c -C /var/lib nfs | base64");
    one.kill();
    one.start();
    assert_ne!(two.run("test -e /tmp/second.held").status, 0, "only the client's word frees its locks");
    one.ok(&format!("echo '{kept}' | base64 -d | tar x -C /var/lib; rpcbind; rpc.statd"));
    wait_held(&mut two, "second", CALL_BACK);
}

/// Locks outlive the port: it tells the clients that had some, they take them again, and until they could have done so
/// nobody else is given any.
#[test]
fn locks_are_taken_again_after_the_port_restarts() {
    let lan = Lan::new("reclaim");
    let (_site, mut port) = lan.serve(PortSettings { grace_seconds: 15, ..PortSettings::default() });
    let [mut one, mut two] = lan.boot_all::<2>();
    one.ok(MOUNT);
    two.ok(MOUNT);
    hold(&mut one, "first", "write 0 100");
    wait_held(&mut one, "first", PATIENCE);
    port.daemon.kill_9();
    port.daemon.restart();
    // The kernel's client asks again for as long as it is told that only old locks are taken.
    assert_eq!(probe(&mut two, "write 50 1"), "denied: 0 100");
    assert_eq!(probe(&mut two, "write 100 1"), "granted");
    release(&mut one, "first");
    assert_eq!(probe(&mut two, "write 50 1"), "granted");
}
