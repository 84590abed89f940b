//! What an operator asks of a running port: exports, clients, journal, cache.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use e2e::daemon::binary;
use e2e::data;
use e2e::poll;
use e2e::site::{PortSettings, Site};
use e2e::tools::{run, run_ok};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// What a command says, for people.
#[track_caller]
fn said(config: &Path, command: &[&str]) -> String {
    let program = binary("storage-port");
    let arguments = [command, &["--config", config.to_str().unwrap()]].concat();
    String::from_utf8(run_ok(program.to_str().unwrap(), &arguments)).unwrap()
}

/// The same for programs.
#[track_caller]
fn told(config: &Path, command: &[&str]) -> Value {
    serde_json::from_str(&said(config, &[command, &["--json"]].concat())).unwrap()
}

/// PORT-1, PORT-2: who is there, since when, and what there is for them.
#[test]
fn exports_and_clients_are_told() {
    let site = Site::start();
    let port = site.port("port");
    let config = port.config();
    let exports = told(&config, &["exports"]);
    let paths: Vec<_> =
        exports.as_array().unwrap().iter().map(|export| export["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/SRL", "/export"]);
    assert!(
        said(&config, &["exports"]).contains("export /export: files of customer 1 below /, read and write")
    );

    assert!(said(&config, &["clients"]).contains("nobody is connected"));
    let mut mount = port.mount("/export");
    let root = mount.root();
    mount.create_file(&root, b"file").unwrap();
    let clients = told(&config, &["clients"]);
    let client = &clients["clients"][0];
    assert_eq!(client["address"], "127.0.0.1", "{clients:#}");
    assert!(client["connections"].as_u64() >= Some(1) && client["connected_seconds"].is_u64(), "{clients:#}");
    assert_eq!(client["mounts"][0]["path"], "/export");
    assert!(said(&config, &["clients"]).contains("; mounted /export"));
    drop(mount);
    poll::until("the client is gone", PATIENCE, || {
        told(&config, &["clients"])["clients"][0]["connected_seconds"].is_null().then_some(())
    });
    assert!(said(&config, &["clients"]).contains("127.0.0.1: not connected"));
}

/// PORT-12: what the center does not have is told, with its age, and that nothing is owed any more.
#[test]
fn what_is_owed_is_told() {
    let mut site = Site::start();
    let port = site.port("port");
    let config = port.config();
    let mut mount = port.mount("/export");
    let root = mount.root();
    assert!(said(&config, &["journal"]).contains("nothing is owed"));
    let file = mount.create_file(&root, b"file").unwrap();
    site.center.kill_9();
    let bytes = data::bytes(1, 300_000);
    mount.write_durably(&file, 0, &bytes).unwrap();
    let journal = told(&config, &["journal"]);
    assert_eq!(
        (&journal["files"], &journal["owed_bytes"]),
        (&Value::from(1), &Value::from(300_000)),
        "{journal:#}"
    );
    poll::until("it grows old", PATIENCE, || {
        (told(&config, &["journal"])["oldest_seconds"].as_u64() >= Some(2)).then_some(())
    });
    assert!(said(&config, &["journal"]).contains("300000 bytes of 1 files"));
    site.center.restart();
    poll::until("nothing is owed", PATIENCE, || {
        let journal = told(&config, &["journal"]);
        (journal["files"] == 0 && journal["owed_bytes"] == 0 && journal["oldest_seconds"].is_null())
            .then_some(())
    });
}

/// PORT-3, PORT-21: the cache's counts are those of what was read, and an emptied one costs only misses.
#[test]
fn the_cache_is_counted_and_emptied() {
    let site = Site::start();
    let port = site.port_with("port", &PortSettings { cache_bytes: 64 << 20, ..PortSettings::default() });
    let config = port.config();
    let mut mount = port.mount("/export");
    let root = mount.root();
    let bytes = data::bytes(1, 5 << 20);
    let file = mount.put(&root, b"file", &bytes).unwrap();
    port.wait_uploaded(&site, &data::md5_hex(&bytes));
    assert!(mount.read(&file).unwrap() == bytes);
    let full = told(&config, &["cache", "stat"]);
    let disks = |stat: &Value, key: &str| -> u64 {
        stat["disks"].as_array().unwrap().iter().map(|disk| disk[key].as_u64().unwrap()).sum()
    };
    assert!(disks(&full, "bytes_used") >= 5 << 20 && disks(&full, "files") >= 5, "{full:#}");
    assert_eq!(disks(&full, "bytes_max"), 64 << 20);
    assert!(said(&config, &["cache", "stat"]).contains("since the start:"));
    // Whole when the disks were looked through after the start.
    let mut dropped = 0;
    poll::until("the cache is emptied", PATIENCE, || {
        let told = told(&config, &["cache", "drop"]);
        dropped += told["bytes"].as_u64().unwrap();
        (told["is_whole"] == true).then_some(())
    });
    assert!(dropped >= 5 << 20, "{dropped}");
    let empty = told(&config, &["cache", "stat"]);
    assert_eq!((disks(&empty, "bytes_used"), disks(&empty, "files")), (0, 0), "{empty:#}");
    assert!(mount.read(&file).unwrap() == bytes);
    let again = told(&config, &["cache", "stat"]);
    assert!(again["misses"].as_u64() > empty["misses"].as_u64() && disks(&again, "bytes_used") >= 5 << 20);
}

/// Where no port runs that is told, in a line.
#[test]
fn a_port_that_does_not_run_is_told() {
    let site = Site::start();
    let (_, config) = site.write_port_config("port", &PortSettings::default());
    for command in [&["exports"][..], &["clients"], &["journal"], &["cache", "stat"], &["cache", "drop"]] {
        let arguments = [command, &["--config", config.to_str().unwrap()]].concat();
        let output = run(binary("storage-port").to_str().unwrap(), &arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && error.contains("no storage port runs"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
}
