//! `bench [--rounds N] [--rclone PROGRAM]`: the storage port against nfs-ganesha and rclone, interleaved.
//!
//! `./bench` builds it and starts it in a network namespace of its own.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on stops at the line that could not")]

use std::time::Duration;

use e2e::bench::load::{FILE_BYTES, Load, Target};
use e2e::bench::peers::Peer;
use e2e::bench::report::{Sample, Samples, line};
use e2e::daemon::cpu_seconds;
use e2e::site::{PortSettings, Site};
use e2e::{data, poll};

struct Contestant {
    name: String,
    pid: u32,
    target: Target,
    /// Waits until nothing of the last load goes on behind.
    settle: Box<dyn Fn()>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1)).cloned()
    };
    let rounds: usize = option("--rounds").map_or(5, |text| text.parse().unwrap());
    let scratch = tempfile::Builder::new().prefix("bench-").tempdir().unwrap();

    let site = Site::start();
    let settings = PortSettings { cache_bytes: 4 << 30, journal_bytes: 4 << 30, ..PortSettings::default() };
    let port = site.port_with("port", &settings);
    let target = Target::prepare(port.nfs(), port.nfs(), "/export").unwrap();
    port.wait_uploaded(&site, &data::md5_hex(&data::bytes(1, FILE_BYTES as usize)));
    let center_pid = site.center.pid().as_raw_nonzero().get() as u32;
    let port_pid = port.daemon.pid().as_raw_nonzero().get() as u32;
    let settle = Box::new(move || wait_idle(&[port_pid, center_pid]));
    let mut contestants = vec![Contestant { name: "storage port".into(), pid: port_pid, target, settle }];
    let mut peers = vec![Peer::ganesha(scratch.path())];
    peers.extend(option("--rclone").map(|program| Peer::rclone(&program, scratch.path())));
    for peer in &peers {
        let pid = peer.pid();
        match Target::prepare(peer.server, peer.mount, &peer.export) {
            Ok(target) => contestants.push(Contestant {
                name: peer.name.clone(),
                pid,
                target,
                settle: Box::new(move || wait_idle(&[pid])),
            }),
            Err(error) => eprintln!("{} takes no part: {error}", peer.name),
        }
    }
    let mut table: Vec<Vec<Samples>> = vec![vec![Samples::default(); contestants.len()]; Load::ALL.len()];
    for round in 0..rounds {
        for (load, row) in Load::ALL.into_iter().zip(&mut table) {
            for (contestant, samples) in contestants.iter().zip(row) {
                eprintln!("round {} of {rounds}: {}: {}", round + 1, load.title(), contestant.name);
                (contestant.settle)();
                contestant.target.warm().unwrap();
                let before = cpu_seconds(contestant.pid);
                match contestant.target.run(load) {
                    Ok(done) => {
                        let cpu_seconds = cpu_seconds(contestant.pid) - before;
                        samples.0.push(Sample { done, cpu_seconds });
                    }
                    Err(error) => eprintln!("  failed: {error}"),
                }
            }
        }
    }

    let names: Vec<&str> = contestants.iter().map(|contestant| contestant.name.as_str()).collect();
    let against: Vec<String> = names[1..].iter().map(|name| format!("vs {name}: rate · CPU")).collect();
    let header = [vec!["work"], names.clone(), against.iter().map(String::as_str).collect()].concat();
    println!("| {} |", header.join(" | "));
    println!("|{}", "---|".repeat(header.len()));
    for (load, row) in Load::ALL.into_iter().zip(&table) {
        println!("{}", line(load, row));
    }
}

/// Until the processes use no more than a tick in a while.
fn wait_idle(pids: &[u32]) {
    let mut last = f64::MIN;
    let mut quiet = 0;
    poll::until("the server is idle", Duration::from_secs(120), || {
        let used: f64 = pids.iter().map(|pid| cpu_seconds(*pid)).sum();
        quiet = if used - last < 0.011 { quiet + 1 } else { 0 };
        last = used;
        (quiet >= 60).then_some(())
    });
}
