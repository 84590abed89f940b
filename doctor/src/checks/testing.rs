//! What the checks' tests have in common: a port, its machine, and answers of a center that is well.

use failover::config::Config as Judge;
use failover::net::interfaces::Seen;

use crate::plan::{Door, Pair, Plan, Wanted};
use crate::report::{Finding, Outcome};
use crate::shell::center::Answer;

pub(super) fn outcome(findings: &[Finding]) -> Outcome {
    findings.iter().map(|finding| finding.outcome).max().unwrap()
}

pub(super) fn interface(name: &str, addresses: &[&str]) -> Seen {
    Seen {
        name: name.to_owned(),
        mac: None,
        is_up: true,
        has_carrier: true,
        mtu: 1500,
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
    }
}

pub(super) fn answer() -> Answer {
    Answer { status: 200, ahead: Some(0), certificate: None, heard_large: Some(true), mtu: Some(1500) }
}

pub(super) fn door(url: &str, keys: &[&'static str]) -> Door {
    Door { url: url.to_owned(), keys: keys.to_vec() }
}

/// The judge of port a of a pair: `lan` 192.0.2.11 beside 192.0.2.12, `wan`, `hb` 10.99.0.1; floating 192.0.2.10.
pub(super) fn judge() -> Judge {
    let text = include_str!("../../../failover/port-failover.example.toml");
    let text = text.replace("hb0", "hb").replace("lan0", "lan").replace("wan0", "wan");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Judge::load(file.path()).unwrap()
}

/// A port at every address with an rpcbind of its own; of a pair if there is a judge.
pub(super) fn plan(judge: Option<Judge>) -> Plan {
    let wanted =
        |service, address: &str| Wanted { service, is_datagram: false, address: address.parse().unwrap() };
    Plan {
        listen: "0.0.0.0:2049".parse().unwrap(),
        sockets: vec![
            wanted("NFS", "192.0.2.11:2049"),
            wanted("rpcbind", "0.0.0.0:111"),
            Wanted { is_datagram: true, ..wanted("rpcbind", "0.0.0.0:111") },
        ],
        rpcbind: None,
        doors: vec![door("http://center.example", &["ddm", "dosm"])],
        authorities: None,
        folders: Vec::new(),
        pair: judge.map(|judge| Pair {
            name: "site-1".into(),
            member: "a".into(),
            key: Ok(Vec::new()),
            certificate: Ok(()),
            listen: "10.99.0.1:7421".parse().unwrap(),
            judge: Ok(judge),
        }),
    }
}
