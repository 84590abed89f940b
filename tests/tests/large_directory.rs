//! Directories of 10,000 and 100,000 entries: listed whole and once each, also while entries come and go, by a port that
//! knows them and by one that does not.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use e2e::mount::Mount;
use e2e::site::{Port, Site};
use nfs3_types::nfs3::*;

const CLIENTS: usize = 16;

/// Makes `entries` empty files from many clients at once, as one would take minutes.
fn fill(port: &Port, dir: &nfs_fh3, entries: usize) -> BTreeSet<Vec<u8>> {
    let name = |number: usize| format!("entry-{number:06}").into_bytes();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                let mut mount = port.mount("/export");
                for number in (client..entries).step_by(CLIENTS) {
                    mount.create_file(dir, &name(number)).unwrap();
                }
            });
        }
    });
    (0..entries).map(name).collect()
}

/// The names of a listing, each at most once, without `.` and `..`.
fn names(listed: impl IntoIterator<Item = Vec<u8>>) -> BTreeSet<Vec<u8>> {
    let mut names = BTreeSet::new();
    for name in listed {
        assert!(names.insert(name.clone()), "{} is listed twice", String::from_utf8_lossy(&name));
    }
    assert!(names.remove(&b"."[..]) && names.remove(&b".."[..]));
    names
}

fn by_readdir(mount: &mut Mount, dir: &nfs_fh3) -> BTreeSet<Vec<u8>> {
    names(mount.readdir(dir).unwrap().into_iter().map(|(name, _)| name))
}

fn by_readdirplus(mount: &mut Mount, dir: &nfs_fh3) -> BTreeSet<Vec<u8>> {
    names(mount.readdirplus(dir).unwrap().into_iter().map(|(name, ..)| name))
}

fn listed_whole_while_entries_come_and_go(entries: usize) {
    let site = Site::start();
    let port = site.port("port");
    let mut mount = port.mount("/export");
    let root = mount.root();
    let dir = mount.mkdir(&root, b"large").unwrap();
    let lasting = fill(&port, &dir, entries);
    assert!(by_readdir(&mut mount, &dir) == lasting);
    assert!(by_readdirplus(&mut mount, &dir) == lasting);

    let cold = site.port("cold");
    let (stop, root) = (AtomicBool::new(false), &dir);
    std::thread::scope(|scope| {
        let stop = &stop;
        let churn = scope.spawn(|| {
            let mut other = port.mount("/export");
            let mut made = 0;
            while !stop.load(Ordering::Relaxed) {
                let name = format!("passing-{made}").into_bytes();
                other.create_file(root, &name).unwrap();
                other.remove(root, &name).unwrap();
                made += 1;
            }
            made
        });
        for server in [&port, &cold] {
            let mut mount = server.mount("/export");
            for listed in [by_readdir(&mut mount, root), by_readdirplus(&mut mount, root)] {
                let missing = lasting.difference(&listed).count();
                assert_eq!(missing, 0, "entries that were there throughout are missing");
                let foreign = listed.difference(&lasting).all(|name| name.starts_with(b"passing-"));
                assert!(foreign, "names that never were");
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(churn.join().unwrap() > 0, "nothing changed meanwhile");
    });
}

/// RFC 1813 §3.3.16, §3.3.17.
#[test]
fn ten_thousand_entries() {
    listed_whole_while_entries_come_and_go(10_000);
}

/// The same, ten times as many.
#[test]
fn a_hundred_thousand_entries() {
    listed_whole_while_entries_come_and_go(100_000);
}

/// RFC 1813 §3.3.16: a verifier of another directory is NFS3ERR_BAD_COOKIE.
#[test]
fn a_foreign_cookie_verifier_is_refused() {
    let site = Site::start();
    let port = site.port("port");
    let mut mount = port.mount("/export");
    let root = mount.root();
    mount.create_file(&root, b"a").unwrap();
    let list = |mount: &mut Mount, cookie, cookieverf| {
        let args = READDIR3args { dir: mount.root(), cookie, cookieverf, count: 4_096 };
        mount.call::<READDIR3resok<'static>, READDIR3resfail>(NFS_PROGRAM::NFSPROC3_READDIR, &args)
    };
    let first = list(&mut mount, 0, cookieverf3::default()).unwrap();
    let cookie = first.reply.entries.into_inner()[0].cookie;
    assert!(list(&mut mount, cookie, first.cookieverf).is_ok());
    let mut foreign = first.cookieverf;
    foreign.0[0] ^= 1;
    assert_eq!(list(&mut mount, cookie, foreign).err(), Some(nfsstat3::NFS3ERR_BAD_COOKIE));
}
