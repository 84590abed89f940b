//! Exports that nothing may be changed through: one marked so, and the tree of SRLs.

use nfs3_types::nfs3::nfsstat3::*;

use crate::case;
use crate::conformance::Case;
use crate::conformance::call::{Call, Handle, How, Reply, Set, Stable};
use crate::conformance::scene::{Scene, at, expect_ok};

pub(super) const CASES: &[Case] = &[
    Case::new("all that change", "a read-only export", NFS3ERR_ROFS, case!(read_only_export)).port(),
    Case::new("all that change", "`/SRL`", NFS3ERR_ROFS, case!(srl_tree)).port(),
    Case::new("READ, READDIR", "a read-only export", NFS3_OK, case!(read_only_export_reads)).port(),
    Case::new("ACCESS", "a read-only export", NFS3_OK, case!(read_only_access)).port(),
];

/// The case's folder through another export, with a file, a folder and a symbolic link in it.
fn through(s: &mut Scene<'_>, export: &str) -> Handle {
    s.file_with("f", "data");
    s.folder("d");
    s.soft_link("l", "t");
    let (root, name) = (s.mount(export), s.name.clone());
    s.lookup(&root, name).handle.expect("the same folder")
}

/// Each procedure that changes something.
fn changes(s: &mut Scene<'_>, dir: &Handle) -> Reply {
    let file = s.lookup(dir, "f").handle.expect("a file");
    let calls = [
        Call::Setattr(file.clone(), Set::mode(0o600), None),
        Call::Setattr(file.clone(), Set::size(0), None),
        Call::Setattr(dir.clone(), Set::mode(0o700), None),
        Call::Write(file.clone(), 0, 1, Stable::Unstable, vec![1]),
        Call::Create(at(dir, "x"), How::Unchecked(Set::default())),
        Call::Create(at(dir, "f"), How::Unchecked(Set::default())),
        Call::Create(at(dir, "f"), How::Guarded(Set::default())),
        Call::Create(at(dir, "x"), How::Exclusive([1; 8])),
        Call::Mkdir(at(dir, "x"), Set::default()),
        Call::Symlink(at(dir, "x"), Set::default(), b"t".to_vec()),
        Call::Mknod(at(dir, "x"), 7),
        Call::Link(file.clone(), at(dir, "x")),
        Call::Remove(at(dir, "f")),
        Call::Remove(at(dir, "absent")),
        Call::Rmdir(at(dir, "d")),
        Call::Rename(at(dir, "f"), at(dir, "g")),
        Call::Rename(at(dir, "f"), at(dir, "f")),
        Call::Commit(file, 0, 0),
    ];
    let mut last = Reply::default();
    for call in calls {
        last = s.call(call.clone());
        assert_eq!(last.status, NFS3ERR_ROFS, "{call:?}");
    }
    assert_eq!(s.names(dir), [&b"d"[..], b"f", b"l"]);
    last
}

fn read_only_export(s: &mut Scene<'_>) -> Reply {
    let dir = through(s, "/read-only");
    changes(s, &dir)
}

fn srl_tree(s: &mut Scene<'_>) -> Reply {
    let dir = through(s, "/SRL");
    changes(s, &dir)
}

fn read_only_export_reads(s: &mut Scene<'_>) -> Reply {
    let dir = through(s, "/read-only");
    let file = s.lookup(&dir, "f").handle.expect("a file");
    let reply = s.read(&file, 0, 10);
    assert_eq!(reply.data, b"data");
    expect_ok(&s.readdir(&dir, 0, [0; 8], 4096));
    reply
}

fn read_only_access(s: &mut Scene<'_>) -> Reply {
    let dir = through(s, "/read-only");
    let reply = s.access(&dir, 0x3f);
    assert_eq!(reply.numbers, [0x03], "to read and to look up");
    reply
}
