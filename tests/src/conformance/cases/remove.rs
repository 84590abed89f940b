//! REMOVE and RMDIR.

use nfs3_types::nfs3::nfsstat3::*;

use crate::case;
use crate::conformance::Case;
use crate::conformance::call::{Handle, Reply, Set};
use crate::conformance::scene::{Scene, expect_ok};

const REMOVE: &str = "REMOVE";
const RMDIR: &str = "RMDIR";

pub(super) const CASES: &[Case] = &[
    Case::new(REMOVE, "a file", NFS3_OK, case!(remove_a_file)),
    Case::new(REMOVE, "a symbolic link", NFS3_OK, case!(remove_a_link)),
    Case::new(REMOVE, "a file that may not be written", NFS3_OK, case!(remove_a_closed_file))
        .note("the folder's mode counts"),
    Case::new(REMOVE, "a name that is not there", NFS3ERR_NOENT, case!(remove_nothing)),
    Case::new(REMOVE, "an empty folder", NFS3ERR_ISDIR, case!(remove_a_folder)).note("as Linux"),
    Case::new(REMOVE, "in a file", NFS3ERR_NOTDIR, case!(remove_in_a_file)),
    Case::new(
        REMOVE,
        "in a folder the caller may not write",
        NFS3ERR_ACCES,
        case!(remove_in_a_closed_folder),
    ),
    Case::new(REMOVE, "another's file in a sticky folder", NFS3ERR_PERM, case!(remove_another_s_sticky_file)),
    Case::new(REMOVE, "an own file in a sticky folder", NFS3_OK, case!(remove_an_own_sticky_file)),
    Case::new(REMOVE, "`.` and `..`", NFS3ERR_ISDIR, case!(remove_dots)).note("Linux: ACCES"),
    Case::new(REMOVE, "no name", NFS3ERR_ACCES, case!(remove_no_name)),
    Case::new(REMOVE, "a name of 256 bytes", NFS3ERR_NAMETOOLONG, case!(remove_too_long_a_name)),
    Case::new(RMDIR, "an empty folder", NFS3_OK, case!(rmdir_an_empty_folder)),
    Case::new(RMDIR, "a folder with entries", NFS3ERR_NOTEMPTY, case!(rmdir_a_full_folder)),
    Case::new(RMDIR, "a file", NFS3ERR_NOTDIR, case!(rmdir_a_file)),
    Case::new(RMDIR, "a symbolic link to a folder", NFS3ERR_NOTDIR, case!(rmdir_a_link)),
    Case::new(RMDIR, "a name that is not there", NFS3ERR_NOENT, case!(rmdir_nothing)),
    Case::new(RMDIR, "in a file", NFS3ERR_NOTDIR, case!(rmdir_in_a_file)),
    Case::new(RMDIR, "in a folder the caller may not write", NFS3ERR_ACCES, case!(rmdir_in_a_closed_folder)),
    Case::new(
        RMDIR,
        "another's folder in a sticky folder",
        NFS3ERR_PERM,
        case!(rmdir_another_s_sticky_folder),
    ),
    Case::new(RMDIR, "`.`", NFS3ERR_INVAL, case!(rmdir_dot)).note("RFC 1813 §3.3.13; Linux: ACCES"),
    Case::new(RMDIR, "`..`", NFS3ERR_EXIST, case!(rmdir_dot_dot)).note("RFC 1813 §3.3.13; Linux: ACCES"),
    Case::new(RMDIR, "no name", NFS3ERR_ACCES, case!(rmdir_no_name)),
    Case::new(RMDIR, "a name of 256 bytes", NFS3ERR_NAMETOOLONG, case!(rmdir_too_long_a_name)),
];

fn remove_a_file(s: &mut Scene<'_>) -> Reply {
    let (dir, file) = (s.dir(), s.file("f"));
    let before = s.attributes(&dir);
    let reply = s.remove(&dir, "f");
    assert!(s.names(&dir).is_empty());
    assert!(s.attributes(&dir).modified > before.modified);
    assert_eq!(s.getattr(&file).status, NFS3ERR_STALE);
    reply
}

fn remove_a_link(s: &mut Scene<'_>) -> Reply {
    let (dir, _) = (s.dir(), s.file_with("f", "data"));
    s.soft_link("l", "f");
    let reply = s.remove(&dir, "l");
    assert_eq!(s.names(&dir), [b"f"]);
    reply
}

fn remove_a_closed_file(s: &mut Scene<'_>) -> Reply {
    let (dir, file) = (s.dir(), s.file("f"));
    expect_ok(&s.setattr(&file, Set::mode(0)));
    s.act_as_user(1000);
    s.remove(&dir, "f")
}

fn remove_nothing(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.remove(&dir, "absent")
}

fn remove_a_folder(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.folder("d");
    s.remove(&dir, "d")
}

fn remove_in_a_file(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    s.remove(&file, "x")
}

fn remove_in_a_closed_folder(s: &mut Scene<'_>) -> Reply {
    let folder = s.folder("closed");
    s.file_in(&folder, "f");
    s.act_as_user(1000);
    assert_eq!(s.remove(&folder, "absent").status, NFS3ERR_ACCES, "before the name is looked at, as Linux");
    s.remove(&folder, "f")
}

/// A sticky folder of root with a file and a folder of user 1000.
fn sticky(s: &mut Scene<'_>) -> Handle {
    let folder = s.folder("sticky");
    let (file, below) = (s.file_in(&folder, "f"), s.folder_in(&folder, "d"));
    for object in [file, below] {
        expect_ok(&s.setattr(&object, Set { uid: Some(1000), ..Set::default() }));
    }
    expect_ok(&s.setattr(&folder, Set::mode(0o1777)));
    folder
}

fn remove_another_s_sticky_file(s: &mut Scene<'_>) -> Reply {
    let folder = sticky(s);
    s.act_as_user(1001);
    s.remove(&folder, "f")
}

fn remove_an_own_sticky_file(s: &mut Scene<'_>) -> Reply {
    let folder = sticky(s);
    s.act_as_user(1000);
    s.remove(&folder, "f")
}

fn remove_dots(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    assert_eq!(s.remove(&dir, ".").status, NFS3ERR_ISDIR);
    s.remove(&dir, "..")
}

fn remove_no_name(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.remove(&dir, "")
}

fn remove_too_long_a_name(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.remove(&dir, [b'n'; 256])
}

fn rmdir_an_empty_folder(s: &mut Scene<'_>) -> Reply {
    let (dir, folder) = (s.dir(), s.folder("d"));
    let before = s.attributes(&dir);
    let reply = s.rmdir(&dir, "d");
    let after = s.attributes(&dir);
    assert!(after.links == before.links - 1 && after.modified > before.modified);
    assert_eq!(s.getattr(&folder).status, NFS3ERR_STALE);
    reply
}

fn rmdir_a_full_folder(s: &mut Scene<'_>) -> Reply {
    let (dir, folder) = (s.dir(), s.folder("d"));
    s.file_in(&folder, "f");
    assert_eq!(s.rmdir(&dir, "d").status, NFS3ERR_NOTEMPTY);
    expect_ok(&s.remove(&folder, "f"));
    s.soft_link("x", "y");
    s.folder_in(&folder, "below");
    s.rmdir(&dir, "d")
}

fn rmdir_a_file(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.file("f");
    s.rmdir(&dir, "f")
}

fn rmdir_a_link(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.folder("d");
    s.soft_link("l", "d");
    s.rmdir(&dir, "l")
}

fn rmdir_nothing(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.rmdir(&dir, "absent")
}

fn rmdir_in_a_file(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    s.rmdir(&file, "x")
}

fn rmdir_in_a_closed_folder(s: &mut Scene<'_>) -> Reply {
    let folder = s.folder("closed");
    s.folder_in(&folder, "d");
    s.act_as_user(1000);
    s.rmdir(&folder, "d")
}

fn rmdir_another_s_sticky_folder(s: &mut Scene<'_>) -> Reply {
    let folder = sticky(s);
    s.act_as_user(1001);
    s.rmdir(&folder, "d")
}

fn rmdir_dot(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.rmdir(&dir, ".")
}

fn rmdir_dot_dot(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.rmdir(&dir, "..")
}

fn rmdir_no_name(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.rmdir(&dir, "")
}

fn rmdir_too_long_a_name(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.rmdir(&dir, [b'n'; 256])
}
