//! kill -9 at random moments under a write load with COMMITs: nothing acknowledged is missing or wrong, no half
//! object is visible, references equal rows, and the client's file handles go on working.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use e2e::data;
use e2e::mount::Mount;
use e2e::poll;
use e2e::rpc::Credential;
use e2e::site::{Port, Site};
use nfs3_types::nfs3::*;
use rand::Rng;

/// Times a process is killed.
const KILLS: usize = 50;
/// Clients that write meanwhile.
const WRITERS: u64 = 3;
/// Files of each writer.
const FILES: usize = 12;

/// What one writer knows to be acknowledged.
struct Acknowledged {
    name: String,
    handle: nfs_fh3,
    bytes: Vec<u8>,
}

/// Writes, overwrites, renames and removes its own files until told to stop. Its calls are repeated until they are
/// answered, so when it stops, all it remembers was acknowledged and durable.
fn write_until(
    stop: &AtomicBool,
    operations: &AtomicU64,
    server: SocketAddr,
    writer: u64,
) -> Vec<Acknowledged> {
    let mut mount = Mount::new(server, "/export", Credential::root()).unwrap();
    let mut rng = data::rng(writer);
    let root = mount.root();
    let dir = mount.mkdir(&root, format!("writer-{writer}").as_bytes()).unwrap();
    let mut files: Vec<Acknowledged> = Vec::new();
    let mut made = 0;
    while !stop.load(Ordering::Relaxed) {
        match rng.random_range(0..10) {
            0..3 if files.len() < FILES => {
                made += 1;
                let name = format!("file-{made}");
                let mut verifier = [0; 8];
                rng.fill(&mut verifier);
                let how = createhow3::EXCLUSIVE(createverf3(verifier));
                let handle = mount.create(&dir, name.as_bytes(), how).unwrap();
                let len = if rng.random_ratio(1, 6) { 2_500_000 } else { rng.random_range(0..100_000) };
                let bytes = data::bytes(rng.random(), len);
                mount.write_durably(&handle, 0, &bytes).unwrap();
                files.push(Acknowledged { name, handle, bytes });
            }
            3..8 if !files.is_empty() => {
                let at = rng.random_range(0..files.len());
                let file = &mut files[at];
                let start = rng.random_range(0..=file.bytes.len());
                let part = data::bytes(rng.random(), rng.random_range(1..60_000));
                mount.write_durably(&file.handle, start as u64, &part).unwrap();
                file.bytes.resize(file.bytes.len().max(start + part.len()), 0);
                file.bytes[start..start + part.len()].copy_from_slice(&part);
            }
            8 if !files.is_empty() => {
                let at = rng.random_range(0..files.len());
                made += 1;
                let name = format!("renamed-{made}");
                mount.rename(&dir, files[at].name.as_bytes(), &dir, name.as_bytes()).unwrap();
                files[at].name = name;
            }
            9 if files.len() > 3 => {
                let file = files.swap_remove(rng.random_range(0..files.len()));
                mount.remove(&dir, file.name.as_bytes()).unwrap();
            }
            _ => {}
        }
        operations.fetch_add(1, Ordering::Relaxed);
    }
    files
}

/// Compares everything acknowledged with what the mount says, by the old handles and by name.
fn verify(server: SocketAddr, writer: u64, files: &[Acknowledged]) {
    let mut mount = Mount::new(server, "/export", Credential::root()).unwrap();
    let dir = mount.walk(&format!("writer-{writer}")).unwrap();
    let listed = mount.readdir(&dir).unwrap().len() - 2;
    assert_eq!(listed, files.len(), "names of writer {writer}");
    for file in files {
        assert_eq!(
            mount.lookup(&dir, file.name.as_bytes()).unwrap(),
            file.handle,
            "{} has its handle",
            file.name
        );
        let bytes = mount.read(&file.handle).unwrap();
        assert_eq!(bytes.len(), file.bytes.len(), "size of {}", file.name);
        assert!(bytes == file.bytes, "{} of writer {writer} differs", file.name);
    }
}

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
    let server = port.nfs();
    let (stop, operations) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut rng = data::rng(0x6b69_6c6c);
    let files: Vec<Vec<Acknowledged>> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (stop, operations) = (&stop, &operations);
                scope.spawn(move || write_until(stop, operations, server, writer))
            })
            .collect();
        // Each kill comes a random number of operations after the last restart.
        for _ in 0..KILLS {
            let target = operations.load(Ordering::Relaxed) + rng.random_range(1..40);
            poll::until("the writers make headway", Duration::from_secs(60), || {
                (operations.load(Ordering::Relaxed) >= target).then_some(())
            });
            kill(&mut site, &mut port);
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    for (writer, files) in files.iter().enumerate() {
        verify(server, writer as u64, files);
    }

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
