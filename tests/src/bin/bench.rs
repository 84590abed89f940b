//! `bench [--rounds N] [--rclone PROGRAM]`: the storage port against nfs-ganesha and rclone, interleaved.
//! `bench nfs [--rounds N] [--only TEXT] [--sustained MINUTES]`: its front end against nfs-ganesha and a bare server;
//! with `--sustained` against itself: after so many minutes of load beside one that was just started.
//! `bench center [--rounds N] [--only TEXT] [--alone] [--objects N]`: the storage center beside nginx and bare loops;
//! with `--alone` one process instead of a cluster; `--objects` is how many the node has that is started.
//! `bench cifs [--rounds N] [--only TEXT]`: the CIFS gateway, the port's own server against Debian's Samba.
//! `bench vfs [--rounds N]`: the directory service beside bare writers of SQLite and PostgreSQL.
//! `bench failover [--rounds N] [--only TEXT] [--busy MINUTES]`: the pair under failures beside keepalived; with `--busy`
//! only how often each moves the address by mistake while all processors are busy.
//!
//! `./bench` builds it and starts it in a network namespace of its own.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on stops at the line that could not")]

use std::path::Path;

use e2e::bench::center::cluster::Layout;
use e2e::bench::center::{self, work};
use e2e::bench::nfs::bare;
use e2e::bench::{cifs, compare, failover, nfs, vfs};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1)).cloned()
    };
    let rounds: usize = option("--rounds").map_or(3, |text| text.parse().unwrap());
    let only = option("--only").unwrap_or_default();
    let scratch = || tempfile::Builder::new().prefix("bench-").tempdir().unwrap();
    match (arguments.get(1).map(String::as_str), option("--sustained")) {
        (Some(bare::ARGUMENT), _) => bare::serve(Path::new(&arguments[2])).unwrap(),
        (Some("nfs"), Some(minutes)) => nfs::sustain(minutes.parse().unwrap(), rounds, &only),
        (Some("center"), _) => {
            let is_alone = arguments.iter().any(|argument| argument == "--alone");
            let layout = if is_alone { Layout::Alone } else { Layout::Cluster };
            let objects = option("--objects").map_or(work::OBJECTS, |text| text.parse().unwrap());
            center::compare(&center::Options { rounds, only, layout, objects }, scratch().path());
        }
        (Some("failover"), _) => match option("--busy") {
            Some(minutes) => failover::keep_busy(minutes.parse().unwrap()),
            None => failover::compare(rounds, &only),
        },
        (Some("cifs"), _) => cifs::compare(rounds, &only, scratch().path()),
        (Some("vfs"), _) => vfs::compare(rounds, scratch().path()),
        (Some("nfs"), None) => nfs::compare(rounds, &only, scratch().path()),
        _ => compare::run(rounds, option("--rclone").as_deref(), scratch().path()),
    }
}
