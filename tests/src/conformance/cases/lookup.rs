//! LOOKUP and READLINK, and what names may be.

use nfs3_types::nfs3::nfsstat3::*;

use crate::case;
use crate::conformance::Case;
use crate::conformance::call::{Reply, Set};
use crate::conformance::client::Kind;
use crate::conformance::scene::{Scene, expect_ok};

const LOOKUP: &str = "LOOKUP";
const READLINK: &str = "READLINK";

/// Longest text of a symbolic link, `PATH_MAX` without its end.
pub(super) const LINK_BYTES: usize = 4095;

pub(super) const CASES: &[Case] = &[
    Case::new(LOOKUP, "a file, a folder, a symbolic link", NFS3_OK, case!(lookup_of_each_kind)),
    Case::new(LOOKUP, "a name that is not there", NFS3ERR_NOENT, case!(lookup_of_nothing)),
    Case::new(LOOKUP, "in a file", NFS3ERR_NOTDIR, case!(lookup_in_a_file)),
    Case::new(LOOKUP, "in a symbolic link", NFS3ERR_NOTDIR, case!(lookup_in_a_link)),
    Case::new(LOOKUP, "`.`", NFS3_OK, case!(lookup_of_dot)),
    Case::new(LOOKUP, "`..`", NFS3_OK, case!(lookup_of_dot_dot)),
    Case::new(LOOKUP, "`..` of the root of an export", NFS3_OK, case!(lookup_of_dot_dot_of_the_root))
        .note("the root itself: nothing leads out of an export"),
    Case::new(LOOKUP, "no name", NFS3ERR_ACCES, case!(lookup_of_no_name)),
    Case::new(LOOKUP, "a name of 255 bytes", NFS3_OK, case!(lookup_of_the_longest_name)),
    Case::new(LOOKUP, "a name of 256 bytes", NFS3ERR_NAMETOOLONG, case!(lookup_of_too_long_a_name)),
    Case::new(LOOKUP, "a name with `/`", NFS3ERR_INVAL, case!(lookup_of_a_path))
        .note("Linux: GARBAGE_ARGS, which clients take for an input/output error"),
    Case::new(LOOKUP, "a name with a zero byte", NFS3ERR_INVAL, case!(lookup_of_a_zero_byte))
        .note("libnfs cannot send it")
        .only(Kind::Nfs3Client),
    Case::new(LOOKUP, "a name that is no UTF-8", NFS3_OK, case!(lookup_of_any_bytes)),
    Case::new(LOOKUP, "a name in other letters", NFS3ERR_NOENT, case!(lookup_minds_letter_case)),
    Case::new(LOOKUP, "without search permission", NFS3ERR_ACCES, case!(lookup_without_search)),
    Case::new(LOOKUP, "with search and without read permission", NFS3_OK, case!(lookup_with_search_alone)),
    Case::new(READLINK, "a symbolic link", NFS3_OK, case!(readlink_of_a_link)),
    Case::new(READLINK, "a text of 4,095 bytes", NFS3_OK, case!(readlink_of_a_long_text))
        .note("libnfs cannot send one so long")
        .only(Kind::Nfs3Client),
    Case::new(READLINK, "a text that is no UTF-8", NFS3_OK, case!(readlink_of_any_bytes)),
    Case::new(READLINK, "a file", NFS3ERR_INVAL, case!(readlink_of_a_file)),
    Case::new(READLINK, "a folder", NFS3ERR_INVAL, case!(readlink_of_a_folder))
        .note("Linux: ISDIR, which RFC 1813 does not list"),
];

fn lookup_of_each_kind(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    let made = [s.file("f"), s.folder("d"), s.soft_link("l", "t")];
    let mut last = Reply::default();
    for (name, handle) in ["f", "d", "l"].into_iter().zip(&made) {
        last = s.lookup(&dir, name);
        assert_eq!(last.handle.as_ref(), Some(handle));
        assert_eq!(last.attributes, Some(s.attributes(handle)));
        assert_eq!(last.dir, Some(s.attributes(&dir)));
    }
    last
}

fn lookup_of_nothing(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    let reply = s.lookup(&dir, "absent");
    assert_eq!(reply.dir, Some(s.attributes(&dir)));
    reply
}

fn lookup_in_a_file(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    assert_eq!(s.lookup(&file, ".").status, NFS3ERR_NOTDIR);
    s.lookup(&file, "name")
}

fn lookup_in_a_link(s: &mut Scene<'_>) -> Reply {
    let link = s.soft_link("l", ".");
    s.lookup(&link, "name")
}

fn lookup_of_dot(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    let reply = s.lookup(&dir, ".");
    assert_eq!(reply.handle, Some(dir));
    reply
}

fn lookup_of_dot_dot(s: &mut Scene<'_>) -> Reply {
    let (dir, below) = (s.dir(), s.folder("below"));
    let reply = s.lookup(&below, "..");
    assert_eq!(reply.handle, Some(dir.clone()));
    let root = s.root.clone();
    assert_eq!(s.lookup(&dir, "..").handle, Some(root));
    reply
}

fn lookup_of_dot_dot_of_the_root(s: &mut Scene<'_>) -> Reply {
    let root = s.root.clone();
    let reply = s.lookup(&root, "..");
    assert_eq!(reply.handle, Some(root));
    reply
}

fn lookup_of_no_name(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.lookup(&dir, "")
}

fn lookup_of_the_longest_name(s: &mut Scene<'_>) -> Reply {
    let (dir, name) = (s.dir(), [b'n'; 255]);
    let file = s.file(name);
    let reply = s.lookup(&dir, name);
    assert_eq!(reply.handle, Some(file));
    reply
}

fn lookup_of_too_long_a_name(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    assert_eq!(s.lookup(&dir, [b'n'; 1000]).status, NFS3ERR_NAMETOOLONG);
    s.lookup(&dir, [b'n'; 256])
}

fn lookup_of_a_path(s: &mut Scene<'_>) -> Reply {
    let (dir, below) = (s.dir(), s.folder("d"));
    s.file_in(&below, "f");
    assert_eq!(s.lookup(&dir, "/").status, NFS3ERR_INVAL);
    s.lookup(&dir, "d/f")
}

fn lookup_of_a_zero_byte(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.file("f");
    s.lookup(&dir, b"f\0")
}

fn lookup_of_any_bytes(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    let name: Vec<u8> = (1..=255).filter(|byte| *byte != b'/').collect();
    let file = s.file(&name);
    assert_eq!(s.names(&dir), std::slice::from_ref(&name));
    let reply = s.lookup(&dir, &name);
    assert_eq!(reply.handle, Some(file));
    reply
}

fn lookup_minds_letter_case(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.file("name");
    s.lookup(&dir, "Name")
}

fn lookup_without_search(s: &mut Scene<'_>) -> Reply {
    let folder = s.folder("d");
    s.file_in(&folder, "f");
    expect_ok(&s.setattr(&folder, Set::mode(0o666)));
    s.act_as_user(1000);
    assert_eq!(s.lookup(&folder, "absent").status, NFS3ERR_ACCES, "not even whether a name is there");
    s.lookup(&folder, "f")
}

fn lookup_with_search_alone(s: &mut Scene<'_>) -> Reply {
    let folder = s.folder("d");
    s.file_in(&folder, "f");
    expect_ok(&s.setattr(&folder, Set::mode(0o711)));
    s.act_as_user(1000);
    s.lookup(&folder, "f")
}

fn readlink_of_a_link(s: &mut Scene<'_>) -> Reply {
    let link = s.soft_link("l", "../somewhere else");
    let reply = s.readlink(&link);
    assert_eq!(reply.data, b"../somewhere else");
    reply
}

fn readlink_of_a_long_text(s: &mut Scene<'_>) -> Reply {
    let text = vec![b'%'; LINK_BYTES];
    let link = s.soft_link("l", &text);
    let reply = s.readlink(&link);
    assert_eq!(reply.data, text);
    reply
}

fn readlink_of_any_bytes(s: &mut Scene<'_>) -> Reply {
    let text: Vec<u8> = (1..=255).collect();
    let link = s.soft_link("l", &text);
    let reply = s.readlink(&link);
    assert_eq!(reply.data, text);
    reply
}

fn readlink_of_a_file(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    s.readlink(&file)
}

fn readlink_of_a_folder(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.readlink(&dir)
}
