//! Several storage ports on one customer: the change feed keeps their directory caches right (PORT-17, VFS-24), and
//! file handles are the same on all of them.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use e2e::mount::{self, Mount};
use e2e::poll;
use e2e::site::{PortSettings, Site};
use nfs3_types::nfs3::nfsstat3;

/// What the issue of every change allows.
const ONE_SECOND: Duration = Duration::from_secs(1);

fn within_a_second<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    let found = poll::until(what, ONE_SECOND, look);
    println!("{what}: seen after {:?}", start.elapsed());
    found
}

fn read(mount: &mut Mount, path: &str) -> Option<Vec<u8>> {
    let file = mount.walk(path).ok()?;
    mount.read(&file).ok()
}

/// PORT-17, VFS-24.
#[test]
fn a_second_port_sees_every_kind_of_change_within_a_second() {
    let site = Site::start();
    let (one, two) = (site.port("one"), site.port("two"));
    let (mut writer, mut reader) = (one.mount("/export"), two.mount("/export"));
    let root = writer.root();
    assert_eq!(reader.root(), root, "both ports give the same handle");
    assert_eq!(reader.walk("dir/file"), Err(nfsstat3::NFS3ERR_NOENT), "a negative entry is cached");

    let dir = writer.mkdir(&root, b"dir").unwrap();
    within_a_second("MKDIR", || reader.walk("dir").ok());
    let file = writer.put(&dir, b"file", b"first").unwrap();
    within_a_second("a new file's contents", || (read(&mut reader, "dir/file")? == b"first").then_some(()));
    assert_eq!(reader.walk("dir/file").unwrap(), file);

    writer.write_durably(&file, 0, b"second, longer").unwrap();
    within_a_second("overwritten contents", || (reader.read(&file).ok()? == b"second, longer").then_some(()));
    writer.truncate(&file, 6).unwrap();
    within_a_second("a truncated file", || (reader.read(&file).ok()? == b"second").then_some(()));
    writer.setattr(&file, mount::mode(0o600)).unwrap();
    within_a_second("SETATTR", || (reader.getattr(&file).ok()?.mode == 0o600).then_some(()));

    assert_eq!(reader.readdir(&dir).unwrap().len(), 3);
    writer.rename(&dir, b"file", &root, b"moved").unwrap();
    within_a_second("RENAME, the old name", || {
        (reader.lookup(&dir, b"file") == Err(nfsstat3::NFS3ERR_NOENT)).then_some(())
    });
    within_a_second("RENAME, the new name", || (reader.lookup(&root, b"moved").ok()? == file).then_some(()));
    within_a_second("RENAME, the listing", || (reader.readdir(&dir).unwrap().len() == 2).then_some(()));

    writer.symlink(&root, b"link", b"moved").unwrap();
    let link = within_a_second("SYMLINK", || reader.walk("link").ok());
    assert_eq!(reader.readlink(&link).unwrap(), b"moved");
    writer.remove(&root, b"moved").unwrap();
    within_a_second("REMOVE", || (reader.walk("moved") == Err(nfsstat3::NFS3ERR_NOENT)).then_some(()));
    within_a_second("REMOVE, the handle", || {
        (reader.getattr(&file).err() == Some(nfsstat3::NFS3ERR_STALE)).then_some(())
    });
    writer.rmdir(&root, b"dir").unwrap();
    within_a_second("RMDIR", || (reader.walk("dir") == Err(nfsstat3::NFS3ERR_NOENT)).then_some(()));
}

/// PORT-17: two ports that write different parts of one file in turn lose neither.
#[test]
fn writes_of_two_ports_to_one_file_are_both_kept() {
    let site = Site::start();
    let settings = PortSettings { quiet: Duration::from_millis(300), ..PortSettings::default() };
    let (one, two) = (site.port_with("one", &settings), site.port_with("two", &settings));
    let (mut first, mut second) = (one.mount("/export"), two.mount("/export"));
    let root = first.root();
    let file = first.put(&root, b"shared", &[b'.'; 3 << 20]).unwrap();
    poll::until("the other port has the file", Duration::from_secs(10), || {
        (second.read(&file).ok()?.len() == 3 << 20).then_some(())
    });
    // Both are staged at the same time: one of the uploads meets a newer version and merges.
    first.write_durably(&file, 10, b"from the first port").unwrap();
    second.write_durably(&file, 2 << 20, b"from the second port").unwrap();
    let merged = |bytes: &[u8]| {
        bytes.len() == 3 << 20
            && bytes[10..].starts_with(b"from the first port")
            && bytes[2 << 20..].starts_with(b"from the second port")
    };
    for mount in [&mut first, &mut second] {
        poll::until("both writes at both ports", Duration::from_secs(20), || {
            merged(&mount.read(&file).ok()?).then_some(())
        });
    }
}
