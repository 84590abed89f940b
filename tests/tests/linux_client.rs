//! Linux's own NFS client against the storage port: Debian's kernel in guests of the test, which mount as a server at a
//! site would.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use e2e::daemon::binary;
use e2e::data;
use e2e::poll;
use e2e::qemu::guest::Guest;
use e2e::qemu::lan::Lan;
use e2e::site::{PortSettings, Site};

/// Runs the command `center` beside the storage center.
fn center(lan: &Lan, site: &Site, arguments: &[&str]) -> Vec<u8> {
    let (url, secret) = (site.center_url(), site.secret_file(1));
    let fixed = ["--ddm", &url, "--customer", "1", "--secret-file", secret.to_str().unwrap()];
    let all: Vec<&str> = fixed.iter().chain(arguments).copied().collect();
    lan.namespace().run_ok(binary("center").to_str().unwrap(), &all)
}

/// The mount options the kernel has settled on, such as `proto`, of a mount point.
fn options(guest: &mut Guest, folder: &str) -> BTreeMap<String, String> {
    let line = guest.ok(&format!("grep ' {folder} ' /proc/mounts"));
    let options = line.split(' ').nth(3).unwrap();
    options
        .split(',')
        .map(|option| option.split_once('=').unwrap_or((option, "")))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// PORT-1, PORT-2: a mount that names nothing but the server and the path finds everything through rpcbind; both
/// exports are mounted and unmounted, by MOUNT over TCP and UDP, and `showmount` tells of it.
#[test]
fn a_plain_mount_finds_both_exports_through_rpcbind() {
    let lan = Lan::new("mount");
    let (_site, _port) = lan.serve(PortSettings::default());
    let mut guest = lan.boot(1);
    guest.ok("rpcbind; mount -t nfs -o vers=3 server:/export /mnt; mount -t nfs -o vers=3 server:/SRL /srl");
    let settled = options(&mut guest, "/mnt");
    let option = |key: &str| settled.get(key).map(String::as_str);
    assert_eq!(option("proto"), Some("tcp"));
    assert_eq!(option("hard"), Some(""));
    assert_eq!(option("local_lock"), Some("none"), "locks go to the server");
    assert_eq!([option("rsize"), option("wsize")], [Some("1048576"); 2]);
    guest.ok("echo contents > /mnt/file; mkdir /mnt/folder; grep -q contents /mnt/file");
    assert_eq!(guest.ok("ls /srl"), "file\nfolder");
    assert!(guest.ok("cat /srl/file").starts_with("http://"));
    assert_eq!(guest.ok("! touch /srl/new").lines().last(), Some("touch: /srl/new: Read-only file system"));
    assert_eq!(guest.ok("showmount --no-headers -e server | cut -d ' ' -f 1 | sort"), "/SRL\n/export");
    let mounts = guest.ok("showmount --no-headers -a server | sort");
    assert_eq!(mounts, "192.0.2.11:/SRL\n192.0.2.11:/export");
    guest.ok("umount /mnt /srl");
    assert_eq!(guest.ok("showmount --no-headers -a server"), "");
    guest.ok("mount -t nfs -o vers=3,mountproto=udp server:/export /mnt");
    assert_eq!(options(&mut guest, "/mnt")["mountproto"], "udp");
    guest.ok("grep -q contents /mnt/file; umount /mnt");
    assert_ne!(guest.run("mount -t nfs -o vers=3 server:/other /mnt").status, 0);
}

/// PORT-1: several connections of one mount carry its calls at once.
#[test]
fn one_mount_works_over_four_connections() {
    let lan = Lan::new("nconnect");
    let (_site, _port) = lan.serve(PortSettings::default());
    let mut guest = lan.boot(1);
    guest.ok("mount -t nfs -o vers=3,nolock,nconnect=4 server:/export /mnt");
    guest.ok("for file in 1 2 3 4 5 6 7 8; do
            (dd if=/dev/urandom of=/tmp/$file bs=1M count=2; cp /tmp/$file /mnt/$file) 2>/dev/null &
        done
        wait; sync; echo 3 > /proc/sys/vm/drop_caches
        cd /tmp; md5sum [1-8] > sums; cd /mnt; md5sum -c /tmp/sums");
    // Connections to port 2049 (0x801) that are established (1).
    let connections = guest.ok("awk '$3 ~ /:0801$/ && $4 == \"01\"' /proc/net/tcp | wc -l");
    assert_eq!(connections, "4");
    // What each connection has sent, of the line of its transport.
    let calls = guest.ok("grep 'xprt:' /proc/self/mountstats | awk '{ print $8 }'");
    assert!(calls.lines().all(|calls| calls.parse::<u64>().unwrap() > 5), "{calls}");
}

/// PORT-5: `ls -l` shows every entry of a large folder once, in bounded time.
#[test]
fn a_folder_of_ten_thousand_entries_is_listed() {
    const ENTRIES: usize = 10_000;
    let lan = Lan::new("ls");
    let (site, _port) = lan.serve(PortSettings::default());
    let folder = site.path().join("large");
    fs::create_dir(&folder).unwrap();
    for number in 0..ENTRIES {
        fs::write(folder.join(format!("entry-{number:05}")), []).unwrap();
    }
    center(&lan, &site, &["put", "-r", folder.to_str().unwrap(), "/large"]);
    let mut guest = lan.boot(1);
    guest.ok("mount -t nfs -o vers=3,nolock server:/export /mnt");
    let time = guest.ok("time -f '%e' ls -l /mnt/large > /tmp/list");
    println!("ls -l of {ENTRIES} entries: {time} s");
    let names = guest.ok("awk 'NF == 9 { print $9 }' /tmp/list | sort -u | md5sum; grep -c entry- /tmp/list");
    let expected: String = (0..ENTRIES).map(|number| format!("entry-{number:05}\n")).collect();
    assert_eq!(names, format!("{}  -\n{ENTRIES}", data::md5_hex(expected.as_bytes())));
    // The kernel asks by READDIRPLUS; a GETATTR for each entry would be its slow way.
    let asked =
        guest.ok("awk '$1 == \"READDIRPLUS:\" || $1 == \"GETATTR:\" { print $2 }' /proc/self/mountstats");
    let asked: Vec<u64> = asked.lines().map(|count| count.parse().unwrap()).collect();
    assert!(asked.iter().sum::<u64>() < 200, "GETATTR and READDIRPLUS: {asked:?}");
}

/// PORT-4, PORT-8, PORT-13: what the guest writes is what an SRL fetches, and what the center is given is what the guest reads.
#[test]
fn contents_are_the_same_at_both_ends() {
    let lan = Lan::new("sums");
    let (site, port) = lan.serve(PortSettings::default());
    let mut guest = lan.boot(1);
    guest.ok(
        "mount -t nfs -o vers=3,nolock server:/export /mnt; mount -t nfs -o vers=3,nolock server:/SRL /srl",
    );
    for bytes in [1, 4_097, 1_048_576, 5_000_011] {
        let sum = guest.ok(&format!(
            "head -c {bytes} /dev/urandom > /tmp/file; cp /tmp/file /mnt/from-guest; sync; md5sum < /tmp/file"
        ));
        let sum = sum.split(' ').next().unwrap();
        port.wait_uploaded(&site, sum);
        let url = guest.ok("cat /srl/from-guest");
        let fetched = lan.namespace().run_ok("curl", &["--silent", "--fail", "--max-time", "60", &url]);
        assert_eq!((fetched.len(), data::md5_hex(&fetched).as_str()), (bytes, sum));

        let sent = data::bytes(bytes as u64, bytes);
        let file = site.path().join("sent");
        fs::write(&file, &sent).unwrap();
        center(&lan, &site, &["put", file.to_str().unwrap(), &format!("/from-host-{bytes}")]);
        let read = guest.ok(&format!("md5sum < /mnt/from-host-{bytes}"));
        assert_eq!(read.split(' ').next().unwrap(), data::md5_hex(&sent));
        guest.ok("rm /mnt/*");
    }
}

/// PORT-1, PORT-6, PORT-9, PORT-11: what programs ask of a file system, in `tests/guest/operations`: names, contents, attributes, and
/// what is refused.
#[test]
fn programs_find_every_operation_of_a_file_system() {
    let lan = Lan::new("operations");
    // One file is over 4 GiB, most of it a hole: it is gone before it counts as quiet, and is never uploaded.
    let (_site, _port) =
        lan.serve(PortSettings { quiet: Duration::from_secs(60), ..PortSettings::default() });
    let mut guest = lan.boot(1);
    guest.ok("mount -t nfs -o vers=3,nolock server:/export /mnt");
    let report = guest.ok("nfs-guest operations /mnt");
    println!("{report}");
    assert_eq!(report.lines().filter(|line| line.starts_with("ok: ")).count(), 24, "{report}");
    assert_eq!(guest.ok("ls -A /mnt"), "");
}

/// PORT-5, PORT-12: kill -9 of the port costs a hard mount nothing but time: no error, no stale handle, no lost write,
/// no change done twice.
#[test]
fn a_hard_mount_outlives_the_port() {
    let lan = Lan::new("restart");
    let (site, mut port) = lan.serve(PortSettings::default());
    let mut guest = lan.boot(1);
    guest.ok("mount -t nfs -o vers=3,nolock server:/export /mnt; mkdir /mnt/work");
    guest.ok("nfs-guest endure /mnt/work /tmp/stop > /tmp/report 2>&1 & echo $! > /tmp/pid");
    let mut rounds = 0;
    for _ in 0..3 {
        // Some rounds after each start, so that the next crash comes amid work.
        rounds += 5;
        poll::until("the guest goes on", Duration::from_secs(100), || {
            let shown = guest.ok("kill -0 $(cat /tmp/pid) || { cat /tmp/report; exit 1; }
                cat /mnt/work/rounds 2>/dev/null || echo 0");
            shown.lines().last().and_then(|line| line.parse::<u64>().ok()).filter(|&done| done >= rounds)
        });
        port.daemon.kill_9();
        port.daemon.restart();
    }
    let report = guest.ok(
        "touch /tmp/stop; while kill -0 $(cat /tmp/pid) 2>/dev/null; do sleep 0.1; done; cat /tmp/report",
    );
    assert!(report.ends_with(" rounds") && report.lines().count() == 1, "{report}");
    let sum = guest.ok("echo 3 > /proc/sys/vm/drop_caches; md5sum < /mnt/work/records");
    port.wait_uploaded(&site, sum.split(' ').next().unwrap());
    assert_eq!(guest.ok("ls /mnt/work"), "records\nrounds");
}

/// What is kept of deleted and overwritten files is a tree like any other for the kernel: of other inodes than the files', not
/// listed, read-only, and what comes to it is seen, though no folder's own times tell of it.
#[test]
fn versions_are_a_tree_like_any_other() {
    let lan = Lan::new("versions");
    let (site, port) = lan.serve(PortSettings::default());
    let config = site.center_config();
    let arguments =
        ["customer", "keep", "--id", "1", "--seconds", "3600", "--config", config.to_str().unwrap()];
    lan.namespace().run_ok(binary("storage-center").to_str().unwrap(), &arguments);
    port.edit_config("squash = \"none\"", "squash = \"none\"\nversions = true");
    port.reload();
    let mut guest = lan.boot(1);
    guest.ok("mount -t nfs -o vers=3,nolock,actimeo=1 server:/export /mnt
        mkdir -p /mnt/docs/deep; echo first > /mnt/docs/report.txt; echo below > /mnt/docs/deep/file; sync");
    port.wait_nothing_owed();
    guest.ok("echo second > /mnt/docs/report.txt; rm /mnt/docs/deep/file; sync");
    port.wait_nothing_owed();
    assert_eq!(guest.ok("ls -A /mnt"), "docs");
    assert_eq!(guest.ok("cat /mnt/.versions/docs/report.*.txt"), "first");
    assert_eq!(guest.ok("cp -r /mnt/.versions /tmp/all; cat /tmp/all/docs/deep/file.*"), "below");
    assert_eq!(guest.ok("find /mnt /mnt/.versions -type f | wc -l"), "3");
    assert_eq!(
        guest
            .ok("find /mnt /mnt/.versions | while read path; do stat -c %i \"$path\"; done | sort | uniq -d"),
        ""
    );
    for change in ["touch /mnt/.versions/docs/x", "rm -rf /mnt/.versions", "mkdir /mnt/.versions/x"] {
        assert!(guest.ok(&format!("! {change} 2>&1")).contains("Read-only file system"), "{change}");
    }
    guest.ok("rm /mnt/docs/report.txt");
    poll::until("the folder shows what came to it", Duration::from_secs(40), || {
        (guest.ok("ls /mnt/.versions/docs | grep -c report") == "2").then_some(())
    });
    assert_eq!(
        guest.ok("cd /mnt/.versions/docs; cat $(ls report.* | tail -n 1); cd ../..; ls -A"),
        "second\ndocs"
    );
}
