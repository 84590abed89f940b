//! How much of the way to the storage center a port takes: `[wan]`.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use e2e::data;
use e2e::site::{PortSettings, Site, told};

/// What goes over the WAN, and how fast it may.
const BYTES: usize = 4_000_000;
const UPLOAD_RATE: u64 = 1_000_000;
const FETCH_RATE: u64 = 2_000_000;
/// A client that writes waits for the port's disk alone.
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
