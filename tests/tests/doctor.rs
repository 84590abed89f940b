//! `storage-port doctor` on set-ups that are broken in one way each: it names that one and nothing else. Issue: doctor
//! on ten broken set-ups names each.
//!
//! Each machine is a namespace with three NICs of the roles of a port of a pair (PORT-4, FO-6), across from another one
//! where the storage center, the site's router and the other port's addresses are.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use e2e::daemon::{Daemon, binary};
use e2e::netns::NetworkNamespace;
use e2e::poll;
use e2e::site::{PortSettings, Site};
use e2e::smbclient::{User, write_users};
use e2e::tmpfs::Tmpfs;
use e2e::tools::{quiet, run, run_ok};
use serde_json::Value;

/// How long a look may take. It has an end after ten seconds, and machines for tests are busy.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where the storage center is.
const CENTER: &str = "198.51.100.50";
/// Each role with the machine's address and those across from it.
const LINKS: [(&str, &str, &[&str]); 3] = [
    ("lan", "192.0.2.11/24", &["192.0.2.1/24", "192.0.2.12/24"]),
    ("wan", "198.51.100.7/24", &["198.51.100.50/24"]),
    ("heartbeat", "10.99.0.1/30", &["10.99.0.2/30"]),
];

/// The machine of port `a` of a pair, with nothing wrong; and what is around it.
struct Machine {
    own: NetworkNamespace,
    outside: NetworkNamespace,
    site: Site,
    config: PathBuf,
    disks: Vec<Tmpfs>,
}

impl Machine {
    fn new(purpose: &str) -> Self {
        let own = NetworkNamespace::new(&format!("doctor-{purpose}"));
        let outside = NetworkNamespace::new(&format!("doctor-{purpose}-out"));
        for (role, address, others) in LINKS {
            let peer = ["peer", "name", role, "netns", outside.name()];
            own.run_ok("ip", &[&["link", "add", role, "type", "veth"][..], &peer].concat());
            own.run_ok("ip", &["address", "add", address, "dev", role]);
            own.run_ok("ip", &["link", "set", role, "up"]);
            for other in others {
                outside.run_ok("ip", &["address", "add", other, "dev", role]);
            }
            outside.run_ok("ip", &["link", "set", role, "up"]);
        }
        let site = Site::start_at(Some(outside.name()), format!("{CENTER}:8080").parse().unwrap());
        let dir = site.path().join("port");
        let disks =
            ["cache0", "cache1", "journal", "state"].map(|disk| Tmpfs::mount(&dir.join(disk), "size=64m"));
        make_keys(&site, "keys");
        let keys = site.path().join("keys/a");
        let settings = PortSettings {
            address: Some(Ipv4Addr::UNSPECIFIED.into()),
            rpcbind: "serve",
            cache_bytes: 64 << 20,
            journal_bytes: 32 << 20,
            more: format!(
                "[pair]\nname = \"site-1\"\nmember = \"a\"\nlisten = \"10.99.0.1:7421\"\npeer = \"10.99.0.2:7421\"\n\
                 key_file = {:?}\ncertificate_file = {:?}\ncertificate_key_file = {:?}\nca_file = {:?}\n",
                keys.join("pair.key"),
                keys.join("port.pem"),
                keys.join("port.key"),
                keys.join("ca.pem"),
            ),
            ..PortSettings::default()
        };
        let (_, config) = site.write_port_config("port", &settings);
        let machine = Self { own, outside, site, config, disks: disks.into() };
        fs::write(machine.judge(), machine.judge_text("a", "keys")).unwrap();
        machine
    }

    /// The judge's configuration, where the doctor looks for it.
    fn judge(&self) -> PathBuf {
        self.config.with_file_name("port-failover.toml")
    }

    /// What a judge on either side has in its configuration; `keys` are those that it uses.
    fn judge_text(&self, member: &str, keys: &str) -> String {
        let (own, peer) = if member == "a" { (1, 2) } else { (2, 1) };
        format!(
            r#"
[pair]
name = "site-1"
member = "{member}"
key_file = "{dir}/{keys}/{member}/pair.key"
[heartbeat]
interface = "heartbeat"
listen = "10.99.0.{own}:7420"
peer = "10.99.0.{peer}:7420"
[lan]
interface = "lan"
listen = "192.0.2.1{own}:7420"
peer = "192.0.2.1{peer}:7420"
addresses = ["192.0.2.10/24"]
[wan]
interface = "wan"
[port]
state_dir = "{dir}/port/state"
[center]
ddm = ["{center}"]
customer = 1
secret_file = "{secret}"
[state]
dir = "{dir}/judge-{member}"
"#,
            dir = self.site.path().display(),
            center = self.site.center_url(),
            secret = self.site.secret_file(1).display(),
        )
    }

    /// All that the doctor says of it.
    #[track_caller]
    fn look(&self) -> Value {
        let program = binary("storage-port");
        let command = ["netns", "exec", self.own.name(), text(&program), "doctor", "--json", "--config"];
        let begun = Instant::now();
        let output = run("ip", &[&command[..], &[text(&self.config)]].concat());
        assert!(begun.elapsed() < PATIENCE, "the doctor took {:?}", begun.elapsed());
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let status = match report["outcome"].as_str().unwrap() {
            "ok" => 0,
            "warning" => 3,
            _ => 1,
        };
        assert_eq!(output.status.code(), Some(status), "{report:#}");
        report
    }

    /// The doctor names this fault, in these words, and says how to mend it; and names nothing else.
    #[track_caller]
    fn assert_names(&self, check: &str, words: &[&str]) {
        let report = self.look();
        let wrong = wrong(&report);
        assert_eq!(wrong.len(), 1, "{report:#}");
        let told = wrong[0];
        assert_eq!(
            (told["check"].as_str(), told["outcome"].as_str()),
            (Some(check), Some("fault")),
            "{report:#}"
        );
        assert!(told["mend"].as_str().is_some_and(|mend| !mend.is_empty()), "{report:#}");
        for word in words {
            assert!(told["text"].as_str().unwrap().contains(word), "`{word}` in {told:#}");
        }
    }

    /// Shares the exports with one user; gives the file that names him.
    fn share(&self) -> PathBuf {
        let users = self.site.path().join("cifs-users");
        let config = fs::read_to_string(&self.config).unwrap();
        let more = format!("\n[cifs]\nlisten = \"0.0.0.0:445\"\nusers = {users:?}\n");
        fs::write(&self.config, config + &more).unwrap();
        write_users(&users, &self.config, &[User { name: "alice", id: 1000, password: "Secret 1" }]);
        users
    }

    fn edit_config(&self, from: &str, to: &str) {
        let content = fs::read_to_string(&self.config).unwrap();
        assert!(content.contains(from), "{from} in {content}");
        fs::write(&self.config, content.replace(from, to)).unwrap();
    }
}

fn make_keys(site: &Site, folder: &str) {
    let out = site.path().join(folder);
    run_ok(text(&binary("storage-port")), &["pair", "keys", "--name", "site-1", "--out", text(&out)]);
}

/// Warnings and faults.
fn wrong(report: &Value) -> Vec<&Value> {
    let findings = report["findings"].as_array().unwrap();
    findings
        .iter()
        .filter(|finding| finding["outcome"] == "warning" || finding["outcome"] == "fault")
        .collect()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A program in the background, ended when dropped.
struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// PORT-4: nothing is named, whether the port runs or not, and all ten were looked at.
#[test]
fn a_healthy_machine_has_no_finding() {
    let machine = Machine::new("healthy");
    let checks = [
        "configuration",
        "nic",
        "clock",
        "dns",
        "center",
        "certificate",
        "pair-key",
        "disk",
        "port",
        "mtu",
        "address",
    ];
    let look = || {
        let report = machine.look();
        let findings = report["findings"].as_array().unwrap();
        let names: Vec<_> = findings.iter().map(|finding| finding["check"].as_str().unwrap()).collect();
        assert_eq!(names, checks);
        assert!(findings.iter().all(|finding| finding["outcome"] == "ok"), "{report:#}");
        findings[8]["text"].as_str().unwrap().to_owned()
    };
    assert!(look().contains("does not run"));
    let log = machine.site.path().join("port.log");
    let arguments = ["serve", "--config", text(&machine.config)];
    let port = Daemon::start_in(Some(machine.own.name()), "storage-port", &arguments, &log);
    assert!(look().contains("process"), "port 111 is its own");
    drop(port);

    // For people; and a file that cannot be read at all.
    let program = binary("storage-port");
    let say = |config: &Path| {
        let output = run(
            "ip",
            &["netns", "exec", machine.own.name(), text(&program), "doctor", "--config", text(config)],
        );
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = say(&machine.config);
    assert!(code == Some(0) && said.ends_with("All is well.\n"), "{said}");
    let (code, said) = say(Path::new("/no/such.toml"));
    assert!(code == Some(1) && said.contains("FAULT") && said.contains("/no/such.toml"), "{said}");
}

/// PORT-4, FO-6: an address at another NIC than that of its role.
#[test]
fn a_wrong_nic_role_is_named() {
    let machine = Machine::new("nic");
    machine.own.run_ok("ip", &["address", "del", "192.0.2.11/24", "dev", "lan"]);
    machine.own.run_ok("ip", &["address", "add", "192.0.2.11/24", "dev", "heartbeat"]);
    machine.assert_names("nic", &["192.0.2.11 is on heartbeat", "its place is lan"]);
}

/// A clock that is off by an hour: the center's own is what it is measured by.
#[test]
fn a_clock_that_is_off_is_named() {
    let machine = Machine::new("clock");
    let proxy = machine.site.path().join("haproxy.cfg");
    let timeouts = "timeout connect 5s\n timeout client 60s\n timeout server 60s";
    let content = format!(
        "defaults\n mode http\n {timeouts}\nfrontend late\n bind {CENTER}:8081\n default_backend center\n \
         http-response set-header Date %[date(3600),http_date]\nbackend center\n server center {CENTER}:8080\n"
    );
    fs::write(&proxy, content).unwrap();
    let command = ["netns", "exec", machine.outside.name(), "haproxy", "-db", "-f", text(&proxy)];
    let _proxy = Background(quiet("ip", &command));
    let entrance = machine.outside.entrance();
    poll::until("the proxy answers", Duration::from_secs(20), || {
        entrance.inside(|| std::net::TcpStream::connect((CENTER, 8081)).ok())
    });
    machine.edit_config(":8080", ":8081");
    machine.assert_names("clock", &["behind the storage center's", "this machine's clock is 3"]);
}

/// A storage center that is away.
#[test]
fn a_center_that_is_away_is_named() {
    let mut machine = Machine::new("center");
    machine.site.center.stop();
    machine.assert_names("center", &["http://198.51.100.50:8080", "refused"]);
    // In silence as well, and in time.
    let script =
        "add table ip deaf; add chain ip deaf in { type filter hook input priority 0; policy drop; }";
    machine.outside.run_ok("nft", &[script]);
    machine.assert_names("center", &["http://198.51.100.50:8080", "did not come in time"]);
}

/// A storage center's certificate that has expired, and one of an authority that nobody named.
#[test]
fn a_certificate_that_is_not_trusted_is_named() {
    let mut machine = Machine::new("certificate");
    let folder = machine.site.path().to_owned();
    let ca_file = folder.join("ca.pem");
    let serve = |machine: &mut Machine, until| {
        let authority = machine.site.serve_tls(CENTER, until);
        fs::write(&ca_file, authority).unwrap();
        run_ok("chmod", &["600", text(&ca_file)]);
    };
    serve(&mut machine, 2090);
    machine.edit_config("http://", "https://");
    machine.assert_names("certificate", &["https://198.51.100.50:8080", "not signed by an authority"]);
    machine.edit_config("[center]\n", &format!("[center]\nca_file = {ca_file:?}\n"));
    assert_eq!(wrong(&machine.look()), [&Value::Null; 0], "with its authority it is trusted");
    serve(&mut machine, 2021);
    machine.assert_names("certificate", &["https://198.51.100.50:8080", "has expired"]);
}

/// FO-11: two keys where there should be one: in the two daemons of a port, and in the two ports of a pair.
#[test]
fn a_pair_key_that_differs_is_named() {
    let machine = Machine::new("key");
    make_keys(&machine.site, "others");
    fs::write(machine.judge(), machine.judge_text("a", "others")).unwrap();
    machine.assert_names("pair-key", &["the port and its judge have different keys"]);
    fs::write(machine.judge(), machine.judge_text("a", "keys")).unwrap();

    let other = machine.site.path().join("other-judge.toml");
    fs::create_dir_all(machine.site.path().join("judge-b")).unwrap();
    fs::write(&other, machine.judge_text("b", "others")).unwrap();
    let log = fs::File::create(machine.site.path().join("other-judge.log")).unwrap();
    let judge = Command::new("ip")
        .args(["netns", "exec", machine.outside.name(), text(&binary("port-failover")), "run", "--config"])
        .arg(&other)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    let _judge = Background(judge.unwrap());
    poll::until("the other port's judge is heard", Duration::from_secs(60), || {
        let report = machine.look();
        let told = wrong(&report);
        let text = told.first()?["text"].as_str()?;
        (told.len() == 1 && told[0]["check"] == "pair-key" && text.contains("another key")).then_some(())
    });
}

/// PORT-4, PORT-21: a cache that is to hold more than its disk has, and a disk that cannot be written.
#[test]
fn a_disk_that_is_too_small_is_named() {
    let machine = Machine::new("disk");
    machine.disks[0].remount("size=16m");
    machine.assert_names("disk", &["[[cache.disk]]", "cache0", "may hold 32.0 MiB", "has 16.0 MiB"]);
    machine.disks[0].remount("size=64m");
    machine.disks[2].remount("ro");
    machine.assert_names("disk", &["[journal]", "read-only"]);
}

/// PORT-1: port 111 in somebody else's hands, and whose.
#[test]
fn a_port_that_is_taken_is_named() {
    let machine = Machine::new("port");
    let stranger = machine.own.entrance().inside(|| TcpListener::bind("0.0.0.0:111").unwrap());
    let pid = format!("process {}", std::process::id());
    machine.assert_names("port", &["port 111 for rpcbind", &pid]);
    drop(stranger);
    let stranger = machine.own.entrance().inside(|| TcpListener::bind("192.0.2.11:2049").unwrap());
    machine.assert_names("port", &["port 2049 for NFS", &pid]);
    drop(stranger);
    machine.share();
    let stranger = machine.own.entrance().inside(|| TcpListener::bind("0.0.0.0:445").unwrap());
    machine.assert_names("port", &["port 445 for CIFS", &pid]);
    drop(stranger);
}

/// PORT-1: whoever can read the file of users can have their passwords opened where the port's key is.
#[test]
fn users_whom_others_can_read_are_named() {
    let machine = Machine::new("users");
    let users = machine.share();
    assert!(wrong(&machine.look()).is_empty());
    fs::set_permissions(&users, fs::Permissions::from_mode(0o640)).unwrap();
    machine.assert_names("configuration", &[text(&users), "0640", "chmod 600"]);
}

/// A way to the storage center that loses large packets without a word.
#[test]
fn a_way_for_small_packets_alone_is_named() {
    let machine = Machine::new("mtu");
    let script = "add table inet narrow; add chain inet narrow in { type filter hook input priority 0; }; \
                  add rule inet narrow in meta length > 1400 drop";
    machine.outside.run_ok("nft", &[script]);
    machine.assert_names("mtu", &["http://198.51.100.50:8080", "several packets"]);
}

/// What a namespace has in place of files of `/etc`; gone when dropped.
struct Etc(PathBuf);

impl Etc {
    fn new(namespace: &NetworkNamespace, file: &str, content: &str) -> Self {
        let folder = Path::new("/etc/netns").join(namespace.name());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(file), content).unwrap();
        Self(folder)
    }
}

impl Drop for Etc {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A storage center's name that no name server tells.
#[test]
fn a_name_that_nobody_knows_is_named() {
    let machine = Machine::new("dns");
    let _etc = Etc::new(&machine.own, "resolv.conf", "nameserver 198.51.100.53\n");
    machine.edit_config(CENTER, "center.example");
    machine.assert_names("dns", &["center.example", "no name server answers: 198.51.100.53"]);
}

/// FO-2, FO-11: another machine at the LAN with the port's own address.
#[test]
fn an_address_that_another_machine_has_is_named() {
    let machine = Machine::new("address");
    machine.outside.run_ok("ip", &["address", "add", "192.0.2.11/24", "dev", "lan"]);
    machine.assert_names("address", &["own 192.0.2.11", "another machine"]);
}
