//! Watches a failover pair from a host of the tests; see `e2e::pair::probe`.
//!
//! - `pair-probe calls SERVER [--write]`: fresh connections and a steady one, with `--write` also a writer.
//! - `pair-probe owners INTERFACE ADDRESS`: who answers for an address on the LAN.
//!
//! Prints `ready` when it has begun; then for every line on standard input a line of JSON: what was seen since the last.
//! It ends with its standard input.

#![allow(clippy::unwrap_used, reason = "a probe that cannot go on fails its test at the line that could not")]

use std::io::{self, BufRead};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::exit;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use e2e::pair::probe::Subject;
use e2e::pair::probe::fresh::{self, Fresh};
use e2e::pair::probe::owners::{self, Watch};
use e2e::pair::probe::report::Calls;
use e2e::pair::probe::steady::{self, Steady};
use e2e::pair::probe::writer::{self, Writer};
use e2e::poll;

/// How long a pair may take until it answers at all.
const ANSWER_PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["calls", server] => calls(server.parse().unwrap(), false),
        ["calls", server, "--write"] => calls(server.parse().unwrap(), true),
        ["owners", interface, address] => watch(interface.to_owned(), address.parse().unwrap()),
        _ => {
            eprintln!("pair-probe: not known: {arguments:?}");
            exit(2);
        }
    }
}

fn calls(server: SocketAddr, writes: bool) {
    // A pair that has the address again may not be heard yet by a client that knows its old owner's link-layer address.
    let subject = poll::until("the pair answers", ANSWER_PATIENCE, || Subject::prepare(server).ok());
    let fresh = Arc::new(Mutex::new(Fresh::new()));
    let steady = Arc::new(Mutex::new(Steady::new()));
    let writer = Arc::new(Mutex::new(Writer::new()));
    let (its, own) = (Arc::clone(&fresh), subject.clone());
    thread::spawn(move || fresh::run(&own, &its).unwrap());
    let (its, own) = (Arc::clone(&steady), subject.clone());
    thread::spawn(move || steady::run(&own, &its));
    if writes {
        let its = Arc::clone(&writer);
        thread::spawn(move || writer::run(&subject, &its));
    }
    answer_marks(|| {
        let mut fresh = fresh.lock().unwrap();
        let (seen, verifiers) = fresh.mark();
        let name = |verifier: &[u8; 8]| verifier.iter().map(|byte| format!("{byte:02x}")).collect();
        let calls = Calls {
            fresh: seen,
            steady: steady.lock().unwrap().mark(),
            writer: writer.lock().unwrap().mark(),
            verifiers: verifiers.known.iter().map(name).collect(),
            turns: verifiers.turns,
        };
        serde_json::to_string(&calls).unwrap()
    });
}

fn watch(interface: String, address: Ipv4Addr) {
    let watch = Arc::new(Mutex::new(Watch::default()));
    let its = Arc::clone(&watch);
    thread::spawn(move || owners::run(&interface, address, &its).unwrap());
    answer_marks(|| serde_json::to_string(&watch.lock().unwrap().mark()).unwrap());
}

fn answer_marks(mut mark: impl FnMut() -> String) {
    println!("ready");
    for line in io::stdin().lock().lines() {
        line.unwrap();
        println!("{}", mark());
    }
}
