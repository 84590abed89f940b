//! Conversations, answer by answer.

use std::path::Path;

use super::*;
use crate::site;

fn around() -> Surroundings {
    let nic = |number: u8, carrier| Nic {
        interface: format!("eth{number}"),
        mac: format!("52:54:00:00:00:0{number}").parse().unwrap(),
        pci: Some(format!("0000:00:0{number}.0").parse().unwrap()),
        carrier: Some(carrier),
    };
    Surroundings {
        nics: vec![nic(1, true), nic(2, true), nic(3, false)],
        files: vec!["authorized_keys".to_owned(), "ca.pem".to_owned()],
        folders: vec!["pair".to_owned()],
    }
}

/// Gives the answers; what was said against any of them.
#[track_caller]
fn talk(wizard: &mut Wizard, answers: &[&str]) {
    for answer in answers {
        let prompt = wizard.prompt();
        assert_eq!(wizard.answer(answer), Step::Ask, "{answer:?} to {prompt:?}");
    }
}

#[track_caller]
fn refused(wizard: &mut Wizard, answer: &str, words: &str) {
    let before = wizard.prompt();
    match wizard.answer(answer) {
        Step::Again(text) => {
            assert!(text.contains(words), "`{text}` lacks `{words}`");
            assert_eq!(text.lines().count(), 1);
        }
        other => panic!("{answer:?} to {before:?}: {other:?}"),
    }
    assert_eq!(wizard.prompt(), before, "the same is asked again");
}

const ALONE: [&str; 15] = [
    "port-a",
    "1",
    "192.0.2.11/24",
    "192.0.2.1",
    "",
    "198.51.100.7/24",
    "198.51.100.1",
    "198.51.100.53",
    "ntp.example ntp2.example",
    "https://center.example:8443",
    "ca.pem",
    "1",
    "0123456789abcdef",
    "no",
    "none",
];

/// PORT-18: a port that stands alone, with what a site needs.
#[test]
fn the_answers_make_a_site_file() {
    let mut wizard = Wizard::new(None, around());
    talk(&mut wizard, &ALONE);
    let draft = wizard.draft();
    let site = site::read(&draft.text, Path::new("site.toml")).unwrap();
    assert_eq!(site.wan.nic.to_string(), "52:54:00:00:00:02", "the first that is free");
    assert!(site.pair.is_none() && site.authorized_keys.is_none() && site.ntp.len() == 2);
    assert!(!draft.text.contains("0123456789abcdef"));
    assert_eq!(draft.files[0].name, "customer-1.secret");
    assert!(draft.files[0].is_secret && draft.files[0].content == b"0123456789abcdef\n");
    assert!(wizard.prompt().lines.iter().any(|line| line.contains("192.0.2.11/24")), "the summary shows it");
    assert!(!wizard.prompt().lines.iter().any(|line| line.contains("0123456789abcdef")));
    assert_eq!(wizard.answer("online"), Step::Check { online: true });
    assert!(matches!(wizard.answer("maybe"), Step::Again(_)));
    assert_eq!(wizard.answer("write"), Step::Write);
}

/// PORT-18: one of a pair.
#[test]
fn a_pair_is_asked_for_what_it_needs_more() {
    let mut wizard = Wizard::new(None, around());
    talk(&mut wizard, &ALONE[..13]);
    talk(&mut wizard, &["yes", "site-1", "a", "3"]);
    refused(&mut wizard, "192.0.2.99/30", "overlaps");
    talk(&mut wizard, &["10.99.0.1/30"]);
    refused(&mut wizard, "10.99.0.9", "no host of 10.99.0.0/30");
    talk(&mut wizard, &["10.99.0.2"]);
    refused(&mut wizard, "192.0.3.10/24", "not in the LAN");
    refused(&mut wizard, "192.0.2.1/24", "router");
    talk(&mut wizard, &["192.0.2.10/24"]);
    refused(&mut wizard, "192.0.2.10", "share");
    refused(&mut wizard, "192.0.2.11", "own address");
    talk(&mut wizard, &["192.0.2.12"]);
    refused(&mut wizard, "keys", "There are: pair");
    talk(&mut wizard, &["pair", "authorized_keys"]);
    let text = wizard.draft().text;
    let pair = site::read(&text, Path::new("site.toml")).unwrap().pair.unwrap();
    assert_eq!((pair.name.as_str(), pair.nic.to_string().as_str()), ("site-1", "52:54:00:00:00:03"));

    // And back to a port that stands alone.
    let mut wizard = Wizard::new(Some(&text), around());
    talk(&mut wizard, &[""; 12]);
    talk(&mut wizard, &["another-secret-of-16", "no", ""]);
    let site = site::read(&wizard.draft().text, Path::new("site.toml")).unwrap();
    assert!(site.pair.is_none() && site.authorized_keys.is_some());
}

#[test]
fn each_answer_is_checked_at_once() {
    let mut wizard = Wizard::new(None, around());
    refused(&mut wizard, "", "type one");
    refused(&mut wizard, "Port A", "lower-case");
    refused(&mut wizard, "\u{1b}[2J", "\\u{1b}");
    talk(&mut wizard, &["port-a"]);
    refused(&mut wizard, "9", "MAC");
    refused(&mut wizard, "52:54:00:00:00:09", "none of this machine's");
    talk(&mut wizard, &["eth1"]);
    refused(&mut wizard, "192.0.2.11", "/24");
    talk(&mut wizard, &["192.0.2.11/24"]);
    refused(&mut wizard, "192.0.3.1", "no host of 192.0.2.0/24");
    talk(&mut wizard, &["none"]);
    refused(&mut wizard, "0000:00:01.0", "(lan)");
    talk(&mut wizard, &["0000:00:02.0"]);
    refused(&mut wizard, "192.0.2.77/24", "overlaps");
    talk(&mut wizard, &["dhcp"]);
    talk(&mut wizard, &["none"]);
    refused(&mut wizard, "ntp.example ;reboot", "`;reboot`");
    talk(&mut wizard, &["none"]);
    refused(&mut wizard, "center.example", "https://");
    talk(&mut wizard, &["http://center.example:8080"]);
    refused(&mut wizard, "0", "whole number");
    talk(&mut wizard, &["7"]);
    refused(&mut wizard, "", "none yet");
    refused(&mut wizard, "short", "16");
    talk(&mut wizard, &["0123456789abcdef"]);
    refused(&mut wizard, "perhaps", "yes or no");
    talk(&mut wizard, &["no", "none"]);
    let text = wizard.draft().text;
    let site = site::read(&text, Path::new("site.toml")).unwrap();
    assert_eq!(site.center.customer, 7);
    assert!(text.contains("customer-7.secret") && !text.contains("[ssh]"), "{text}");
}

#[test]
fn back_and_quit_work_everywhere() {
    let mut wizard = Wizard::new(None, around());
    talk(&mut wizard, &["back", "port-a", "1", "192.0.2.11/24", "back", "back"]);
    assert!(wizard.prompt().ask.contains("NIC for the LAN"));
    assert_eq!(
        wizard.prompt().default.as_deref(),
        Some("52:54:00:00:00:01"),
        "what was answered stands there"
    );
    talk(&mut wizard, &["", "", "none", "", "dhcp"]);
    assert!(wizard.prompt().ask.contains("Name servers"), "DHCP gives the router");
    talk(&mut wizard, &["back"]);
    assert!(wizard.prompt().ask.contains("on the WAN"), "what was not asked is not gone back to");
    assert_eq!(wizard.answer("quit"), Step::Quit);
    assert_eq!(wizard.answer("ab\u{3}"), Step::Quit);
}

#[test]
fn a_certificate_can_be_pasted() {
    let mut wizard = Wizard::new(None, around());
    talk(&mut wizard, &ALONE[..10]);
    talk(&mut wizard, &["paste", "not a certificate"]);
    assert!(matches!(wizard.answer(""), Step::Again(text) if text.contains("BEGIN CERTIFICATE")));
    talk(&mut wizard, &["paste"]);
    assert!(wizard.prompt().ask.is_empty() && !wizard.prompt().is_secret);
    // Whether it is one that is good for anything is for the daemons to say.
    talk(&mut wizard, &["-----BEGIN CERTIFICATE-----", "MAAwADAA", "-----END CERTIFICATE-----", ""]);
    assert!(wizard.prompt().ask.contains("Number of the customer"));
    let draft = wizard.draft();
    assert_eq!(draft.files[0].name, PASTED);
    assert!(draft.text.contains("ca_file = \"center-ca.pem\""));
    talk(&mut wizard, &["back", ""]);
    assert!(draft.files[0].content.starts_with(b"-----BEGIN"), "an empty answer keeps it");
}

#[test]
fn what_the_wizard_does_not_ask_for_stays() {
    let text =
        "schema = 1\n[[export]] # ours\npath = \"/photos\"\n[advanced.storage-port.upload]\nquiet_ms = 7\n";
    let mut wizard = Wizard::new(Some(text), around());
    talk(&mut wizard, &ALONE);
    let text = wizard.draft().text;
    assert!(text.contains("[[export]] # ours\npath = \"/photos\""), "{text}");
    assert!(text.contains("quiet_ms = 7"));
    site::read(&text, Path::new("site.toml")).unwrap();
}
