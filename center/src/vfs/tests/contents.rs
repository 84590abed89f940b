//! Contents, the references rows hold, and what becomes of them (VFS-16 to VFS-18, REF-1, REF-4).

use protocol::vfs::Body;

use super::*;

fn with_upload(id: ObjectId, upload: Upload) -> Operation {
    Operation::Update {
        id,
        if_version: None,
        metadata: None,
        modified: None,
        changed: None,
        upload: Some(upload),
    }
}

/// VFS-17: a row never points to contents the cluster does not hold.
#[tokio::test]
async fn contents_must_be_stored_before_a_row_points_to_them() {
    let vfs = Fixture::new().await;
    let missing = upload(1, 10);
    assert_eq!(vfs.create(vfs.root, "f", Some(missing)).await.unwrap_err(), VfsErrorCode::NoSuchObject);
    let stored = vfs.store(missing);
    let row = vfs.create(vfs.root, "f", Some(stored)).await.unwrap().row.unwrap();
    assert_eq!(row.body, Body::File { content: stored.content });
    vfs.cluster.is_down.store(true, Ordering::SeqCst);
    let unknown = vfs.change(with_upload(row.id, upload(2, 5))).await;
    assert_eq!(unknown.unwrap_err(), VfsErrorCode::Unavailable);
}

/// VFS-18: the old contents' reference is released once the row has new ones, and when the row goes.
#[tokio::test]
async fn replaced_and_deleted_contents_are_released() {
    let vfs = Fixture::new().await;
    let (first, second) = (vfs.store(upload(1, 10)), vfs.store(upload(2, 20)));
    let file = vfs.create(vfs.root, "f", Some(first)).await.unwrap().row.unwrap().id;
    let changed = vfs.change(with_upload(file, second)).await.unwrap();
    let row = changed.row.unwrap();
    assert_eq!((changed.before.unwrap().size, row.modified), (10, row.changed));
    vfs.keep_house().await;
    assert!(!vfs.is_stored(first) && vfs.is_stored(second));
    assert_eq!(vfs.usage().await.bytes_used, 20);
    vfs.delete(file, Kind::File, false).await.unwrap();
    vfs.keep_house().await;
    assert!(!vfs.is_stored(second));
    assert_eq!(vfs.usage().await.bytes_used, 0);
}

#[tokio::test]
async fn a_file_replaced_by_a_move_gives_up_its_contents() {
    let vfs = Fixture::new().await;
    let (old, new) = (vfs.store(upload(1, 10)), vfs.store(upload(2, 20)));
    vfs.create(vfs.root, "old", Some(old)).await.unwrap();
    let file = vfs.create(vfs.root, "new", Some(new)).await.unwrap().row.unwrap().id;
    vfs.rename(file, vfs.root, "old", true).await.unwrap();
    vfs.keep_house().await;
    assert!(!vfs.is_stored(old) && vfs.is_stored(new));
}

/// REF-1: the same upload reported twice is one reference; one reference never serves two rows.
#[tokio::test]
async fn an_upload_repeated_keeps_its_reference_and_serves_one_row() {
    let vfs = Fixture::new().await;
    let stored = vfs.store(upload(1, 10));
    let file = vfs.create(vfs.root, "f", Some(stored)).await.unwrap().row.unwrap().id;
    vfs.change(with_upload(file, stored)).await.unwrap();
    vfs.keep_house().await;
    assert!(vfs.is_stored(stored));
    assert_eq!(vfs.usage().await.bytes_used, 10);
    assert_eq!(vfs.create(vfs.root, "g", Some(stored)).await.unwrap_err(), VfsErrorCode::Invalid);
}

/// A reference on its way out is not taken again: the client stores once more, and then it is.
#[tokio::test]
async fn a_released_token_is_usable_only_after_storing_again() {
    let vfs = Fixture::new().await;
    let stored = vfs.store(upload(1, 10));
    let file = vfs.create(vfs.root, "f", Some(stored)).await.unwrap().row.unwrap().id;
    vfs.delete(file, Kind::File, false).await.unwrap();
    let pending = vfs.create(vfs.root, "g", Some(stored)).await;
    assert_eq!(pending.unwrap_err(), VfsErrorCode::NoSuchObject);
    vfs.keep_house().await;
    vfs.store(stored);
    vfs.create(vfs.root, "g", Some(stored)).await.unwrap();
    vfs.keep_house().await;
    assert!(vfs.is_stored(stored));
}

/// An upload found in the cluster just before its release was acknowledged is not committed after it.
#[tokio::test]
async fn a_check_older_than_the_release_does_not_count() {
    let vfs = Fixture::new().await;
    let stored = vfs.store(upload(1, 10));
    let file = vfs.create(vfs.root, "f", Some(stored)).await.unwrap().row.unwrap().id;
    let checked_at = vfs.now();
    vfs.delete(file, Kind::File, false).await.unwrap();
    vfs.keep_house().await;
    let verified =
        crate::vfs::edit::Verified { content: stored.content, token: Some(stored.token), asked: checked_at };
    let request = Request { key: None, operation: with_upload(vfs.touch(vfs.root, "g").await, stored) };
    let reply = vfs.commit(request, Some(verified)).await;
    assert_eq!(reply.unwrap_err().code, VfsErrorCode::NoSuchObject);
}

/// The empty object needs no storing, holds no reference and releases none.
#[tokio::test]
async fn the_empty_object_needs_no_reference() {
    let vfs = Fixture::new().await;
    let empty = Upload { content: Content::EMPTY, token: Token([9; 16]) };
    let file = vfs.create(vfs.root, "f", Some(empty)).await.unwrap().row.unwrap();
    assert_eq!(file.body, Body::File { content: Content::EMPTY });
    vfs.create(vfs.root, "g", Some(empty)).await.unwrap();
    let stored = vfs.store(upload(1, 10));
    vfs.change(with_upload(file.id, stored)).await.unwrap();
    vfs.change(with_upload(file.id, empty)).await.unwrap();
    assert_eq!(vfs.usage().await.bytes_used, 0);
    assert_eq!(vfs.store.releases_pending().await.unwrap(), 1);
    let forged = Content { size: 1, ..Content::EMPTY };
    let forged = vfs.create(vfs.root, "h", Some(Upload { content: forged, token: Token([9; 16]) })).await;
    assert_eq!(forged.unwrap_err(), VfsErrorCode::NoSuchObject);
}

#[tokio::test]
async fn a_folder_takes_no_contents() {
    let vfs = Fixture::new().await;
    let folder = vfs.mkdir(vfs.root, "d").await;
    let refused = vfs.change(with_upload(folder, vfs.store(upload(1, 10)))).await;
    assert_eq!(refused.unwrap_err(), VfsErrorCode::IsFolder);
}

#[tokio::test]
async fn a_quota_of_bytes_stops_growth_and_lets_shrink() {
    let vfs = Fixture::with_quota(Quota { bytes: Some(100), files: None }).await;
    let uploads = [vfs.store(upload(1, 60)), vfs.store(upload(2, 41)), vfs.store(upload(3, 40))];
    let file = vfs.create(vfs.root, "f", Some(uploads[0])).await.unwrap().row.unwrap().id;
    let over = vfs.create(vfs.root, "g", Some(uploads[1])).await;
    assert_eq!(over.unwrap_err(), VfsErrorCode::QuotaExceeded);
    vfs.create(vfs.root, "g", Some(uploads[2])).await.unwrap();
    vfs.store.set_quota(vfs.customer, Quota { bytes: Some(10), files: None }).await.unwrap();
    vfs.change(with_upload(file, uploads[1])).await.unwrap();
    let usage = vfs.usage().await;
    assert_eq!((usage.bytes_used, usage.bytes_quota, usage.bytes_free), (81, Some(10), FREE_BYTES));
}

/// REF-4: the references of the rows in pages, and whether one is an orphan.
#[tokio::test]
async fn rows_tell_which_references_they_hold() {
    let vfs = Fixture::new().await;
    let mut files = Vec::new();
    for number in [3, 1, 2] {
        let stored = vfs.store(upload(number, 10));
        let row = vfs.create(vfs.root, &number.to_string(), Some(stored)).await.unwrap().row.unwrap();
        files.push((stored, row.id));
    }
    let held = vfs.store.references(vfs.customer, None).await.unwrap();
    let numbers: Vec<_> = held.iter().map(|each| each.token.0[0]).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(held[2].file, files[0].1);
    let first = (held[0].content.fingerprint, held[0].token);
    assert_eq!(vfs.store.references(vfs.customer, Some(first)).await.unwrap(), held[1..]);

    let (stored, file) = files[0];
    let is_referenced = || vfs.store.is_referenced(vfs.customer, stored.content.fingerprint, stored.token);
    vfs.delete(file, Kind::File, false).await.unwrap();
    assert!(is_referenced().await.unwrap(), "the outbox will release it");
    vfs.keep_house().await;
    assert!(!is_referenced().await.unwrap());
}
