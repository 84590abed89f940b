//! NULL, FSSTAT, FSINFO and PATHCONF, and MOUNT.

use nfs3_types::nfs3::nfsstat3::*;

use crate::case;
use crate::conformance::Case;
use crate::conformance::call::{Call, How, Reply, Set};
use crate::conformance::scene::{Scene, expect_ok};

const FSSTAT: &str = "FSSTAT";
const FSINFO: &str = "FSINFO";
const PATHCONF: &str = "PATHCONF";
const MNT: &str = "MNT";

/// AUTH_SYS.
const FLAVOURS: [u64; 1] = [1];

pub(super) const CASES: &[Case] = &[
    Case::new("NULL", "", NFS3_OK, case!(null_does_nothing)),
    Case::new(FSSTAT, "a file and a folder", NFS3_OK, case!(fsstat_adds_up)),
    Case::new(FSSTAT, "an export with a quota", NFS3_OK, case!(fsstat_shows_the_quota)).port(),
    Case::new(FSINFO, "a file and a folder", NFS3_OK, case!(fsinfo_is_kept)),
    Case::new(PATHCONF, "a file and a folder", NFS3_OK, case!(pathconf_is_kept)),
    Case::new(MNT, "an export", NFS3_OK, case!(mount_an_export)),
    Case::new(MNT, "an export with `/` behind it", NFS3_OK, case!(mount_with_a_slash)),
    Case::new(MNT, "a folder below an export", NFS3_OK, case!(mount_below_an_export)).port(),
    Case::new(
        MNT,
        "a folder below an export that is not there",
        NFS3ERR_NOENT,
        case!(mount_nothing_below_an_export),
    ),
    Case::new(MNT, "a file", NFS3ERR_NOTDIR, case!(mount_a_file)).port().note("Linux mounts files as well"),
    Case::new(MNT, "a symbolic link", NFS3ERR_NOTDIR, case!(mount_a_link)).port(),
    Case::new(MNT, "a path that only begins like an export", NFS3ERR_NOENT, case!(mount_a_longer_name)),
    Case::new(MNT, "a path that is no export", NFS3ERR_NOENT, case!(mount_an_unknown_path)),
    Case::new(MNT, "`..` out of an export", NFS3ERR_NOENT, case!(mount_out_of_an_export)),
    Case::new(MNT, "no path", NFS3ERR_NOENT, case!(mount_no_path)),
    Case::new("EXPORT", "", NFS3_OK, case!(export_lists_all)),
    Case::new("DUMP", "after MNT, UMNT and UMNTALL", NFS3_OK, case!(dump_knows_the_mounts)),
];

fn null_does_nothing(s: &mut Scene<'_>) -> Reply {
    s.call(Call::Null)
}

fn fsstat_adds_up(s: &mut Scene<'_>) -> Reply {
    let (root, file) = (s.root.clone(), s.file("f"));
    expect_ok(&s.call(Call::Fsstat(file)));
    let reply = s.call(Call::Fsstat(root));
    let [total, free, available, files, files_free, files_available, _] = reply.numbers[..] else {
        panic!("seven numbers: {reply:?}")
    };
    assert!(total >= free && free >= available && available > 0);
    assert!(files >= files_free && files_free >= files_available && files_available > 0);
    reply
}

fn fsstat_shows_the_quota(s: &mut Scene<'_>) -> Reply {
    let (folder, name) = super::quota_folder(s);
    let file = s.create(&folder, name, How::Unchecked(Set::default())).handle.expect("a file");
    let before = s.call(Call::Fsstat(folder.clone())).numbers;
    expect_ok(&s.write(&file, 0, vec![1; 10_000]));
    let reply = s.call(Call::Fsstat(folder));
    // Cases of other clients use the same quota meanwhile.
    assert!(before[0] <= crate::conformance::target::QUOTA.0);
    assert!(reply.numbers[1] < before[1], "what is staged counts: {before:?} {:?}", reply.numbers);
    expect_ok(&s.setattr(&file, Set::size(0)));
    reply
}

fn fsinfo_is_kept(s: &mut Scene<'_>) -> Reply {
    let (dir, file) = (s.dir(), s.file("f"));
    let reply = s.call(Call::Fsinfo(dir));
    assert_eq!(s.call(Call::Fsinfo(file.clone())).numbers, reply.numbers);
    let [rtmax, rtpref, rtmult, wtmax, wtpref, wtmult, dtpref, maxfilesize, .., properties] =
        reply.numbers[..]
    else {
        panic!("eleven numbers: {reply:?}")
    };
    assert!(
        rtpref <= rtmax && wtpref <= wtmax && rtmax.is_multiple_of(rtmult) && wtmax.is_multiple_of(wtmult)
    );
    assert!((4096..=1 << 20).contains(&dtpref));
    // Symbolic links, the same everywhere, times can be set; no hard links.
    assert_eq!(properties, 0x02 | 0x08 | 0x10);
    // What is promised is kept.
    let data = vec![5; wtmax as usize];
    assert_eq!(s.write(&file, 0, &data).numbers[0], wtmax);
    assert_eq!(s.read(&file, 0, rtmax as u32).data.len() as u64, rtmax);
    assert_eq!(s.setattr(&file, Set::size(maxfilesize + 1)).status, NFS3ERR_FBIG);
    reply
}

fn pathconf_is_kept(s: &mut Scene<'_>) -> Reply {
    let (dir, file) = (s.dir(), s.file("f"));
    let reply = s.call(Call::Pathconf(dir));
    assert_eq!(s.call(Call::Pathconf(file)).numbers, reply.numbers);
    let [linkmax, name_max, no_trunc, chown_restricted, case_insensitive, case_preserving] =
        reply.numbers[..]
    else {
        panic!("six numbers: {reply:?}")
    };
    assert_eq!((linkmax, name_max), (1, 255));
    assert_eq!((no_trunc, chown_restricted, case_insensitive, case_preserving), (1, 1, 0, 1));
    reply
}

fn mnt(s: &mut Scene<'_>, path: &str) -> Reply {
    s.call(Call::Mnt(path.as_bytes().to_vec()))
}

fn mount_an_export(s: &mut Scene<'_>) -> Reply {
    let reply = mnt(s, "/export");
    assert_eq!((reply.handle.as_ref(), &reply.numbers[..]), (Some(&s.root), &FLAVOURS[..]));
    let other = mnt(s, "/SRL");
    assert!(other.handle.is_some() && other.handle != reply.handle);
    reply
}

fn mount_with_a_slash(s: &mut Scene<'_>) -> Reply {
    let reply = mnt(s, "/export//");
    assert_eq!(reply.handle.as_ref(), Some(&s.root));
    reply
}

fn mount_below_an_export(s: &mut Scene<'_>) -> Reply {
    let folder = s.folder("below");
    let path = format!("/export/{}/below", s.name);
    let reply = mnt(s, &path);
    assert_eq!(reply.handle, Some(folder));
    reply
}

fn mount_nothing_below_an_export(s: &mut Scene<'_>) -> Reply {
    mnt(s, "/export/absent/absent")
}

fn mount_a_file(s: &mut Scene<'_>) -> Reply {
    s.file("f");
    let path = format!("/export/{}/f", s.name);
    assert_eq!(mnt(s, &format!("{path}/below")).status, NFS3ERR_NOTDIR);
    mnt(s, &path)
}

fn mount_a_link(s: &mut Scene<'_>) -> Reply {
    s.soft_link("l", "/export");
    let path = format!("/export/{}/l", s.name);
    mnt(s, &path)
}

fn mount_a_longer_name(s: &mut Scene<'_>) -> Reply {
    s.folder("ports");
    assert_eq!(mnt(s, "/exports").status, NFS3ERR_NOENT);
    mnt(s, "/exportports")
}

fn mount_an_unknown_path(s: &mut Scene<'_>) -> Reply {
    assert_eq!(mnt(s, "/").status, NFS3ERR_NOENT);
    assert_eq!(mnt(s, "export").status, NFS3ERR_NOENT);
    mnt(s, "/nowhere")
}

fn mount_out_of_an_export(s: &mut Scene<'_>) -> Reply {
    assert_eq!(mnt(s, "/export/..").status, NFS3ERR_NOENT);
    mnt(s, "/export/../etc")
}

fn mount_no_path(s: &mut Scene<'_>) -> Reply {
    mnt(s, "")
}

fn export_lists_all(s: &mut Scene<'_>) -> Reply {
    let reply = s.call(Call::Export);
    let expected: &[&str] = match s.target.port {
        Some(_) => &["/SRL:", "/export:", "/quota:", "/read-only:"],
        None => &["/SRL:", "/export:"],
    };
    let mut lines = reply.lines.clone();
    lines.sort();
    assert_eq!(lines, expected);
    reply
}

fn dump_knows_the_mounts(s: &mut Scene<'_>) -> Reply {
    let mounted = |reply: &Reply, path: &str| reply.lines.contains(&format!("127.0.0.1:{path}"));
    s.mount("/export");
    s.mount("/SRL");
    let all = s.call(Call::Dump);
    assert!(mounted(&all, "/export") && mounted(&all, "/SRL"), "{all:?}");
    expect_ok(&s.call(Call::Umnt(b"/nowhere".to_vec())));
    expect_ok(&s.call(Call::Umnt(b"/SRL".to_vec())));
    let less = s.call(Call::Dump);
    assert!(mounted(&less, "/export") && !mounted(&less, "/SRL"), "{less:?}");
    expect_ok(&s.call(Call::Umntall));
    let reply = s.call(Call::Dump);
    assert!(reply.lines.is_empty(), "{reply:?}");
    let root = s.root.clone();
    expect_ok(&s.getattr(&root));
    reply
}
