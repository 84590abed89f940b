//! Files that are made, written and removed at once: nothing of them reaches the storage node if they were gone before
//! they were quiet, and nothing stays there if they were not (PORT-12, REF-4).

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use e2e::site::{Port, PortSettings, Site};
use e2e::{data, poll};

const CLIENTS: u64 = 4;
const FILES_EACH: u64 = 25;

/// Several clients at once; each file has contents of its own. `before_removal` is told of them.
fn churn(port: &Port, before_removal: impl Fn(u64, &[u8]) + Sync) {
    let before_removal = &before_removal;
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                let mut mount = port.mount("/export");
                let root = mount.root();
                for number in 0..FILES_EACH {
                    let name = format!("temporary-{client}-{number}");
                    let contents = data::bytes(client * FILES_EACH + number, 4_096);
                    mount.put(&root, name.as_bytes(), &contents).unwrap();
                    before_removal(number, &contents);
                    mount.remove(&root, name.as_bytes()).unwrap();
                }
            });
        }
    });
}

/// Copies of objects on all disks, but for the empty one that every disk has from the start.
fn objects(site: &Site) -> usize {
    fn files(folder: &Path) -> usize {
        let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
    }
    let copies: usize = site.disks().iter().map(|disk| files(&disk.join("obj"))).sum();
    copies - site.copies(&data::md5_hex(b""))
}

/// PORT-12: a stopping port uploads whatever its journal holds, and here that is nothing.
#[test]
fn a_file_removed_before_it_is_quiet_is_never_stored() {
    let site = Site::start();
    let settings = PortSettings { quiet: Duration::from_secs(60), ..PortSettings::default() };
    let mut port = site.port_with("port", &settings);
    churn(&port, |_, _| ());
    assert!(port.daemon.stop().success());
    assert_eq!(objects(&site), 0);
}

/// REF-4: whether the upload or the removal was first, no reference is left, and no row without contents.
#[test]
fn a_file_removed_during_its_upload_leaves_no_reference() {
    let site = Site::start();
    let settings = PortSettings { quiet: Duration::from_millis(1), ..PortSettings::default() };
    let mut port = site.port_with("port", &settings);
    let some_uploaded = |number: u64, contents: &[u8]| {
        if number.is_multiple_of(5) {
            port.wait_uploaded(&site, &data::md5_hex(contents));
        }
    };
    churn(&port, some_uploaded);
    assert!(port.daemon.stop().success());
    assert!(objects(&site) > 0);
    poll::until("no reference is left", Duration::from_secs(30), || {
        let (agrees, report) = site.check();
        (agrees && report.contains("references on the disks  0\n")).then_some(())
    });
}
