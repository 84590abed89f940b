//! A pair of the product: `storage-port` with a section `[pair]`, and `port-failover`.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use serde_json::Value;

use super::Pair;
use super::ground::Ground;
use super::member::{Member, Side, text};
use super::networks::{Host, Link, REFERENCE};
use super::process::Process;
use crate::cluster::certificates::Authority;
use crate::daemon::binary;
use crate::site::{PortSettings, write_password_hash};
use crate::smbclient::{self, User};
use crate::tools::{run, run_ok};

/// Bytes of the pair's key, in base64: the harness has nothing to keep secret.
const KEY: &str = "cGFpciBrZXkgb2YgdGhlIGVuZC10by1lbmQgdGVzdHM=\n";
/// Where the judges hear each other, and where the ports mirror their journals.
const JUDGE_PORT: u16 = 7_420;
const MIRROR_PORT: u16 = 7_421;
/// Where the exports are shared by CIFS.
pub const CIFS_PORT: u16 = 445;
/// Who may log on there.
pub const CIFS_USER: User = User { name: "root", id: 0, password: "of the end-to-end tests" };
/// Where the daemons of a host show their metrics, to that host alone.
pub const PORT_METRICS: &str = "127.0.0.1:9817";
/// The judge's.
pub const JUDGE_METRICS: &str = "127.0.0.1:9818";
/// The status page of a host's port, to that host alone.
pub const STATUS_PAGE: &str = "127.0.0.1:9820";
/// Cache disks of a port, as [`crate::site`] makes them.
pub const CACHE_DISKS: [&str; 2] = ["cache0", "cache1"];

/// Starts the daemons of both hosts.
pub(super) fn members(ground: &Ground, number: u8, address: Ipv4Addr, hosts: [Host; 2]) -> [Member; 2] {
    // Each pair has a customer of its own, and so its own exports.
    if number > 1 {
        ground.site.add_customer(number.into(), &[]);
    }
    let keys = ground.site.path().join(format!("pair{number}"));
    fs::create_dir_all(&keys).unwrap();
    let key = keys.join("pair.key");
    fs::write(&key, KEY).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let password_hash = write_password_hash(&keys);
    let authority = Authority::new(&keys, "pair-ca");
    let users = keys.join("cifs-users");
    let [one, other] = &hosts;
    let texts = [(Side::A, one, other), (Side::B, other, one)].map(|(side, own, peer)| {
        let letter = side.letter();
        let certificate = authority.issue(&format!("{letter}.site-{number}"));
        let at = |host: &Host, link, port| format!("{}:{port}", host.address(link));
        let name = format!("site-{number}");
        let dir = ground.site.path().join(format!("{letter}{number}"));
        let port = format!(
            r#"
[pair]
name = "{name}"
member = "{letter}"
key_file = "{key}"
listen = "{listen}"
peer = "{peer}"
certificate_file = "{certificate}"
certificate_key_file = "{certificate_key}"
ca_file = "{ca}"
when_alone = "write-through"

[metrics]
listen = "{PORT_METRICS}"

[status_page]
listen = "{STATUS_PAGE}"
judge_state_dir = "{judge_state}"
password_hash_file = "{password_hash}"

[cifs]
listen = "0.0.0.0:{CIFS_PORT}"
users = "{users}"
"#,
            key = key.display(),
            judge_state = dir.join("judge").display(),
            password_hash = password_hash.display(),
            listen = at(own, Link::Heartbeat, MIRROR_PORT),
            peer = at(peer, Link::Heartbeat, MIRROR_PORT),
            certificate = certificate.certificate.display(),
            certificate_key = certificate.key.display(),
            ca = authority.certificate().display(),
            users = users.display(),
        );
        let judge = format!(
            r#"
[pair]
name = "{name}"
member = "{letter}"
key_file = "{key}"

[heartbeat]
interface = "{heartbeat}"
listen = "{heartbeat_listen}"
peer = "{heartbeat_peer}"

[lan]
interface = "{lan}"
listen = "{lan_listen}"
peer = "{lan_peer}"
addresses = ["{address}/24", "2001:db8::{number:x}/64"]
reference = ["{REFERENCE}"]

[wan]
interface = "{wan}"

[port]
state_dir = "{dir}/state"
cifs_port = {CIFS_PORT}

[center]
ddm = ["{center}"]
customer = {number}
secret_file = "{secret}"

[state]
dir = "{dir}/judge"

# Trials come one after the other: nobody is at rest between them.
[timers]
hold_down_ms = 100
hold_down_max_ms = 100

[health]
threshold = 100
cache_disks = ["{dir}/cache0", "{dir}/cache1"]
journal_disks = ["{dir}/journal"]

[metrics]
listen = "{JUDGE_METRICS}"
"#,
            key = key.display(),
            heartbeat = Link::Heartbeat.interface(),
            heartbeat_listen = at(own, Link::Heartbeat, JUDGE_PORT),
            heartbeat_peer = at(peer, Link::Heartbeat, JUDGE_PORT),
            lan = Link::Lan.interface(),
            lan_listen = at(own, Link::Lan, JUDGE_PORT),
            lan_peer = at(peer, Link::Lan, JUDGE_PORT),
            wan = Link::Wan.interface(),
            dir = dir.display(),
            center = ground.site.center_url(),
            secret = ground.site.secret_file(number.into()).display(),
        );
        (format!("{letter}{number}"), port, judge)
    });
    let mut texts = texts.into_iter();
    hosts.map(|host| {
        let (name, port, judge) = texts.next().expect("one for each");
        let settings = PortSettings {
            address: Some(Ipv4Addr::UNSPECIFIED.into()),
            more: port,
            customer: number.into(),
            ..settings()
        };
        let (dir, config) = ground.site.write_port_config(&name, &settings);
        // The same file for both: their key is one.
        smbclient::write_users(&users, &config, &[CIFS_USER]);
        let judge_config = dir.join("judge.toml");
        fs::create_dir_all(dir.join("judge")).unwrap();
        fs::write(&judge_config, judge).unwrap();
        let [service, judge] = [("storage-port", "serve", &config), ("port-failover", "run", &judge_config)]
            .map(|(program, command, config)| {
                let arguments = [command, "--config", text(config)];
                let log = dir.join(format!("{program}.log"));
                Process::start(&host, text(&binary(program)), &arguments, &log)
            });
        Member { service, judge, dir, host }
    })
}

fn settings() -> PortSettings {
    PortSettings { grace_seconds: 1, ..PortSettings::default() }
}

/// Runs `port-failover` with a command on a host.
pub fn command(pair: &Pair, side: Side, arguments: &[&str]) -> Output {
    let member = pair.member(side);
    let program = binary("port-failover");
    let config = member.path("judge.toml");
    let enter = ["netns", "exec", member.host.namespace().name(), text(&program)];
    run("ip", &[&enter[..], arguments, &["--config", text(&config)]].concat())
}

/// What `port-failover status --json` says; `None` if the judge does not run.
pub fn status(pair: &Pair, side: Side) -> Option<Value> {
    serde_json::from_slice(&command(pair, side, &["status", "--json"]).stdout).ok()
}

/// Whether one is active by the other's lease and has nothing that is here alone, and the other passive and able to take
/// over; both in good health.
pub(super) fn is_well(pair: &Pair) -> bool {
    let statuses = Side::BOTH.map(|side| status(pair, side));
    let [Some(one), Some(other)] = &statuses else { return false };
    let is_healthy = |status: &Value| {
        let [score, threshold] = ["score", "threshold"].map(|key| status["health"][key].as_u64());
        score.zip(threshold).is_some_and(|(score, threshold)| score < threshold)
    };
    let is_served = [(one, other), (other, one)].into_iter().any(|(active, passive)| {
        active["role"] == "active"
            && active["lease"]["giver"] == "peer"
            && active["peer"]["eligible"] == true
            && active["mirror"]["owed_bytes"] == 0
            && passive["role"] == "passive"
            && is_healthy(active)
            && is_healthy(passive)
    });
    is_served && !center_holds(pair)
}

/// Whether the center has given the pair a lease, which outlasts its holder. The active gives it back when the other's
/// has been good for a second.
fn center_holds(pair: &Pair) -> bool {
    let program = binary("storage-center");
    let listed = run_ok(text(&program), &["pair", "list", "--json", "--config", text(&pair.center_config)]);
    let pairs: Vec<Value> = serde_json::from_slice(&listed).unwrap();
    let name = format!("site-{}", pair.number);
    pairs.iter().any(|row| row["pair"] == *name && row["held"] == true)
}

/// Has the holder give the address to the other one.
///
/// # Panics
/// If it refuses.
pub(super) fn hand_over(pair: &Pair, from: Side) {
    let output = command(pair, from, &["standby"]);
    assert!(output.status.success(), "standby: {}", String::from_utf8_lossy(&output.stderr));
}
