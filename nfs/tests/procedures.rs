//! Every procedure of NFS v3 over a real connection: results, errors, and the attributes that come with both (PORT-1).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use support::{Args, As, Client, Reply, Running, attributes, post_op, read_args, read_data, serve, wcc};

const NOENT: u32 = 2;
const ACCES: u32 = 13;
const EXIST: u32 = 17;
const NOTDIR: u32 = 20;
const ISDIR: u32 = 21;
const INVAL: u32 = 22;
const FBIG: u32 = 27;
const NAMETOOLONG: u32 = 63;
const NOTEMPTY: u32 = 66;
const STALE: u32 = 70;
const BADHANDLE: u32 = 10001;
const NOT_SYNC: u32 = 10002;
const NOTSUPP: u32 = 10004;

fn mounted() -> (Running, Client, Vec<u8>) {
    let server = serve();
    let (client, root) = server.mounted();
    (server, client, root)
}

fn place(dir: &[u8], name: &[u8]) -> Args {
    Args::new().opaque(dir).opaque(name)
}

/// Status of a reply that has `wcc_data` behind it and nothing else, all filled.
fn status_with_wcc(reply: &Reply) -> u32 {
    let (status, mut results) = reply.status();
    assert!(wcc(&mut results).1.is_some(), "attributes after status {status}");
    results.end().unwrap();
    status
}

/// Status of a reply that has `post_op_attr` behind it and nothing else, filled.
fn status_with_attributes(reply: &Reply) -> u32 {
    let (status, mut results) = reply.status();
    assert!(post_op(&mut results).is_some(), "attributes after status {status}");
    results.end().unwrap();
    status
}

#[test]
fn null_answers_nothing() {
    let (_server, mut client, _) = mounted();
    client.nfs(0, Args::new()).results().end().unwrap();
}

#[test]
fn getattr_tells_attributes_and_refuses_bad_handles() {
    let (_server, mut client, root) = mounted();
    let reply = client.nfs(1, Args::new().opaque(&root));
    let mut results = reply.ok();
    let seen = attributes(&mut results);
    results.end().unwrap();
    assert_eq!((seen.kind, seen.mode, seen.links), (2, 0o777, 2));

    let stale = 99u64.to_be_bytes();
    assert_eq!(client.nfs(1, Args::new().opaque(&stale)).status().0, STALE);
    assert_eq!(client.nfs(1, Args::new().opaque(b"nonsense!")).status().0, BADHANDLE);
}

#[test]
fn setattr_changes_what_is_asked_and_tells_before_and_after() {
    let (_server, mut client, root) = mounted();
    let file = client.create(&root, b"file");
    client.write(&file, 0, b"contents");
    let reply = client.nfs(2, Args::new().opaque(&file).set(Some(0o600), Some(3)).u32(0));
    let (had_before, after) = wcc(&mut reply.ok());
    assert!(had_before);
    assert_eq!(after.map(|after| (after.mode, after.size)), Some((0o600, 3)));
}

/// A guard that does not match changes nothing, and there is one reply.
#[test]
fn setattr_with_a_guard_that_does_not_match_changes_nothing() {
    let (_server, mut client, root) = mounted();
    let file = client.create(&root, b"file");
    let guarded = |seconds| Args::new().opaque(&file).set(Some(0o600), None).u32(1).u32(seconds).u32(7);
    assert_eq!(status_with_wcc(&client.nfs(2, guarded(1))), NOT_SYNC);
    let seen = attributes(&mut client.nfs(1, Args::new().opaque(&file)).ok());
    assert_eq!(seen.mode, 0o644);

    let changed = seen.changed;
    let args = Args::new()
        .opaque(&file)
        .set(Some(0o600), None)
        .u32(1)
        .u32(changed.seconds as u32)
        .u32(changed.nanos);
    assert_eq!(status_with_wcc(&client.nfs(2, args)), 0);
}

#[test]
fn setattr_refuses_a_size_beyond_the_largest_file() {
    let (_server, mut client, root) = mounted();
    let file = client.create(&root, b"file");
    let reply = client.nfs(2, Args::new().opaque(&file).set(None, Some(u64::MAX)).u32(0));
    assert_eq!(status_with_wcc(&reply), FBIG);
}

#[test]
fn lookup_finds_names_and_dots() {
    let (_server, mut client, root) = mounted();
    let dir = client.mkdir(&root, b"dir");
    for (start, name, found) in [(&root, &b"dir"[..], &dir), (&dir, b"..", &root), (&dir, b".", &dir)] {
        let reply = client.nfs(3, place(start, name));
        let mut results = reply.ok();
        assert_eq!(results.opaque(64).unwrap(), found);
        assert!(post_op(&mut results).is_some() && post_op(&mut results).is_some());
        results.end().unwrap();
    }
}

#[test]
fn lookup_errors_carry_the_directory() {
    let (_server, mut client, root) = mounted();
    let file = client.create(&root, b"file");
    let long = [b'x'; 256];
    let cases: [(&[u8], &[u8], u32); 6] = [
        (&root, b"absent", NOENT),
        (&file, b"name", NOTDIR),
        (&root, &long, NAMETOOLONG),
        (&root, b"", ACCES),
        (&root, b"a/b", INVAL),
        (&root, b"a\0b", INVAL),
    ];
    for (dir, name, status) in cases {
        assert_eq!(status_with_attributes(&client.nfs(3, place(dir, name))), status);
    }
}

/// Trap: a server that grants whatever was asked. uid 1000 on a root file 0600 gets nothing.
#[test]
fn access_grants_what_the_mode_bits_grant() {
    let (_server, mut client, root) = mounted();
    let file = client.create(&root, b"file");
    client.nfs(2, Args::new().opaque(&file).set(Some(0o640), None).u32(0)).ok();
    let granted = |client: &mut Client, who: As| {
        client.who = who;
        let reply = client.nfs(4, Args::new().opaque(&file).u32(0x3f));
        let mut results = reply.ok();
        assert!(post_op(&mut results).is_some());
        let granted = results.u32().unwrap();
        results.end().unwrap();
        granted
    };
    assert_eq!(granted(&mut client, As::root()), 0x0d, "read, modify, extend");
    assert_eq!(granted(&mut client, As::user(1000, 1000)), 0);
    assert_eq!(granted(&mut client, As::user(1000, 0)), 1, "by primary group");
    let by_group = As::User { uid: 1000, gid: 1000, groups: vec![5, 0] };
    assert_eq!(granted(&mut client, by_group), 1, "by supplementary group");
    assert_eq!(granted(&mut client, As::Nobody), 0);
    assert_eq!(status_with_attributes(&client.nfs(6, read_args(&file, 0, 1))), ACCES);
}

#[test]
fn symlink_and_readlink_keep_the_text() {
    let (_server, mut client, root) = mounted();
    let reply = client.nfs(10, place(&root, b"link").set(None, None).opaque(b"some/where"));
    let mut results = reply.ok();
    let link = results.optional(|results| Ok(results.opaque(64)?.to_vec())).unwrap().unwrap();
    assert_eq!(post_op(&mut results).map(|link| link.kind), Some(5));
    assert!(matches!(wcc(&mut results), (true, Some(_))));

    let reply = client.nfs(5, Args::new().opaque(&link));
    let mut results = reply.ok();
    assert!(post_op(&mut results).is_some());
    assert_eq!(results.opaque(99).unwrap(), b"some/where");
    results.end().unwrap();
    assert_eq!(status_with_attributes(&client.nfs(5, Args::new().opaque(&root))), INVAL);
}

#[test]
fn what_was_written_is_read_with_its_end_marked() {
    let (_server, mut client, root) = mounted();
    let file = client.create(&root, b"file");
    client.write(&file, 5, b"hello");
    assert_eq!(read_data(&client.nfs(6, read_args(&file, 0, 7))), (b"\0\0\0\0\0he".to_vec(), false));
    assert_eq!(read_data(&client.nfs(6, read_args(&file, 7, 99))), (b"llo".to_vec(), true));
    assert_eq!(read_data(&client.nfs(6, read_args(&file, 99, 9))), (vec![], true));
    assert_eq!(read_data(&client.nfs(6, read_args(&file, u64::MAX, u32::MAX))), (vec![], true));
    assert_eq!(status_with_attributes(&client.nfs(6, read_args(&root, 0, 1))), ISDIR);
}

#[test]
fn write_tells_how_stable_the_bytes_are_and_commit_the_same_verifier() {
    let (_server, mut client, root) = mounted();
    let file = client.create(&root, b"file");
    let args = Args::new().opaque(&file).u64(0).u32(5).u32(0).opaque(b"hello");
    let reply = client.nfs(7, args);
    let mut results = reply.ok();
    let (had_before, after) = wcc(&mut results);
    assert!(had_before);
    assert_eq!(after.map(|after| after.size), Some(5));
    assert_eq!((results.u32(), results.u32()), (Ok(5), Ok(2)));
    let verifier: [u8; 8] = results.array().unwrap();
    results.end().unwrap();

    let reply = client.nfs(21, Args::new().opaque(&file).u64(0).u32(0));
    let mut results = reply.ok();
    assert!(matches!(wcc(&mut results), (true, Some(_))));
    assert_eq!(results.array(), Ok(verifier));
    results.end().unwrap();
    assert_eq!(status_with_wcc(&client.nfs(21, Args::new().opaque(&root).u64(0).u32(0))), ISDIR);
}

#[test]
fn writes_that_cannot_be_are_refused_and_empty_ones_are_not() {
    let (_server, mut client, root) = mounted();
    let file = client.create(&root, b"file");
    let args =
        |offset, count, data: &[u8]| Args::new().opaque(&file).u64(offset).u32(count).u32(2).opaque(data);
    assert_eq!(status_with_wcc(&client.nfs(7, args(0, 4, b"hello"))), INVAL);
    assert_eq!(status_with_wcc(&client.nfs(7, args(u64::MAX, 5, b"hello"))), FBIG);
    assert_eq!(status_with_wcc(&client.nfs(7, args(1 << 40, 5, b"hello"))), FBIG);
    assert_eq!(client.nfs(7, args(9, 0, b"")).status().0, 0);
    let seen = attributes(&mut client.nfs(1, Args::new().opaque(&file)).ok());
    assert_eq!(seen.size, 0, "nothing was written");
}

#[test]
fn create_treats_an_existing_name_as_asked() {
    let (_server, mut client, root) = mounted();
    let first = client.create(&root, b"file");
    assert_eq!(client.create(&root, b"file"), first, "UNCHECKED takes it");
    let guarded = place(&root, b"file").u32(1).set(None, None);
    assert_eq!(status_with_wcc(&client.nfs(8, guarded)), EXIST);
    let truncating = place(&root, b"file").u32(0).set(None, Some(0));
    client.write(&first, 0, b"contents");
    let reply = client.nfs(8, truncating);
    let mut results = reply.ok();
    assert!(results.optional(|results| results.opaque(64)).unwrap().is_some());
    assert_eq!(post_op(&mut results).map(|file| file.size), Some(0));
}

/// Trap: a verifier that is never read, so that a repeated CREATE says "exists".
#[test]
fn an_exclusive_create_repeated_finds_its_own_file() {
    let (_server, mut client, root) = mounted();
    let exclusive = |verifier: &[u8; 8]| place(&root, b"file").u32(2).raw(verifier);
    let handle = |reply: &Reply| reply.ok().optional(|results| Ok(results.opaque(64)?.to_vec())).unwrap();
    let first = handle(&client.nfs(8, exclusive(b"verifier")));
    assert!(first.is_some());
    assert_eq!(handle(&client.nfs(8, exclusive(b"verifier"))), first);
    assert_eq!(status_with_wcc(&client.nfs(8, exclusive(b"another!"))), EXIST);
}

#[test]
fn mkdir_applies_the_mode_and_counts_as_a_link() {
    let (_server, mut client, root) = mounted();
    let reply = client.nfs(9, place(&root, b"dir").set(Some(0o700), None));
    let mut results = reply.ok();
    assert!(results.optional(|results| results.opaque(64)).unwrap().is_some());
    assert_eq!(post_op(&mut results).map(|dir| (dir.kind, dir.mode)), Some((2, 0o700)));
    let (had_before, after) = wcc(&mut results);
    assert!(had_before);
    assert_eq!(after.map(|root| root.links), Some(3));
    results.end().unwrap();
}

#[test]
fn dots_are_refused_with_the_error_of_each_procedure() {
    let (_server, mut client, root) = mounted();
    for dots in [&b"."[..], b".."] {
        let create = place(&root, dots).u32(0).set(None, None);
        assert_eq!(status_with_wcc(&client.nfs(8, create)), EXIST);
        assert_eq!(status_with_wcc(&client.nfs(9, place(&root, dots).set(None, None))), EXIST);
        assert_eq!(status_with_wcc(&client.nfs(12, place(&root, dots))), ISDIR);
        let reply = client.nfs(14, place(&root, b"x").opaque(&root).opaque(dots));
        assert_eq!(reply.status().0, INVAL);
    }
    assert_eq!(status_with_wcc(&client.nfs(13, place(&root, b"."))), INVAL);
    assert_eq!(status_with_wcc(&client.nfs(13, place(&root, b".."))), EXIST);
}

/// Trap: LINK and MKNOD unknown to a server are PROC_UNAVAIL; a client takes that for a broken server.
#[test]
fn link_and_mknod_are_answered_as_not_supported() {
    let (_server, mut client, root) = mounted();
    let file = client.create(&root, b"file");
    let reply = client.nfs(15, Args::new().opaque(&file).opaque(&root).opaque(b"other"));
    let (status, mut results) = reply.status();
    assert_eq!(status, NOTSUPP);
    assert!(post_op(&mut results).is_some() && wcc(&mut results).1.is_some());
    results.end().unwrap();
    let fifo = place(&root, b"fifo").u32(7).set(None, None);
    assert_eq!(status_with_wcc(&client.nfs(11, fifo)), NOTSUPP);
    let device = place(&root, b"device").u32(4).set(None, None).u32(1).u32(3);
    assert_eq!(status_with_wcc(&client.nfs(11, device)), NOTSUPP);
}

/// Trap: one method for both, so that RMDIR removes files and REMOVE directories.
#[test]
fn remove_and_rmdir_keep_to_their_kind() {
    let (_server, mut client, root) = mounted();
    client.create(&root, b"file");
    let dir = client.mkdir(&root, b"dir");
    client.create(&dir, b"inside");
    assert_eq!(status_with_wcc(&client.nfs(13, place(&root, b"file"))), NOTDIR);
    assert_eq!(status_with_wcc(&client.nfs(12, place(&root, b"dir"))), ISDIR);
    assert_eq!(status_with_wcc(&client.nfs(13, place(&root, b"dir"))), NOTEMPTY);
    assert_eq!(status_with_wcc(&client.nfs(12, place(&dir, b"inside"))), 0);
    assert_eq!(status_with_wcc(&client.nfs(13, place(&root, b"dir"))), 0);
    assert_eq!(status_with_wcc(&client.nfs(12, place(&root, b"file"))), 0);
    assert_eq!(status_with_wcc(&client.nfs(12, place(&root, b"file"))), NOENT);
    assert_eq!(client.nfs(1, Args::new().opaque(&dir)).status().0, STALE);
}

/// Trap: errors of RENAME with one `wcc_data` instead of two.
#[test]
fn rename_tells_both_directories_always() {
    let (_server, mut client, root) = mounted();
    let dir = client.mkdir(&root, b"dir");
    let file = client.create(&root, b"file");
    let rename = |from: &[u8], to: &[u8]| place(&root, from).opaque(&dir).opaque(to);
    for (args, expected) in
        [(rename(b"absent", b"x"), NOENT), (rename(b"dir", b"x"), INVAL), (rename(b"file", b"x"), 0)]
    {
        let reply = client.nfs(14, args);
        let (status, mut results) = reply.status();
        assert_eq!(status, expected);
        assert!(wcc(&mut results).1.is_some() && wcc(&mut results).1.is_some());
        results.end().unwrap();
    }
    let reply = client.nfs(3, place(&dir, b"x"));
    assert_eq!(reply.ok().opaque(64).unwrap(), file, "handles survive a rename");
}

#[test]
fn fsstat_fsinfo_and_pathconf_tell_what_the_file_system_says() {
    let (_server, mut client, root) = mounted();
    let reply = client.nfs(18, Args::new().opaque(&root));
    let mut results = reply.ok();
    assert!(post_op(&mut results).is_some());
    let counts = [(); 6].map(|()| results.u64().unwrap());
    assert_eq!(results.u32(), Ok(0));
    results.end().unwrap();
    assert_eq!(counts[..3], [1 << 36; 3]);

    let reply = client.nfs(19, Args::new().opaque(&root));
    let mut results = reply.ok();
    assert!(post_op(&mut results).is_some());
    let sizes = [(); 7].map(|()| results.u32().unwrap());
    assert_eq!(sizes, [1 << 20, 1 << 20, 4096, 1 << 20, 1 << 20, 4096, 65536]);
    assert_eq!(results.u64(), Ok(1 << 30));
    assert_eq!((results.u32(), results.u32(), results.u32()), (Ok(0), Ok(1), Ok(0x1a)));
    results.end().unwrap();

    let reply = client.nfs(20, Args::new().opaque(&root));
    let mut results = reply.ok();
    assert!(post_op(&mut results).is_some());
    assert_eq!([(); 6].map(|()| results.u32().unwrap()), [1, 255, 1, 1, 0, 1]);
    results.end().unwrap();

    let stale = 99u64.to_be_bytes();
    for procedure in 18..=20 {
        let reply = client.nfs(procedure, Args::new().opaque(&stale));
        let (status, mut results) = reply.status();
        assert_eq!((status, results.u32()), (STALE, Ok(0)));
        results.end().unwrap();
    }
}

/// PORT-2: two exports, each with a tree of its own; nothing is renamed from one into the other.
#[test]
fn exports_are_separate_trees() {
    const XDEV: u32 = 18;
    let (_server, mut client, root) = mounted();
    let other = client.mount("/SRL");
    assert_ne!(root, other);
    client.create(&root, b"file");
    assert_eq!(client.nfs(3, place(&other, b"file")).status().0, NOENT);
    assert_eq!(client.nfs(14, place(&root, b"file").opaque(&other).opaque(b"file")).status().0, XDEV);
}

#[test]
fn arguments_that_cannot_be_read_are_garbage() {
    let (_server, mut client, root) = mounted();
    const GARBAGE: [u32; 5] = [1, 0, 0, 0, 4];
    for procedure in 1..=21 {
        let reply = client.nfs(procedure, Args::new().u32(65));
        assert_eq!(reply.words()[1..], GARBAGE, "procedure {procedure}: a handle of 65 bytes");
        let reply = client.nfs(procedure, Args::new().opaque(&root).raw(&[0xff; 7 * 4]));
        assert_eq!(reply.words()[1..], GARBAGE, "procedure {procedure}: nonsense behind the handle");
    }
    assert_eq!(client.nfs(22, Args::new()).words()[1..], [1, 0, 0, 0, 3], "no such procedure");
}
