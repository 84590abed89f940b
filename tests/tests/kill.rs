//! kill -9 at random moments under a write load with COMMITs: nothing acknowledged is missing or wrong, no half
//! object is visible, references equal rows, and the client's file handles go on working.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::Duration;

use e2e::acknowledged::{under_load, verify_all};
use e2e::data;
use e2e::poll;
use e2e::site::{Port, Site};
use rand::Rng;

/// Times a process is killed.
const KILLS: usize = 50;
/// Clients that write meanwhile.
const WRITERS: u64 = 3;

/// No temporary files, and every object's bytes are those of its name.
fn no_half_objects(site: &Site) {
    for disk in site.disks() {
        let mut folders = vec![disk.join("obj")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "MD5") {
                    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                    assert_eq!(data::md5_hex(&fs::read(&path).unwrap()), name, "{}", path.display());
                }
            }
        }
    }
}

fn kill_under_load(kill: impl Fn(&mut Site, &mut Port)) {
    let mut site = Site::start();
    let mut port = site.port("port");
    let mut rng = data::rng(0x6b69_6c6c);
    let mounts: Vec<_> = (0..WRITERS).map(|_| port.mount("/export")).collect();
    let files = under_load(mounts.into_iter().map(|mount| move || mount), |load| {
        // Each kill comes a random number of operations after the last restart.
        for number in 0..KILLS {
            let calls = rng.random_range(1..40);
            if !load.makes_headway(calls, Duration::from_secs(60), &format!("kill {number}")) {
                break;
            }
            kill(&mut site, &mut port);
        }
    });
    verify_all(&files, || port.mount("/export"));

    // All of it arrives at the storage center, whole, with references equal to rows.
    for file in files.iter().flatten().filter(|file| !file.bytes.is_empty()) {
        port.wait_uploaded(&site, &data::md5_hex(&file.bytes));
    }
    let mut last = String::new();
    poll::until("references equal rows", Duration::from_secs(60), || {
        let (agree, text) = site.check();
        if !agree && text != last {
            eprintln!("{text}");
            last = text;
        }
        agree.then_some(())
    });
    no_half_objects(&site);

    // And a port that never saw these files serves the same.
    port.daemon.stop();
    let fresh = site.port("fresh");
    for (writer, files) in files.iter().enumerate() {
        let mut mount = fresh.mount("/export");
        for file in files {
            let found = mount.walk(&format!("writer-{writer}/{}", file.name)).unwrap();
            assert!(mount.read(&found).unwrap() == file.bytes, "{} through another port", file.name);
        }
    }
}

/// ISN-11, PORT-12, PORT-21, FO-12: the port.
#[test]
fn the_port_killed_fifty_times_loses_nothing_acknowledged() {
    kill_under_load(|_, port| {
        port.daemon.kill_9();
        port.daemon.restart();
    });
}

/// ISN-11, REF-3, SYS-8: the storage center.
#[test]
fn the_center_killed_fifty_times_loses_nothing_acknowledged() {
    kill_under_load(|site, _| {
        site.center.kill_9();
        site.center.restart();
    });
}
