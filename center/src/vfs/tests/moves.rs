//! MOVE by POSIX's rules (VFS-12, VFS-14).

use protocol::vfs::Body;

use super::*;

fn subfolders(row: &Row) -> u32 {
    match row.body {
        Body::Folder { subfolders } => subfolders,
        Body::File { .. } => panic!("a file"),
    }
}

#[tokio::test]
async fn moving_between_folders_touches_both_old_one_first() {
    let vfs = Fixture::new().await;
    let (from, to) = (vfs.mkdir(vfs.root, "from").await, vfs.mkdir(vfs.root, "to").await);
    let folder = vfs.mkdir(from, "d").await;
    let moved = vfs.rename(folder, to, "e", false).await.unwrap();
    let row = moved.row.unwrap();
    assert_eq!((row.parent, row.name, row.version), (Some(to), Some(name("e")), 2));
    assert!(row.changed > moved.before.unwrap().changed);
    assert_eq!(row.modified, moved.before.unwrap().modified, "a move changes no contents");
    let ids: Vec<_> = moved.folders.iter().map(|change| change.after.id).collect();
    assert_eq!(ids, [from, to]);
    assert_eq!((subfolders(&moved.folders[0].after), subfolders(&moved.folders[1].after)), (0, 1));
    assert_eq!(vfs.open(from).await.unwrap(), moved.folders[0].after);
    assert_eq!(vfs.open(to).await.unwrap(), moved.folders[1].after);
}

#[tokio::test]
async fn a_taken_name_is_replaced_only_when_asked() {
    let vfs = Fixture::new().await;
    let (a, b) = (vfs.touch(vfs.root, "a").await, vfs.touch(vfs.root, "b").await);
    assert_eq!(vfs.rename(a, vfs.root, "b", false).await.unwrap_err(), VfsErrorCode::Exists);
    let moved = vfs.rename(a, vfs.root, "b", true).await.unwrap();
    assert_eq!((moved.removed, moved.folders.len()), (Some(b), 1));
    assert_eq!(vfs.open(b).await.unwrap_err(), VfsErrorCode::NotFound);
    assert_eq!(vfs.list(vfs.root, 10).await.len(), 1);
    assert_eq!(vfs.usage().await.files_used, 1);
}

#[tokio::test]
async fn moving_something_onto_itself_changes_nothing() {
    let vfs = Fixture::new().await;
    let file = vfs.touch(vfs.root, "a").await;
    let root = vfs.open(vfs.root).await.unwrap();
    for replace in [false, true] {
        let moved = vfs.rename(file, vfs.root, "a", replace).await.unwrap();
        assert_eq!((moved.row.unwrap().version, moved.removed), (1, None));
    }
    assert_eq!(vfs.open(vfs.root).await.unwrap(), root);
}

#[tokio::test]
async fn kinds_do_not_replace_each_other_and_a_full_folder_stays() {
    let vfs = Fixture::new().await;
    let file = vfs.touch(vfs.root, "file").await;
    let (empty, full) = (vfs.mkdir(vfs.root, "empty").await, vfs.mkdir(vfs.root, "full").await);
    vfs.touch(full, "x").await;
    assert_eq!(vfs.rename(file, vfs.root, "empty", true).await.unwrap_err(), VfsErrorCode::IsFolder);
    assert_eq!(vfs.rename(empty, vfs.root, "file", true).await.unwrap_err(), VfsErrorCode::NotFolder);
    assert_eq!(vfs.rename(empty, vfs.root, "full", true).await.unwrap_err(), VfsErrorCode::NotEmpty);
    let moved = vfs.rename(full, vfs.root, "empty", true).await.unwrap();
    assert_eq!(moved.removed, Some(empty));
    assert_eq!(subfolders(&vfs.open(vfs.root).await.unwrap()), 1);
}

#[tokio::test]
async fn a_folder_stays_out_of_its_own_subtree_and_the_root_where_it_is() {
    let vfs = Fixture::new().await;
    let top = vfs.mkdir(vfs.root, "top").await;
    let below = vfs.mkdir(top, "below").await;
    assert_eq!(vfs.rename(top, below, "x", true).await.unwrap_err(), VfsErrorCode::Invalid);
    assert_eq!(vfs.rename(top, top, "x", true).await.unwrap_err(), VfsErrorCode::Invalid);
    assert_eq!(vfs.rename(vfs.root, top, "x", true).await.unwrap_err(), VfsErrorCode::Invalid);
    assert_eq!(
        vfs.rename(below, vfs.root, "top", true).await.unwrap_err(),
        VfsErrorCode::NotEmpty,
        "its own parent holds it"
    );
}

#[tokio::test]
async fn a_move_of_the_other_kind_is_refused() {
    let vfs = Fixture::new().await;
    vfs.touch(vfs.root, "file").await;
    vfs.mkdir(vfs.root, "folder").await;
    let by_name = |text, kind| Operation::Move {
        target: Target::Name(vfs.root, name(text)),
        kind: Some(kind),
        parent: vfs.root,
        name: name("new"),
        replace: false,
    };
    assert_eq!(vfs.change(by_name("file", Kind::Folder)).await.unwrap_err(), VfsErrorCode::NotFolder);
    assert_eq!(vfs.change(by_name("folder", Kind::File)).await.unwrap_err(), VfsErrorCode::IsFolder);
    assert_eq!(vfs.change(by_name("nothing", Kind::File)).await.unwrap_err(), VfsErrorCode::NotFound);
    vfs.change(by_name("file", Kind::File)).await.unwrap();
}
