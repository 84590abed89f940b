//! What is left to be done after commits: releasing references, clearing up large folders.

use super::*;

/// VFS-18: a release is tried until the cluster acknowledges, at growing intervals, and over a restart.
#[tokio::test]
async fn a_release_is_repeated_until_acknowledged() {
    let vfs = Fixture::new().await;
    let stored = vfs.store(upload(1, 10));
    let file = vfs.create(vfs.root, "f", Some(stored)).await.unwrap().row.unwrap().id;
    vfs.cluster.is_down.store(true, Ordering::SeqCst);
    vfs.delete(file, Kind::File, false).await.unwrap();
    vfs.keep_house().await;
    assert_eq!(vfs.store.releases_pending().await.unwrap(), 1);

    let later = |seconds: i64| vfs.clock.fetch_add(seconds * 1_000_000_000, Ordering::SeqCst);
    later(2);
    vfs.keep_house().await;
    vfs.cluster.is_down.store(false, Ordering::SeqCst);
    vfs.keep_house().await;
    assert!(vfs.is_stored(stored), "put off for longer after the second try");
    later(3);
    let again = vfs.reopen().await;
    assert!(housekeeping::step(&again, &*vfs.cluster, &|| vfs.now()).await.unwrap());
    assert!(!vfs.is_stored(stored));
    assert_eq!(vfs.store.releases_pending().await.unwrap(), 0);
}

/// The housekeeping is woken for a reference that was given up, and not for a file that held none.
#[tokio::test]
async fn only_what_leaves_work_wakes_the_housekeeping() {
    let vfs = Fixture::new().await;
    let is_woken = || futures::FutureExt::now_or_never(vfs.store.work_left()).is_some();
    let empty = vfs.touch(vfs.root, "empty").await;
    vfs.delete(empty, Kind::File, false).await.unwrap();
    assert!(!is_woken());
    let file = vfs.create(vfs.root, "f", Some(vfs.store(upload(1, 10)))).await.unwrap().row.unwrap().id;
    assert!(!is_woken());
    vfs.delete(file, Kind::File, false).await.unwrap();
    assert!(is_woken());
}

/// VFS-15: a large folder vanishes at once though its rows go in steps; nothing can be put into it meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_folder_vanishes_at_once_and_is_cleared_in_steps() {
    let vfs = Fixture::new().await;
    let top = vfs.mkdir(vfs.root, "top").await;
    let below = vfs.mkdir(top, "below").await;
    let files: Vec<String> = (0..1_500).map(|number| format!("f{number}")).collect();
    futures::future::join_all(files.iter().map(|text| vfs.touch(top, text))).await;
    let deep = vfs.create(below, "deep", Some(vfs.store(upload(1, 10)))).await.unwrap().row.unwrap().id;
    vfs.delete(top, Kind::Folder, true).await.unwrap();

    assert!(vfs.usage().await.files_used > 500, "one step does not clear it");
    assert!(vfs.list(vfs.root, 10).await.is_empty());
    for id in [top, below, deep] {
        assert_eq!(vfs.open(id).await.unwrap_err(), VfsErrorCode::NotFound);
    }
    assert_eq!(vfs.create(below, "late", None).await.unwrap_err(), VfsErrorCode::NotFound);
    assert_eq!(vfs.rename(deep, vfs.root, "saved", false).await.unwrap_err(), VfsErrorCode::NotFound);
    vfs.mkdir(vfs.root, "top").await;

    vfs.keep_house().await;
    let usage = vfs.usage().await;
    assert_eq!((usage.files_used, usage.bytes_used), (1, 0));
    assert!(!vfs.is_stored(upload(1, 10)));
    let left =
        vfs.sql(|db| db.first("SELECT count(*) FROM entry", &[], |row| row.get::<u64>(0))).await.unwrap();
    assert_eq!(left, Some(2));
}
