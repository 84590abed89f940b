//! CREATE, MKDIR, SYMLINK, MKNOD and LINK.

use nfs3_types::nfs3::nfsstat3::*;

use super::lookup::LINK_BYTES;
use crate::case;
use crate::conformance::Case;
use crate::conformance::call::{
    Call, FOLDER, Handle, How, LINK as SYMBOLIC, REGULAR, Reply, Set, SetTime, Time,
};
use crate::conformance::client::Kind;
use crate::conformance::scene::{Scene, at, expect_ok};
use crate::rpc::Credential;

const CREATE: &str = "CREATE";
const MKDIR: &str = "MKDIR";
const SYMLINK: &str = "SYMLINK";
const MKNOD: &str = "MKNOD";
const LINK: &str = "LINK";

const NAME_TOO_LONG: [u8; 256] = [b'n'; 256];
const VERIFIER: [u8; 8] = *b"verifier";

pub(super) const CASES: &[Case] = &[
    Case::new(CREATE, "UNCHECKED, a new name", NFS3_OK, case!(create_a_new_file)),
    Case::new(CREATE, "UNCHECKED, attributes of all kinds", NFS3_OK, case!(create_with_attributes)),
    Case::new(
        CREATE,
        "UNCHECKED, an existing file, with a mode",
        NFS3_OK,
        case!(create_opens_a_file_as_it_is),
    ),
    Case::new(CREATE, "UNCHECKED, an existing file, with size 0", NFS3_OK, case!(create_truncates_a_file)),
    Case::new(
        CREATE,
        "UNCHECKED, an existing file that may not be written, with size 0",
        NFS3ERR_ACCES,
        case!(create_truncates_no_closed_file),
    ),
    Case::new(
        CREATE,
        "UNCHECKED, an existing file in a folder that takes no new ones",
        NFS3_OK,
        case!(create_opens_in_a_closed_folder),
    ),
    Case::new(CREATE, "UNCHECKED, an existing folder", NFS3ERR_EXIST, case!(create_onto_a_folder))
        .note("Linux gives the folder's handle"),
    Case::new(CREATE, "UNCHECKED, an existing symbolic link", NFS3ERR_EXIST, case!(create_onto_a_link))
        .note("Linux gives the link's handle"),
    Case::new(CREATE, "GUARDED, a new name", NFS3_OK, case!(create_guarded)),
    Case::new(CREATE, "GUARDED, an existing file", NFS3ERR_EXIST, case!(create_guarded_onto_a_file)),
    Case::new(CREATE, "EXCLUSIVE, a new name", NFS3_OK, case!(create_exclusive)),
    Case::new(CREATE, "EXCLUSIVE, again with the same verifier", NFS3_OK, case!(create_exclusive_again)),
    Case::new(
        CREATE,
        "EXCLUSIVE, again with another verifier",
        NFS3ERR_EXIST,
        case!(create_exclusive_by_another),
    ),
    Case::new(CREATE, "EXCLUSIVE, an existing file", NFS3ERR_EXIST, case!(create_exclusive_onto_a_file)),
    Case::new(
        CREATE,
        "EXCLUSIVE, then SETATTR, then again with the same verifier",
        NFS3ERR_EXIST,
        case!(create_exclusive_after_setattr),
    )
    .note("the client has its answer and went on: the file is made"),
    Case::new(CREATE, "in a file", NFS3ERR_NOTDIR, case!(create_in_a_file)),
    Case::new(
        CREATE,
        "in a folder the caller may not write",
        NFS3ERR_ACCES,
        case!(create_in_a_closed_folder),
    ),
    Case::new(CREATE, "`.` and `..`", NFS3ERR_EXIST, case!(create_of_dots)).note("as Linux"),
    Case::new(CREATE, "no name", NFS3ERR_ACCES, case!(create_of_no_name)),
    Case::new(CREATE, "a name of 256 bytes", NFS3ERR_NAMETOOLONG, case!(create_of_too_long_a_name)),
    Case::new(CREATE, "a name with `/`", NFS3ERR_INVAL, case!(create_of_a_path)),
    Case::new(CREATE, "a size over the largest", NFS3ERR_FBIG, case!(create_of_too_large_a_file)),
    Case::new(CREATE, "in a set-group-id folder", NFS3_OK, case!(create_takes_the_folder_s_group)),
    Case::new(MKDIR, "a new name", NFS3_OK, case!(mkdir_makes_a_folder)),
    Case::new(MKDIR, "an existing file, folder or symbolic link", NFS3ERR_EXIST, case!(mkdir_onto_anything)),
    Case::new(MKDIR, "in a file", NFS3ERR_NOTDIR, case!(mkdir_in_a_file)),
    Case::new(MKDIR, "in a folder the caller may not write", NFS3ERR_ACCES, case!(mkdir_in_a_closed_folder)),
    Case::new(MKDIR, "`.` and `..`", NFS3ERR_EXIST, case!(mkdir_of_dots)),
    Case::new(MKDIR, "no name", NFS3ERR_ACCES, case!(mkdir_of_no_name)),
    Case::new(MKDIR, "a name of 256 bytes", NFS3ERR_NAMETOOLONG, case!(mkdir_of_too_long_a_name)),
    Case::new(MKDIR, "in a set-group-id folder", NFS3_OK, case!(mkdir_takes_the_folder_s_group)),
    Case::new(SYMLINK, "a new name", NFS3_OK, case!(symlink_makes_a_link)),
    Case::new(SYMLINK, "an existing name", NFS3ERR_EXIST, case!(symlink_onto_a_file)),
    Case::new(SYMLINK, "without a text", NFS3ERR_NOENT, case!(symlink_without_text)).note("as Linux"),
    Case::new(SYMLINK, "a text over 4,095 bytes", NFS3ERR_NAMETOOLONG, case!(symlink_with_too_long_a_text))
        .note("libnfs cannot send one so long")
        .only(Kind::Nfs3Client),
    Case::new(SYMLINK, "in a file", NFS3ERR_NOTDIR, case!(symlink_in_a_file)),
    Case::new(
        SYMLINK,
        "in a folder the caller may not write",
        NFS3ERR_ACCES,
        case!(symlink_in_a_closed_folder),
    ),
    Case::new(SYMLINK, "no name", NFS3ERR_ACCES, case!(symlink_of_no_name)),
    Case::new(SYMLINK, "a name of 256 bytes", NFS3ERR_NAMETOOLONG, case!(symlink_of_too_long_a_name)),
    Case::new(MKNOD, "a device, a socket, a FIFO", NFS3ERR_NOTSUPP, case!(mknod_of_each_type)),
    Case::new(MKNOD, "a file, a folder, a symbolic link", NFS3ERR_BADTYPE, case!(mknod_of_ordinary_types))
        .note("nfs3_client cannot send it")
        .only(Kind::Libnfs),
    Case::new(MKNOD, "in a file", NFS3ERR_NOTDIR, case!(mknod_in_a_file)),
    Case::new(MKNOD, "a name of 256 bytes", NFS3ERR_NAMETOOLONG, case!(mknod_of_too_long_a_name)),
    Case::new(LINK, "a file", NFS3ERR_NOTSUPP, case!(link_of_a_file)),
    Case::new(LINK, "a folder", NFS3ERR_NOTSUPP, case!(link_of_a_folder)),
    Case::new(LINK, "in a file", NFS3ERR_NOTDIR, case!(link_in_a_file)),
];

fn create_a_new_file(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    let before = s.attributes(&dir);
    s.act_as(Credential { uid: 1000, gid: 100, groups: Vec::new() });
    let reply = s.create(&dir, "f", How::Unchecked(Set::default()));
    let made = reply.attributes.expect("attributes");
    assert_eq!((made.kind, made.links, made.size, made.uid, made.gid), (REGULAR, 1, 0, 1000, 100));
    assert!(s.attributes(&dir).changed > before.changed && s.attributes(&dir).modified > before.modified);
    assert_eq!(s.lookup(&dir, "f").handle, reply.handle);
    reply
}

fn create_with_attributes(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    let (accessed, modified) = (Time { seconds: 11, nanos: 12 }, Time { seconds: 13, nanos: 14 });
    let set = Set {
        mode: Some(0o604),
        uid: Some(5),
        gid: Some(6),
        size: Some(7),
        accessed: SetTime::To(accessed),
        modified: SetTime::To(modified),
    };
    let reply = s.create(&dir, "f", How::Unchecked(set));
    let file = reply.handle.clone().expect("a handle");
    let made = s.attributes(&file);
    assert_eq!(reply.attributes, Some(made));
    assert_eq!((made.mode, made.uid, made.gid, made.size), (0o604, 5, 6, 7));
    assert_eq!((made.accessed, made.modified), (accessed, modified));
    reply
}

fn create_opens_a_file_as_it_is(s: &mut Scene<'_>) -> Reply {
    let (dir, file) = (s.dir(), s.file_with("f", "data"));
    let before = s.attributes(&file);
    let set = Set { uid: Some(9), modified: SetTime::To(Time::default()), ..Set::mode(0o600) };
    let reply = s.create(&dir, "f", How::Unchecked(set));
    assert_eq!(reply.handle, Some(file.clone()));
    assert_eq!(s.attributes(&file), before);
    reply
}

fn create_truncates_a_file(s: &mut Scene<'_>) -> Reply {
    let (dir, file) = (s.dir(), s.file_with("f", "data"));
    let reply = s.create(&dir, "f", How::Unchecked(Set { size: Some(0), ..Set::mode(0o600) }));
    assert_eq!(reply.attributes.map(|made| (made.size, made.mode)), Some((0, 0o644)));
    assert_eq!(s.contents(&file), b"");
    reply
}

fn create_truncates_no_closed_file(s: &mut Scene<'_>) -> Reply {
    let (dir, file) = (s.dir(), s.file_with("f", "data"));
    s.act_as_user(1000);
    let reply = s.create(&dir, "f", How::Unchecked(Set::size(0)));
    assert_eq!(s.contents(&file), b"data");
    reply
}

fn create_opens_in_a_closed_folder(s: &mut Scene<'_>) -> Reply {
    let folder = s.folder("closed");
    let file = s.file_in(&folder, "f");
    s.act_as_user(1000);
    let reply = s.create(&folder, "f", How::Unchecked(Set::mode(0o644)));
    assert_eq!(reply.handle, Some(file));
    assert_eq!(s.create(&folder, "f", How::Guarded(Set::mode(0o644))).status, NFS3ERR_EXIST);
    reply
}

fn create_onto_a_folder(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.folder("d");
    for how in [How::Guarded(Set::default()), How::Exclusive(VERIFIER)] {
        assert_eq!(s.create(&dir, "d", how).status, NFS3ERR_EXIST);
    }
    s.create(&dir, "d", How::Unchecked(Set::default()))
}

fn create_onto_a_link(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.soft_link("l", "absent");
    let reply = s.create(&dir, "l", How::Unchecked(Set::default()));
    assert_eq!(s.names(&dir), [b"l"], "the server follows no link");
    reply
}

fn create_guarded(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    let reply = s.create(&dir, "f", How::Guarded(Set::mode(0o640)));
    assert_eq!(reply.attributes.map(|made| made.mode), Some(0o640));
    reply
}

fn create_guarded_onto_a_file(s: &mut Scene<'_>) -> Reply {
    let (dir, file) = (s.dir(), s.file_with("f", "data"));
    let reply = s.create(&dir, "f", How::Guarded(Set::size(0)));
    assert_eq!(s.contents(&file), b"data");
    reply
}

fn create_exclusive(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    let reply = s.create(&dir, "f", How::Exclusive(VERIFIER));
    let made = reply.attributes.expect("attributes");
    assert_eq!((made.kind, made.size, made.uid), (REGULAR, 0, 0));
    reply
}

fn create_exclusive_again(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    let first = s.create(&dir, "f", How::Exclusive(VERIFIER));
    let after = s.attributes(&dir);
    s.reconnect();
    let reply = s.create(&dir, "f", How::Exclusive(VERIFIER));
    assert_eq!(reply.handle, first.handle);
    assert_eq!(s.attributes(&dir), after, "made once");
    let file = first.handle.expect("a handle");
    expect_ok(&s.setattr(&file, Set::mode(0o640)));
    assert_eq!(s.attributes(&file).mode, 0o640);
    reply
}

fn create_exclusive_by_another(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    expect_ok(&s.create(&dir, "f", How::Exclusive(VERIFIER)));
    assert_eq!(s.create(&dir, "f", How::Exclusive([0; 8])).status, NFS3ERR_EXIST);
    s.create(&dir, "f", How::Exclusive(*b"verifieR"))
}

fn create_exclusive_onto_a_file(s: &mut Scene<'_>) -> Reply {
    let (dir, file) = (s.dir(), s.file_with("f", "data"));
    assert_eq!(s.create(&dir, "f", How::Exclusive([0; 8])).status, NFS3ERR_EXIST);
    let reply = s.create(&dir, "f", How::Exclusive(VERIFIER));
    assert_eq!(s.contents(&file), b"data");
    reply
}

fn create_exclusive_after_setattr(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    let file = s.create(&dir, "f", How::Exclusive(VERIFIER)).handle.expect("a handle");
    expect_ok(&s.setattr(&file, Set::mode(0o600)));
    s.create(&dir, "f", How::Exclusive(VERIFIER))
}

fn create_in_a_file(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    for how in [How::Guarded(Set::default()), How::Exclusive(VERIFIER)] {
        assert_eq!(s.create(&file, "x", how).status, NFS3ERR_NOTDIR);
    }
    s.create(&file, "x", How::Unchecked(Set::default()))
}

/// A folder of root that user 1000, who acts from now on, may not write.
fn closed(s: &mut Scene<'_>) -> Handle {
    let folder = s.folder("closed");
    s.act_as_user(1000);
    folder
}

fn create_in_a_closed_folder(s: &mut Scene<'_>) -> Reply {
    let folder = closed(s);
    for how in [How::Guarded(Set::default()), How::Exclusive(VERIFIER)] {
        assert_eq!(s.create(&folder, "x", how).status, NFS3ERR_ACCES);
    }
    s.create(&folder, "x", How::Unchecked(Set::default()))
}

fn create_of_dots(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    assert_eq!(s.create(&dir, ".", How::Unchecked(Set::default())).status, NFS3ERR_EXIST);
    s.create(&dir, "..", How::Guarded(Set::default()))
}

fn create_of_no_name(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.create(&dir, "", How::Unchecked(Set::default()))
}

fn create_of_too_long_a_name(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.create(&dir, NAME_TOO_LONG, How::Unchecked(Set::default()))
}

fn create_of_a_path(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.folder("d");
    s.create(&dir, "d/f", How::Unchecked(Set::default()))
}

fn create_of_too_large_a_file(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    let reply = s.create(&dir, "f", How::Unchecked(Set::size(1 << 63)));
    assert!(s.names(&dir).is_empty(), "nothing is made");
    reply
}

/// A set-group-id folder of group 77, and a user who is not in it.
fn grouped(s: &mut Scene<'_>) -> Handle {
    let folder = s.folder("grouped");
    expect_ok(&s.setattr(&folder, Set { gid: Some(77), ..Set::default() }));
    expect_ok(&s.setattr(&folder, Set::mode(0o2777)));
    s.act_as_user(1000);
    folder
}

fn create_takes_the_folder_s_group(s: &mut Scene<'_>) -> Reply {
    let folder = grouped(s);
    let reply = s.create(&folder, "f", How::Unchecked(Set::mode(0o644)));
    assert_eq!(reply.attributes.map(|made| (made.uid, made.gid)), Some((1000, 77)));
    reply
}

fn mkdir_makes_a_folder(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    let before = s.attributes(&dir);
    let modified = Time { seconds: 21, nanos: 22 };
    let set = Set { modified: SetTime::To(modified), ..Set::mode(0o1710) };
    let reply = s.call(Call::Mkdir(at(&dir, "d"), set));
    let made = reply.attributes.expect("attributes");
    assert_eq!((made.kind, made.mode, made.links, made.modified), (FOLDER, 0o1710, 2, modified));
    let after = s.attributes(&dir);
    assert!(after.links == before.links + 1 && after.changed > before.changed);
    reply
}

/// A file, a folder and a symbolic link in the case's folder.
fn one_of_each_kind(s: &mut Scene<'_>) {
    s.file("f");
    s.folder("d");
    s.soft_link("l", "t");
}

fn mkdir_onto_anything(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    one_of_each_kind(s);
    assert_eq!(s.mkdir(&dir, "f").status, NFS3ERR_EXIST);
    assert_eq!(s.mkdir(&dir, "l").status, NFS3ERR_EXIST);
    s.mkdir(&dir, "d")
}

fn mkdir_in_a_file(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    s.mkdir(&file, "x")
}

fn mkdir_in_a_closed_folder(s: &mut Scene<'_>) -> Reply {
    let folder = closed(s);
    s.mkdir(&folder, "x")
}

fn mkdir_of_dots(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    assert_eq!(s.mkdir(&dir, ".").status, NFS3ERR_EXIST);
    s.mkdir(&dir, "..")
}

fn mkdir_of_no_name(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.mkdir(&dir, "")
}

fn mkdir_of_too_long_a_name(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.mkdir(&dir, NAME_TOO_LONG)
}

fn mkdir_takes_the_folder_s_group(s: &mut Scene<'_>) -> Reply {
    let folder = grouped(s);
    let reply = s.mkdir(&folder, "d");
    assert_eq!(reply.attributes.map(|made| (made.gid, made.mode)), Some((77, 0o2755)));
    reply
}

fn symlink_makes_a_link(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    let reply = s.symlink(&dir, "l", "some/where");
    assert_eq!(reply.attributes.map(|made| (made.kind, made.size)), Some((SYMBOLIC, 10)));
    reply
}

fn symlink_onto_a_file(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    one_of_each_kind(s);
    assert_eq!(s.symlink(&dir, "d", "t").status, NFS3ERR_EXIST);
    assert_eq!(s.symlink(&dir, "l", "t").status, NFS3ERR_EXIST);
    s.symlink(&dir, "f", "t")
}

fn symlink_without_text(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.symlink(&dir, "l", "")
}

fn symlink_with_too_long_a_text(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.symlink(&dir, "l", vec![b't'; LINK_BYTES + 1])
}

fn symlink_in_a_file(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    s.symlink(&file, "l", "t")
}

fn symlink_in_a_closed_folder(s: &mut Scene<'_>) -> Reply {
    let folder = closed(s);
    s.symlink(&folder, "l", "t")
}

fn symlink_of_no_name(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.symlink(&dir, "", "t")
}

fn symlink_of_too_long_a_name(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.symlink(&dir, NAME_TOO_LONG, "t")
}

fn mknod_of_each_type(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    for kind in [3, 4, 6] {
        assert_eq!(s.mknod(&dir, "n", kind).status, NFS3ERR_NOTSUPP);
    }
    let reply = s.mknod(&dir, "n", 7);
    assert!(s.names(&dir).is_empty());
    reply
}

fn mknod_of_ordinary_types(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    assert_eq!(s.mknod(&dir, "n", REGULAR).status, NFS3ERR_BADTYPE);
    assert_eq!(s.mknod(&dir, "n", FOLDER).status, NFS3ERR_BADTYPE);
    s.mknod(&dir, "n", SYMBOLIC)
}

fn mknod_in_a_file(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    s.mknod(&file, "n", 7)
}

fn mknod_of_too_long_a_name(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.mknod(&dir, NAME_TOO_LONG, 7)
}

fn link_of_a_file(s: &mut Scene<'_>) -> Reply {
    let (dir, file) = (s.dir(), s.file("f"));
    let reply = s.link(&file, &dir, "g");
    assert_eq!(s.names(&dir), [b"f"]);
    reply
}

fn link_of_a_folder(s: &mut Scene<'_>) -> Reply {
    let (dir, folder) = (s.dir(), s.folder("d"));
    s.link(&folder, &dir, "g")
}

fn link_in_a_file(s: &mut Scene<'_>) -> Reply {
    let (file, other) = (s.file("f"), s.file("g"));
    s.link(&file, &other, "x")
}
