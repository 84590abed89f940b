//! What a box with the firmware is inside: who runs as whom, who can read what, what listens; its console, SSH, DHCP, a new
//! data disk, and back to the state it was delivered in.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use e2e::netns::NetworkNamespace;
use e2e::pair::ground::Ground;
use e2e::pair::networks::Link;
use e2e::poll;
use e2e::qemu::appliance::{Appliance, BOOT_PATIENCE, Starter, stick};
use e2e::qemu::firmware::Firmware;
use e2e::tools::{run, run_ok};

/// Bytes of a disk that an operator puts into the box.
const NEW_DISK_BYTES: u64 = 256 << 20;
/// MiB that box and host both hash, to compare their processors.
const HASHED_MIB: u32 = 64;
/// Seconds that the box's clock may be off once it has asked, and the console takes to tell it.
const CLOCKS_APART: i64 = 10;
/// Users of the box's services, by their numbers.
const PORT: u32 = 810;
const JUDGE: u32 = 811;
const CHRONY: u32 = 812;
/// A port may do this and nothing else: CAP_NET_BIND_SERVICE, capability 10.
const PORT_CAPABILITIES: &str = "CapEff:\t0000000000000400";
/// Tells the port's process: by its supervisor, since the watchdog's probe is a program of the same name.
const SERVING: &str = "s6-svstat -o pid /run/service/storage-port";

/// A server on the WAN; ended when dropped.
struct Server(Child);

impl Server {
    fn start(namespace: &NetworkNamespace, program: &[&str]) -> Self {
        let server = Command::new("ip")
            .args(["netns", "exec", namespace.name(), "setpriv", "--pdeathsig", "KILL"])
            .args(program)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(server.unwrap())
    }

    /// DHCP, which gives one address.
    fn dhcp(namespace: &NetworkNamespace, dir: &Path, address: std::net::Ipv4Addr) -> Self {
        let (leases, file) = (dir.join("leases"), dir.join("udhcpd.conf"));
        File::create(&leases).unwrap();
        let settings = format!(
            "start {address}\nend {address}\ninterface {wan}\nlease_file {leases}\npidfile {pid}\n\
             option subnet 255.255.255.0\noption lease 600\n",
            wan = Link::Wan.interface(),
            leases = leases.display(),
            pid = dir.join("udhcpd.pid").display(),
        );
        fs::write(&file, settings).unwrap();
        Self::start(namespace, &["busybox", "udhcpd", "-f", file.to_str().unwrap()])
    }

    /// NTP, which tells this machine's time.
    fn ntp(namespace: &NetworkNamespace, dir: &Path) -> Self {
        let file = dir.join("chrony.conf");
        let settings = format!(
            "local stratum 3\nallow\ncmdport 0\nbindcmdaddress /\npidfile {}\n",
            dir.join("chrony.pid").display()
        );
        fs::write(&file, settings).unwrap();
        // It does not set the machine's clock.
        Self::start(namespace, &["chronyd", "-d", "-x", "-u", "root", "-f", file.to_str().unwrap()])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// UDP ports that answer, of those below 1024 and of the pair's and NFS's, seen from a namespace.
fn answering(namespace: &NetworkNamespace, address: &str) -> BTreeSet<String> {
    let scan = "-n -Pn -sU -p 1-1023,2049,7420,7421 --min-rate 200 --max-retries 1 -oG -";
    let arguments: Vec<&str> = scan.split(' ').chain([address]).collect();
    let text = String::from_utf8(namespace.run_ok("nmap", &arguments)).unwrap();
    let ports = text.split(['\t', ' ', ',']).filter(|word| word.contains("/open/udp/"));
    ports.map(|word| word.split('/').next().unwrap().to_owned()).collect()
}

/// PORT-18, PORT-4: a box whose clock stood still is put to a USB stick with a site file, a WAN with DHCP and NTP, and a
/// new disk; no daemon is root,
/// none can read what is another's, nothing listens but what docs/image.md has, nobody comes in without a key. At a
/// factory reset the configuration goes and the data disks stay.
#[test]
fn a_box_keeps_its_secrets_and_its_doors_shut_and_can_be_reset() {
    let firmware = Firmware::with_shell();
    let ground = Ground::new("box");
    let dir = ground.site.path().to_owned();
    let file = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    File::create(file("new.img")).unwrap().set_len(NEW_DISK_BYTES).unwrap();
    let new_disk = format!("file={},format=raw,if=none,id=new,cache=unsafe", file("new.img"));
    let stick_path = dir.join("stick.img");
    let disk = ["-drive", &new_disk, "-device", "virtio-blk-pci,drive=new"];
    // Without a battery, its clock stood still for years.
    let more = [&disk[..], &["-rtc", "base=2020-02-02"]].concat();
    let more: Vec<String> = more.into_iter().map(str::to_owned).chain(stick(&stick_path)).collect();
    let mut port = Appliance::new(&ground, &firmware.disk(), 0, Starter::Bios, &more);
    let (lan, wan) = (port.address(Link::Lan).to_string(), port.address(Link::Wan).to_string());

    run_ok("dropbearkey", &["-t", "ed25519", "-f", &file("key")]);
    let public = String::from_utf8(run_ok("dropbearkey", &["-y", "-f", &file("key")])).unwrap();
    let public = public.lines().find(|line| line.starts_with("ssh-ed25519")).unwrap();
    fs::write(file("authorized_keys"), format!("{public}\n")).unwrap();
    let more = "[time]\nntp = [\"10.98.0.10\"]\n[ssh]\nauthorized_keys_file = \"authorized_keys\"\n";
    let site = port.site_file(&ground, more).replace(&format!("\"{wan}/24\""), "\"dhcp\"");
    // One NIC by its place in the box, the other by its MAC.
    let site = site.replace(&port.mac(Link::Wan), &port.pci_path(Link::Wan));
    fs::write(file("site.toml"), site).unwrap();
    let secret = ground.site.secret_file(1);
    Appliance::fill_stick(
        &stick_path,
        &[
            ("site.toml", Path::new(&file("site.toml"))),
            ("customer-1.secret", &secret),
            ("authorized_keys", Path::new(&file("authorized_keys"))),
        ],
    );
    let dhcp = Server::dhcp(ground.center.namespace(), &dir, port.address(Link::Wan));
    let _ntp = Server::ntp(ground.center.namespace(), &dir);
    let ready = port.start_until_ready();
    let addresses = port.shell("ip -o -4 address show dev wan");
    assert!(addresses.contains(&format!("{wan}/24")), "{addresses}");
    drop(dhcp);
    poll::until("the box has the time", BOOT_PATIENCE, || {
        let told: i64 = port.shell("date +%s").parse().unwrap();
        let own: i64 = String::from_utf8(run_ok("date", &["+%s"])).unwrap().trim().parse().unwrap();
        ((own - told).abs() <= CLOCKS_APART).then_some(())
    });

    // Who listens, and who answers.
    let listening =
        port.shell("netstat -lntu | sed -n 's/^\\([a-z]*\\) *[0-9]* *[0-9]* \\([^ ]*\\).*/\\1 \\2/p'");
    let expected = ["tcp LAN:22", "tcp LAN:111", "tcp LAN:2049", "udp LAN:111", "udp LAN:2049"];
    let expected: BTreeSet<String> = expected.iter().map(|line| line.replace("LAN", &lan)).collect();
    let listening: BTreeSet<String> = listening.lines().map(str::to_owned).collect();
    assert_eq!(listening, expected);
    let answers = answering(ground.client.namespace(), &lan);
    assert!(answers.is_subset(&["111", "2049"].map(str::to_owned).into()), "{answers:?}");
    assert_eq!(answering(ground.center.namespace(), &wan), BTreeSet::new());

    // Who runs as whom.
    let status = port.shell(&format!("cat /proc/$({SERVING})/status"));
    for line in
        [&format!("Uid:\t{PORT}\t{PORT}\t{PORT}\t{PORT}"), PORT_CAPABILITIES, "NoNewPrivs:\t1", "Seccomp:\t2"]
    {
        assert!(status.contains(line), "no {line:?} in {status}");
    }
    assert_eq!(port.shell("cut -d : -f 2 /etc/shadow | sort -u"), "*", "nobody has a password");

    // Who can read what.
    for (user, may) in [
        (PORT, "/run/storage-port/network /run/storage-port/storage-port.toml"),
        (JUDGE, "/run/storage-port/network"),
        (CHRONY, "/run/storage-port/network"),
    ] {
        let read = port.shell(&format!(
            "for file in $(find /config /run/storage-port /run/ssh /esp /data -type f); do \
             /usr/bin/setpriv --reuid {user} --regid {user} --clear-groups cat $file >/dev/null 2>&1 && \
             echo $file; done | grep -v -e ^/data/ -e ^/run/storage-port/port/ | sort | tr '\\n' ' '"
        ));
        assert_eq!(read.trim(), may, "user {user}");
    }
    let files = port.shell("find /data /run/storage-port/port -type f | wc -l");
    assert!(
        files.trim().parse::<u32>().unwrap() > 0,
        "{files}: the port has its files where they were left out above"
    );
    for user in [JUDGE, CHRONY] {
        let read = port.shell(&format!(
            "for file in $(find /data /run/storage-port/port -type f); do /usr/bin/setpriv --reuid {user} --regid {user} \
             --clear-groups cat $file >/dev/null 2>&1 && echo $file; done; true"
        ));
        assert_eq!(read, "", "user {user} reads what is the port's");
    }

    // SSH, with the key alone.
    let client = ground.client.namespace().name();
    let login = |more: &[&str]| {
        let fixed = ["netns", "exec", client, "timeout", "60", "dbclient", "-T", "-y", "-y"];
        let target = format!("root@{lan}");
        run("ip", &[&fixed[..], more, &[&target, "cat /run/ready"]].concat())
    };
    let (with, without) = (login(&["-i", &file("key")]), login(&[]));
    assert!(String::from_utf8_lossy(&with.stdout).trim().parse::<f64>().is_ok(), "{with:?}");
    assert!(!without.status.success() && without.stdout.is_empty(), "{without:?}");

    measure(&mut port, ready.as_secs_f64());

    // What the box says of itself.
    port.say("doctor");
    // The last of its checks.
    println!("{}", port.wait("  address: ").1);
    assert!(!port.has_said("FAULT"), "the doctor has found something");

    // A new disk, and all else left alone.
    port.say("disk cache0 /dev/vda");
    port.wait("/dev/vda is on the disk that the box was started from");
    let new = port.shell("cd /sys/class/block && for disk in vd?; do blkid -c /dev/null /dev/$disk >/dev/null || echo $disk; done");
    port.say(&format!("disk cache2 /dev/{new}"));
    port.wait("is the disk cache2 from the next start on");
    port.say(&format!("disk cache3 /dev/{new}"));
    port.wait("has something on it: ext4");

    port.shell("echo kept >/data/cache0/mark; sync");
    let name = port.shell("hostname");
    port.say("factory-reset");
    port.say("somebody-else");
    port.wait("Nothing was done.");
    port.say("factory-reset");
    port.say(&name);
    port.wait("the configuration is empty; restarting");
    // The stick would set it up anew.
    Appliance::fill_stick(&stick_path, &[]);
    port.wait("There is no site file yet");
    assert_eq!(
        port.shell("cat /data/cache0/mark; ls -d /data/cache2/lost+found"),
        "kept\n/data/cache2/lost+found"
    );
    assert_eq!(port.shell("ls /config | grep -v lost+found | wc -l"), "0");
}

/// What docs/benchmarks.md has of the box.
fn measure(port: &mut Appliance, ready: f64) {
    let number = |text: &str| -> f64 {
        let digits: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
        digits.parse().unwrap()
    };
    let first = port.shell("dmesg | sed -n 's/^\\[ *\\([0-9.]*\\)\\] Run \\/init as init process/\\1/p'");
    let uptime = port.shell("cat /run/ready");
    let used = port.shell(
        "awk '/^MemTotal/ {total = $2} /^MemAvailable/ {free = $2} END {print total - free}' /proc/meminfo",
    );
    let resident = port.shell(&format!("sed -n 's/^VmRSS://p' /proc/$({SERVING})/status"));
    let hashing =
        format!("dd if=/dev/zero bs=1M count={HASHED_MIB} 2>/dev/null | busybox sha256sum >/dev/null");
    let before = number(&port.shell("cut -d ' ' -f 1 /proc/uptime"));
    port.shell(&hashing);
    let guest = number(&port.shell("cut -d ' ' -f 1 /proc/uptime")) - before;
    let start = Instant::now();
    run_ok("sh", &["-c", &hashing]);
    let slower = guest / start.elapsed().as_secs_f64();
    println!("| power-on to READY, s | {ready:.1} |");
    println!(
        "| of it from the initramfs's first program to READY, s | {:.1} |",
        number(&uptime) - number(&first)
    );
    println!("| SHA-256 of {HASHED_MIB} MiB takes the box so many times as long as the host | {slower:.1} |");
    println!("| memory that is not available when idle, MiB | {:.0} |", number(&used) / 1024.0);
    println!("| of it storage-port's resident, MiB | {:.0} |", number(&resident) / 1024.0);
}
