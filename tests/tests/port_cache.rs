//! The data cache of a running port: a start with very many blocks, a start while the center cannot be reached, a disk that
//! is pulled.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use e2e::data;
use e2e::mount::Mount;
use e2e::poll;
use e2e::site::{Port, PortSettings, Site, told};
use e2e::tmpfs::Tmpfs;
use nfs3_types::nfs3::*;

/// From the start of the port to the bytes.
const FIRST_HIT_MAX: Duration = Duration::from_secs(2);
/// Failed disks are tried again every thirty seconds, and a disk is looked through in seconds.
const PATIENCE: Duration = Duration::from_secs(90);

/// Of each disk: how many files it has, and whether it is in service.
fn disks(port: &Port) -> Vec<(u64, bool)> {
    let stat = told(&port.config(), &["cache", "stat"]);
    let disks = stat["disks"].as_array().unwrap().iter();
    disks.map(|disk| (disk["files"].as_u64().unwrap(), disk["is_in_service"].as_bool().unwrap())).collect()
}

/// A file that is in the cache, whole.
fn cached(site: &Site, port: &Port, mount: &mut Mount, name: &str, bytes: &[u8]) -> nfs_fh3 {
    let root = mount.root();
    let file = mount.put(&root, name.as_bytes(), bytes).unwrap();
    port.wait_uploaded(site, &data::md5_hex(bytes));
    assert!(mount.read(&file).unwrap() == bytes);
    file
}

/// Makes `count` files that look like blocks of other objects, on each of the disks. Their bytes are wrong, which is seen by
/// who reads them.
fn fill(disks: &[&Path], count: u64) {
    thread::scope(|scope| {
        for disk in disks {
            scope.spawn(move || {
                for folder in 0..=255 {
                    fs::create_dir_all(disk.join(format!("{folder:02x}"))).unwrap();
                }
                for number in 0..count {
                    let folder = number % 256;
                    let name = format!("{folder:02x}/{folder:02x}{number:030x}.0");
                    File::create(disk.join(name)).unwrap().set_len(1).unwrap();
                }
            });
        }
    });
}

/// PORT-3, PORT-21: a million blocks hold up no start, whether the lists of them are there or lost: a block is served from
/// the cache two seconds after the start of the process.
#[test]
fn a_million_blocks_hold_up_no_start() {
    const BLOCKS: u64 = 1_000_000;
    let site = Site::start();
    let settings = PortSettings { cache_bytes: 16 << 30, ..PortSettings::default() };
    let (dir, _) = site.write_port_config("port", &settings);
    // In memory, where a million files are made in seconds.
    let folders = ["cache0", "cache1"].map(|name| Tmpfs::mount(&dir.join(name), "size=1g,nr_inodes=600k"));
    let mut port = site.port_with("port", &settings);
    let mut mount = port.mount("/export");
    let bytes = data::bytes(1, 3_000_001);
    let file = cached(&site, &port, &mut mount, "file", &bytes);
    port.daemon.stop();
    fill(&folders.each_ref().map(Tmpfs::path), BLOCKS / 2);

    let mut first_hit = |port: &mut Port| {
        let start = Instant::now();
        port.daemon.restart();
        assert!(mount.read(&file).unwrap() == bytes);
        let took = start.elapsed();
        let stat = told(&port.config(), &["cache", "stat"]);
        assert!(stat["misses"] == 0 && stat["hits"].as_u64() > Some(0), "{stat:#}");
        took
    };
    folders.iter().for_each(|folder| fs::remove_file(folder.path().join("index.log")).unwrap());
    let without_lists = first_hit(&mut port);
    let start = Instant::now();
    poll::until("all files are found", PATIENCE, || {
        disks(&port).iter().all(|(files, _)| *files >= BLOCKS / 2).then_some(())
    });
    println!("{BLOCKS} blocks were found in {:.1} s", start.elapsed().as_secs_f64());
    port.daemon.kill_9();
    let with_lists = first_hit(&mut port);
    assert!(disks(&port).iter().all(|(files, _)| *files >= BLOCKS / 2));
    let resident = port.daemon.resident_bytes() >> 20;
    println!(
        "first hit after {without_lists:.2?} without lists, {with_lists:.2?} with them; {resident} MiB resident"
    );
    assert!(without_lists.max(with_lists) < FIRST_HIT_MAX, "{without_lists:?}, {with_lists:?}");
}

/// PORT-3, PORT-7, PORT-21: started while the center cannot be reached, after kill -9 amid reads, a port names every file
/// with its size, serves those that it has, whole, and says "not now" for all others: never an end too early, never a
/// wrong byte.
#[test]
fn a_start_without_the_center_serves_what_is_cached_and_nothing_wrong() {
    let mut site = Site::start();
    let other = site.port("other");
    let mut port = site.port("port");
    let mut mount = port.mount("/export");
    let mut elsewhere = other.mount("/export");
    let root = elsewhere.root();
    let mut files = BTreeMap::new();
    for number in 0..60_u64 {
        let name = format!("file {number}");
        // Of no bytes, of less than a block, of several.
        let bytes = data::bytes(number, [0, 70_000, 2_500_000][number as usize % 3]);
        files.insert(name.clone(), (elsewhere.put(&root, name.as_bytes(), &bytes).unwrap(), bytes));
    }
    for (_, bytes) in files.values().filter(|(_, bytes)| !bytes.is_empty()) {
        other.wait_uploaded(&site, &data::md5_hex(bytes));
    }
    poll::until("all files as they are", PATIENCE, || {
        let listed = mount.readdirplus(&root).ok()?;
        let size =
            |name: &[u8]| files.get(std::str::from_utf8(name).ok()?).map(|(_, bytes)| bytes.len() as u64);
        let right = listed.iter().filter(|(name, attributes, _)| size(name) == Some(attributes.size));
        (right.count() == files.len()).then_some(())
    });
    // What it knows of the directory is on its disk now.
    port.daemon.stop();
    port.daemon.restart();
    // Every second file; the port is killed while the last of them are on their way.
    let (killed, last) = (files.values().step_by(2), files.values().nth(1).unwrap().0.clone());
    killed.for_each(|(file, bytes)| assert!(mount.read(file).unwrap() == *bytes));
    let mut reading = port.mount("/export");
    let reader = thread::spawn(move || {
        let read = READ3args { file: last, offset: 0, count: 65_536 };
        reading.call_once::<READ3resok<'static>, READ3resfail>(NFS_PROGRAM::NFSPROC3_READ, &read).map(drop)
    });
    port.daemon.kill_9();
    site.center.kill_9();
    port.daemon.restart();
    reader.join().unwrap().ok();

    let listed = mount.readdirplus(&root).unwrap();
    let (mut whole, mut later) = (0, 0);
    for (name, (file, bytes)) in &files {
        let found = listed.iter().find(|(listed, ..)| listed == name.as_bytes());
        let (_, attributes, _) = found.unwrap_or_else(|| panic!("{name} is not listed"));
        assert_eq!(attributes.size, bytes.len() as u64, "{name}");
        match read_once(&mut mount, file, bytes.len()) {
            Ok(read) => {
                assert!(read == *bytes, "{name}: {} bytes of {}", read.len(), bytes.len());
                whole += 1;
            }
            Err(refused) => {
                assert_eq!(refused, nfsstat3::NFS3ERR_JUKEBOX, "{name}");
                later += 1;
            }
        }
    }
    println!("{whole} files were served whole, {later} were put off");
    assert!(whole >= files.len() / 2 && later >= files.len() / 4, "{whole}, {later}");
    site.center.restart();
    for (name, (file, bytes)) in &files {
        assert!(mount.read(file).unwrap() == *bytes, "{name}");
    }
}

/// All bytes of a file, or the first answer that is no bytes.
fn read_once(mount: &mut Mount, file: &nfs_fh3, size: usize) -> Result<Vec<u8>, nfsstat3> {
    let mut bytes = Vec::new();
    while bytes.len() < size {
        let read = READ3args { file: file.clone(), offset: bytes.len() as u64, count: 65_536 };
        let part = mount.call_once::<READ3resok<'static>, READ3resfail>(NFS_PROGRAM::NFSPROC3_READ, &read)?;
        assert!(!part.data.0.is_empty(), "an end after {} bytes of {size}", bytes.len());
        bytes.extend_from_slice(&part.data.0);
    }
    Ok(bytes)
}

/// PORT-4, PORT-21: a disk that is pulled while files are read costs misses: readers get every byte and no error; it is told
/// which disk is out of service; put back, it takes part again.
#[test]
fn a_disk_that_is_pulled_costs_only_misses() {
    let site = Site::start();
    let settings = PortSettings { cache_bytes: 256 << 20, ..PortSettings::default() };
    let (dir, _) = site.write_port_config("port", &settings);
    // What is below the disk's file system takes nothing.
    let _below = Tmpfs::mount(&dir.join("cache0"), "size=4k,ro");
    let disk = Tmpfs::mount(&dir.join("cache0"), "size=256m");
    let port = site.port_with("port", &settings);
    let mut mount = port.mount("/export");
    let files: Vec<_> = (0..12)
        .map(|number| {
            let bytes = data::bytes(number, 2_500_000);
            (cached(&site, &port, &mut mount, &format!("file {number}"), &bytes), bytes)
        })
        .collect();
    assert!(disks(&port).iter().all(|(files, is_up)| *files > 0 && *is_up));
    let before = told(&port.config(), &["cache", "stat"])["misses"].as_u64();
    let server = port.nfs();
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut mount = Mount::new(server, "/export", e2e::rpc::Credential::root()).unwrap();
            let start = Instant::now();
            let mut rounds = 0;
            while start.elapsed() < Duration::from_secs(3) || rounds < 3 {
                for (file, bytes) in &files {
                    assert!(mount.read(file).unwrap() == *bytes);
                }
                rounds += 1;
            }
        });
        drop(disk);
        // It is met by what is new.
        let bytes = data::bytes(100, 20_000_000);
        cached(&site, &port, &mut mount, "new", &bytes);
        reader.join().unwrap();
    });
    let stat = disks(&port);
    assert_eq!(stat.iter().map(|(_, is_up)| *is_up).collect::<Vec<_>>(), [false, true], "{stat:?}");
    assert!(
        port.daemon.log_tail().contains("a cache disk failed and is out of service"),
        "{}",
        port.daemon.log_tail()
    );
    for (file, bytes) in &files {
        assert!(mount.read(file).unwrap() == *bytes);
    }
    assert!(told(&port.config(), &["cache", "stat"])["misses"].as_u64() > before);

    let _back = Tmpfs::mount(&dir.join("cache0"), "size=256m");
    poll::until("the disk takes part again", PATIENCE, || disks(&port)[0].1.then_some(()));
    for (file, bytes) in &files {
        assert!(mount.read(file).unwrap() == *bytes);
    }
    assert!(disks(&port)[0].0 > 0);
}
