//! The site file of a storage port against what is made of it: whatever is taken is taken by both daemons as well, and
//! nothing that an operator writes comes through as anything but a value (PORT-18).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use setup::disks::{Disk, Disks};
use setup::files::{Files, PairFiles};
use setup::render::{JUDGE_CONFIG, NETWORK, PORT_CONFIG, render};
use setup::site::{Site, read};
use toml::{Table, Value};

/// What the words of the network's file consist of: nothing that a shell would take for more than a word.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:/_-".contains(&byte))
}

/// How many words a line has behind each keyword.
const WORDS: [(&str, usize); 9] = [
    ("hostname", 1),
    ("role", 4),
    ("floating", 1),
    ("dns", 1),
    ("ntp", 1),
    ("ssh", 1),
    ("cifs", 1),
    ("pair", 1),
    ("directory", 3),
];

/// Renders a site and has everybody look at it.
fn look(site: &Site) -> Result<(), TestCaseError> {
    let disk = |name: &str| Disk { path: Path::new("/data").join(name), bytes: 1 << 30 };
    let disks = Disks {
        data: "/data".into(),
        caches: vec![disk("cache0"), disk("cache7")],
        journal: Some(disk("journal")),
        state: None,
        has_watchdog: true,
    };
    let pair = || PairFiles { key: vec![1], certificate: vec![2], certificate_key: vec![3], ca: vec![4] };
    let files = Files {
        secret: b"0123456789abcdef".to_vec(),
        ca: site.center.ca_file.as_ref().map(|_| vec![5]),
        pair: site.pair.as_ref().map(|_| pair()),
        cifs_users: site.cifs_users.as_ref().map(|_| vec![7]),
        authorized_keys: site.authorized_keys.as_ref().map(|_| vec![6]),
    };
    let out = tempfile::tempdir().unwrap();
    let outcome = render(site, &files, &disks, Path::new("/run/storage-port")).unwrap();
    prop_assert!(outcome.missing.is_empty());
    for file in &outcome.files {
        prop_assert!(
            setup::render::POSSIBLE.iter().any(|path| Path::new(path) == file.path),
            "{:?}",
            file.path
        );
        prop_assert_eq!(
            file.is_secret,
            file.path.parent() != Some(Path::new("")) || file.path.ends_with("authorized_keys")
        );
    }
    let text = |name: &str| {
        let file = outcome.files.iter().find(|file| file.path == Path::new(name))?;
        Some(String::from_utf8(file.content.clone()).unwrap())
    };
    let network = text(NETWORK).unwrap();
    for line in network.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        prop_assert!(words.iter().all(|word| is_plain(word)), "{line:?}");
        let expected = WORDS.iter().find(|(keyword, _)| *keyword == words[0]);
        prop_assert_eq!(expected.map(|(_, count)| count + 1), Some(words.len()), "{}", line);
    }
    prop_assert_eq!(network.lines().filter(|line| line.starts_with("role ")).count(), site.nics().len());
    let port = out.path().join(PORT_CONFIG);
    fs::write(&port, text(PORT_CONFIG).unwrap()).unwrap();
    let config = appliance::config::Config::load(&port);
    let config =
        config.map_err(|error| TestCaseError::fail(format!("{error}\n{}", text(PORT_CONFIG).unwrap())))?;
    prop_assert_eq!(config.export.len(), site.exports.len());
    prop_assert_eq!(config.pair.is_some(), site.pair.is_some());
    prop_assert_eq!(config.cifs.is_some(), site.cifs_users.is_some());
    if let Some(judge) = text(JUDGE_CONFIG) {
        let path = out.path().join(JUDGE_CONFIG);
        fs::write(&path, &judge).unwrap();
        let config = failover::config::Config::load(&path);
        prop_assert!(config.is_ok(), "{}\n{judge}", config.unwrap_err());
    }
    prop_assert_eq!(text(JUDGE_CONFIG).is_some(), site.pair.is_some());
    Ok(())
}

/// What somebody might write who wants more than a value.
const HOSTILE: [&str; 14] = [
    "",
    " ",
    "a b",
    "$(reboot)",
    "`reboot`",
    "a;reboot",
    "a\nrole wan x",
    "a\"\n[nfs]\nlisten = \"0.0.0.0:1\"",
    "'''",
    "../../etc/shadow",
    "-rf",
    "a\u{0}b",
    "192.0.2.11/24 #",
    "é\u{202e}",
];

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![prop::sample::select(&HOSTILE[..]).prop_map(str::to_owned), ".{0,12}", "[a-z0-9.:/-]{1,20}"]
}

fn label() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,4})?"
}

fn text(value: impl Into<String>) -> Value {
    Value::String(value.into())
}

fn list(values: impl IntoIterator<Item = String>) -> Value {
    Value::Array(values.into_iter().map(Value::String).collect())
}

fn table(entries: Vec<(&str, Value)>) -> Value {
    Value::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Sites that are good, of every kind.
fn good() -> impl Strategy<Value = Table> {
    let names = (label(), label(), label(), any::<[u8; 4]>());
    let kinds = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (names, kinds, 1..=u32::MAX, prop::collection::vec(label(), 0..3)).prop_map(
        |((name, host, folder, bytes), (is_pair, is_dhcp, has_ssh, has_exports, is_v6), customer, ntp)| {
            let [lan, wan, heartbeat, _] = bytes;
            // Three networks that do not overlap.
            let at = |role: u8, net: u8, host: u8| match is_v6 {
                false => format!("10.{role}.{net}.{host}"),
                true => format!("2001:db8:{role}:{net:x}::{host:x}"),
            };
            let length = if is_v6 { 64 } else { 24 };
            let mac = |last: u8| text(format!("52:54:00:00:00:{last:02x}"));
            let mut site = Table::new();
            site.insert("schema".into(), Value::Integer(1));
            site.insert("port".into(), table(vec![("name", text(name))]));
            let interface = |role, net, host| text(format!("{}/{length}", at(role, net, host)));
            site.insert(
                "lan".into(),
                table(vec![
                    ("nic", mac(1)),
                    ("address", interface(1, lan, 11)),
                    ("gateway", text(at(1, lan, 1))),
                ]),
            );
            let mut way = vec![("nic", text("0000:00:04.0"))];
            if is_dhcp {
                way.push(("address", text("dhcp")));
            } else {
                way.push(("address", interface(2, wan, 7)));
                way.push(("gateway", text(at(2, wan, 1))));
                way.push(("dns", list([at(2, wan, 53)])));
            }
            site.insert("wan".into(), table(way));
            site.insert("time".into(), table(vec![("ntp", list(ntp))]));
            site.insert(
                "center".into(),
                table(vec![
                    ("url", list([format!("https://{host}.example:8443"), "http://192.0.2.200".to_owned()])),
                    ("ca_file", text("ca.pem")),
                    ("customer", Value::Integer(customer.into())),
                    ("secret_file", text(format!("{folder}/secret"))),
                ]),
            );
            if is_pair {
                let heartbeat_table = table(vec![("nic", mac(3)), ("address", interface(3, heartbeat, 1))]);
                site.insert("heartbeat".into(), heartbeat_table);
                site.insert(
                    "pair".into(),
                    table(vec![
                        ("name", text("site-1")),
                        ("member", text(if customer % 2 == 0 { "a" } else { "b" })),
                        ("addresses", Value::Array(vec![interface(1, lan, 10), interface(1, lan, 9)])),
                        ("peer_lan", text(at(1, lan, 12))),
                        ("peer_heartbeat", text(at(3, heartbeat, 2))),
                        ("keys", text(folder)),
                    ]),
                );
            }
            if customer % 3 == 0 {
                site.insert("cifs".into(), table(vec![("users_file", text("users"))]));
            }
            if has_ssh {
                site.insert("ssh".into(), table(vec![("authorized_keys_file", text("keys"))]));
            }
            if has_exports {
                let path = format!("/{host} \"quoted\" $x");
                let export = table(vec![
                    ("path", text(path)),
                    ("tree", text("srl")),
                    ("folder", text("/a b/é")),
                    ("squash", text("all")),
                    ("srl_seconds", Value::Integer(7)),
                    ("srl_version", Value::Integer(2)),
                    ("srl_host", text("https://media.example")),
                ]);
                site.insert("export".into(), Value::Array(vec![export]));
            }
            site
        },
    )
}

/// Every text in a document, by turns.
fn texts<'a>(value: &'a mut Value, found: &mut Vec<&'a mut String>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(values) => values.iter_mut().for_each(|value| texts(value, found)),
        Value::Table(table) => table.iter_mut().for_each(|(_, value)| texts(value, found)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// PORT-18: what is good is rendered, and both daemons take it.
    #[test]
    fn a_good_site_makes_configurations_that_both_daemons_take(site in good()) {
        let written = toml::to_string(&site).unwrap();
        let read = read(&written, Path::new("site.toml"));
        prop_assert!(read.is_ok(), "{:?}\n{written}", read.unwrap_err());
        look(&read.unwrap())?;
    }

    /// PORT-18: any text in any place is refused in one line each, or is a value and nothing else.
    #[test]
    fn whatever_stands_in_a_value_it_is_that_or_refused(site in good(), evil in hostile(), place in any::<prop::sample::Index>()) {
        let mut site = Value::Table(site);
        let mut found = Vec::new();
        texts(&mut site, &mut found);
        let place = place.index(found.len());
        *found.swap_remove(place) = evil;
        let written = toml::to_string(&site).unwrap();
        match read(&written, Path::new("site.toml")) {
            Ok(site) => look(&site)?,
            Err(faults) => {
                prop_assert!(!faults.is_empty());
                for fault in faults {
                    let line = fault.to_string();
                    prop_assert!(!line.contains(char::is_control) && line.len() < 2000, "{line:?}");
                }
            }
        }
    }

    /// PORT-18: no text at all makes it fall over.
    #[test]
    fn any_text_is_read_or_refused(junk in ".{0,200}", cut in any::<prop::sample::Index>(), site in good()) {
        let _ = read(&junk, Path::new("site.toml"));
        let written = toml::to_string(&site).unwrap();
        let mut at = cut.index(written.len());
        while !written.is_char_boundary(at) {
            at -= 1;
        }
        for text in [written[..at].to_owned(), format!("{}{junk}{}", &written[..at], &written[at..])] {
            if let Ok(site) = read(&text, Path::new("site.toml")) {
                look(&site)?;
            }
        }
    }
}
