//! READDIR and READDIRPLUS.

use std::collections::BTreeMap;

use nfs3_types::nfs3::nfsstat3::*;

use crate::case;
use crate::conformance::Case;
use crate::conformance::call::{Handle, Reply, Set};
use crate::conformance::scene::{Scene, expect_ok};

const READDIR: &str = "READDIR";
const READDIRPLUS: &str = "READDIRPLUS";

/// What every client takes.
const PAGE: u32 = 4096;
const BEGIN: (u64, [u8; 8]) = (0, [0; 8]);
/// Results without any entry: attributes, verifier, two ends.
const FRAME: u32 = 4 + 84 + 8 + 4 + 4;

pub(super) const CASES: &[Case] = &[
    Case::new(READDIR, "an empty folder", NFS3_OK, case!(readdir_of_an_empty_folder)),
    Case::new(READDIR, "the root of an export: `..` is itself", NFS3_OK, case!(readdir_of_the_root)),
    Case::new(READDIR, "page by page", NFS3_OK, case!(readdir_page_by_page)),
    Case::new(
        READDIR,
        "entries come and go between the pages",
        NFS3_OK,
        case!(readdir_while_entries_come_and_go),
    ),
    Case::new(READDIR, "behind an entry that was removed", NFS3_OK, case!(readdir_behind_a_removed_entry)),
    Case::new(READDIR, "behind the last entry", NFS3_OK, case!(readdir_behind_the_end)),
    Case::new(
        READDIR,
        "the verifier of another folder",
        NFS3ERR_BAD_COOKIE,
        case!(readdir_with_a_foreign_verifier),
    ),
    Case::new(
        READDIR,
        "a cookie with a verifier of zeros",
        NFS3ERR_BAD_COOKIE,
        case!(readdir_with_no_verifier),
    )
    .note("Linux takes any verifier; zeros are for the beginning (RFC 1813 §3.3.16)"),
    Case::new(READDIR, "a count too small for any entry", NFS3ERR_TOOSMALL, case!(readdir_of_too_few_bytes)),
    Case::new(READDIR, "a count that fits one entry exactly", NFS3_OK, case!(readdir_of_one_entry)),
    Case::new(READDIR, "a file", NFS3ERR_NOTDIR, case!(readdir_of_a_file)),
    Case::new(READDIR, "without read permission", NFS3ERR_ACCES, case!(readdir_without_permission)),
    Case::new(READDIR, "with read and without search permission", NFS3_OK, case!(readdir_with_read_alone)),
    Case::new(READDIRPLUS, "all kinds of entries", NFS3_OK, case!(readdirplus_of_each_kind)),
    Case::new(READDIRPLUS, "page by page", NFS3_OK, case!(readdirplus_page_by_page)),
    Case::new(READDIRPLUS, "a small dircount", NFS3_OK, case!(readdirplus_with_a_small_dircount)),
    Case::new(READDIRPLUS, "a dircount of 0", NFS3_OK, case!(readdirplus_without_a_dircount))
        .note("one entry at a time, for some clients count their names alone"),
    Case::new(
        READDIRPLUS,
        "a maxcount too small for any entry",
        NFS3ERR_TOOSMALL,
        case!(readdirplus_of_too_few_bytes),
    ),
    Case::new(READDIRPLUS, "the largest counts there are", NFS3_OK, case!(readdirplus_of_most_bytes)),
    Case::new(
        READDIRPLUS,
        "the verifier of another folder",
        NFS3ERR_BAD_COOKIE,
        case!(readdirplus_with_a_foreign_verifier),
    ),
    Case::new(READDIRPLUS, "a file", NFS3ERR_NOTDIR, case!(readdirplus_of_a_file)),
    Case::new(READDIRPLUS, "without read permission", NFS3ERR_ACCES, case!(readdirplus_without_permission)),
    Case::new(READDIRPLUS, "a file written a moment ago", NFS3_OK, case!(readdirplus_shows_what_is_written)),
];

fn readdir_of_an_empty_folder(s: &mut Scene<'_>) -> Reply {
    let (dir, folder) = (s.dir(), s.folder("d"));
    let reply = s.readdir(&folder, 0, [0; 8], PAGE);
    let ids = [s.attributes(&folder).fileid, s.attributes(&dir).fileid];
    let listed: Vec<_> = reply.entries.iter().map(|entry| (entry.name.as_slice(), entry.fileid)).collect();
    assert_eq!(listed, [(&b"."[..], ids[0]), (b"..", ids[1])]);
    assert_eq!(reply.numbers, [1], "the end");
    reply
}

fn readdir_of_the_root(s: &mut Scene<'_>) -> Reply {
    let root = s.root.clone();
    let reply = s.readdir(&root, 0, [0; 8], PAGE);
    let id = s.attributes(&root).fileid;
    assert_eq!((reply.entries[0].fileid, reply.entries[1].fileid), (id, id));
    reply
}

/// A folder with files of these many names, and what READDIR should give of it.
fn full_folder(s: &mut Scene<'_>, count: usize) -> (Handle, Vec<Vec<u8>>) {
    let folder = s.folder("full");
    let names: Vec<Vec<u8>> =
        (0..count).map(|index| format!("{index}{}", "x".repeat(index % 50)).into_bytes()).collect();
    for name in &names {
        s.file_in(&folder, name);
    }
    (folder, names)
}

fn readdir_page_by_page(s: &mut Scene<'_>) -> Reply {
    let (folder, names) = full_folder(s, 60);
    for count in [FRAME + 100, 512, 1000, PAGE, 1 << 20] {
        let mut listed: Vec<Vec<u8>> = s.list(&folder, count).into_iter().map(|entry| entry.name).collect();
        assert_eq!(listed.len(), names.len() + 2, "each entry once with pages of {count} bytes");
        listed.retain(|name| name != b"." && name != b"..");
        listed.sort();
        let mut expected = names.clone();
        expected.sort();
        assert_eq!(listed, expected);
    }
    s.readdir(&folder, 0, [0; 8], PAGE)
}

fn readdir_while_entries_come_and_go(s: &mut Scene<'_>) -> Reply {
    let (folder, names) = full_folder(s, 40);
    let mut seen: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let (mut cookie, mut verifier, mut round) = BEGIN_AND_ROUND;
    let reply = loop {
        let page = s.readdir(&folder, cookie, verifier, 512);
        expect_ok(&page);
        for entry in &page.entries {
            *seen.entry(entry.name.clone()).or_default() += 1;
        }
        if page.numbers == [1] {
            break page;
        }
        (cookie, verifier) = (page.entries.last().unwrap().cookie, page.verifier.unwrap());
        // One goes from the front and one from the end, one comes, one is renamed.
        expect_ok(&s.remove(&folder, &names[round]));
        expect_ok(&s.remove(&folder, &names[names.len() - 1 - round]));
        s.file_in(&folder, format!("new {round}"));
        expect_ok(&s.rename(&folder, format!("new {round}"), &folder, format!("renamed {round}")));
        round += 1;
    };
    assert!(round > 2, "more than two pages");
    for stable in &names[round..names.len() - round] {
        assert_eq!(seen.get(stable), Some(&1), "{}", String::from_utf8_lossy(stable));
    }
    assert!(seen.values().all(|count| *count == 1), "no entry twice: {seen:?}");
    reply
}

const BEGIN_AND_ROUND: (u64, [u8; 8], usize) = (BEGIN.0, BEGIN.1, 0);

fn readdir_behind_a_removed_entry(s: &mut Scene<'_>) -> Reply {
    let (folder, names) = full_folder(s, 6);
    let all = s.readdir(&folder, 0, [0; 8], PAGE);
    let third = &all.entries[4];
    assert_eq!(third.name, names[2]);
    expect_ok(&s.remove(&folder, &names[2]));
    let reply = s.readdir(&folder, third.cookie, all.verifier.unwrap(), PAGE);
    let rest: Vec<_> = reply.entries.iter().map(|entry| entry.name.clone()).collect();
    assert_eq!(rest, names[3..]);
    reply
}

fn readdir_behind_the_end(s: &mut Scene<'_>) -> Reply {
    let (folder, _) = full_folder(s, 3);
    let all = s.readdir(&folder, 0, [0; 8], PAGE);
    let reply = s.readdir(&folder, all.entries.last().unwrap().cookie, all.verifier.unwrap(), PAGE);
    assert!(reply.entries.is_empty() && reply.numbers == [1]);
    reply
}

/// A cookie of one folder with the verifier of another, changed by one bit where they are the same.
fn foreign(s: &mut Scene<'_>) -> (Handle, u64, [u8; 8]) {
    let (folder, _) = full_folder(s, 3);
    let page = s.readdir(&folder, 0, [0; 8], PAGE);
    let mut verifier = page.verifier.unwrap();
    verifier[3] ^= 1;
    (folder, page.entries[2].cookie, verifier)
}

fn readdir_with_a_foreign_verifier(s: &mut Scene<'_>) -> Reply {
    let (folder, cookie, verifier) = foreign(s);
    s.readdir(&folder, cookie, verifier, PAGE)
}

fn readdir_with_no_verifier(s: &mut Scene<'_>) -> Reply {
    let (folder, cookie, _) = foreign(s);
    s.readdir(&folder, cookie, [0; 8], PAGE)
}

fn readdir_of_too_few_bytes(s: &mut Scene<'_>) -> Reply {
    let (folder, _) = full_folder(s, 3);
    for count in [0, 1, FRAME - 1, FRAME, FRAME + 27] {
        assert_eq!(s.readdir(&folder, 0, [0; 8], count).status, NFS3ERR_TOOSMALL, "{count} bytes");
    }
    s.readdir(&folder, 0, [0; 8], FRAME + 20)
}

fn readdir_of_one_entry(s: &mut Scene<'_>) -> Reply {
    let (folder, _) = full_folder(s, 3);
    let reply = s.readdir(&folder, 0, [0; 8], FRAME + 28);
    assert_eq!(reply.entries.len(), 1);
    assert_eq!(reply.entries[0].name, b".");
    reply
}

fn readdir_of_a_file(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    s.readdir(&file, 0, [0; 8], PAGE)
}

/// A folder of root with a file and this mode; user 1000 acts from now on.
fn folder_for(s: &mut Scene<'_>, mode: u32) -> Handle {
    let folder = s.folder("d");
    s.file_in(&folder, "f");
    expect_ok(&s.setattr(&folder, Set::mode(mode)));
    s.act_as_user(1000);
    folder
}

fn readdir_without_permission(s: &mut Scene<'_>) -> Reply {
    let folder = folder_for(s, 0o711);
    s.readdir(&folder, 0, [0; 8], PAGE)
}

fn readdir_with_read_alone(s: &mut Scene<'_>) -> Reply {
    let folder = folder_for(s, 0o744);
    s.readdir(&folder, 0, [0; 8], PAGE)
}

fn readdirplus_of_each_kind(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    let made = [s.file_with("f", "data"), s.folder("d"), s.soft_link("l", "t")];
    let reply = s.readdirplus(&dir, BEGIN, PAGE, PAGE);
    assert_eq!(reply.entries[0].handle, Some(dir));
    assert_eq!(reply.entries[1].handle, Some(s.root.clone()));
    for (entry, handle) in reply.entries[2..].iter().zip(&made) {
        assert_eq!(entry.handle.as_ref(), Some(handle));
        assert_eq!(entry.attributes, Some(s.attributes(handle)));
    }
    reply
}

/// All names by READDIRPLUS with these counts, and how many calls it took.
fn names_plus(s: &mut Scene<'_>, folder: &Handle, dircount: u32, maxcount: u32) -> (Vec<Vec<u8>>, usize) {
    let (mut names, mut from, mut calls) = (Vec::new(), BEGIN, 0);
    loop {
        let page = s.readdirplus(folder, from, dircount, maxcount);
        expect_ok(&page);
        calls += 1;
        names.extend(page.entries.iter().map(|entry| entry.name.clone()));
        if page.numbers == [1] {
            return (names, calls);
        }
        from = (page.entries.last().expect("headway").cookie, page.verifier.unwrap());
    }
}

fn readdirplus_page_by_page(s: &mut Scene<'_>) -> Reply {
    let (folder, names) = full_folder(s, 40);
    for maxcount in [400, 1024, 3000, 8192] {
        let (listed, _) = names_plus(s, &folder, maxcount, maxcount);
        assert_eq!(listed[2..], names, "each entry once with pages of {maxcount} bytes");
    }
    s.readdirplus(&folder, BEGIN, PAGE, PAGE)
}

fn readdirplus_with_a_small_dircount(s: &mut Scene<'_>) -> Reply {
    let (folder, names) = full_folder(s, 40);
    let (listed, calls) = names_plus(s, &folder, 300, 1 << 16);
    assert_eq!(listed[2..], names);
    assert!(calls > 5, "dircount bounds the names of a page: {calls} calls");
    s.readdirplus(&folder, BEGIN, 300, 1 << 16)
}

fn readdirplus_without_a_dircount(s: &mut Scene<'_>) -> Reply {
    let (folder, names) = full_folder(s, 5);
    let (listed, calls) = names_plus(s, &folder, 0, PAGE);
    assert_eq!((&listed[2..], calls), (&names[..], names.len() + 2));
    s.readdirplus(&folder, BEGIN, 0, PAGE)
}

fn readdirplus_of_too_few_bytes(s: &mut Scene<'_>) -> Reply {
    let (folder, _) = full_folder(s, 3);
    for maxcount in [0, FRAME, FRAME + 28, FRAME + 28 + 88] {
        assert_eq!(
            s.readdirplus(&folder, BEGIN, PAGE, maxcount).status,
            NFS3ERR_TOOSMALL,
            "{maxcount} bytes"
        );
    }
    s.readdirplus(&folder, BEGIN, PAGE, 100)
}

fn readdirplus_of_most_bytes(s: &mut Scene<'_>) -> Reply {
    let (folder, names) = full_folder(s, 40);
    let reply = s.readdirplus(&folder, BEGIN, u32::MAX, u32::MAX);
    assert_eq!(reply.entries.len(), names.len() + 2);
    reply
}

fn readdirplus_with_a_foreign_verifier(s: &mut Scene<'_>) -> Reply {
    let (folder, cookie, verifier) = foreign(s);
    s.readdirplus(&folder, (cookie, verifier), PAGE, PAGE)
}

fn readdirplus_of_a_file(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    s.readdirplus(&file, BEGIN, PAGE, PAGE)
}

fn readdirplus_without_permission(s: &mut Scene<'_>) -> Reply {
    let folder = folder_for(s, 0o711);
    s.readdirplus(&folder, BEGIN, PAGE, PAGE)
}

fn readdirplus_shows_what_is_written(s: &mut Scene<'_>) -> Reply {
    let (dir, file) = (s.dir(), s.file("f"));
    expect_ok(&s.write(&file, 0, "data"));
    let reply = s.readdirplus(&dir, BEGIN, PAGE, PAGE);
    assert_eq!(reply.entries[2].attributes, Some(s.attributes(&file)));
    assert_eq!(reply.entries[2].attributes.map(|attributes| attributes.size), Some(4));
    reply
}
