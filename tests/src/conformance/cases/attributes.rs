//! GETATTR, SETATTR and ACCESS.

use nfs3_types::nfs3::nfsstat3::*;

use crate::case;
use crate::conformance::Case;
use crate::conformance::call::{FOLDER, Handle, How, LINK, REGULAR, Reply, Set, SetTime, Time};
use crate::conformance::scene::{Scene, expect_ok};
use crate::rpc::Credential;

const GETATTR: &str = "GETATTR";
const SETATTR: &str = "SETATTR";
const ACCESS: &str = "ACCESS";

const READ: u32 = 0x01;
const LOOKUP: u32 = 0x02;
const MODIFY: u32 = 0x04;
const EXTEND: u32 = 0x08;
const DELETE: u32 = 0x10;
const EXECUTE: u32 = 0x20;
const ALL: u32 = 0x3f;

pub(super) const CASES: &[Case] = &[
    Case::new(GETATTR, "a file, a folder, a symbolic link", NFS3_OK, case!(getattr_of_each_kind)),
    Case::new(
        GETATTR,
        "an object others may not even search for",
        NFS3_OK,
        case!(getattr_needs_no_permission),
    ),
    Case::new(SETATTR, "mode, owner, group and times by root", NFS3_OK, case!(setattr_of_everything)),
    Case::new(SETATTR, "nothing at all", NFS3_OK, case!(setattr_of_nothing)),
    Case::new(SETATTR, "mode with the bits of the file's kind", NFS3_OK, case!(setattr_ignores_kind_bits)),
    Case::new(SETATTR, "times to the server's", NFS3_OK, case!(setattr_to_server_time)),
    Case::new(SETATTR, "a time beyond 2038", NFS3_OK, case!(setattr_to_a_late_time)),
    Case::new(SETATTR, "a smaller size", NFS3_OK, case!(setattr_cuts_a_file)),
    Case::new(SETATTR, "a larger size", NFS3_OK, case!(setattr_extends_with_zeros)),
    Case::new(SETATTR, "the size it has", NFS3_OK, case!(setattr_of_the_same_size)),
    Case::new(SETATTR, "a guard that matches", NFS3_OK, case!(setattr_with_a_guard_that_matches)),
    Case::new(
        SETATTR,
        "a guard that does not match",
        NFS3ERR_NOT_SYNC,
        case!(setattr_with_a_guard_that_does_not),
    ),
    Case::new(
        SETATTR,
        "a guard and a size that does not match",
        NFS3ERR_NOT_SYNC,
        case!(setattr_of_size_with_a_wrong_guard),
    ),
    Case::new(SETATTR, "mode by another than the owner", NFS3ERR_PERM, case!(setattr_of_mode_by_a_stranger)),
    Case::new(SETATTR, "mode by the owner", NFS3_OK, case!(setattr_of_mode_by_the_owner)),
    Case::new(SETATTR, "owner by the owner", NFS3ERR_PERM, case!(setattr_gives_a_file_away)),
    Case::new(SETATTR, "owner by the owner, to himself", NFS3_OK, case!(setattr_of_owner_to_himself)),
    Case::new(SETATTR, "group by the owner, to one of his", NFS3_OK, case!(setattr_of_group_to_an_own_one)),
    Case::new(
        SETATTR,
        "group by the owner, to another",
        NFS3ERR_PERM,
        case!(setattr_of_group_to_a_foreign_one),
    ),
    Case::new(
        SETATTR,
        "set-user-id is lost with the owner",
        NFS3_OK,
        case!(setattr_of_owner_takes_privilege),
    ),
    Case::new(
        SETATTR,
        "a time by another, who may write",
        NFS3ERR_PERM,
        case!(setattr_of_a_time_by_a_writer),
    ),
    Case::new(
        SETATTR,
        "the server's time by another, who may write",
        NFS3_OK,
        case!(setattr_of_now_by_a_writer),
    ),
    Case::new(
        SETATTR,
        "the server's time by another, who may not write",
        NFS3ERR_ACCES,
        case!(setattr_of_now_by_a_reader),
    ),
    Case::new(
        SETATTR,
        "size by another, who may not write",
        NFS3ERR_ACCES,
        case!(setattr_of_size_by_a_reader),
    ),
    Case::new(SETATTR, "size of a folder", NFS3ERR_ISDIR, case!(setattr_of_size_of_a_folder))
        .note("as Linux; RFC 1813 has INVAL as well"),
    Case::new(SETATTR, "size of a symbolic link", NFS3ERR_INVAL, case!(setattr_of_size_of_a_link)),
    Case::new(SETATTR, "size over the largest", NFS3ERR_FBIG, case!(setattr_of_size_over_the_largest)),
    Case::new(SETATTR, "size over the customer's quota", NFS3ERR_DQUOT, case!(setattr_of_size_over_quota))
        .port(),
    Case::new(
        ACCESS,
        "owner, group, others and root, by the mode of a file",
        NFS3_OK,
        case!(access_of_a_file_by_class),
    ),
    Case::new(
        ACCESS,
        "owner, group and others, by the mode of a folder",
        NFS3_OK,
        case!(access_of_a_folder_by_class),
    ),
    Case::new(ACCESS, "a member of a supplementary group", NFS3_OK, case!(access_by_a_supplementary_group)),
    Case::new(ACCESS, "nothing asked", NFS3_OK, case!(access_to_nothing)),
    Case::new(ACCESS, "bits RFC 1813 does not know", NFS3_OK, case!(access_to_unknown_rights)),
];

fn getattr_of_each_kind(s: &mut Scene<'_>) -> Reply {
    let (file, folder, link) = (s.file_with("f", "12345"), s.folder("d"), s.soft_link("l", "target"));
    let (file, folder, link) = (s.attributes(&file), s.attributes(&folder), s.attributes(&link));
    assert_eq!((file.kind, file.mode, file.links, file.size, file.uid), (REGULAR, 0o644, 1, 5, 0));
    assert!(file.used >= 5 && file.device == [0, 0]);
    assert_eq!((folder.kind, folder.mode, folder.links), (FOLDER, 0o755, 2));
    assert_eq!((link.kind, link.links, link.size), (LINK, 1, 6));
    assert!(file.fsid == folder.fsid && folder.fsid == link.fsid);
    assert!(file.fileid != folder.fileid && folder.fileid != link.fileid && file.fileid != link.fileid);
    let dir = s.dir();
    assert_eq!(s.attributes(&dir).links, 3, "a folder in it has it as `..`");
    s.getattr(&dir)
}

fn getattr_needs_no_permission(s: &mut Scene<'_>) -> Reply {
    let closed = s.folder("closed");
    let file = s.file_in(&closed, "f");
    expect_ok(&s.setattr(&file, Set::mode(0)));
    expect_ok(&s.setattr(&closed, Set::mode(0)));
    s.act_as_user(1000);
    s.getattr(&file)
}

fn setattr_of_everything(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    let (accessed, modified) =
        (Time { seconds: 1_000, nanos: 1 }, Time { seconds: 2_000, nanos: 999_999_999 });
    let set = Set {
        mode: Some(0o6750),
        uid: Some(7),
        gid: Some(8),
        size: Some(9),
        accessed: SetTime::To(accessed),
        modified: SetTime::To(modified),
    };
    let reply = s.setattr(&file, set);
    let now = s.attributes(&file);
    assert_eq!((now.uid, now.gid, now.size, now.accessed, now.modified), (7, 8, 9, accessed, modified));
    // To give a file away takes its privilege, in whatever order the client had it in mind.
    assert_eq!(now.mode & 0o777, 0o750);
    reply
}

fn setattr_of_nothing(s: &mut Scene<'_>) -> Reply {
    let file = s.file_with("f", "data");
    let before = s.attributes(&file);
    let reply = s.setattr(&file, Set::default());
    let after = s.attributes(&file);
    assert_eq!((before.mode, before.size, before.modified), (after.mode, after.size, after.modified));
    reply
}

fn setattr_ignores_kind_bits(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    let reply = s.setattr(&file, Set::mode(0o100_640));
    assert_eq!(s.attributes(&file).mode, 0o640);
    reply
}

fn setattr_to_server_time(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    let past = SetTime::To(Time { seconds: 5, nanos: 6 });
    expect_ok(&s.setattr(&file, Set { accessed: past, modified: past, ..Set::default() }));
    let reply = s.setattr(&file, Set { accessed: SetTime::Now, modified: SetTime::Now, ..Set::default() });
    let now = s.attributes(&file);
    assert!(now.accessed.seconds > 5 && now.modified.seconds > 5, "{now:?}");
    reply
}

fn setattr_to_a_late_time(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    let late = Time { seconds: u32::MAX, nanos: 5 };
    let reply = s.setattr(&file, Set { modified: SetTime::To(late), ..Set::default() });
    assert_eq!(s.attributes(&file).modified, late, "seconds are unsigned (RFC 1813 §2.5)");
    reply
}

fn setattr_cuts_a_file(s: &mut Scene<'_>) -> Reply {
    let file = s.file_with("f", "0123456789");
    let before = s.attributes(&file);
    let reply = s.setattr(&file, Set::size(4));
    assert_eq!(s.contents(&file), b"0123");
    assert!(s.attributes(&file).modified > before.modified, "a truncation is a modification");
    reply
}

fn setattr_extends_with_zeros(s: &mut Scene<'_>) -> Reply {
    let file = s.file_with("f", "0123456789");
    expect_ok(&s.setattr(&file, Set::size(4)));
    let reply = s.setattr(&file, Set::size(12));
    assert_eq!(s.contents(&file), b"0123\0\0\0\0\0\0\0\0");
    reply
}

fn setattr_of_the_same_size(s: &mut Scene<'_>) -> Reply {
    let file = s.file_with("f", "0123");
    let reply = s.setattr(&file, Set::size(4));
    assert_eq!(s.contents(&file), b"0123");
    reply
}

fn setattr_with_a_guard_that_matches(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    let guard = s.attributes(&file).changed;
    let reply = s.setattr_guarded(&file, Set::mode(0o600), guard);
    assert_eq!(s.attributes(&file).mode, 0o600);
    reply
}

fn setattr_with_a_guard_that_does_not(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    let guard = s.attributes(&file).changed;
    expect_ok(&s.setattr(&file, Set::mode(0o640)));
    let reply = s.setattr_guarded(&file, Set::mode(0o600), guard);
    assert_eq!(s.attributes(&file).mode, 0o640);
    reply
}

fn setattr_of_size_with_a_wrong_guard(s: &mut Scene<'_>) -> Reply {
    let file = s.file_with("f", "0123456789");
    let reply = s.setattr_guarded(&file, Set::size(0), Time { seconds: 1, nanos: 1 });
    assert_eq!(s.contents(&file), b"0123456789");
    reply
}

/// A file of user 1000 and group 1000.
fn file_of_user(s: &mut Scene<'_>, mode: u32) -> Handle {
    let file = s.file_with("f", "0123456789");
    expect_ok(&s.setattr(&file, Set { uid: Some(1000), gid: Some(1000), ..Set::default() }));
    expect_ok(&s.setattr(&file, Set::mode(mode)));
    file
}

fn by_user(s: &mut Scene<'_>, mode: u32, uid: u32, set: Set) -> Reply {
    let file = file_of_user(s, mode);
    s.act_as_user(uid);
    s.setattr(&file, set)
}

fn setattr_of_mode_by_a_stranger(s: &mut Scene<'_>) -> Reply {
    by_user(s, 0o666, 1001, Set::mode(0o777))
}

fn setattr_of_mode_by_the_owner(s: &mut Scene<'_>) -> Reply {
    by_user(s, 0o400, 1000, Set::mode(0o640))
}

fn setattr_gives_a_file_away(s: &mut Scene<'_>) -> Reply {
    by_user(s, 0o644, 1000, Set { uid: Some(1001), ..Set::default() })
}

fn setattr_of_owner_to_himself(s: &mut Scene<'_>) -> Reply {
    by_user(s, 0o644, 1000, Set { uid: Some(1000), ..Set::default() })
}

fn setattr_of_group_to_an_own_one(s: &mut Scene<'_>) -> Reply {
    let file = file_of_user(s, 0o644);
    s.act_as(Credential { uid: 1000, gid: 1000, groups: vec![5, 77] });
    let reply = s.setattr(&file, Set { gid: Some(77), ..Set::default() });
    assert_eq!(s.attributes(&file).gid, 77);
    reply
}

fn setattr_of_group_to_a_foreign_one(s: &mut Scene<'_>) -> Reply {
    by_user(s, 0o644, 1000, Set { gid: Some(78), ..Set::default() })
}

fn setattr_of_owner_takes_privilege(s: &mut Scene<'_>) -> Reply {
    let file = file_of_user(s, 0o6755);
    let reply = s.setattr(&file, Set { uid: Some(1001), ..Set::default() });
    assert_eq!(s.attributes(&file).mode, 0o755);
    reply
}

fn setattr_of_a_time_by_a_writer(s: &mut Scene<'_>) -> Reply {
    let then = SetTime::To(Time { seconds: 5, nanos: 0 });
    by_user(s, 0o666, 1001, Set { modified: then, ..Set::default() })
}

fn setattr_of_now_by_a_writer(s: &mut Scene<'_>) -> Reply {
    by_user(s, 0o666, 1001, Set { modified: SetTime::Now, ..Set::default() })
}

fn setattr_of_now_by_a_reader(s: &mut Scene<'_>) -> Reply {
    by_user(s, 0o644, 1001, Set { modified: SetTime::Now, ..Set::default() })
}

fn setattr_of_size_by_a_reader(s: &mut Scene<'_>) -> Reply {
    by_user(s, 0o644, 1001, Set::size(0))
}

fn setattr_of_size_of_a_folder(s: &mut Scene<'_>) -> Reply {
    let folder = s.folder("d");
    s.setattr(&folder, Set::size(0))
}

fn setattr_of_size_of_a_link(s: &mut Scene<'_>) -> Reply {
    let link = s.soft_link("l", "target");
    s.setattr(&link, Set::size(0))
}

fn setattr_of_size_over_the_largest(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    for size in [1 << 63, u64::MAX - 1] {
        assert_eq!(s.setattr(&file, Set::size(size)).status, NFS3ERR_FBIG);
    }
    s.setattr(&file, Set::size(u64::MAX))
}

fn setattr_of_size_over_quota(s: &mut Scene<'_>) -> Reply {
    let (folder, name) = super::quota_folder(s);
    let file = s.create(&folder, name, How::Unchecked(Set::default())).handle.expect("a file");
    s.setattr(&file, Set::size(4 << 20))
}

/// The rights granted of all, to user 1000, his group, others and root, for each mode.
fn rights(s: &mut Scene<'_>, object: &Handle, table: &[(u32, [u32; 4])]) -> Reply {
    let user = |uid, gid| Credential { uid, gid, groups: Vec::new() };
    let callers = [user(1000, 50), user(1001, 1000), user(1002, 50), Credential::root()];
    let mut last = Reply::default();
    for (mode, expected) in table {
        s.act_as_root();
        let set = Set { uid: Some(1000), gid: Some(1000), ..Set::default() };
        expect_ok(&s.setattr(object, set));
        expect_ok(&s.setattr(object, Set::mode(*mode)));
        for (caller, expected) in callers.iter().zip(expected) {
            s.act_as(caller.clone());
            last = s.access(object, ALL);
            assert_eq!(last.numbers, [u64::from(*expected)], "mode {mode:o} for {caller:?}");
        }
    }
    last
}

fn access_of_a_file_by_class(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    let (write, root) = (MODIFY | EXTEND, READ | MODIFY | EXTEND);
    rights(
        s,
        &file,
        &[
            (0o000, [0, 0, 0, root]),
            (0o400, [READ, 0, 0, root]),
            (0o200, [write, 0, 0, root]),
            (0o100, [EXECUTE, 0, 0, root | EXECUTE]),
            (0o640, [READ | write, READ, 0, root]),
            (0o064, [0, READ | write, READ, root]),
            (0o007, [0, 0, READ | write | EXECUTE, root | EXECUTE]),
        ],
    )
}

fn access_of_a_folder_by_class(s: &mut Scene<'_>) -> Reply {
    let folder = s.folder("d");
    let (change, all) = (MODIFY | EXTEND | DELETE, READ | LOOKUP | MODIFY | EXTEND | DELETE);
    rights(
        s,
        &folder,
        &[
            (0o000, [0, 0, 0, all]),
            (0o500, [READ | LOOKUP, 0, 0, all]),
            (0o310, [LOOKUP | change, LOOKUP, 0, all]),
            (0o705, [all, 0, READ | LOOKUP, all]),
        ],
    )
}

fn access_by_a_supplementary_group(s: &mut Scene<'_>) -> Reply {
    let file = file_of_user(s, 0o640);
    s.act_as(Credential { uid: 1001, gid: 1, groups: (985..1001).collect() });
    let reply = s.access(&file, ALL);
    assert_eq!(reply.numbers, [u64::from(READ)], "the sixteenth group counts");
    s.act_as(Credential { uid: 1001, gid: 1, groups: vec![2, 3] });
    assert_eq!(s.access(&file, ALL).numbers, [0]);
    reply
}

fn access_to_nothing(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    let reply = s.access(&dir, 0);
    assert_eq!(reply.numbers, [0]);
    reply
}

fn access_to_unknown_rights(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    let reply = s.access(&dir, u32::MAX);
    assert_eq!(reply.numbers, [u64::from(READ | LOOKUP | MODIFY | EXTEND | DELETE)]);
    reply
}
