//! How much of the way to the storage center a port takes: `[wan]`.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use e2e::data;
use e2e::rpc::{Connection, Credential};
use e2e::site::{PortSettings, Site, told};
use nfs3_types::nfs3::*;

/// What goes over the WAN, and how fast it may.
const BYTES: usize = 4_000_000;
const UPLOAD_RATE: u64 = 1_000_000;
const FETCH_RATE: u64 = 2_000_000;
/// A file that takes long at that rate, and how a client asks for it.
const LARGE_BYTES: usize = 24 << 20;
const READ_BYTES: u32 = 1 << 20;
/// One that is in the cache.
const SMALL_BYTES: usize = 50_000;
const AHEAD_PATIENCE: Duration = Duration::from_secs(30);
/// A client that writes waits for the port's disk alone, and one that asks for what is there for nothing.
const AT_ONCE: Duration = Duration::from_secs(2);

/// PORT-12: a limited port takes no more of the WAN than it may, to the center and from it, in the hours that say so; who
/// writes does not wait for it, and `status` tells of it.
#[test]
fn a_limited_port_takes_no_more_than_it_may() {
    let site = Site::start();
    let hours = |from: &str, until: &str| {
        format!(
            "[[wan.hours]]\nfrom = \"{from}\"\nuntil = \"{until}\"\nupload_bytes_per_second = {UPLOAD_RATE}\n\
             fetch_bytes_per_second = {FETCH_RATE}\n"
        )
    };
    let limited = |name: &str| {
        let more = format!("[wan]\n{}{}", hours("00:00", "12:00"), hours("12:00", "24:00"));
        site.port_with(name, &PortSettings { more, ..PortSettings::default() })
    };
    let (writer, reader) = (limited("writer"), limited("reader"));
    let (mut mount, bytes) = (writer.mount("/export"), data::bytes(1, BYTES));
    let (root, begun) = (mount.root(), Instant::now());
    mount.put(&root, b"large", &bytes).unwrap();
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    writer.wait_uploaded(&site, &data::md5_hex(&bytes));
    let uploaded = begun.elapsed();
    let least = |rate: u64| Duration::from_secs_f64((BYTES - (1 << 20)) as f64 / rate as f64);
    assert!(uploaded >= least(UPLOAD_RATE), "{uploaded:?}");
    writer.wait_nothing_owed();

    let mut mount = reader.mount("/export");
    let file = mount.walk("large").unwrap();
    let begun = Instant::now();
    assert!(mount.read(&file).unwrap() == bytes);
    let fetched = begun.elapsed();
    assert!(fetched >= least(FETCH_RATE), "{fetched:?}");
    let again = Instant::now();
    assert!(mount.read(&file).unwrap() == bytes);
    assert!(again.elapsed() < fetched / 2, "what is cached takes nothing of the WAN");
    println!("uploaded in {uploaded:.1?}, fetched in {fetched:.1?}");

    let wan = told(&reader.config(), &["status"])["wan"].clone();
    assert_eq!(wan["upload_bytes_per_second"], UPLOAD_RATE, "{wan}");
    assert_eq!(wan["fetch_bytes_per_second"], FETCH_RATE, "{wan}");
}

/// PORT-1, PORT-12: names and what is cached do not wait for a large file that comes slowly to the same client, though that
/// asks for all of it ahead.
#[test]
fn a_slow_fetch_holds_up_nothing_else_of_its_connection() {
    let site = Site::start();
    let port =
        |name: &str, more: String| site.port_with(name, &PortSettings { more, ..PortSettings::default() });
    let writer = port("writer", String::new());
    let (large, small) = (data::bytes(1, LARGE_BYTES), data::bytes(2, SMALL_BYTES));
    let mut mount = writer.mount("/export");
    for (name, bytes) in [("large", &large), ("small", &small)] {
        mount.put(&mount.root(), name.as_bytes(), bytes).unwrap();
        writer.wait_uploaded(&site, &data::md5_hex(bytes));
    }

    let reader = port("reader", format!("[wan]\nfetch_bytes_per_second = {FETCH_RATE}\n"));
    let mut mount = reader.mount("/export");
    let [large, small] = ["large", "small"].map(|name| mount.walk(name).unwrap());
    assert_eq!(mount.read(&small).unwrap().len(), SMALL_BYTES);
    let mut client = Connection::open(reader.nfs(), &Credential::root(), AHEAD_PATIENCE).unwrap();
    let read = |file: &nfs_fh3, offset, count| READ3args { file: file.clone(), offset, count };
    let begun = Instant::now();
    for ahead in 0..LARGE_BYTES as u32 / READ_BYTES {
        let args = read(&large, u64::from(ahead * READ_BYTES), READ_BYTES);
        client.send(100 + ahead, NFS_PROGRAM::NFSPROC3_READ, &args).unwrap();
    }
    for round in 0..5 {
        let args = GETATTR3args { object: large.clone() };
        let GETATTR3res::Ok(named) = client.call(2 * round, NFS_PROGRAM::NFSPROC3_GETATTR, &args).unwrap()
        else {
            panic!("no attributes")
        };
        assert_eq!(named.obj_attributes.size, LARGE_BYTES as u64);
        // A client knows the size.
        let args = read(&small, 0, SMALL_BYTES as u32);
        let READ3res::Ok(cached) = client.call(2 * round + 1, NFS_PROGRAM::NFSPROC3_READ, &args).unwrap()
        else {
            panic!("no bytes")
        };
        assert_eq!(cached.count, SMALL_BYTES as u32);
    }
    let took = begun.elapsed();
    println!(
        "ten calls beside a fetch of {:?}: {took:.1?}",
        Duration::from_secs(LARGE_BYTES as u64 / FETCH_RATE)
    );
    assert!(took < AT_ONCE, "{took:?}");
}
