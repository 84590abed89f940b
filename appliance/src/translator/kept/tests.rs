//! `.versions` in front of a center in memory.

use std::sync::Arc;

use bytes::Bytes;
use nfs::filesystem::{
    Access, Attributes, CreateHow, DirEntry, FileKind, Filesystem, FsError, Handle, ListFrom, Listing,
    SetAttributes, Stability,
};
use protocol::id::ObjectId;
use protocol::metadata::UnixMetadata;
use protocol::vfs::{Kind, Operation, Target};

use super::super::export::{Export, Exports};
use super::super::handle::Tree;
use crate::testing::center::{FakeCenter, ROOT};
use crate::testing::port::{TestPort, caller, root};

fn shown(export: Export) -> Export {
    Export { versions: export.tree == Tree::Files, ..export }
}

async fn port(center: &Arc<FakeCenter>) -> TestPort {
    TestPort::start_with(Arc::clone(center), shown).await
}

fn delete(center: &FakeCenter, id: ObjectId, kind: Kind) {
    center.elsewhere(Operation::Delete { target: Target::Id(id), kind, recursive: false });
}

/// A file that had each of these contents, the last ones too.
fn deleted_file(center: &FakeCenter, parent: ObjectId, name: &str, contents: &[&str]) {
    let [first, later @ ..] = contents else { panic!("no contents") };
    let file = center.file_elsewhere(parent, name, center.store_elsewhere(first.as_bytes()));
    for contents in later {
        center.replace_elsewhere(file, center.store_elsewhere(contents.as_bytes()));
    }
    delete(center, file, Kind::File);
}

fn set_mode(center: &FakeCenter, id: ObjectId, mode: u32) {
    center.elsewhere(Operation::Update {
        id,
        if_version: None,
        metadata: Some(UnixMetadata::default_with_mode(mode).encode()),
        modified: None,
        changed: None,
        upload: None,
    });
}

/// All entries but `.` and `..`, a few at a time: name, attributes, handle.
#[derive(Default)]
struct Taken {
    most: usize,
    verifier: [u8; 8],
    cookie: u64,
    entries: Vec<(String, Attributes, Handle)>,
}

impl Listing for Taken {
    fn begin(&mut self, _: &Attributes, verifier: [u8; 8]) {
        self.verifier = verifier;
    }

    fn add(&mut self, entry: DirEntry<'_>) -> bool {
        let Some(left) = self.most.checked_sub(1) else { return false };
        let (handle, attributes) = entry.object.unwrap();
        assert_eq!(entry.fileid, attributes.fileid);
        assert!(entry.cookie > self.cookie && i64::try_from(entry.cookie).is_ok(), "{}", entry.cookie);
        (self.most, self.cookie) = (left, entry.cookie);
        self.entries.push((String::from_utf8(entry.name.to_vec()).unwrap(), attributes.clone(), *handle));
        true
    }
}

async fn list(port: &TestPort, dir: &Handle, step: usize) -> Vec<(String, Attributes, Handle)> {
    let mut taken = Taken::default();
    loop {
        taken.most = step;
        let from = ListFrom { cookie: taken.cookie, verifier: taken.verifier, objects: true };
        if port.translator.list(&root(), dir, from, &mut taken).await.unwrap() {
            let all = taken.entries;
            assert_eq!([&*all[0].0, &*all[1].0], [".", ".."]);
            return all[2..].to_vec();
        }
    }
}

/// What a folder shows, without the time in the names.
async fn names(port: &TestPort, dir: &Handle) -> Vec<String> {
    let plain = |name: String| {
        let parts = name.split('.').filter(|part| !part.ends_with('Z'));
        parts.collect::<Vec<_>>().join(".")
    };
    list(port, dir, 100).await.into_iter().map(|(name, ..)| plain(name)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_of_files_are_in_the_folders_where_the_files_were() {
    let center = Arc::new(FakeCenter::default());
    let docs = center.folder_elsewhere(ROOT, "docs");
    deleted_file(&center, docs, "report.txt", &["first", "second!"]);
    center.file_elsewhere(docs, "there", center.store_elsewhere(b"is there"));
    let port = port(&center).await;
    let dir = port.root().await;
    assert_eq!(names(&port, &dir).await, ["docs"], "nobody sees it who does not ask");
    let top = port.lookup(&dir, ".versions").await.unwrap();
    assert_eq!(names(&port, &top).await, ["docs"]);
    let kept = port.lookup(&top, "docs").await.unwrap();
    assert_ne!(kept, port.lookup(&dir, "docs").await.unwrap());
    assert_eq!(names(&port, &kept).await, ["report.v1.txt", "report.v2.txt"]);
    for (step, contents) in [(1, ["first", "second!"]), (3, ["first", "second!"])] {
        for ((name, attributes, handle), contents) in list(&port, &kept, step).await.iter().zip(contents) {
            assert_eq!(port.lookup(&kept, name).await, Ok(*handle));
            assert_eq!(port.getattr(handle).await.as_ref(), Ok(attributes));
            assert_eq!((attributes.kind, attributes.mode), (FileKind::Regular, 0o444));
            assert_eq!(attributes.size, contents.len() as u64);
            assert_eq!(port.read(handle).await, Ok(contents.into()));
            let all = Access(0x3f);
            let (rights, _) = port.translator.access(&root(), handle, all).await.unwrap();
            assert_eq!(rights, Access(Access::READ));
        }
    }
    assert_eq!(port.lookup(&kept, "report.txt").await, Err(FsError::NotFound));
    assert_eq!(port.lookup(&kept, "there").await, Err(FsError::NotFound));
    let (first, ..) = &list(&port, &kept, 9).await[0];
    let forged = first.replace(".v1.", ".v2.").replace("report", "other");
    assert_eq!(port.lookup(&kept, &forged).await, Err(FsError::NotFound));
    assert_eq!(port.lookup(&top, first).await, Err(FsError::NotFound), "of another folder");
    assert_eq!(port.lookup(&kept, "..").await, Ok(top));
    assert_eq!(port.lookup(&top, "..").await, Ok(dir));
    assert_eq!(port.translator.mount(&root(), "/export/.versions/docs").await, Ok(kept));
    let version = format!("/export/.versions/docs/{first}");
    assert_eq!(port.translator.mount(&root(), &version).await, Err(FsError::NotDirectory));
    assert!(port.getattr(&kept).await.unwrap().modified > port.getattr(&dir).await.unwrap().modified);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_a_deleted_folder_is_reached_through_it() {
    let center = Arc::new(FakeCenter::default());
    let outer = center.folder_elsewhere(ROOT, "outer");
    let inner = center.folder_elsewhere(outer, "inner");
    deleted_file(&center, inner, "file", &["bytes"]);
    delete(&center, inner, Kind::Folder);
    delete(&center, outer, Kind::Folder);
    let narrow = center.folder_elsewhere(ROOT, "narrow");
    delete(&center, center.folder_elsewhere(narrow, "deep"), Kind::Folder);
    let port = port(&center).await;
    let top = port.lookup(&port.root().await, ".versions").await.unwrap();
    assert_eq!(names(&port, &top).await, ["narrow", "outer.v3"]);
    let (_, attributes, outer) = list(&port, &top, 1).await.pop().unwrap();
    assert_eq!((attributes.kind, attributes.mode), (FileKind::Directory, 0o555));
    assert_eq!(names(&port, &outer).await, ["inner.v2"]);
    let (.., inner) = list(&port, &outer, 1).await.pop().unwrap();
    let (_, _, file) = list(&port, &inner, 1).await.pop().unwrap();
    assert_eq!(port.read(&file).await, Ok(b"bytes".into()));
    assert_eq!(port.lookup(&inner, "..").await, Ok(outer));
    assert_eq!(port.lookup(&outer, "..").await, Ok(top));
    assert_eq!(port.lookup(&file, "x").await, Err(FsError::NotDirectory));

    let of_narrow = |export| Export { folder: vec![b"narrow".to_vec()], ..shown(export) };
    let port = TestPort::start_with(Arc::clone(&center), of_narrow).await;
    let dir = port.root().await;
    let top = port.lookup(&dir, ".versions").await.unwrap();
    let (.., deep) = list(&port, &top, 1).await.pop().unwrap();
    assert_eq!(port.lookup(&deep, "..").await, Ok(top));
    assert_eq!(port.lookup(&top, "..").await, Ok(dir), "no way out of an export");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_it_can_be_changed() {
    let center = Arc::new(FakeCenter::default());
    deleted_file(&center, ROOT, "f", &["bytes"]);
    let port = port(&center).await;
    let (fs, dir) = (&port.translator, port.root().await);
    let name = b".versions";
    let none = SetAttributes::default;
    let made = fs.mkdir(&root(), &dir, name, none()).await.result;
    assert_eq!(made.err(), Some(FsError::Exists));
    for how in [CreateHow::Guarded(none()), CreateHow::Unchecked(none()), CreateHow::Exclusive([1; 8])] {
        let made = fs.create(&root(), &dir, name, how).await.result;
        assert_eq!(made.err(), Some(FsError::Exists));
    }
    assert_eq!(fs.symlink(&root(), &dir, name, b"x", none()).await.result.err(), Some(FsError::Exists));
    port.put(&dir, "g", b"").await.unwrap();
    assert_eq!(fs.rename(&root(), &dir, b"g", &dir, name, true).await.result, Err(FsError::ReadOnly));
    assert_eq!(fs.rename(&root(), &dir, name, &dir, b"h", true).await.result, Err(FsError::ReadOnly));
    assert_eq!(fs.rmdir(&root(), &dir, name).await.result, Err(FsError::ReadOnly));
    assert_eq!(fs.remove(&root(), &dir, name).await.result, Err(FsError::ReadOnly));

    let top = port.lookup(&dir, ".versions").await.unwrap();
    let (version, _, file) = list(&port, &top, 1).await.pop().unwrap();
    let chmod = SetAttributes { mode: Some(0o777), ..none() };
    for object in [&top, &file] {
        assert!(fs.is_read_only(&root(), object));
        let set = fs.setattr(&root(), object, chmod.clone(), None).await.result;
        assert_eq!(set, Err(FsError::ReadOnly));
    }
    let data = Bytes::from_static(b"x");
    let written = fs.write(&root(), &file, 0, data, Stability::FileSync).await.result;
    assert_eq!(written, Err(FsError::ReadOnly));
    assert_eq!(port.put(&top, "x", b"").await, Err(FsError::ReadOnly));
    assert_eq!(fs.remove(&root(), &top, version.as_bytes()).await.result, Err(FsError::ReadOnly));
    let out = fs.rename(&root(), &top, version.as_bytes(), &dir, b"f", true).await;
    assert_eq!(out.result, Err(FsError::ReadOnly));
    assert_eq!(fs.rename(&root(), &dir, b"g", &top, b"g", true).await.result, Err(FsError::ReadOnly));
    assert_eq!(port.read(&file).await, Ok(b"bytes".into()));
    let sub = fs.mkdir(&root(), &dir, b"sub", none()).await.result.unwrap().0;
    assert!(fs.mkdir(&root(), &sub, name, none()).await.result.is_ok(), "elsewhere the name is free");
}

/// An export that does not show versions has none, and its own `.versions` is a name like any other.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_key_there_is_nothing() {
    let center = Arc::new(FakeCenter::default());
    let own = center.folder_elsewhere(ROOT, ".versions");
    deleted_file(&center, ROOT, "f", &["bytes"]);
    let port = port(&center).await;
    let dir = port.root().await;
    let top = port.lookup(&dir, ".versions").await.unwrap();
    let (.., file) = list(&port, &top, 1).await.pop().unwrap();
    assert_eq!(names(&port, &dir).await, [""; 0], "the folder of that name is hidden");
    let exports: Vec<_> = port.translator.current_exports().iter().cloned().collect();
    let off = exports.into_iter().map(|export| Export { versions: false, ..export });
    port.translator.set_exports(Exports::new(off).unwrap());
    for handle in [&top, &file] {
        assert_eq!(port.getattr(handle).await, Err(FsError::Stale));
    }
    assert_eq!(port.id(&port.lookup(&dir, ".versions").await.unwrap()), own);
    assert_eq!(names(&port, &dir).await, [".versions"]);
    assert!(port.translator.rmdir(&root(), &dir, b".versions").await.result.is_ok());
    assert_eq!(port.lookup(&dir, ".versions").await, Err(FsError::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_versions_are_a_few_calls() {
    let center = Arc::new(FakeCenter::default());
    let file = center.file_elsewhere(ROOT, "f", center.store_elsewhere(b"0"));
    for number in 1..=1_000 {
        center.replace_elsewhere(file, center.store_elsewhere(number.to_string().as_bytes()));
    }
    let port = port(&center).await;
    let top = port.lookup(&port.root().await, ".versions").await.unwrap();
    let before = port.center.calls();
    let listed = list(&port, &top, 300).await;
    assert_eq!(listed.len(), 1_000);
    let sorted = listed.iter().map(|(name, ..)| name.len()).is_sorted();
    assert!(sorted && listed[0].0.ends_with(".v1") && listed[999].0.ends_with(".v1000"));
    for (name, _, handle) in &listed {
        port.getattr(handle).await.unwrap();
        assert_eq!(port.lookup(&top, name).await, Ok(*handle));
    }
    assert!(port.center.calls() - before <= 12, "{} calls", port.center.calls() - before);
}

/// What a caller may not read he cannot read by its versions.
#[tokio::test(flavor = "multi_thread")]
async fn permissions_hold_of_versions_as_of_files() {
    let center = Arc::new(FakeCenter::default());
    let private = center.folder_elsewhere(ROOT, "private");
    deleted_file(&center, private, "f", &["bytes"]);
    let secret = center.file_elsewhere(ROOT, "secret", center.store_elsewhere(b"secret"));
    set_mode(&center, secret, 0o600);
    set_mode(&center, private, 0o700);
    delete(&center, secret, Kind::File);
    let port = port(&center).await;
    let (fs, stranger) = (&port.translator, caller(1_000, 100));
    let top = port.lookup(&port.root().await, ".versions").await.unwrap();
    let kept = fs.lookup(&stranger, &top, b"private").await.unwrap().0;
    let (name, ..) = list(&port, &kept, 1).await.pop().unwrap();
    let found = fs.lookup(&stranger, &kept, name.as_bytes()).await;
    assert_eq!(found.err(), Some(FsError::AccessDenied));
    let from = ListFrom { cookie: 0, verifier: [0; 8], objects: false };
    let listed = fs.list(&stranger, &kept, from, &mut Taken::default()).await;
    assert_eq!(listed, Err(FsError::AccessDenied));
    let (_, attributes, secret) = list(&port, &top, 9).await.pop().unwrap();
    assert_eq!(attributes.mode, 0o400);
    assert_eq!(fs.read(&stranger, &secret, 0, 9).await.err(), Some(FsError::AccessDenied));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_center_what_was_seen_is_still_there() {
    let center = Arc::new(FakeCenter::default());
    deleted_file(&center, ROOT, "seen", &["bytes"]);
    let port = port(&center).await;
    let top = port.lookup(&port.root().await, ".versions").await.unwrap();
    let (name, _, seen) = list(&port, &top, 9).await.pop().unwrap();
    port.read(&seen).await.unwrap();
    center.set_away(true);
    // Of which the port does not hear.
    deleted_file(&center, ROOT, "later", &["bytes"]);
    assert_eq!(port.read(&seen).await, Ok(b"bytes".into()));
    assert_eq!(port.lookup(&top, &name).await, Ok(seen));
    let later = name.replace("seen", "later").replace(".v1", ".v2");
    assert_eq!(port.lookup(&top, &later).await, Err(FsError::TryLater));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_gone_is_not_found() {
    let center = Arc::new(FakeCenter::default());
    deleted_file(&center, ROOT, "f", &["bytes"]);
    let folder = center.folder_elsewhere(ROOT, "gone");
    delete(&center, folder, Kind::Folder);
    let other = port(&center).await;
    let top = other.lookup(&other.root().await, ".versions").await.unwrap();
    let listed = list(&other, &top, 9).await;
    center.expire_versions();
    // Another port, that has not seen them.
    let port = port(&center).await;
    for (name, _, handle) in listed {
        assert_eq!(port.lookup(&top, &name).await, Err(FsError::NotFound));
        assert_eq!(port.getattr(&handle).await, Err(FsError::Stale));
    }
    assert_eq!(names(&port, &top).await, [""; 0]);
}

/// A name that looks like a version's may be a folder's.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_such_a_name_is_found_as_well() {
    let center = Arc::new(FakeCenter::default());
    let name = "f.2026-11-27T211323Z.v1";
    let made = center.folder_elsewhere(ROOT, name);
    let port = port(&center).await;
    let top = port.lookup(&port.root().await, ".versions").await.unwrap();
    assert_eq!(port.id(&port.lookup(&top, name).await.unwrap()), made);
    assert_eq!(super::name::number(name.as_bytes()).map(|id| id.0), Some(1));
}
