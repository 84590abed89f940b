//! What is kept of deleted and overwritten files, and comes back by RESTORE.

use protocol::dosp::Reference;
use protocol::id::{ClientFile, VersionId};
use protocol::vfs::{Body, Row, VERSIONS_MAX, Version, Versioned, Why};

use super::*;
use crate::vfs::edit::EXPIRED_ROWS;

const MINUTE: u32 = 60;

impl Fixture {
    async fn file(&self, parent: ObjectId, text: &str, upload: Upload) -> Row {
        self.create(parent, text, Some(self.store(upload))).await.unwrap().row.unwrap()
    }

    async fn overwrite(&self, id: ObjectId, upload: Upload) -> Row {
        self.store(upload);
        let update = Operation::Update {
            id,
            if_version: None,
            metadata: None,
            modified: None,
            changed: None,
            upload: Some(upload),
        };
        self.change(update).await.unwrap().row.unwrap()
    }

    async fn versions(&self, of: Versioned) -> Vec<Version> {
        match self.perform(None, Operation::Versions { of, after: None, limit: VERSIONS_MAX }).await {
            Ok(Answer::Versions { versions, more: false }) => versions,
            other => panic!("no versions: {other:?}"),
        }
    }

    async fn versions_of_name(&self, parent: ObjectId, text: &str) -> Vec<Version> {
        self.versions(Versioned::Name(parent, name(text))).await
    }

    async fn restore(&self, version: VersionId, replace: bool) -> Result<Changed, VfsErrorCode> {
        self.change(Operation::Restore { version, parent: None, name: None, replace }).await
    }

    async fn restore_to(
        &self,
        version: VersionId,
        parent: ObjectId,
        text: &str,
    ) -> Result<Changed, VfsErrorCode> {
        let (parent, name) = (Some(parent), Some(name(text)));
        self.change(Operation::Restore { version, parent, name, replace: true }).await
    }

    fn later(&self, seconds: u32) {
        self.clock.fetch_add(i64::from(seconds) * 1_000_000_000, Ordering::SeqCst);
    }

    /// Numbers of the uploads that rows hold, in order.
    async fn held(&self) -> Vec<u8> {
        let held = self.store.references(self.customer, None).await.unwrap();
        held.iter().map(|held| held.token.0[0]).collect()
    }
}

/// What is overwritten is kept, counts against no quota, and comes back with its metadata and time; what was there instead
/// is kept in turn. Each reference is in one row all the time.
#[tokio::test]
async fn overwritten_contents_come_back() {
    let vfs = Fixture::keeping(Quota { bytes: Some(50), files: Some(1) }, MINUTE).await;
    let (first, second) = (upload(1, 30), upload(2, 40));
    let old = vfs.file(vfs.root, "f", first).await;
    let new = vfs.overwrite(old.id, second).await;
    vfs.keep_house().await;
    assert!(vfs.is_stored(first) && vfs.is_stored(second));
    assert_eq!((vfs.usage().await.bytes_used, vfs.held().await), (40, vec![1, 2]));

    let versions = vfs.versions_of_name(vfs.root, "f").await;
    let [Version { id, why: Why::Overwritten, row, .. }] = &versions[..] else { panic!("{versions:?}") };
    assert_eq!(row, &old, "as it was");
    assert_eq!(vfs.versions(Versioned::Id(old.id)).await, versions);
    assert_eq!(vfs.versions(Versioned::Folder(vfs.root)).await, versions);

    assert_eq!(vfs.restore(*id, false).await.unwrap_err(), VfsErrorCode::Exists);
    let changed = vfs.restore(*id, true).await.unwrap();
    let row = changed.row.unwrap();
    assert_eq!((row.id, row.version, row.modified), (old.id, new.version + 1, old.modified));
    assert_eq!((row.body, changed.before.unwrap().size), (Body::File { content: first.content }, 40));
    assert!(row.changed > new.changed && !changed.created);
    assert_eq!(vfs.restore(*id, true).await.unwrap_err(), VfsErrorCode::NotFound, "it is in the tree");
    let versions = vfs.versions_of_name(vfs.root, "f").await;
    assert_eq!(versions.iter().map(|version| &version.row).collect::<Vec<_>>(), [&new]);
    vfs.keep_house().await;
    assert!(vfs.is_stored(first) && vfs.is_stored(second));
    assert_eq!((vfs.usage().await.bytes_used, vfs.held().await), (30, vec![1, 2]));
}

/// A deleted file comes back as another file with the same contents, metadata and times, once under one key.
#[tokio::test]
async fn a_deleted_file_comes_back_once() {
    let vfs = Fixture::keeping(Quota::default(), MINUTE).await;
    let stored = vfs.store(upload(1, 10));
    let create = Operation::CreateFile {
        parent: vfs.root,
        name: name("f"),
        metadata: b"mine".to_vec(),
        upload: Some(stored),
        existing: Existing::Refuse,
    };
    let old = vfs.change(create).await.unwrap().row.unwrap();
    vfs.delete(old.id, Kind::File, false).await.unwrap();
    vfs.keep_house().await;
    let versions = vfs.versions_of_name(vfs.root, "f").await;
    let [Version { id, why: Why::Deleted, at, row }] = &versions[..] else { panic!("{versions:?}") };
    assert!(row == &old && *at > old.changed);

    let request = || Operation::Restore { version: *id, parent: None, name: None, replace: false };
    let first = vfs.perform(Some(Token([9; 16])), request()).await.unwrap();
    let Answer::Changed(Changed { row: Some(row), created: true, .. }) = &first else { panic!("{first:?}") };
    assert!(row.id > old.id, "an id is never given twice");
    assert_eq!((row.created, row.modified, &row.metadata), (old.created, old.modified, &old.metadata));
    assert_eq!(row.body, old.body);
    assert_eq!(vfs.perform(Some(Token([9; 16])), request()).await.unwrap(), first);
    assert_eq!(vfs.perform(Some(Token([8; 16])), request()).await.unwrap_err().code, VfsErrorCode::NotFound);
    assert_eq!(vfs.list(vfs.root, 10).await, std::slice::from_ref(row));
    vfs.keep_house().await;
    assert!(vfs.is_stored(stored));
    assert_eq!((vfs.usage().await.bytes_used, vfs.held().await), (10, vec![1]));
}

/// A file whose name another file takes is overwritten; a version goes to another place and name, never over a folder, and
/// never over the quota.
#[tokio::test]
async fn a_version_goes_where_it_is_wanted() {
    let vfs = Fixture::keeping(Quota { bytes: Some(30), files: None }, MINUTE).await;
    vfs.file(vfs.root, "f", upload(1, 20)).await;
    let other = vfs.file(vfs.root, "other", upload(2, 10)).await;
    vfs.rename(other.id, vfs.root, "f", true).await.unwrap();
    let version = vfs.versions_of_name(vfs.root, "f").await.pop().unwrap();
    assert_eq!(version.why, Why::Overwritten);
    let folder = vfs.mkdir(vfs.root, "d").await;
    assert_eq!(vfs.restore_to(version.id, vfs.root, "d").await.unwrap_err(), VfsErrorCode::IsFolder);
    assert_eq!(vfs.restore_to(version.id, other.id, "x").await.unwrap_err(), VfsErrorCode::NotFolder);
    assert_eq!(vfs.restore_to(version.id, ObjectId(7), "x").await.unwrap_err(), VfsErrorCode::NotFound);
    let large = vfs.file(vfs.root, "large", upload(3, 20)).await;
    assert_eq!(vfs.restore_to(version.id, folder, "x").await.unwrap_err(), VfsErrorCode::QuotaExceeded);
    assert_eq!(vfs.versions_of_name(vfs.root, "f").await.len(), 1, "it is still there");
    vfs.delete(large.id, Kind::File, false).await.unwrap();
    let row = vfs.restore_to(version.id, folder, "x").await.unwrap().row.unwrap();
    assert_eq!((row.parent, row.name, row.body), (Some(folder), Some(name("x")), version.row.body));
}

/// After a recursive delete each folder and file of it is kept, and is found by the folder it was in.
#[tokio::test]
async fn a_deleted_tree_is_found_by_its_folders() {
    let vfs = Fixture::keeping(Quota::default(), MINUTE).await;
    let top = vfs.mkdir(vfs.root, "top").await;
    let below = vfs.mkdir(top, "below").await;
    vfs.file(below, "f", upload(1, 10)).await;
    vfs.touch(top, "empty").await;
    vfs.delete(top, Kind::Folder, true).await.unwrap();
    vfs.keep_house().await;
    let names = |versions: &[Version]| -> Vec<_> {
        let each = versions.iter().map(|version| (version.row.name.clone().unwrap(), version.row.kind()));
        each.collect()
    };
    let gone = vfs.versions(Versioned::Folder(vfs.root)).await;
    assert_eq!(names(&gone), [(name("top"), Kind::Folder)]);
    assert_eq!(gone[0].row.id, top);
    let mut in_top = vfs.versions(Versioned::Folder(top)).await;
    in_top.sort_by(|a, b| a.row.name.cmp(&b.row.name));
    assert_eq!(names(&in_top), [(name("below"), Kind::Folder), (name("empty"), Kind::File)]);
    let in_below = vfs.versions(Versioned::Folder(below)).await;
    assert_eq!(names(&in_below), [(name("f"), Kind::File)]);

    let refused = vfs.restore(in_below[0].id, false).await.unwrap_err();
    assert_eq!(refused, VfsErrorCode::NotFound, "its folder is gone");
    let new_top = vfs.restore(gone[0].id, false).await.unwrap().row.unwrap();
    assert_eq!((new_top.id, new_top.body), (top, Body::Folder { subfolders: 0 }), "the same, but empty");
    assert!(new_top.version > gone[0].row.version);
    assert_eq!(vfs.restore(in_top[0].id, false).await.unwrap().row.unwrap().id, below);
    vfs.restore(in_below[0].id, false).await.unwrap();
    assert_eq!(vfs.restore_to(in_top[1].id, top, "below").await.unwrap_err(), VfsErrorCode::IsFolder);
    let usage = vfs.usage().await;
    assert_eq!((usage.files_used, usage.bytes_used, vfs.held().await), (3, 10, vec![1]));
    vfs.mkdir(vfs.root, "again").await;
    let folder = vfs.mkdir(vfs.root, "folder").await;
    vfs.delete(folder, Kind::Folder, false).await.unwrap();
    let version = vfs.versions_of_name(vfs.root, "folder").await.pop().unwrap();
    assert_eq!(vfs.restore_to(version.id, vfs.root, "again").await.unwrap_err(), VfsErrorCode::Exists);
}

/// When its time is over a version goes, and its reference with it; a customer may have a time of its own, which counts for
/// what is kept by then.
#[tokio::test]
async fn versions_go_when_their_time_is_over() {
    let vfs = Fixture::keeping(Quota::default(), MINUTE).await;
    let mut files = Vec::new();
    for number in 1..=3 {
        files.push(vfs.file(vfs.root, &number.to_string(), upload(number, 10)).await.id);
    }
    vfs.delete(files[0], Kind::File, false).await.unwrap();
    vfs.later(MINUTE / 2);
    vfs.delete(files[1], Kind::File, false).await.unwrap();
    vfs.later(MINUTE / 2 - 1);
    vfs.keep_house().await;
    assert_eq!(vfs.held().await, [1, 2, 3]);
    vfs.later(2);
    vfs.keep_house().await;
    assert_eq!(vfs.held().await, [2, 3]);
    assert!(!vfs.is_stored(upload(1, 10)) && vfs.is_stored(upload(2, 10)));
    assert!(vfs.versions_of_name(vfs.root, "1").await.is_empty());

    vfs.store.set_keep(vfs.customer, Some(2 * MINUTE)).await.unwrap();
    vfs.later(MINUTE);
    vfs.keep_house().await;
    assert_eq!(vfs.held().await, [2, 3], "kept for longer by now");
    let kept = vfs.store.set_keep(vfs.customer, Some(0)).await.unwrap().kept;
    assert_eq!((kept.bytes, kept.versions, kept.keep_seconds), (10, 1, Some(0)));
    vfs.keep_house().await;
    assert!(!vfs.is_stored(upload(2, 10)));
    vfs.delete(files[2], Kind::File, false).await.unwrap();
    vfs.keep_house().await;
    assert!(!vfs.is_stored(upload(3, 10)), "not kept any more");
    let kept = vfs.store.set_keep(vfs.customer, None).await.unwrap().kept;
    assert_eq!((kept.bytes, kept.versions, kept.keep_seconds), (0, 0, None));
    assert_eq!(vfs.store.releases_pending().await.unwrap(), 0);
}

/// No more is kept than the quota allows to be stored: the oldest goes first.
#[tokio::test]
async fn the_quota_bounds_what_is_kept() {
    let vfs = Fixture::keeping(Quota { bytes: Some(100), files: None }, MINUTE).await;
    let file = vfs.file(vfs.root, "f", upload(1, 60)).await.id;
    for number in 2..=4 {
        vfs.overwrite(file, upload(number, 50)).await;
    }
    vfs.keep_house().await;
    assert_eq!(vfs.held().await, [2, 3, 4], "60 + 50 + 50 bytes are too much");
    assert!(!vfs.is_stored(upload(1, 60)));
    vfs.store.set_quota(vfs.customer, Quota { bytes: Some(50), files: None }).await.unwrap();
    vfs.keep_house().await;
    assert_eq!(vfs.held().await, [3, 4]);
}

/// Many versions go in bounded steps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_versions_go_in_steps() {
    let vfs = Fixture::keeping(Quota::default(), MINUTE).await;
    let folder = vfs.mkdir(vfs.root, "d").await;
    let files: Vec<String> = (0..EXPIRED_ROWS + 10).map(|number| format!("f{number}")).collect();
    futures::future::join_all(files.iter().map(|text| vfs.touch(folder, text))).await;
    vfs.delete(folder, Kind::Folder, true).await.unwrap();
    vfs.keep_house().await;
    let kept = || async { vfs.store.customers().await.unwrap()[0].kept.versions };
    assert_eq!(kept().await, files.len() as u64 + 1);
    vfs.later(MINUTE + 1);
    assert!(vfs.store.expire(vfs.now()).await.unwrap());
    assert_eq!(kept().await, 11);
    vfs.keep_house().await;
    assert_eq!(kept().await, 0);
    assert!(!vfs.store.expire(vfs.now()).await.unwrap());
}

/// REF-1, REF-4: the references of versions are held like those of files; a repeated upload that a version holds by now
/// takes it over, and nobody gives it up.
#[tokio::test]
async fn an_upload_that_a_version_holds_goes_back_to_the_row() {
    let vfs = Fixture::keeping(Quota::default(), MINUTE).await;
    let (first, second) = (upload(1, 10), upload(2, 20));
    let file = vfs.file(vfs.root, "f", first).await.id;
    vfs.overwrite(file, second).await;
    let reference = Reference::of(vfs.customer, first);
    vfs.manager.give_up(reference, None, vfs.now()).await.unwrap();
    vfs.keep_house().await;
    assert!(vfs.is_stored(first), "a version holds it");
    let is_referenced = vfs.store.is_referenced(vfs.customer, first.content.fingerprint, first.token);
    assert!(is_referenced.await.unwrap());
    let page = vfs.store.references(vfs.customer, None).await.unwrap();
    assert_eq!(page.iter().map(|held| held.file).collect::<Vec<_>>(), [file, file]);
    let last = (page[0].content.fingerprint, page[0].token);
    assert_eq!(vfs.store.references(vfs.customer, Some(last)).await.unwrap(), page[1..]);

    vfs.overwrite(file, first).await;
    assert_eq!(vfs.held().await, [1, 2]);
    let versions = vfs.versions(Versioned::Id(file)).await;
    assert_eq!(versions.len(), 1);
    assert_eq!(versions[0].row.body, Body::File { content: second.content });
    vfs.create(vfs.root, "g", Some(second)).await.unwrap();
    assert_eq!((vfs.held().await, vfs.usage().await.bytes_used), (vec![1, 2], 30));
    assert!(vfs.versions(Versioned::Id(file)).await.is_empty());
    vfs.later(2 * MINUTE);
    vfs.keep_house().await;
    assert!(vfs.is_stored(first) && vfs.is_stored(second));
}

/// A list is continued by number; others see nothing of it; nothing is kept of files that no path leads to.
#[tokio::test]
async fn lists_are_paged_and_the_customers_own() {
    let vfs = Fixture::keeping(Quota::default(), MINUTE).await;
    for _ in 0..3 {
        let file = vfs.touch(vfs.root, "f").await;
        vfs.delete(file, Kind::File, false).await.unwrap();
    }
    let of = Versioned::Name(vfs.root, name("f"));
    let page = |after, limit| vfs.perform(None, Operation::Versions { of: of.clone(), after, limit });
    let Ok(Answer::Versions { versions: first, more: true }) = page(None, 2).await else { panic!() };
    let last = first.last().map(|version| version.id);
    let Ok(Answer::Versions { versions: second, more: false }) = page(last, 2).await else { panic!() };
    assert_eq!([first, second].concat(), vfs.versions(of.clone()).await);
    let nothing = page(Some(VersionId(u64::MAX)), 2).await.unwrap();
    assert_eq!(nothing, Answer::Versions { versions: Vec::new(), more: false });
    for limit in [0, VERSIONS_MAX + 1] {
        assert_eq!(page(None, limit).await.unwrap_err().code, VfsErrorCode::Invalid);
    }

    let version = vfs.versions(of.clone()).await[0].id;
    let other = new_customer(Some(CustomerId(4)), "another");
    vfs.store.add_customer(other, Timestamp(0)).await.unwrap();
    let as_other =
        |operation| vfs.manager.perform(CustomerId(4), Request { key: None, operation }, vfs.now());
    let seen = as_other(Operation::Versions { of, after: None, limit: 9 }).await.unwrap().answer;
    assert_eq!(seen, Answer::Versions { versions: Vec::new(), more: false });
    let stolen = Operation::Restore { version, parent: None, name: None, replace: false };
    assert_eq!(as_other(stolen).await.unwrap_err().code, VfsErrorCode::NotFound);

    let own = ClientFile::named(vfs.customer, b"own");
    let stored = vfs.store(upload(1, 10));
    let asker = || vfs.customer.into();
    vfs.manager.store_client_file(asker(), own, stored, false, vfs.now()).await.unwrap();
    vfs.manager.delete_client_file(asker(), own, Token([99; 16]), vfs.now()).await.unwrap();
    vfs.keep_house().await;
    assert!(!vfs.is_stored(stored));
}
