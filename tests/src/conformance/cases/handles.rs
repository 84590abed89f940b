//! Handles of objects that are gone, and bytes that are no handle: the same answer from every procedure.

use nfs3_types::nfs3::nfsstat3::{self, *};

use crate::case;
use crate::conformance::Case;
use crate::conformance::call::{Call, Handle, How, List, Reply, Set, Stable};
use crate::conformance::scene::{Scene, at, expect_ok};

const ALL: &str = "all";

pub(super) const CASES: &[Case] = &[
    Case::new(ALL, "the handle of a removed file", NFS3ERR_STALE, case!(handle_of_a_removed_file)),
    Case::new(ALL, "the handle of a removed folder", NFS3ERR_STALE, case!(handle_of_a_removed_folder)),
    Case::new(
        ALL,
        "the handle of a file removed and made again",
        NFS3ERR_STALE,
        case!(handle_of_an_older_file),
    ),
    Case::new(ALL, "bytes that are no handle", NFS3ERR_BADHANDLE, case!(handle_of_random_bytes)),
    Case::new(
        "GETATTR",
        "a handle with any bit changed",
        NFS3ERR_BADHANDLE,
        case!(handle_with_any_bit_changed),
    )
    .port(),
    Case::new("GETATTR", "0, 1, 63 and 64 bytes", NFS3ERR_BADHANDLE, case!(handle_of_any_length)),
    Case::new(
        "GETATTR",
        "a handle and a byte more, or less",
        NFS3ERR_BADHANDLE,
        case!(handle_of_nearly_the_length),
    ),
];

/// A call of each procedure that takes the handle of a file or of anything.
fn calls_on_a_file(file: &Handle) -> Vec<Call> {
    let file = || file.clone();
    vec![
        Call::Getattr(file()),
        Call::Setattr(file(), Set::mode(0o600), None),
        Call::Setattr(file(), Set::size(1), None),
        Call::Access(file(), 0x3f),
        Call::Readlink(file()),
        Call::Read(file(), 0, 1),
        Call::Write(file(), 0, 1, Stable::FileSync, vec![1]),
        Call::Commit(file(), 0, 0),
        Call::Fsstat(file()),
        Call::Fsinfo(file()),
        Call::Pathconf(file()),
    ]
}

/// A call of each procedure that takes the handle of a folder, with a sound folder where it takes two.
fn calls_on_a_folder(folder: &Handle, sound: &Handle) -> Vec<Call> {
    let list = || List { dir: folder.clone(), cookie: 0, verifier: [0; 8], dircount: 8192, count: 8192 };
    let (place, elsewhere) = (|| at(folder, "x"), || at(sound, "f"));
    vec![
        Call::Getattr(folder.clone()),
        Call::Access(folder.clone(), 0x3f),
        Call::Lookup(place()),
        Call::Lookup(at(folder, ".")),
        Call::Lookup(at(folder, "..")),
        Call::Create(place(), How::Unchecked(Set::default())),
        Call::Create(place(), How::Guarded(Set::default())),
        Call::Create(place(), How::Exclusive([7; 8])),
        Call::Mkdir(place(), Set::default()),
        Call::Symlink(place(), Set::default(), b"text".to_vec()),
        Call::Mknod(place(), 7),
        Call::Remove(place()),
        Call::Rmdir(place()),
        Call::Rename(place(), elsewhere()),
        Call::Rename(elsewhere(), place()),
        Call::Link(sound.clone(), place()),
        Call::Link(folder.clone(), elsewhere()),
        Call::Readdir(list()),
        Call::Readdirplus(list()),
        Call::Fsstat(folder.clone()),
    ]
}

fn expect_each(s: &mut Scene<'_>, calls: Vec<Call>, status: nfsstat3) -> Reply {
    let mut last = Reply::default();
    for call in calls {
        last = s.call(call.clone());
        assert_eq!(last.status, status, "{call:?}");
    }
    last
}

fn handle_of_a_removed_file(s: &mut Scene<'_>) -> Reply {
    let (dir, file) = (s.dir(), s.file_with("f", "data"));
    expect_ok(&s.remove(&dir, "f"));
    expect_each(s, calls_on_a_file(&file), NFS3ERR_STALE)
}

fn handle_of_a_removed_folder(s: &mut Scene<'_>) -> Reply {
    let (dir, folder) = (s.dir(), s.folder("d"));
    s.file("f");
    expect_ok(&s.rmdir(&dir, "d"));
    expect_each(s, calls_on_a_folder(&folder, &dir), NFS3ERR_STALE)
}

fn handle_of_an_older_file(s: &mut Scene<'_>) -> Reply {
    let (dir, old) = (s.dir(), s.file_with("f", "old"));
    expect_ok(&s.remove(&dir, "f"));
    let new = s.file_with("f", "new");
    let reply = expect_each(s, calls_on_a_file(&old), NFS3ERR_STALE);
    assert_eq!(s.contents(&new), b"new");
    reply
}

fn handle_of_random_bytes(s: &mut Scene<'_>) -> Reply {
    let (dir, nonsense) = (s.dir(), [0xa5; 31].to_vec());
    s.file("f");
    expect_each(s, calls_on_a_file(&nonsense), NFS3ERR_BADHANDLE);
    expect_each(s, calls_on_a_folder(&nonsense, &dir), NFS3ERR_BADHANDLE)
}

fn handle_with_any_bit_changed(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    let mut last = Reply::default();
    for bit in 0..8 * file.len() {
        let mut changed = file.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        last = s.getattr(&changed);
        assert_eq!(last.status, NFS3ERR_BADHANDLE, "bit {bit}");
    }
    last
}

fn handle_of_any_length(s: &mut Scene<'_>) -> Reply {
    let handles = [0, 1, 63, 64].map(|len| vec![0xff; len]);
    expect_each(s, handles.into_iter().map(Call::Getattr).collect(), NFS3ERR_BADHANDLE)
}

fn handle_of_nearly_the_length(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    let (longer, shorter) = ([&file[..], &[0]].concat(), file[..file.len() - 1].to_vec());
    expect_each(s, vec![Call::Getattr(longer), Call::Getattr(shorter)], NFS3ERR_BADHANDLE)
}
