//! `bench [--rounds N] [--rclone PROGRAM]`: the storage port against nfs-ganesha and rclone, interleaved.
//! `bench nfs [--rounds N] [--only TEXT] [--sustained MINUTES]`: its front end against nfs-ganesha and a bare server;
//! with `--sustained` against itself, before and after so many minutes of load.
//!
//! `./bench` builds it and starts it in a network namespace of its own.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on stops at the line that could not")]

use std::path::Path;

use e2e::bench::nfs::bare;
use e2e::bench::{compare, nfs};

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
        (Some("nfs"), None) => nfs::compare(rounds, &only, scratch().path()),
        _ => compare::run(rounds, option("--rclone").as_deref(), scratch().path()),
    }
}
