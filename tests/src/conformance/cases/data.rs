//! READ, WRITE and COMMIT.

use nfs3_types::nfs3::nfsstat3::*;

use crate::case;
use crate::conformance::Case;
use crate::conformance::call::{Call, Handle, How, Reply, Set, Stable};
use crate::conformance::scene::{Scene, expect_ok};

const READ: &str = "READ";
const WRITE: &str = "WRITE";
const COMMIT: &str = "COMMIT";

/// Largest READ and WRITE of the servers here.
const TRANSFER_BYTES: u32 = 1 << 20;
/// The first offset past what signed 64-bit numbers reach.
const BEYOND: u64 = 1 << 63;

pub(super) const CASES: &[Case] = &[
    Case::new(READ, "part of a file", NFS3_OK, case!(read_a_part)),
    Case::new(READ, "across the end", NFS3_OK, case!(read_across_the_end)),
    Case::new(READ, "up to the end exactly", NFS3_OK, case!(read_up_to_the_end)),
    Case::new(READ, "at the end", NFS3_OK, case!(read_at_the_end)),
    Case::new(READ, "past the end", NFS3_OK, case!(read_past_the_end)),
    Case::new(READ, "at offset 2^63 and at the last one", NFS3_OK, case!(read_at_the_last_offsets)),
    Case::new(READ, "zero bytes", NFS3_OK, case!(read_zero_bytes)),
    Case::new(READ, "an empty file", NFS3_OK, case!(read_an_empty_file)),
    Case::new(READ, "more than rtmax", NFS3_OK, case!(read_more_than_rtmax)),
    Case::new(READ, "a folder", NFS3ERR_ISDIR, case!(read_a_folder))
        .note("as Linux; RFC 1813 has INVAL as well"),
    Case::new(READ, "a symbolic link", NFS3ERR_INVAL, case!(read_a_link)),
    Case::new(READ, "without read permission", NFS3ERR_ACCES, case!(read_without_permission)),
    Case::new(READ, "by the owner, who took himself the right", NFS3_OK, case!(read_by_the_owner))
        .note("as Linux: he may have opened it before"),
    Case::new(READ, "with execute permission alone", NFS3_OK, case!(read_to_execute))
        .note("RFC 1813 §4.4: to execute a client must read"),
    Case::new(WRITE, "in the middle, at the end and behind it", NFS3_OK, case!(write_everywhere)),
    Case::new(WRITE, "a hole before it", NFS3_OK, case!(write_leaves_zeros)),
    Case::new(WRITE, "at 4 GiB", NFS3_OK, case!(write_at_four_gib)).port(),
    Case::new(WRITE, "zero bytes", NFS3_OK, case!(write_zero_bytes)),
    Case::new(WRITE, "a count below the data's length", NFS3ERR_INVAL, case!(write_less_than_it_carries))
        .note("Linux: GARBAGE_ARGS, which clients take for an input/output error"),
    Case::new(WRITE, "a count over the data's length", NFS3ERR_INVAL, case!(write_more_than_it_carries))
        .note("Linux: GARBAGE_ARGS, which clients take for an input/output error"),
    Case::new(WRITE, "past the largest file", NFS3ERR_FBIG, case!(write_past_the_largest_file)),
    Case::new(WRITE, "UNSTABLE, then COMMIT", NFS3_OK, case!(write_unstable_and_commit)),
    Case::new(WRITE, "DATA_SYNC", NFS3_OK, case!(write_data_sync)),
    Case::new(WRITE, "FILE_SYNC", NFS3_OK, case!(write_file_sync)),
    Case::new(WRITE, "a folder", NFS3ERR_ISDIR, case!(write_a_folder))
        .note("as Linux; RFC 1813 has INVAL as well"),
    Case::new(WRITE, "a symbolic link", NFS3ERR_INVAL, case!(write_a_link)),
    Case::new(WRITE, "without write permission", NFS3ERR_ACCES, case!(write_without_permission)),
    Case::new(WRITE, "by the owner, who took himself the right", NFS3_OK, case!(write_by_the_owner)),
    Case::new(WRITE, "takes set-user-id from a file", NFS3_OK, case!(write_takes_privilege)),
    Case::new(WRITE, "over the customer's quota", NFS3ERR_DQUOT, case!(write_over_quota)).port(),
    Case::new(COMMIT, "the whole file, a part, and behind the end", NFS3_OK, case!(commit_ranges)),
    Case::new(COMMIT, "a file nobody wrote", NFS3_OK, case!(commit_of_nothing)),
    Case::new(COMMIT, "a folder", NFS3ERR_ISDIR, case!(commit_a_folder)).note("as Linux"),
    Case::new(COMMIT, "a symbolic link", NFS3ERR_INVAL, case!(commit_a_link)),
    Case::new(COMMIT, "without write permission", NFS3ERR_ACCES, case!(commit_without_permission))
        .note("as Linux"),
    Case::new(
        COMMIT,
        "the verifier of the WRITEs, until the server restarts",
        NFS3_OK,
        case!(commit_gives_the_verifier),
    ),
];

/// What READ should give: data and whether it reaches the end.
fn expect(reply: &Reply, data: &[u8], eof: bool) {
    expect_ok(reply);
    assert_eq!((reply.data.as_slice(), reply.numbers[1]), (data, u64::from(eof)));
}

fn ten_bytes(s: &mut Scene<'_>) -> Handle {
    s.file_with("f", "0123456789")
}

fn read_a_part(s: &mut Scene<'_>) -> Reply {
    let file = ten_bytes(s);
    let reply = s.read(&file, 2, 3);
    expect(&reply, b"234", false);
    reply
}

fn read_across_the_end(s: &mut Scene<'_>) -> Reply {
    let file = ten_bytes(s);
    let reply = s.read(&file, 7, 100);
    expect(&reply, b"789", true);
    reply
}

fn read_up_to_the_end(s: &mut Scene<'_>) -> Reply {
    let file = ten_bytes(s);
    let reply = s.read(&file, 0, 10);
    expect(&reply, b"0123456789", true);
    reply
}

fn read_at_the_end(s: &mut Scene<'_>) -> Reply {
    let file = ten_bytes(s);
    let reply = s.read(&file, 10, 1);
    expect(&reply, b"", true);
    reply
}

fn read_past_the_end(s: &mut Scene<'_>) -> Reply {
    let file = ten_bytes(s);
    let reply = s.read(&file, 1 << 40, 4096);
    expect(&reply, b"", true);
    reply
}

fn read_at_the_last_offsets(s: &mut Scene<'_>) -> Reply {
    let file = ten_bytes(s);
    for offset in [BEYOND - 1, BEYOND, u64::MAX - 10] {
        expect(&s.read(&file, offset, 100), b"", true);
    }
    let reply = s.read(&file, u64::MAX, 1);
    expect(&reply, b"", true);
    reply
}

fn read_zero_bytes(s: &mut Scene<'_>) -> Reply {
    let file = ten_bytes(s);
    expect(&s.read(&file, 10, 0), b"", true);
    let reply = s.read(&file, 3, 0);
    expect(&reply, b"", false);
    reply
}

fn read_an_empty_file(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    let reply = s.read(&file, 0, 1);
    expect(&reply, b"", true);
    reply
}

fn read_more_than_rtmax(s: &mut Scene<'_>) -> Reply {
    let data: Vec<u8> = (0..TRANSFER_BYTES + 5000).map(|index| (index % 251) as u8).collect();
    let file = s.file_with("f", &data[..TRANSFER_BYTES as usize]);
    expect_ok(&s.write(&file, u64::from(TRANSFER_BYTES), &data[TRANSFER_BYTES as usize..]));
    let reply = s.read(&file, 0, 2 * TRANSFER_BYTES);
    let rtmax = s.call(Call::Fsinfo(file.clone())).numbers[0];
    assert_eq!(reply.data.len() as u64, rtmax, "as much as a reply may hold");
    expect(&reply, &data[..rtmax as usize], false);
    let rest = s.read(&file, rtmax, u32::MAX);
    expect(&rest, &data[rtmax as usize..], true);
    reply
}

fn read_a_folder(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.read(&dir, 0, 1)
}

fn read_a_link(s: &mut Scene<'_>) -> Reply {
    let link = s.soft_link("l", "target");
    s.read(&link, 0, 1)
}

/// A file of user 1000 with this mode, and whoever acts on it.
fn file_for(s: &mut Scene<'_>, mode: u32, actor: u32) -> Handle {
    let file = ten_bytes(s);
    expect_ok(&s.setattr(&file, Set { uid: Some(1000), gid: Some(1000), ..Set::default() }));
    expect_ok(&s.setattr(&file, Set::mode(mode)));
    s.act_as_user(actor);
    file
}

fn read_without_permission(s: &mut Scene<'_>) -> Reply {
    let file = file_for(s, 0o640, 1001);
    s.read(&file, 0, 1)
}

fn read_by_the_owner(s: &mut Scene<'_>) -> Reply {
    let file = file_for(s, 0o000, 1000);
    s.read(&file, 0, 1)
}

fn read_to_execute(s: &mut Scene<'_>) -> Reply {
    let file = file_for(s, 0o711, 1001);
    s.read(&file, 0, 1)
}

fn write_everywhere(s: &mut Scene<'_>) -> Reply {
    let file = ten_bytes(s);
    let before = s.attributes(&file);
    expect_ok(&s.write(&file, 2, "XY"));
    expect_ok(&s.write(&file, 9, "Z+"));
    let reply = s.write(&file, 11, "!");
    assert_eq!(s.contents(&file), b"01XY45678Z+!");
    let after = s.attributes(&file);
    assert!(after.size == 12 && after.modified > before.modified && after.changed > before.changed);
    reply
}

fn write_leaves_zeros(s: &mut Scene<'_>) -> Reply {
    let file = s.file_with("f", "ab");
    let reply = s.write(&file, 100_000, "c");
    let mut expected = b"ab".to_vec();
    expected.resize(100_000, 0);
    expected.push(b'c');
    assert_eq!(s.contents(&file), expected);
    reply
}

fn write_at_four_gib(s: &mut Scene<'_>) -> Reply {
    let four_gib = 4 << 30;
    let file = s.file("f");
    let reply = s.write(&file, four_gib - 2, "abcd");
    expect(&s.read(&file, four_gib - 6, 100), b"\0\0\0\0abcd", true);
    expect(&s.read(&file, four_gib / 2, 8), &[0; 8], false);
    assert_eq!(s.attributes(&file).size, four_gib + 2);
    expect_ok(&s.setattr(&file, Set::size(0)));
    reply
}

fn write_zero_bytes(s: &mut Scene<'_>) -> Reply {
    let file = ten_bytes(s);
    let before = s.attributes(&file);
    let reply = s.write(&file, 1_000, "");
    assert_eq!(reply.numbers[0], 0);
    assert_eq!(s.attributes(&file), before, "nothing changed");
    reply
}

fn write_less_than_it_carries(s: &mut Scene<'_>) -> Reply {
    let file = ten_bytes(s);
    let reply = s.call(Call::Write(file.clone(), 0, 2, Stable::FileSync, b"abcd".to_vec()));
    assert_eq!(s.contents(&file), b"0123456789");
    reply
}

fn write_more_than_it_carries(s: &mut Scene<'_>) -> Reply {
    let file = ten_bytes(s);
    let reply = s.call(Call::Write(file.clone(), 0, 8, Stable::FileSync, b"abcd".to_vec()));
    assert_eq!(s.contents(&file), b"0123456789");
    reply
}

fn write_past_the_largest_file(s: &mut Scene<'_>) -> Reply {
    let file = ten_bytes(s);
    for offset in [BEYOND - 1, BEYOND, u64::MAX - 1] {
        assert_eq!(s.write(&file, offset, "ab").status, NFS3ERR_FBIG, "at {offset}");
    }
    s.write(&file, u64::MAX, "a")
}

fn write_unstable_and_commit(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    let reply = s.write_as(&file, 0, "data", Stable::Unstable);
    assert_eq!(reply.numbers[0], 4);
    let committed = s.commit(&file, 0, 0);
    expect_ok(&committed);
    assert_eq!(committed.verifier, reply.verifier);
    assert_eq!(s.contents(&file), b"data");
    reply
}

fn write_data_sync(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    let reply = s.write_as(&file, 0, "data", Stable::DataSync);
    assert!(reply.numbers[1] >= Stable::DataSync as u64, "no less durable than asked for");
    reply
}

fn write_file_sync(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    let reply = s.write_as(&file, 0, "data", Stable::FileSync);
    assert_eq!(reply.numbers, [4, Stable::FileSync as u64]);
    reply
}

fn write_a_folder(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.write(&dir, 0, "data")
}

fn write_a_link(s: &mut Scene<'_>) -> Reply {
    let link = s.soft_link("l", "target");
    s.write(&link, 0, "data")
}

fn write_without_permission(s: &mut Scene<'_>) -> Reply {
    let file = file_for(s, 0o644, 1001);
    s.write(&file, 0, "data")
}

fn write_by_the_owner(s: &mut Scene<'_>) -> Reply {
    let file = file_for(s, 0o400, 1000);
    s.write(&file, 0, "data")
}

fn write_takes_privilege(s: &mut Scene<'_>) -> Reply {
    let file = file_for(s, 0o6777, 1001);
    let reply = s.write(&file, 0, "data");
    assert_eq!(s.attributes(&file).mode, 0o777);
    reply
}

fn write_over_quota(s: &mut Scene<'_>) -> Reply {
    let (folder, name) = super::quota_folder(s);
    let file = s.create(&folder, name, How::Unchecked(Set::default())).handle.expect("a file");
    let reply = s.write(&file, 2 << 20, "data");
    assert_eq!(s.attributes(&file).size, 0);
    reply
}

fn commit_ranges(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    expect_ok(&s.write_as(&file, 0, "0123456789", Stable::Unstable));
    for (offset, count) in [(0, 0), (3, 2), (1 << 40, 5), (u64::MAX, 0)] {
        expect_ok(&s.commit(&file, offset, count));
    }
    s.commit(&file, u64::MAX, u32::MAX)
}

fn commit_of_nothing(s: &mut Scene<'_>) -> Reply {
    let file = s.file("f");
    s.commit(&file, 0, 0)
}

fn commit_a_folder(s: &mut Scene<'_>) -> Reply {
    let dir = s.dir();
    s.commit(&dir, 0, 0)
}

fn commit_a_link(s: &mut Scene<'_>) -> Reply {
    let link = s.soft_link("l", "target");
    s.commit(&link, 0, 0)
}

fn commit_without_permission(s: &mut Scene<'_>) -> Reply {
    let file = file_for(s, 0o644, 1001);
    s.commit(&file, 0, 0)
}

fn commit_gives_the_verifier(s: &mut Scene<'_>) -> Reply {
    let (one, other) = (s.file("one"), s.file("other"));
    let written = s.write_as(&one, 0, "data", Stable::Unstable);
    let reply = s.commit(&other, 0, 0);
    assert!(written.verifier.is_some());
    assert_eq!(reply.verifier, written.verifier, "one verifier for all files");
    reply
}
