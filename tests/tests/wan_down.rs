//! The storage center stopped (design decision 13): what is cached is served, what is not waits and comes when the
//! center returns, writes are taken meanwhile and arrive, and the port even starts without the center.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use e2e::data;
use e2e::mount;
use e2e::poll;
use e2e::site::Site;
use nfs3_types::nfs3::*;

/// An answer within this is one from the cache, not one after a time-out.
const PROMPT: Duration = Duration::from_secs(3);

/// PORT-3, PORT-7, PORT-12.
#[test]
fn the_port_goes_on_without_the_center() {
    let mut site = Site::start();
    let other = site.port("other");
    let mut port = site.port("port");
    let mut mount = port.mount("/export");
    let root = mount.root();

    let known = data::bytes(1, 3_000_001);
    let dir = mount.mkdir(&root, b"dir").unwrap();
    let known_file = mount.put(&dir, b"known", &known).unwrap();
    let unknown = data::bytes(2, 1_500_000);
    let mut elsewhere = other.mount("/export");
    let unknown_file = elsewhere.put(&dir, b"unknown", &unknown).unwrap();
    port.wait_uploaded(&site, &data::md5_hex(&known));
    other.wait_uploaded(&site, &data::md5_hex(&unknown));
    poll::until("the file of the other port", Duration::from_secs(5), || {
        (mount.getattr(&unknown_file).ok()?.size == unknown.len() as u64).then_some(())
    });
    assert!(mount.read(&known_file).unwrap() == known);
    assert_eq!(mount.readdir(&dir).unwrap().len(), 4);

    site.center.kill_9();

    // Cached files and directories, at once.
    let start = Instant::now();
    assert!(mount.read(&known_file).unwrap() == known);
    assert_eq!(mount.readdir(&dir).unwrap().len(), 4);
    assert_eq!(mount.lookup(&dir, b"known").unwrap(), known_file);
    assert_eq!(mount.getattr(&dir).unwrap().nlink, 2);
    assert!(start.elapsed() < PROMPT, "cached answers took {:?}", start.elapsed());

    // What is not cached: NFS3ERR_JUKEBOX, never an error that an application sees.
    let read = READ3args { file: unknown_file.clone(), offset: 0, count: 4_096 };
    let refused =
        mount.call_once::<READ3resok<'static>, READ3resfail>(NFS_PROGRAM::NFSPROC3_READ, &read).map(drop);
    assert_eq!(refused, Err(nfsstat3::NFS3ERR_JUKEBOX));
    let mkdir = MKDIR3args { where_: mount::at(&root, b"later"), attributes: mount::mode(0o755) };
    let refused =
        mount.call_once::<MKDIR3resok, MKDIR3resfail>(NFS_PROGRAM::NFSPROC3_MKDIR, &mkdir).map(drop);
    assert_eq!(refused, Err(nfsstat3::NFS3ERR_JUKEBOX));

    // Writes are taken and durable here: they survive kill -9 of the port, which starts without the center.
    let mut changed = known.clone();
    let part = data::bytes(3, 700_000);
    mount.write_durably(&known_file, 1_000_000, &part).unwrap();
    changed[1_000_000..1_700_000].copy_from_slice(&part);
    assert!(mount.read(&known_file).unwrap() == changed);
    port.daemon.kill_9();
    port.daemon.restart();
    assert!(
        mount.read(&known_file).unwrap() == changed,
        "staged writes after kill -9, the center still away"
    );
    assert_eq!(mount.readdir(&dir).unwrap().len(), 4, "directories after kill -9, the center still away");

    // Everything that waits comes when the center returns.
    let server = port.nfs();
    let waiting = std::thread::spawn(move || {
        let mut mount = e2e::mount::Mount::new(server, "/export", e2e::rpc::Credential::root()).unwrap();
        let made = mount.mkdir(&root, b"later").map(drop);
        (made, mount.read(&unknown_file).unwrap())
    });
    site.center.restart();
    let (made, bytes) = waiting.join().unwrap();
    assert_eq!(made, Ok(()));
    assert!(bytes == unknown);
    port.wait_uploaded(&site, &data::md5_hex(&changed));
    poll::until("the write at the other port", Duration::from_secs(10), || {
        (elsewhere.read(&known_file).ok()? == changed).then_some(())
    });
}
