//! The plain comparison: the storage port, nfs-ganesha and rclone, load by load in turns.

use std::path::Path;

use super::load::{FILE_BYTES, Load, Target};
use super::peers::Peer;
use super::report::{Sample, Samples, line};
use super::wait_idle;
use crate::daemon::cpu_seconds;
use crate::data;
use crate::site::{PortSettings, Site};

struct Contestant {
    name: String,
    /// Its own process, and others that work for it behind.
    pids: Vec<u32>,
    target: Target,
}

/// Compares `rounds` times, with rclone if its program is given, and prints the table.
pub fn run(rounds: usize, rclone: Option<&str>, scratch: &Path) {
    let site = Site::start();
    let settings = PortSettings { cache_bytes: 4 << 30, journal_bytes: 4 << 30, ..PortSettings::default() };
    let port = site.port_with("port", &settings);
    let target = Target::prepare(port.nfs(), port.nfs(), "/export").unwrap();
    port.wait_uploaded(&site, &data::md5_hex(&data::bytes(1, FILE_BYTES as usize)));
    let pids = [&port.daemon, &site.center].map(|daemon| daemon.pid().as_raw_nonzero().get() as u32);
    let mut contestants = vec![Contestant { name: "storage port".into(), pids: pids.to_vec(), target }];
    let mut peers = vec![Peer::ganesha(scratch)];
    peers.extend(rclone.map(|program| Peer::rclone(program, scratch)));
    for peer in &peers {
        match Target::prepare(peer.server, peer.mount, &peer.export) {
            Ok(target) => {
                contestants.push(Contestant { name: peer.name.clone(), pids: vec![peer.pid()], target });
            }
            Err(error) => eprintln!("{} takes no part: {error}", peer.name),
        }
    }
    let mut table: Vec<Vec<Samples>> = vec![vec![Samples::default(); contestants.len()]; Load::ALL.len()];
    for round in 0..rounds {
        for (load, row) in Load::ALL.into_iter().zip(&mut table) {
            for (contestant, samples) in contestants.iter().zip(row) {
                eprintln!("round {} of {rounds}: {}: {}", round + 1, load.title(), contestant.name);
                wait_idle(&contestant.pids);
                contestant.target.warm().unwrap();
                let before = cpu_seconds(contestant.pids[0]);
                match contestant.target.run(load) {
                    Ok(done) => {
                        let cpu_seconds = cpu_seconds(contestant.pids[0]) - before;
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
