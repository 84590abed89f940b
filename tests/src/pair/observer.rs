//! Runs the probes beside a pair, and asks them what they saw.

use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::de::DeserializeOwned;

use super::Pair;
use super::ground::Ground;
use super::member::Side;
use super::networks::{Host, Link};
use super::probe::report::{Calls, Owners};
use crate::daemon::binary;

/// Above ordinary processes, below the daemons' own real-time priority.
const PRIORITY: &str = "20";

/// The probes of one pair.
pub struct Observer {
    calls: Probe,
    owners: OwnersObserver,
}

/// Only who has the address. Fresh connections at the rate of [`Observer`] are more than an emulated processor serves.
pub struct OwnersObserver(Probe);

/// What was seen between two marks.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// By the client.
    pub calls: Calls,
    /// On the LAN.
    pub owners: Owners,
}

/// A running `pair-probe`; ended when dropped.
struct Probe {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Observer {
    /// Starts them at a pair that serves; `writes` says whether something is changed, too.
    pub fn start(ground: &Ground, address: Ipv4Addr, writes: bool) -> Self {
        let server = format!("{address}:2049");
        let calls = [&["calls", &server][..], if writes { &["--write"] } else { &[] }].concat();
        Self { calls: Probe::start(&ground.client, &calls), owners: OwnersObserver::start(ground, address) }
    }

    /// What was seen since the last mark.
    pub fn mark(&mut self) -> Report {
        Report { calls: self.calls.mark(), owners: self.owners.mark() }
    }
}

impl OwnersObserver {
    /// Starts it.
    pub fn start(ground: &Ground, address: Ipv4Addr) -> Self {
        Self(Probe::start(&ground.observer, &["owners", Link::Lan.interface(), &address.to_string()]))
    }

    /// What was seen since the last mark.
    pub fn mark(&mut self) -> Owners {
        self.0.mark()
    }
}

impl Report {
    /// Which of a pair had the address last.
    pub fn owner(&self, pair: &Pair) -> Option<Side> {
        let owner = self.owners.owner.as_ref()?;
        Side::BOTH.into_iter().find(|side| pair.member(*side).host.mac(Link::Lan).to_string() == *owner)
    }
}

impl Probe {
    fn start(host: &Host, arguments: &[&str]) -> Self {
        let program = binary("pair-probe");
        let mut child = Command::new("chrt")
            .args(["-f", PRIORITY, "ip", "netns", "exec", host.namespace().name()])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start chrt: {error}"));
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut probe = Self { child, stdin, stdout: BufReader::new(stdout) };
        assert_eq!(probe.line(), "ready\n", "pair-probe {arguments:?}");
        probe
    }

    fn mark<T: DeserializeOwned>(&mut self) -> T {
        writeln!(self.stdin, "mark").unwrap();
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
