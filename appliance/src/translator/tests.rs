//! The translator in front of a center in memory. What needs a real center, several ports or crashes is tested from
//! outside; here is what can be seen only from inside, such as the number of calls.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nfs::filesystem::{
    Access, Attributes, Caller, CreateHow, DirEntry, FileKind, Filesystem, FsError, Handle, ListFrom,
    Listing, Marks, SetAttributes, SetTime, Stability, Time,
};
use protocol::metadata::UnixMetadata;
use protocol::name::Name;
use protocol::vfs::{Existing, Kind, Operation, Target};

use super::export::{Export, Squash};
use crate::testing::center::{FakeCenter, ROOT};
use crate::testing::port::{TestPort, caller, gather, root};

/// The result of a call that must not have to wait for anything.
fn at_once<T>(call: impl Future<Output = T>) -> T {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("it waits"),
    }
}

/// Polls until `condition` holds.
pub(super) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn list_from(cookie: u64, verifier: [u8; 8]) -> ListFrom {
    ListFrom { cookie, verifier, objects: true }
}

/// Takes so many entries: name, cookie, size.
struct Taken {
    most: usize,
    verifier: [u8; 8],
    entries: Vec<(String, u64, u64)>,
}

impl Taken {
    fn at_most(most: usize) -> Self {
        Self { most, verifier: [0; 8], entries: Vec::new() }
    }
}

impl Listing for Taken {
    fn begin(&mut self, directory: &Attributes, verifier: [u8; 8]) {
        assert_eq!(directory.kind, FileKind::Directory);
        self.verifier = verifier;
    }

    fn add(&mut self, entry: DirEntry<'_>) -> bool {
        let has_room = self.entries.len() < self.most;
        if has_room {
            let (_, attributes) = entry.object.expect("objects were asked for");
            let name = String::from_utf8(entry.name.to_vec()).unwrap();
            self.entries.push((name, entry.cookie, attributes.size));
        }
        has_room
    }
}

/// The size shown of each name in a folder.
pub(super) async fn sizes(port: &TestPort, dir: &Handle) -> HashMap<String, u64> {
    let mut taken = Taken::at_most(usize::MAX);
    assert_eq!(port.translator.list(&root(), dir, list_from(0, [0; 8]), &mut taken).await, Ok(true));
    taken.entries.into_iter().map(|(name, _, size)| (name, size)).collect()
}

/// PORT-7: enough directory information at hand means no call to the VFS, and no wait.
#[tokio::test(flavor = "multi_thread")]
async fn hits_of_the_directory_cache_ask_nobody() {
    let port = TestPort::start().await;
    let dir = port.root().await;
    let file = port.put(&dir, "file", b"bytes").await.unwrap();
    assert_eq!(port.lookup(&dir, "absent").await, Err(FsError::NotFound));
    let fs = &port.translator;
    let from = list_from(0, [0; 8]);
    assert_eq!(fs.list(&root(), &dir, from, &mut Taken::at_most(9)).await, Ok(true));
    let before = port.center.calls();
    at_once(port.getattr(&dir)).unwrap();
    assert_eq!(at_once(port.getattr(&file)).unwrap().size, 5);
    assert_eq!(at_once(port.lookup(&dir, "file")), Ok(file));
    assert_eq!(at_once(port.lookup(&dir, "absent")), Err(FsError::NotFound));
    assert_eq!(at_once(fs.access(&root(), &file, Access(0x3f))).unwrap().0.0 & Access::READ, Access::READ);
    let mut taken = Taken::at_most(9);
    assert_eq!(at_once(fs.list(&root(), &dir, from, &mut taken)), Ok(true));
    assert_eq!(taken.entries.last().map(|(name, _, size)| (name.as_str(), *size)), Some(("file", 5)));
    assert_eq!(taken.entries.len(), 3);
    assert_eq!(port.center.calls(), before);
}

/// What clients ask most is answered from memory without taking any.
#[tokio::test(flavor = "multi_thread")]
async fn getattr_lookup_and_access_of_what_is_cached_allocate_nothing() {
    let port = TestPort::start().await;
    let dir = port.root().await;
    let staged = port.put(&dir, "staged", b"bytes").await.unwrap();
    port.lookup(&dir, "absent").await.unwrap_err();
    let (fs, caller) = (&port.translator, root());
    let mut allocated = Vec::new();
    for _ in 0..2 {
        let calls: [(&str, &dyn Fn()); 4] = [
            ("GETATTR", &|| assert_eq!(at_once(fs.getattr(&caller, &staged)).unwrap().size, 5)),
            ("LOOKUP", &|| assert_eq!(at_once(fs.lookup(&caller, &dir, b"staged")).unwrap().0, staged)),
            ("LOOKUP of nothing", &|| {
                assert_eq!(at_once(fs.lookup(&caller, &dir, b"absent")).err(), Some(FsError::NotFound))
            }),
            ("ACCESS", &|| assert_eq!(at_once(fs.access(&caller, &dir, Access(1))).unwrap().0, Access(1))),
        ];
        allocated = calls.map(|(name, call)| (name, allocation_counter::measure(call).count_total)).to_vec();
    }
    // The second time: the first in a thread may set something up for the thread.
    assert!(allocated.iter().all(|(_, count)| *count == 0), "{allocated:?}");
}

/// Between finding a name and asking the journal for its file an upload may end: no moment shows the old contents.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_found_while_its_upload_ends_shows_what_was_uploaded() {
    let mut port = TestPort::start().await;
    let dir = port.root().await;
    let file = port.put(&dir, "file", b"").await.unwrap();
    let found_before = port.customer.directory.row(port.id(&file)).await.unwrap();
    port.write(&file, 0, b"bytes").await.unwrap();
    port.upload();
    port.settle(&file).await;
    let caller = root();
    let object = port.translator.object(&caller, &dir).unwrap();
    assert_eq!(port.translator.found(&object, &found_before).1.size, 5);
}

/// PORT-8: a miss is asked for once, and kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_miss_is_one_call() {
    let port = TestPort::start().await;
    let dir = port.root().await;
    let created = port.center.elsewhere(Operation::CreateFile {
        parent: ROOT,
        name: Name::new(b"theirs").unwrap(),
        metadata: UnixMetadata::default_with_mode(0o644).encode(),
        upload: None,
        existing: Existing::Refuse,
    });
    let id = created.row.unwrap().id;
    let before = port.center.calls();
    eventually("the change arrives", async || port.lookup(&dir, "theirs").await.is_ok()).await;
    let file = port.lookup(&dir, "theirs").await.unwrap();
    assert_eq!(port.id(&file), id);
    // The folder, whose version went on, and the name.
    assert!(port.center.calls() - before <= 2, "{}", port.center.calls() - before);
}

/// VFS-24, PORT-17: what another port changed is seen, without asking meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn changes_from_elsewhere_arrive_by_the_feed() {
    let port = TestPort::start().await;
    let dir = port.root().await;
    let file = port.put(&dir, "file", b"").await.unwrap();
    let upload = port.center.store_elsewhere(b"theirs");
    let id = port.id(&file);
    port.center.elsewhere(Operation::Update {
        id,
        if_version: None,
        metadata: None,
        modified: None,
        changed: None,
        upload: Some(upload),
    });
    eventually("new contents", async || port.read(&file).await == Ok(b"theirs".to_vec())).await;
    port.center.elsewhere(Operation::Delete { target: Target::Id(id), kind: Kind::File, recursive: false });
    eventually("removal", async || port.getattr(&file).await == Err(FsError::Stale)).await;
}

/// An export of a folder ends at that folder, also for a handle of something that was moved out of it since.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_climbs_out_of_an_export() {
    let center = Arc::new(FakeCenter::default());
    let folder = |parent, name: &[u8]| Operation::CreateFolder {
        parent,
        name: Name::new(name).unwrap(),
        metadata: UnixMetadata::default_with_mode(0o755).encode(),
    };
    let narrow = center.elsewhere(folder(ROOT, b"narrow")).row.unwrap().id;
    let inside = center.elsewhere(folder(narrow, b"inside")).row.unwrap().id;
    let of_folder = |export| Export { folder: vec![b"narrow".to_vec()], ..export };
    let port = TestPort::start_with(Arc::clone(&center), of_folder).await;
    let top = port.root().await;
    let moving = port.lookup(&top, "inside").await.unwrap();
    assert_eq!(port.lookup(&top, "..").await, Ok(top), "the top is above itself");
    assert_eq!(port.lookup(&moving, "..").await, Ok(top));
    center.elsewhere(Operation::Move {
        target: Target::Id(inside),
        kind: None,
        parent: ROOT,
        name: Name::new(b"outside").unwrap(),
        replace: false,
    });
    eventually("the way up ends", async || port.lookup(&moving, "..").await == Err(FsError::Stale)).await;
}

/// PORT-12: what was written is seen at once and comes to the center when the file is quiet.
#[tokio::test(flavor = "multi_thread")]
async fn writes_are_read_back_before_and_after_their_upload() {
    let mut port = TestPort::start().await;
    let dir = port.root().await;
    let mut bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number / 3) as u8).collect();
    let how = CreateHow::Guarded(SetAttributes::default());
    let (file, _) = port.translator.create(&root(), &dir, b"file", how).await.result.unwrap();
    for (index, part) in bytes.chunks(1 << 20).enumerate() {
        port.write(&file, (index << 20) as u64, part).await.unwrap();
    }
    assert!(port.read(&file).await.unwrap() == bytes);
    port.upload();
    port.settle(&file).await;
    assert!(port.center.contents(port.id(&file)).unwrap() == bytes);
    // Over what is uploaded now, beyond its end, with a hole between.
    port.write(&file, 1_048_570, b"over two blocks").await.unwrap();
    port.write(&file, 4_000_000, b"end").await.unwrap();
    bytes[1_048_570..1_048_585].copy_from_slice(b"over two blocks");
    bytes.resize(4_000_000, 0);
    bytes.extend_from_slice(b"end");
    assert!(port.read(&file).await.unwrap() == bytes, "staged over the base");
    port.settle(&file).await;
    assert!(port.center.contents(port.id(&file)).unwrap() == bytes);
    assert!(port.read(&file).await.unwrap() == bytes);
    assert_eq!(port.center.fetches.load(std::sync::atomic::Ordering::SeqCst), 0, "all was in the cache");
}

/// PORT-17: writes of two ports to one file are put one over the other; none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_finds_other_contents_goes_on_top_of_them() {
    let mut port = TestPort::start().await;
    let dir = port.root().await;
    let file = port.put(&dir, "file", b"").await.unwrap();
    port.write(&file, 3, b"ours").await.unwrap();
    let upload = port.center.store_elsewhere(b"their text");
    port.center.elsewhere(Operation::Update {
        id: port.id(&file),
        if_version: None,
        metadata: None,
        modified: None,
        changed: None,
        upload: Some(upload),
    });
    port.upload();
    port.settle(&file).await;
    assert_eq!(port.center.contents(port.id(&file)).unwrap(), &b"theoursext"[..]);
}

/// Design decision 13.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_center_what_is_known_is_served_and_writes_are_taken() {
    let mut port = TestPort::start().await;
    let dir = port.root().await;
    let file = port.put(&dir, "file", b"before").await.unwrap();
    port.upload();
    port.settle(&file).await;
    port.center.set_away(true);
    let make = async || port.put(&dir, "new", b"").await.map(drop);
    assert_eq!(make().await, Err(FsError::TryLater));
    assert_eq!(port.read(&file).await, Ok(b"before".to_vec()));
    port.write(&file, 0, b"BE").await.unwrap();
    assert_eq!(port.read(&file).await, Ok(b"BEfore".to_vec()));
    assert_eq!(at_once(port.getattr(&file)).map(|shown| shown.size), Ok(6));
    assert_eq!(port.lookup(&dir, "never asked").await, Err(FsError::TryLater));
    port.center.set_away(false);
    eventually("the center is back", async || make().await != Err(FsError::TryLater)).await;
    port.settle(&file).await;
    assert_eq!(port.center.contents(port.id(&file)).unwrap(), &b"BEfore"[..]);
}

/// RFC 1813 §3.3.8: exactly one file, whoever repeats the call; and §3.3.2: the guard.
#[tokio::test(flavor = "multi_thread")]
async fn exclusive_create_and_guarded_setattr() {
    let port = TestPort::start().await;
    let dir = port.root().await;
    let fs = &port.translator;
    let make = async |verifier| {
        fs.create(&root(), &dir, b"lock", CreateHow::Exclusive([verifier; 8])).await.result.map(|made| made.0)
    };
    let file = make(1).await.unwrap();
    assert_eq!(make(1).await, Ok(file), "the same create");
    assert_eq!(make(2).await, Err(FsError::Exists), "another one");
    let set = || SetAttributes { mode: Some(0o600), ..SetAttributes::default() };
    let guard = port.getattr(&file).await.unwrap().changed;
    let caller = root();
    assert_eq!(fs.setattr(&caller, &file, set(), Some(guard)).await.result, Ok(()));
    assert_eq!(fs.setattr(&caller, &file, set(), Some(guard)).await.result, Ok(()), "the same call again");
    let other = SetAttributes { mode: Some(0o777), ..SetAttributes::default() };
    assert_eq!(fs.setattr(&root(), &file, other, Some(guard)).await.result, Err(FsError::NotSync));
    assert_eq!(port.getattr(&file).await.unwrap().mode, 0o600, "nothing changed");
    assert_eq!(make(1).await, Err(FsError::Exists), "SETATTR ends the create");
}

/// PORT-11: times set by a client survive the upload of what he wrote before (`cp -p`).
#[tokio::test(flavor = "multi_thread")]
async fn a_time_set_on_a_written_file_survives_its_upload() {
    let mut port = TestPort::start().await;
    let dir = port.root().await;
    let file = port.put(&dir, "file", b"bytes").await.unwrap();
    let old = Time { seconds: 1_000_000_000, nanos: 5 };
    let set = SetAttributes { modified: SetTime::To(old), ..SetAttributes::default() };
    port.translator.setattr(&root(), &file, set, None).await.result.unwrap();
    let before = port.getattr(&file).await.unwrap();
    assert_eq!(before.modified, old);
    port.upload();
    port.settle(&file).await;
    let after = port.getattr(&file).await.unwrap();
    assert_eq!((after.modified, after.size), (old, 5));
    assert!(after.changed >= before.changed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_refuses_a_write_before_it_is_taken() {
    let port = TestPort::start().await;
    let dir = port.root().await;
    port.center.set_quota(Some(1_000));
    let file = port.put(&dir, "file", &[1; 900]).await.unwrap();
    assert_eq!(port.write(&file, 900, &[1; 200]).await, Err(FsError::QuotaExceeded));
    assert_eq!(port.write(&file, 0, &[2; 900]).await, Ok(()), "it does not grow");
    port.center.set_quota(Some(2_000));
    assert_eq!(port.write(&file, 900, &[1; 200]).await, Ok(()), "there is room again");
}

/// Cookies are ids: a listing goes on where it was, whatever happens to the folder meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_goes_on_under_change() {
    let port = TestPort::start().await;
    let dir = port.root().await;
    for number in 0..200 {
        port.put(&dir, &format!("file-{number}"), b"").await.unwrap();
    }
    let fs = &port.translator;
    let mut names = Vec::new();
    let mut from = list_from(0, [0; 8]);
    loop {
        let mut part = Taken::at_most(64);
        let end = fs.list(&root(), &dir, from, &mut part).await.unwrap();
        let Some((_, cookie, _)) = part.entries.last() else { break };
        from = list_from(*cookie, part.verifier);
        names.extend(part.entries.into_iter().map(|(name, ..)| name));
        if end {
            break;
        }
        // The entry just listed goes, and one that was not there comes.
        let last = names.last().unwrap().clone();
        fs.remove(&root(), &dir, last.as_bytes()).await.result.unwrap();
        port.put(&dir, &format!("new-{}", names.len()), b"").await.unwrap();
    }
    let old: Vec<_> = names.iter().filter(|name| name.starts_with("file-")).collect();
    assert_eq!(old.len(), 200, "each once");
    assert_eq!(names[..2], [".", ".."]);
    let foreign = list_from(from.cookie, [9; 8]);
    let refused = fs.list(&root(), &dir, foreign, &mut Taken::at_most(1)).await;
    assert_eq!(refused, Err(FsError::BadCookie));
}

/// PORT-13 to PORT-15.
#[tokio::test(flavor = "multi_thread")]
async fn the_srl_tree_holds_the_url_of_the_file_as_written() {
    let mut port = TestPort::start().await;
    port.upload();
    let dir = port.root().await;
    port.put(&dir, "f\u{fc}r", b"bytes").await.unwrap();
    let srl_root = port.translator.mount(&root(), "/SRL").await.unwrap();
    let srl = port.lookup(&srl_root, "f\u{fc}r").await.unwrap();
    let shown = port.getattr(&srl).await.unwrap();
    let text = String::from_utf8(port.read(&srl).await.unwrap()).unwrap();
    assert_eq!((shown.mode, shown.size), (0o444, text.len() as u64));
    assert!(text.starts_with("http://center.example/") && text.ends_with("/f%C3%BCr\n"), "{text}");
    let path = text.trim_end().strip_prefix("http://center.example").unwrap();
    let (signed, _) = protocol::srl::SignedSrl::parse(path).unwrap();
    let fingerprint = "4b3a6218bb3e3a7303e8a171a60fcf92"; // md5sum of "bytes"
    assert!(format!("{:?}", signed.request().unwrap()).contains(fingerprint), "{:?}", signed.request());
    let write = port.translator.write(&root(), &srl, 0, Bytes::from_static(b"x"), Stability::FileSync).await;
    assert_eq!(write.result, Err(FsError::ReadOnly));
    let made = port.translator.mkdir(&root(), &srl_root, b"x", SetAttributes::default()).await;
    assert_eq!(made.result.err(), Some(FsError::ReadOnly));
    let moved = port.translator.rename(&root(), &dir, b"f", &srl_root, b"g", true).await;
    assert_eq!(moved.result, Err(FsError::ReadOnly));
}

/// PORT-11: the time of birth and the marks of a file, which NFS has no words for.
#[tokio::test(flavor = "multi_thread")]
async fn what_cifs_clients_set_outlasts_what_nfs_clients_do() {
    let mut port = TestPort::start().await;
    port.upload();
    let dir = port.root().await;
    let file = port.put(&dir, "f", b"bytes").await.unwrap();
    let new = port.getattr(&file).await.unwrap();
    assert_eq!(new.marks, Marks::usual(FileKind::Regular));

    let born = Time { seconds: -5, nanos: 100 };
    let marks = Marks::new(Marks::HIDDEN | Marks::NOT_INDEXED | 0x8000_0010);
    assert_eq!(marks.bits(), 0x2002, "others are none");
    let set = SetAttributes { born: SetTime::To(born), marks: Some(marks), ..SetAttributes::default() };
    port.translator.setattr(&root(), &file, set, None).await.result.unwrap();
    let stranger = Caller { uid: 5, gid: 5, ..root() };
    for (set, refusal) in [
        (SetAttributes { born: SetTime::To(born), ..SetAttributes::default() }, FsError::NotOwner),
        (SetAttributes { marks: Some(marks), ..SetAttributes::default() }, FsError::AccessDenied),
    ] {
        assert_eq!(port.translator.setattr(&stranger, &file, set, None).await.result, Err(refusal));
    }

    let mode = SetAttributes { mode: Some(0o600), ..SetAttributes::default() };
    port.translator.setattr(&root(), &file, mode, None).await.result.unwrap();
    port.write(&file, 0, b"other").await.unwrap();
    port.settle(&file).await;
    port.translator.rename(&root(), &dir, b"f", &dir, b"g", true).await.result.unwrap();
    let shown = port.getattr(&file).await.unwrap();
    assert_eq!((shown.born, shown.marks, shown.mode), (born, marks, 0o600));

    // What is usual again takes no room.
    let usual = Marks::usual(FileKind::Regular);
    let set = SetAttributes { born: SetTime::To(new.born), marks: Some(usual), ..SetAttributes::default() };
    port.translator.setattr(&root(), &file, set, None).await.result.unwrap();
    let shown = port.getattr(&file).await.unwrap();
    assert_eq!((shown.born, shown.marks), (new.born, usual));
    let row = port.customer.directory.known(port.id(&file)).unwrap();
    assert_eq!((row.unix.born, row.unix.marks), (None, None));
    assert_eq!(super::attributes::time(row.row.created), new.born);
}

/// The export's options hold on every call, not only at MOUNT.
#[tokio::test(flavor = "multi_thread")]
async fn export_options_hold_on_every_call() {
    let only_here = |export| Export {
        allowed: vec!["127.0.0.0/8".parse().unwrap()],
        squash: Squash::Root,
        read_only: false,
        audit: false,
        ..export
    };
    let port = TestPort::start_with(Arc::new(FakeCenter::default()), only_here).await;
    let dir = port.root().await;
    let stranger = Caller { address: [10, 0, 0, 1].into(), ..root() };
    let fs = &port.translator;
    assert_eq!(fs.mount(&stranger, "/export").await, Err(FsError::AccessDenied));
    assert_eq!(fs.getattr(&stranger, &dir).await, Err(FsError::AccessDenied));
    let made = fs.mkdir(&root(), &dir, b"x", SetAttributes::default()).await;
    assert_eq!(made.result.err(), Some(FsError::AccessDenied), "root is nobody here");
    assert_eq!(made.wcc.after.map(|folder| folder.mode), Some(0o755), "attributes on failure too");
    assert_eq!(fs.getattr(&root(), &Handle::new(&[1; 32]).unwrap()).await, Err(FsError::BadHandle));
}

/// A folder's attributes just before and after a change come from the change itself.
#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_folder_tell_its_attributes_around_them() {
    let port = TestPort::start().await;
    let dir = port.root().await;
    let fs = &port.translator;
    let before = port.getattr(&dir).await.unwrap();
    let made = fs.mkdir(&root(), &dir, b"sub", SetAttributes::default()).await;
    let (sub, _) = made.result.unwrap();
    assert_eq!(made.wcc.before.map(|shown| shown.changed), Some(before.changed));
    let after = made.wcc.after.unwrap();
    assert_eq!(after.links, before.links + 1);
    assert!(after.changed > before.changed);
    assert_eq!(at_once(port.getattr(&dir)), Ok(after.clone()), "and the cache holds them");
    let moved = fs.rename(&root(), &dir, b"sub", &dir, b"other", true).await;
    assert_eq!(moved.result, Ok(()));
    assert_eq!(moved.from.before.map(|shown| shown.changed), Some(after.changed));
    assert_eq!(at_once(port.lookup(&dir, "other")), Ok(sub));
    assert_eq!(port.lookup(&dir, "sub").await, Err(FsError::NotFound));
    assert_eq!(port.lookup(&sub, "..").await, Ok(dir));
    assert_eq!(port.lookup(&dir, "..").await, Ok(dir), "no way out of an export");
}

/// Somebody who writes a program takes its privilege away.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_takes_set_user_id() {
    let port = TestPort::start().await;
    let dir = port.root().await;
    let file = port.put(&dir, "tool", b"code").await.unwrap();
    let set = SetAttributes { mode: Some(0o4777), ..SetAttributes::default() };
    port.translator.setattr(&root(), &file, set, None).await.result.unwrap();
    let data = Bytes::from_static(b"evil");
    let written = port.translator.write(&caller(1000, 100), &file, 0, data, Stability::Unstable).await;
    assert_eq!(written.result.map(|written| written.count), Ok(4));
    assert_eq!(port.getattr(&file).await.unwrap().mode, 0o777);
    let read = port.translator.read(&caller(1000, 100), &file, 0, 10).await.unwrap();
    assert_eq!((gather(&read), read.eof), (b"evil".to_vec(), true));
}

/// REMOVE and RENAME over a file forget what was written to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_removed_file_leaves_nothing_in_the_journal() {
    let port = TestPort::start().await;
    let dir = port.root().await;
    let first = port.put(&dir, "first", b"1").await.unwrap();
    let second = port.put(&dir, "second", b"2").await.unwrap();
    let fs = &port.translator;
    assert_eq!(fs.rename(&root(), &dir, b"first", &dir, b"second", true).await.result, Ok(()));
    assert_eq!(port.journal.usage().files, 1);
    assert_eq!(port.read(&first).await, Ok(b"1".to_vec()), "what is staged moves with the file");
    assert_eq!(port.getattr(&second).await, Err(FsError::Stale));
    assert_eq!(fs.remove(&root(), &dir, b"second").await.result, Ok(()));
    assert_eq!(port.journal.usage().files, 0);
    assert_eq!(port.customer.usage().await.unwrap().bytes_used, 0);
}
