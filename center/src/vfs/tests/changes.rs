//! The change feed (VFS-24).

use std::time::Duration;

use protocol::id::FeedPosition;
use protocol::vfs::{CHANGES_MAX, Change};

use super::*;

struct Feed {
    changes: Vec<Change>,
    position: FeedPosition,
    reset: bool,
}

async fn read(vfs: &Fixture, since: FeedPosition, wait_ms: u32) -> Feed {
    match vfs.perform(None, Operation::Changes { since, wait_ms }).await {
        Ok(Answer::Changes { changes, position, reset }) => Feed { changes, position, reset },
        other => panic!("no changes: {other:?}"),
    }
}

#[tokio::test]
async fn every_change_of_a_row_is_fed_in_order() {
    let vfs = Fixture::new().await;
    let file = vfs.touch(vfs.root, "f").await;
    let start = read(&vfs, FeedPosition(0), 0).await;
    assert_eq!(
        start.changes.iter().map(|change| (change.id, change.version)).collect::<Vec<_>>(),
        [(file, Some(1)), (vfs.root, Some(2))]
    );
    vfs.delete(file, Kind::File, false).await.unwrap();
    let next = read(&vfs, start.position, 0).await;
    assert_eq!(
        next.changes.iter().map(|change| (change.id, change.version)).collect::<Vec<_>>(),
        [(file, None), (vfs.root, Some(3))]
    );
    assert!(!start.reset && !next.reset);
    assert!(read(&vfs, next.position, 0).await.changes.is_empty());
}

/// An answer carries the position it was true at, so that a cache knows which changes it already includes.
#[tokio::test]
async fn answers_carry_the_position_of_their_moment() {
    let vfs = Fixture::new().await;
    let request = |operation| Request { key: None, operation };
    let mkdir = Operation::CreateFolder { parent: vfs.root, name: name("d"), metadata: Vec::new() };
    let made = vfs.manager.perform(vfs.customer, request(mkdir), vfs.now()).await.unwrap();
    assert_eq!(made.position, read(&vfs, FeedPosition(0), 0).await.position);
    let read = vfs.manager.perform(vfs.customer, request(Operation::OpenRoot), vfs.now()).await.unwrap();
    assert_eq!(read.position, made.position);
}

#[tokio::test]
async fn a_refused_operation_feeds_nothing() {
    let vfs = Fixture::new().await;
    vfs.mkdir(vfs.root, "d").await;
    let before = read(&vfs, FeedPosition(0), 0).await.position;
    vfs.create(vfs.root, "d", None).await.unwrap_err();
    assert_eq!(read(&vfs, FeedPosition(0), 0).await.position, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_woken_by_the_first_change() {
    let vfs = Fixture::new().await;
    let (feed, file) = tokio::time::timeout(Duration::from_secs(20), async {
        tokio::join!(read(&vfs, FeedPosition(0), 30_000), vfs.touch(vfs.root, "f"))
    })
    .await
    .expect("woken long before the wait is over");
    assert_eq!(feed.changes[0].id, file);
}

#[tokio::test]
async fn a_wait_without_a_change_ends_empty() {
    let vfs = Fixture::new().await;
    let feed = read(&vfs, FeedPosition(0), 50).await;
    assert!(feed.changes.is_empty() && !feed.reset);
}

#[tokio::test]
async fn who_asks_from_beyond_what_is_kept_or_from_the_future_starts_over() {
    let vfs = Fixture::new().await;
    vfs.touch(vfs.root, "f").await;
    let end = read(&vfs, FeedPosition(0), 0).await.position;
    let future = read(&vfs, FeedPosition(end.0 + 1), 30_000).await;
    assert!(future.reset && future.position == end);
    let far = read(&vfs, FeedPosition(u64::MAX), 0).await;
    assert!(far.reset && far.position == end);

    vfs.sql(|db| db.execute("DELETE FROM change WHERE position = 1", &[])).await.unwrap();
    assert!(read(&vfs, FeedPosition(0), 0).await.reset);
    assert!(!read(&vfs, FeedPosition(1), 0).await.reset);
}

#[tokio::test]
async fn a_long_feed_comes_in_parts() {
    let vfs = Fixture::new().await;
    let file = vfs.touch(vfs.root, "f").await;
    futures::future::join_all((0..CHANGES_MAX).map(|_| vfs.perform(None, update(file)))).await;
    let first = read(&vfs, FeedPosition(0), 0).await;
    assert_eq!(first.changes.len(), CHANGES_MAX as usize);
    let rest = read(&vfs, first.position, 0).await;
    assert_eq!(rest.changes.len(), 2);
    assert_eq!(rest.changes.last().unwrap().version, Some(u64::from(CHANGES_MAX) + 1));
}
