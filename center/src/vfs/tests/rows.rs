//! Creating, opening, listing, updating and deleting rows.

use super::*;

/// VFS-13, VFS-16: a new row has version 1, an id of its own, and its folder counts it.
#[tokio::test]
async fn creating_makes_a_row_and_touches_its_folder() {
    let vfs = Fixture::new().await;
    assert_eq!(vfs.root, ObjectId(100), "ids start at 100");
    let made = vfs
        .change(Operation::CreateFolder {
            parent: vfs.root,
            name: name("a"),
            metadata: b"mode=0755".to_vec(),
        })
        .await
        .unwrap();
    let row = made.row.unwrap();
    assert!(made.created && made.before.is_none() && made.removed.is_none());
    assert_eq!((row.parent, row.version, row.metadata.as_slice()), (Some(vfs.root), 1, &b"mode=0755"[..]));
    let [folder] = made.folders.as_slice() else { panic!("one folder changed") };
    assert_eq!(folder.after.version, folder.before.version + 1);
    assert!(folder.after.changed > folder.before.changed && folder.after.modified > folder.before.modified);
    assert_eq!(folder.after.body, protocol::vfs::Body::Folder { subfolders: 1 });
    assert_eq!(vfs.open(row.id).await.unwrap(), row);
    assert_eq!(vfs.open(vfs.root).await.unwrap(), folder.after);
}

/// VFS-6: a name is unique among files and folders of one folder, and not between folders.
#[tokio::test]
async fn a_taken_name_is_refused_whatever_took_it() {
    let vfs = Fixture::new().await;
    let folder = vfs.mkdir(vfs.root, "x").await;
    assert_eq!(vfs.create(vfs.root, "x", None).await.unwrap_err(), VfsErrorCode::Exists);
    let operation = Operation::CreateFolder { parent: vfs.root, name: name("x"), metadata: Vec::new() };
    assert_eq!(vfs.change(operation).await.unwrap_err(), VfsErrorCode::Exists);
    vfs.touch(folder, "x").await;
}

#[tokio::test]
async fn creating_over_an_existing_file_may_open_it() {
    let vfs = Fixture::new().await;
    let file = vfs.touch(vfs.root, "f").await;
    vfs.mkdir(vfs.root, "d").await;
    let open = |text: &str| Operation::CreateFile {
        parent: vfs.root,
        name: name(text),
        metadata: b"ignored".to_vec(),
        upload: None,
        existing: Existing::Open,
    };
    let opened = vfs.change(open("f")).await.unwrap();
    assert!(!opened.created);
    let row = opened.row.unwrap();
    assert_eq!((row.id, row.version, row.metadata.is_empty()), (file, 1, true));
    assert_eq!(vfs.change(open("d")).await.unwrap_err(), VfsErrorCode::IsFolder);
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_a_file_is_no_folder() {
    let vfs = Fixture::new().await;
    let file = vfs.touch(vfs.root, "f").await;
    for id in [ObjectId(0), ObjectId(7_777), ObjectId(u64::MAX)] {
        assert_eq!(vfs.open(id).await.unwrap_err(), VfsErrorCode::NotFound);
        assert_eq!(vfs.create(id, "x", None).await.unwrap_err(), VfsErrorCode::NotFound);
    }
    assert_eq!(vfs.create(file, "x", None).await.unwrap_err(), VfsErrorCode::NotFolder);
    assert_eq!(vfs.delete(file, Kind::Folder, false).await.unwrap_err(), VfsErrorCode::NotFolder);
    assert_eq!(vfs.delete(vfs.root, Kind::File, false).await.unwrap_err(), VfsErrorCode::IsFolder);
    assert_eq!(vfs.delete(vfs.root, Kind::Folder, true).await.unwrap_err(), VfsErrorCode::Invalid);
}

/// SYS-14: another customer's rows are not there.
#[tokio::test]
async fn a_customer_sees_and_changes_only_its_own_rows() {
    let vfs = Fixture::new().await;
    let file = vfs.touch(vfs.root, "f").await;
    let other = vfs.store.add_customer(new_customer(None, "D"), Timestamp(5)).await.unwrap();
    assert_eq!(other.id, CustomerId(4), "the next free id");
    let ask = |operation| vfs.manager.perform(other.id, Request { key: None, operation }, vfs.now());
    let open = Operation::Open { target: Target::Id(file), srl_expires: None };
    assert_eq!(ask(open).await.unwrap_err().code, VfsErrorCode::NotFound);
    assert_eq!(ask(update(file)).await.unwrap_err().code, VfsErrorCode::NotFound);
    let steal = Operation::Move {
        target: Target::Id(file),
        kind: None,
        parent: other.root,
        name: name("mine"),
        replace: false,
    };
    assert_eq!(ask(steal).await.unwrap_err().code, VfsErrorCode::NotFound);
    let give = Operation::CreateFolder { parent: vfs.root, name: name("there"), metadata: Vec::new() };
    assert_eq!(ask(give).await.unwrap_err().code, VfsErrorCode::NotFound);
}

/// VFS-10: pages in order of id neither repeat nor skip what stays, while entries come and go.
#[tokio::test]
async fn a_listing_survives_changes_between_its_pages() {
    let vfs = Fixture::new().await;
    let mut ids = Vec::new();
    for number in 0..10 {
        ids.push(vfs.touch(vfs.root, &format!("f{number}")).await);
    }
    let page = |after| Operation::OpenFolder { folder: vfs.root, after, limit: 4, srl_expires: None };
    let Ok(Answer::Folder { entries, more, .. }) = vfs.perform(None, page(None)).await else { panic!() };
    assert!(more);
    let seen: Vec<_> = entries.iter().map(|row| row.id).collect();
    assert_eq!(seen, ids[..4]);
    vfs.delete(ids[1], Kind::File, false).await.unwrap();
    vfs.delete(ids[5], Kind::File, false).await.unwrap();
    vfs.rename(ids[2], vfs.root, "renamed", false).await.unwrap();
    let late = vfs.touch(vfs.root, "f5").await;
    let Ok(Answer::Folder { entries, more, .. }) = vfs.perform(None, page(Some(seen[3]))).await else {
        panic!()
    };
    assert!(more);
    assert_eq!(entries.iter().map(|row| row.id).collect::<Vec<_>>(), [ids[4], ids[6], ids[7], ids[8]]);
    let Ok(Answer::Folder { entries, more, .. }) = vfs.perform(None, page(Some(ids[8]))).await else {
        panic!()
    };
    assert!(!more);
    assert_eq!(entries.iter().map(|row| row.id).collect::<Vec<_>>(), [ids[9], late]);
}

#[tokio::test]
async fn a_listing_has_1_to_1000_entries() {
    let vfs = Fixture::new().await;
    for limit in [0, 1_001, u32::MAX] {
        let operation = Operation::OpenFolder { folder: vfs.root, after: None, limit, srl_expires: None };
        assert_eq!(vfs.perform(None, operation).await.unwrap_err().code, VfsErrorCode::Invalid);
    }
    let after = Some(ObjectId(u64::MAX));
    let operation = Operation::OpenFolder { folder: vfs.root, after, limit: 10, srl_expires: None };
    let Ok(Answer::Folder { entries, more: false, .. }) = vfs.perform(None, operation).await else {
        panic!()
    };
    assert!(entries.is_empty());
}

/// VFS-20: metadata of up to 64 KiB comes back as it was given.
#[tokio::test]
async fn metadata_is_kept_exactly_up_to_its_bound() {
    let vfs = Fixture::new().await;
    let file = vfs.touch(vfs.root, "f").await;
    let bytes: Vec<u8> = (0..64 << 10).map(|index| (index % 251) as u8).collect();
    let with = |metadata| match update(file) {
        Operation::Update { id, .. } => Operation::Update {
            id,
            if_version: None,
            metadata: Some(metadata),
            modified: None,
            changed: None,
            upload: None,
        },
        _ => unreachable!(),
    };
    vfs.change(with(bytes.clone())).await.unwrap();
    assert_eq!(vfs.open(file).await.unwrap().metadata, bytes);
    assert_eq!(vfs.change(with(vec![0; (64 << 10) + 1])).await.unwrap_err(), VfsErrorCode::Invalid);
}

#[tokio::test]
async fn an_update_minds_the_version_and_changed_only_grows() {
    let vfs = Fixture::new().await;
    let file = vfs.touch(vfs.root, "f").await;
    let old = vfs.open(file).await.unwrap();
    let with = |if_version, modified, changed| Operation::Update {
        id: file,
        if_version,
        metadata: None,
        modified,
        changed,
        upload: None,
    };
    let stale = with(Some(old.version + 1), None, None);
    assert_eq!(vfs.change(stale).await.unwrap_err(), VfsErrorCode::VersionMismatch);

    let future = Timestamp(i64::MAX - 10);
    let changed = vfs.change(with(Some(old.version), Some(Timestamp(-5)), Some(future))).await.unwrap();
    let row = changed.row.unwrap();
    assert_eq!((row.version, row.modified, row.changed), (old.version + 1, Timestamp(-5), future));
    let before = changed.before.unwrap();
    assert_eq!((before.version, before.changed, before.modified), (old.version, old.changed, old.modified));

    let row = vfs.change(with(None, None, Some(old.changed))).await.unwrap().row.unwrap();
    assert_eq!((row.modified, row.changed), (Timestamp(-5), Timestamp(future.0 + 1)), "never backwards");
}

/// VFS-15: a folder with entries goes only recursively, and then all at once.
#[tokio::test]
async fn a_folder_with_entries_is_deleted_only_recursively() {
    let vfs = Fixture::new().await;
    let top = vfs.mkdir(vfs.root, "top").await;
    let below = vfs.mkdir(top, "below").await;
    let file = vfs.touch(below, "f").await;
    assert_eq!(vfs.delete(top, Kind::Folder, false).await.unwrap_err(), VfsErrorCode::NotEmpty);
    let deleted = vfs.delete(top, Kind::Folder, true).await.unwrap();
    assert_eq!((deleted.removed, deleted.row), (Some(top), None));
    assert_eq!(deleted.folders[0].after.body, protocol::vfs::Body::Folder { subfolders: 0 });
    for id in [top, below, file] {
        assert_eq!(vfs.open(id).await.unwrap_err(), VfsErrorCode::NotFound);
    }
    assert_eq!(vfs.usage().await.files_used, 0);
}

/// VFS-8: folders of any depth.
#[tokio::test]
async fn a_tree_may_be_a_thousand_levels_deep() {
    let vfs = Fixture::new().await;
    let mut at = vfs.root;
    for _ in 0..1_000 {
        at = vfs.mkdir(at, "d").await;
    }
    let top = vfs.list(vfs.root, 10).await[0].id;
    assert_eq!(vfs.rename(top, at, "x", false).await.unwrap_err(), VfsErrorCode::Invalid);
    vfs.delete(top, Kind::Folder, true).await.unwrap();
    assert_eq!(vfs.open(at).await.unwrap_err(), VfsErrorCode::NotFound);
    vfs.keep_house().await;
    assert_eq!(vfs.usage().await.files_used, 0);
}

#[tokio::test]
async fn a_quota_of_files_counts_files_and_folders() {
    let vfs = Fixture::with_quota(Quota { bytes: None, files: Some(2) }).await;
    let folder = vfs.mkdir(vfs.root, "a").await;
    vfs.touch(folder, "b").await;
    assert_eq!(vfs.create(folder, "c", None).await.unwrap_err(), VfsErrorCode::QuotaExceeded);
    vfs.rename(folder, vfs.root, "renamed", false).await.unwrap();
    vfs.store.set_quota(vfs.customer, Quota { bytes: None, files: Some(3) }).await.unwrap();
    vfs.touch(folder, "c").await;
}

/// What is acknowledged is there after the database is opened again, and an id is never given twice.
#[tokio::test]
async fn rows_survive_a_restart_and_ids_are_not_given_again() {
    let vfs = Fixture::new().await;
    let kept = vfs.touch(vfs.root, "kept").await;
    let gone = vfs.touch(vfs.root, "gone").await;
    vfs.delete(gone, Kind::File, false).await.unwrap();
    let again = vfs.second_manager().await;
    let operation = Operation::CreateFolder { parent: vfs.root, name: name("new"), metadata: Vec::new() };
    let reply = again.perform(vfs.customer, Request { key: None, operation }, vfs.now()).await.unwrap();
    let Answer::Changed(Changed { row: Some(row), .. }) = reply.answer else { panic!() };
    assert!(row.id > gone);
    assert_eq!(vfs.list(vfs.root, 1).await.iter().map(|row| row.id).collect::<Vec<_>>(), [kept, row.id]);
}

#[tokio::test]
async fn a_customer_has_an_id_and_a_name_of_its_own() {
    let vfs = Fixture::new().await;
    for taken in [new_customer(Some(CustomerId(3)), "E"), new_customer(None, "customer C")] {
        let refused = vfs.store.add_customer(taken, Timestamp(9)).await;
        assert!(matches!(refused, Err(crate::vfs::StoreError::CustomerExists(_))), "{refused:?}");
    }
    let names: Vec<_> = vfs.store.customers().await.unwrap().into_iter().map(|each| each.name).collect();
    assert_eq!(names, ["customer C"]);
}
