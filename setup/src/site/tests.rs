//! What is wrong with a site file, fault by fault.

use std::path::Path;

use super::*;

/// The example, with everything in it that stands there as a comment.
fn example() -> String {
    let example = include_str!("../../site.example.toml");
    let is_setting = |line: &str| {
        let key = line.split(' ').next().unwrap_or_default();
        line.starts_with('[')
            || (line.split(' ').nth(1) == Some("=") && !key.contains(|c: char| c.is_uppercase()))
    };
    let lines = example.lines().map(|line| match line.strip_prefix("# ") {
        Some(setting) if is_setting(setting) => setting,
        _ => line,
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn faults(text: &str) -> Vec<String> {
    match read(text, Path::new("site.toml")) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

#[track_caller]
fn edited(from: &str, to: &str) -> Vec<String> {
    let example = example();
    assert!(example.contains(from), "{from} in {example}");
    faults(&example.replacen(from, to, 1))
}

/// PORT-18: the example is good, as it is and with all that is in it.
#[test]
fn the_example_is_good() {
    assert_eq!(faults(include_str!("../../site.example.toml")), [""; 0]);
    assert_eq!(faults(&example()), [""; 0]);
    let site = read(&example(), Path::new("site.toml")).unwrap();
    assert!(
        site.pair.is_some()
            && site.cifs_users.is_some()
            && site.authorized_keys.is_some()
            && site.exports.len() == 1
    );
    assert!(!site.advanced.port.is_empty() && !site.advanced.judge.is_empty());
    let alone = read(include_str!("../../site.example.toml"), Path::new("site.toml")).unwrap();
    assert_eq!(
        alone.exports.iter().map(|export| export.path.as_str()).collect::<Vec<_>>(),
        ["/export", "/SRL"]
    );
}

/// PORT-18: each fault is one line that says where, what, and what to do.
#[test]
fn each_fault_is_told_in_one_line() {
    let cases: [(&str, &str, &[&str]); 35] = [
        ("schema = 1", "", &["schema: write schema = 1"]),
        ("name = \"port-a\"", "nmae = \"port-a\"", &["[port] nmae", "did you mean `name`"]),
        ("name = \"port-a\"", "name = 7", &["[port] name", "another kind"]),
        ("nic = \"52:54:00:00:00:01\"", "", &["[lan] nic: missing: write nic ="]),
        ("52:54:00:00:00:03", "52:54:00:00:00:01", &["[heartbeat] nic", "[lan] as well"]),
        ("10.99.0.1/30", "192.0.2.33/28", &["[heartbeat] address", "overlaps 192.0.2.0/24 of [lan]"]),
        ("gateway = \"192.0.2.1\"", "gateway = \"192.0.2.11\"", &["[lan] gateway", "own address"]),
        (
            "gateway = \"198.51.100.1\"",
            "gateway = \"198.51.101.1\"",
            &["[wan] gateway", "no host of 198.51.100.0/24"],
        ),
        ("\"198.51.100.7/24\"", "\"dhcp\"", &["[wan] gateway", "DHCP"]),
        ("dns = [\"198.51.100.53\"]", "", &["[wan] dns", "center.example cannot be looked up"]),
        ("dns = [\"198.51.100.53\"]", "dns = [1]", &["[wan] dns", "another kind"]),
        ("url = [\"https://center.example:8443\"]", "url = []", &["[center] url", "names nobody"]),
        ("url = [", "ddm = [", &["[center] dosm: missing"]),
        ("url = [", "dosm = [\"https://a.example\"]\nurl = [", &["[center] url", "`url` alone"]),
        ("customer = 1", "customer = 0", &["[center] customer", "whole number from 1"]),
        ("\"customer-1.secret\"", "\"/etc/secret\"", &["[center] secret_file", "beside site.toml"]),
        ("path = \"/export\"", "path = \"/\"", &["[[export]] 1: path", "has a name"]),
        ("squash = \"root\"", "squash = \"some\"", &["[[export]] 1: squash", "\"none\""]),
        (
            "squash = \"root\"",
            "[[export]]\npath = \"/SRL\"\ntree = \"srl\"\nversions = true",
            &["[[export]] /SRL versions", "files alone"],
        ),
        ("read_only = false", "read_only = \"no\"", &["[[export]] 1: read_only", "true or false"]),
        (
            "allowed = [\"192.0.2.0/24\"]",
            "allowed = [\"203.0.113.0/24\"]",
            &["[[export]] allowed", "192.0.2.11"],
        ),
        ("users_file = \"cifs-users\"", "", &["[cifs] users_file: missing"]),
        ("\"cifs-users\"", "\"/etc/users\"", &["[cifs] users_file", "beside site.toml"]),
        ("[pair]", "[pear]", &["[heartbeat]", "pair"]),
        ("name = \"site-1\"", "name = \"Site 1\"", &["[pair] name", "like site-1"]),
        ("member = \"a\"", "member = \"c\"", &["[pair] member", "\"a\""]),
        ("[\"192.0.2.10/24\"]", "[]", &["[pair] addresses: missing"]),
        ("[\"192.0.2.10/24\"]", "[\"192.0.2.11/24\"]", &["[pair] addresses", "own address"]),
        ("[\"192.0.2.10/24\"]", "[\"192.0.2.12/24\"]", &["[pair] addresses", "the other port's"]),
        ("[\"192.0.2.10/24\"]", "[\"192.0.2.10/25\"]", &["[pair] addresses", "same length"]),
        ("peer_lan = \"192.0.2.12\"", "peer_lan = \"192.0.2.255\"", &["[pair] peer_lan", "no host"]),
        (
            "peer_heartbeat = \"10.99.0.2\"",
            "peer_heartbeat = \"10.99.0.1\"",
            &["[pair] peer_heartbeat", "own address"],
        ),
        (
            "reference = [\"192.0.2.1\"]",
            "reference = [\"192.0.2.12\"]",
            &["[pair] reference", "heard anyway"],
        ),
        (
            "quiet_ms = 1000",
            "quiet_ms = 1000\n[advanced.storage-port.journal]\ndir = \"/x\"",
            &["[advanced.storage-port.journal] dir", "not for [advanced]"],
        ),
        ("= 1", "= = 1", &["TOML: site.toml:", "="]),
    ];
    for (from, to, words) in cases {
        let told = edited(from, to);
        // What follows from it is told as well.
        let line = told.iter().find(|line| line.starts_with(words[0].split(": ").next().unwrap_or_default()));
        let line = line.unwrap_or_else(|| panic!("{from} → {to}: {told:#?}"));
        for word in words {
            assert!(line.contains(word), "`{line}` lacks `{word}`: {told:#?}");
        }
        assert_eq!(line.lines().count(), 1);
    }
}

/// PORT-18: not the first fault alone.
#[test]
fn all_faults_are_told() {
    let told =
        faults("schema = 1\n[port]\nname = \"-\"\n[lan]\nnic = \"x\"\naddress = \"y\"\n[ssh]\n[export]\n");
    for place in [
        "[port] name",
        "[lan] nic",
        "[lan] address",
        "[wan]",
        "[center]",
        "[ssh] authorized_keys_file",
        "[[export]]",
    ] {
        assert!(told.iter().any(|line| line.starts_with(place)), "{place} in {told:#?}");
    }
    assert_eq!(told.len(), 7, "{told:#?}");
    assert!(faults("").len() >= 5);
}
