//! RENAME.

use nfs3_types::nfs3::nfsstat3::*;

use crate::case;
use crate::conformance::Case;
use crate::conformance::call::{Handle, Reply, Set};
use crate::conformance::scene::{Scene, expect_ok};

const RENAME: &str = "RENAME";

pub(super) const CASES: &[Case] = &[
    Case::new(RENAME, "to a new name", NFS3_OK, case!(rename_to_a_new_name)),
    Case::new(RENAME, "to another folder", NFS3_OK, case!(rename_to_another_folder)),
    Case::new(RENAME, "a folder to another folder", NFS3_OK, case!(rename_of_a_folder_counts_links)),
    Case::new(RENAME, "a name that is not there", NFS3ERR_NOENT, case!(rename_of_nothing)),
    Case::new(RENAME, "a file onto a file", NFS3_OK, case!(rename_onto_a_file)),
    Case::new(RENAME, "a file onto a symbolic link", NFS3_OK, case!(rename_onto_a_link)),
    Case::new(RENAME, "a folder onto an empty folder", NFS3_OK, case!(rename_onto_an_empty_folder)),
    Case::new(RENAME, "a folder onto one with entries", NFS3ERR_NOTEMPTY, case!(rename_onto_a_full_folder))
        .note("as Linux; RFC 1813 has EXIST as well"),
    Case::new(RENAME, "a file onto a folder", NFS3ERR_ISDIR, case!(rename_of_a_file_onto_a_folder))
        .note("as Linux; RFC 1813 has EXIST as well"),
    Case::new(RENAME, "a folder onto a file", NFS3ERR_NOTDIR, case!(rename_of_a_folder_onto_a_file))
        .note("as Linux; RFC 1813 has EXIST as well"),
    Case::new(RENAME, "a file onto itself", NFS3_OK, case!(rename_of_a_file_onto_itself)),
    Case::new(RENAME, "a folder onto itself", NFS3_OK, case!(rename_of_a_folder_onto_itself)),
    Case::new(RENAME, "a folder into itself", NFS3ERR_INVAL, case!(rename_into_itself)),
    Case::new(RENAME, "a folder far below itself", NFS3ERR_INVAL, case!(rename_below_itself)),
    Case::new(RENAME, "a folder onto the one above it", NFS3ERR_NOTEMPTY, case!(rename_onto_its_parent)),
    Case::new(RENAME, "from or to `.` or `..`", NFS3ERR_INVAL, case!(rename_of_dots))
        .note("Linux: PERM, which RFC 1813 does not list"),
    Case::new(RENAME, "from or to no name", NFS3ERR_ACCES, case!(rename_of_no_name)),
    Case::new(RENAME, "to a name of 256 bytes", NFS3ERR_NAMETOOLONG, case!(rename_to_too_long_a_name)),
    Case::new(RENAME, "to a name of 255 bytes", NFS3_OK, case!(rename_to_the_longest_name)),
    Case::new(RENAME, "to a name with `/`", NFS3ERR_INVAL, case!(rename_to_a_path)),
    Case::new(RENAME, "from a file, as if it were a folder", NFS3ERR_NOTDIR, case!(rename_from_a_file)),
    Case::new(RENAME, "to a file, as if it were a folder", NFS3ERR_NOTDIR, case!(rename_to_a_file)),
    Case::new(RENAME, "between exports", NFS3ERR_XDEV, case!(rename_between_exports)).port(),
    Case::new(RENAME, "to a read-only export", NFS3ERR_ROFS, case!(rename_to_a_read_only_export)).port(),
    Case::new(
        RENAME,
        "from a folder the caller may not write",
        NFS3ERR_ACCES,
        case!(rename_from_a_closed_folder),
    ),
    Case::new(
        RENAME,
        "to a folder the caller may not write",
        NFS3ERR_ACCES,
        case!(rename_to_a_closed_folder),
    ),
    Case::new(
        RENAME,
        "another's file out of a sticky folder",
        NFS3ERR_PERM,
        case!(rename_out_of_a_sticky_folder),
    ),
    Case::new(
        RENAME,
        "onto another's file in a sticky folder",
        NFS3ERR_PERM,
        case!(rename_onto_another_s_sticky_file),
    ),
    Case::new(
        RENAME,
        "another's folder, which the caller may not write",
        NFS3ERR_ACCES,
        case!(rename_of_a_closed_folder),
    ),
    Case::new(RENAME, "a file someone holds a handle of", NFS3_OK, case!(rename_keeps_the_handle)),
];

fn rename_to_a_new_name(s: &mut Scene<'_>) -> Reply {
    let (dir, file) = (s.dir(), s.file("old"));
    let before = s.attributes(&dir);
    let reply = s.rename(&dir, "old", &dir, "new");
    assert_eq!(s.names(&dir), [b"new"]);
    assert_eq!(s.lookup(&dir, "new").handle, Some(file));
    assert!(s.attributes(&dir).changed > before.changed);
    assert!(s.attributes(&dir).modified > before.modified);
    reply
}

fn rename_to_another_folder(s: &mut Scene<'_>) -> Reply {
    let (dir, to) = (s.dir(), s.folder("to"));
    let file = s.file_with("f", "data");
    let before = s.attributes(&to);
    let reply = s.rename(&dir, "f", &to, "g");
    assert_eq!(s.names(&dir), [b"to"]);
    assert_eq!(s.lookup(&to, "g").handle, Some(file.clone()));
    assert!(s.attributes(&to).modified > before.modified);
    assert_eq!(s.contents(&file), b"data");
    reply
}

fn rename_of_a_folder_counts_links(s: &mut Scene<'_>) -> Reply {
    let (from, to) = (s.folder("from"), s.folder("to"));
    let moved = s.folder_in(&from, "moved");
    s.file_in(&moved, "f");
    let reply = s.rename(&from, "moved", &to, "moved");
    assert_eq!((s.attributes(&from).links, s.attributes(&to).links), (2, 3));
    assert_eq!(s.lookup(&moved, "..").handle, Some(to));
    assert_eq!(s.names(&moved), [b"f"]);
    reply
}

fn rename_of_nothing(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.file("target");
    let reply = s.rename(&dir, "absent", &dir, "target");
    assert_eq!(s.names(&dir), [b"target"]);
    reply
}

fn rename_onto_a_file(s: &mut Scene<'_>) -> Reply {
    let (dir, new, old) = (s.dir(), s.file_with("new", "new"), s.file_with("old", "old"));
    let reply = s.rename(&dir, "new", &dir, "old");
    assert_eq!(s.names(&dir), [b"old"]);
    assert_eq!(s.contents(&new), b"new");
    assert_eq!(s.getattr(&old).status, NFS3ERR_STALE);
    reply
}

fn rename_onto_a_link(s: &mut Scene<'_>) -> Reply {
    let (dir, file) = (s.dir(), s.file("f"));
    s.soft_link("l", "f");
    let reply = s.rename(&dir, "f", &dir, "l");
    assert_eq!(s.lookup(&dir, "l").handle, Some(file));
    reply
}

fn rename_onto_an_empty_folder(s: &mut Scene<'_>) -> Reply {
    let (dir, full, empty) = (s.dir(), s.folder("full"), s.folder("empty"));
    s.file_in(&full, "f");
    let reply = s.rename(&dir, "full", &dir, "empty");
    assert_eq!(s.names(&dir), [b"empty"]);
    assert_eq!(s.names(&full), [b"f"]);
    assert_eq!(s.getattr(&empty).status, NFS3ERR_STALE);
    assert_eq!(s.attributes(&dir).links, 3);
    reply
}

/// Two folders, the second with a file in it.
fn two_folders(s: &mut Scene<'_>) -> (Handle, Handle, Handle) {
    let (dir, one, other) = (s.dir(), s.folder("one"), s.folder("other"));
    s.file_in(&other, "f");
    (dir, one, other)
}

fn rename_onto_a_full_folder(s: &mut Scene<'_>) -> Reply {
    let (dir, ..) = two_folders(s);
    let reply = s.rename(&dir, "one", &dir, "other");
    assert_eq!(s.names(&dir), [&b"one"[..], b"other"]);
    reply
}

fn rename_of_a_file_onto_a_folder(s: &mut Scene<'_>) -> Reply {
    let (dir, ..) = two_folders(s);
    s.file("f");
    assert_eq!(s.rename(&dir, "f", &dir, "other").status, NFS3ERR_ISDIR);
    s.rename(&dir, "f", &dir, "one")
}

fn rename_of_a_folder_onto_a_file(s: &mut Scene<'_>) -> Reply {
    let (dir, ..) = two_folders(s);
    s.soft_link("l", "t");
    s.file("f");
    assert_eq!(s.rename(&dir, "one", &dir, "l").status, NFS3ERR_NOTDIR);
    s.rename(&dir, "other", &dir, "f")
}

fn rename_of_a_file_onto_itself(s: &mut Scene<'_>) -> Reply {
    let (dir, file) = (s.dir(), s.file_with("f", "data"));
    let before = s.attributes(&dir);
    let reply = s.rename(&dir, "f", &dir, "f");
    assert_eq!(s.attributes(&dir), before, "nothing changed");
    assert_eq!(s.contents(&file), b"data");
    reply
}

fn rename_of_a_folder_onto_itself(s: &mut Scene<'_>) -> Reply {
    let (dir, ..) = two_folders(s);
    let reply = s.rename(&dir, "other", &dir, "other");
    assert_eq!(s.names(&dir), [&b"one"[..], b"other"]);
    reply
}

fn rename_into_itself(s: &mut Scene<'_>) -> Reply {
    let (dir, _, other) = two_folders(s);
    s.rename(&dir, "other", &other, "deeper")
}

fn rename_below_itself(s: &mut Scene<'_>) -> Reply {
    let (dir, _, other) = two_folders(s);
    let mut below = other;
    for _ in 0..5 {
        below = s.folder_in(&below, "below");
    }
    s.rename(&dir, "other", &below, "deeper")
}

fn rename_onto_its_parent(s: &mut Scene<'_>) -> Reply {
    let (dir, _, other) = two_folders(s);
    s.folder_in(&other, "inner");
    s.rename(&other, "inner", &dir, "other")
}

fn rename_of_dots(s: &mut Scene<'_>) -> Reply {
    let (dir, ..) = two_folders(s);
    for (from, to) in [(".", "x"), ("..", "x"), ("one", ".")] {
        assert_eq!(s.rename(&dir, from, &dir, to).status, NFS3ERR_INVAL, "{from} to {to}");
    }
    s.rename(&dir, "one", &dir, "..")
}

fn rename_of_no_name(s: &mut Scene<'_>) -> Reply {
    let (dir, ..) = two_folders(s);
    assert_eq!(s.rename(&dir, "", &dir, "x").status, NFS3ERR_ACCES);
    s.rename(&dir, "one", &dir, "")
}

fn rename_to_too_long_a_name(s: &mut Scene<'_>) -> Reply {
    let (dir, ..) = two_folders(s);
    assert_eq!(s.rename(&dir, [b'n'; 256], &dir, "x").status, NFS3ERR_NAMETOOLONG);
    s.rename(&dir, "one", &dir, [b'n'; 256])
}

fn rename_to_the_longest_name(s: &mut Scene<'_>) -> Reply {
    let (dir, ..) = two_folders(s);
    s.rename(&dir, "one", &dir, [b'n'; 255])
}

fn rename_to_a_path(s: &mut Scene<'_>) -> Reply {
    let (dir, ..) = two_folders(s);
    assert_eq!(s.rename(&dir, "one/f", &dir, "x").status, NFS3ERR_INVAL);
    s.rename(&dir, "one", &dir, "other/x")
}

fn rename_from_a_file(s: &mut Scene<'_>) -> Reply {
    let (dir, file) = (s.dir(), s.file("f"));
    s.rename(&file, "x", &dir, "y")
}

fn rename_to_a_file(s: &mut Scene<'_>) -> Reply {
    let (dir, file) = (s.dir(), s.file("f"));
    s.file("g");
    s.rename(&dir, "g", &file, "y")
}

fn rename_between_exports(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.file("f");
    let other = s.mount("/quota");
    let reply = s.rename(&dir, "f", &other, "f");
    assert_eq!(s.names(&dir), [b"f"]);
    reply
}

fn rename_to_a_read_only_export(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.file("f");
    for export in ["/SRL", "/read-only"] {
        let other = s.mount(export);
        assert_eq!(s.rename(&other, "x", &dir, "y").status, NFS3ERR_ROFS);
    }
    let other = s.mount("/read-only");
    s.rename(&dir, "f", &other, "f")
}

/// A file in a folder of root that nobody else may change, and a folder of this user's.
fn closed_and_own(s: &mut Scene<'_>) -> (Handle, Handle) {
    let (closed, own) = (s.folder("closed"), s.folder("own"));
    s.file_in(&closed, "f");
    s.file_in(&own, "f");
    expect_ok(&s.setattr(&own, Set { uid: Some(1000), ..Set::default() }));
    s.act_as_user(1000);
    (closed, own)
}

fn rename_from_a_closed_folder(s: &mut Scene<'_>) -> Reply {
    let (closed, own) = closed_and_own(s);
    s.rename(&closed, "f", &own, "g")
}

fn rename_to_a_closed_folder(s: &mut Scene<'_>) -> Reply {
    let (closed, own) = closed_and_own(s);
    s.rename(&own, "f", &closed, "g")
}

/// A sticky folder of root with files of users 1000 and 1001.
fn sticky(s: &mut Scene<'_>) -> Handle {
    let folder = s.folder("sticky");
    for uid in [1000, 1001] {
        let file = s.file_in(&folder, uid.to_string());
        expect_ok(&s.setattr(&file, Set { uid: Some(uid), ..Set::default() }));
    }
    expect_ok(&s.setattr(&folder, Set::mode(0o1777)));
    s.act_as_user(1000);
    folder
}

fn rename_out_of_a_sticky_folder(s: &mut Scene<'_>) -> Reply {
    let (dir, folder) = (s.dir(), sticky(s));
    expect_ok(&s.rename(&folder, "1000", &folder, "mine"));
    s.rename(&folder, "1001", &dir, "stolen")
}

fn rename_onto_another_s_sticky_file(s: &mut Scene<'_>) -> Reply {
    let folder = sticky(s);
    s.rename(&folder, "1000", &folder, "1001")
}

fn rename_of_a_closed_folder(s: &mut Scene<'_>) -> Reply {
    let (dir, to) = (s.dir(), s.folder("to"));
    s.folder("closed");
    expect_ok(&s.setattr(&to, Set::mode(0o777)));
    s.act_as_user(1000);
    expect_ok(&s.rename(&dir, "closed", &dir, "renamed"));
    // Its `..` would be rewritten.
    s.rename(&dir, "renamed", &to, "closed")
}

fn rename_keeps_the_handle(s: &mut Scene<'_>) -> Reply {
    let (dir, file) = (s.dir(), s.file("f"));
    expect_ok(&s.write(&file, 0, "before"));
    let reply = s.rename(&dir, "f", &dir, "g");
    expect_ok(&s.write(&file, 6, " and after"));
    assert_eq!(s.contents(&file), b"before and after");
    reply
}
