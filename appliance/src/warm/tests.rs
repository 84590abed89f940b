//! Warming, in front of a center in memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::StreamExt;
use protocol::id::ObjectId;
use protocol::vfs::Upload;

use super::*;
use crate::testing::center::{FakeCenter, ROOT};
use crate::testing::port::TestPort;

const MIB: usize = 1 << 20;

fn bytes(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|at| seed.wrapping_add((at >> 7) as u8)).collect()
}

fn put(center: &FakeCenter, parent: ObjectId, name: &str, bytes: &[u8]) -> ObjectId {
    let upload = center.store_elsewhere(bytes);
    center.file_elsewhere(parent, name, upload)
}

fn warmer(port: &TestPort) -> Arc<Warmer<FakeCenter>> {
    let fetcher = Fetcher::new(port.blocks.clone());
    Arc::new(Warmer::new(Arc::clone(&port.translator), port.blocks.clone(), fetcher))
}

fn order(paths: &[&str], dry_run: bool) -> Value {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    serde_json::to_value(Order { paths, dry_run }).unwrap()
}

/// The lines but those about what is under way.
async fn told(warmer: &Arc<Warmer<FakeCenter>>, paths: &[&str], dry_run: bool) -> Vec<Line> {
    let lines: Vec<Value> = warmer.begin(order(paths, dry_run)).unwrap().collect().await;
    let lines = lines.into_iter().map(|line| serde_json::from_value(line).unwrap());
    lines.filter(|line| !matches!(line, Line::Counting(_) | Line::Fetching(_))).collect()
}

async fn warmed(warmer: &Arc<Warmer<FakeCenter>>, paths: &[&str]) -> Progress {
    match &told(warmer, paths, false).await[..] {
        [Line::Done(progress)] => *progress,
        other => panic!("{other:?}"),
    }
}

/// PORT-3, PORT-4: what was warmed is read without the center; what is there is not fetched again.
#[tokio::test(flavor = "multi_thread")]
async fn a_tree_is_warmed_once_and_read_without_the_center() {
    let port = TestPort::start().await;
    let photos = port.center.folder_elsewhere(ROOT, "photos");
    let old = port.center.folder_elsewhere(photos, "old");
    let (large, small) = (bytes(1, 3 * MIB + 5), bytes(2, 70_000));
    put(&port.center, photos, "large", &large);
    put(&port.center, old, "small", &small);
    // The same contents as another file's, and none at all.
    put(&port.center, old, "again", &small);
    put(&port.center, old, "empty", b"");
    put(&port.center, ROOT, "not wanted", &bytes(9, 5));
    let (all, warmer) = ((large.len() + 2 * small.len()) as u64, warmer(&port));

    let dry = told(&warmer, &["/export/photos"], true).await;
    let counted = Progress { files: 4, files_done: 1, bytes: all, ..Progress::default() };
    assert_eq!(dry, [Line::Done(counted)], "only the empty one needs nothing");
    assert_eq!(port.center.fetches.load(Ordering::SeqCst), 0);

    let first = warmed(&warmer, &["/export/photos"]).await;
    let fetched = port.center.fetches.load(Ordering::SeqCst);
    assert_eq!((first.files, first.files_done, first.failed), (4, 4, 0));
    assert_eq!((first.bytes, first.bytes_done), (all, all));
    assert!((5..=6).contains(&fetched), "four blocks of one file, one of two at once: {fetched}");
    let again = warmed(&warmer, &["/export/photos/", "/export/photos/old/small"]).await;
    assert_eq!((again.files, again.files_done, again.bytes_fetched), (5, 5, 0));
    assert_eq!(port.center.fetches.load(Ordering::SeqCst), fetched);
    let counters = port.blocks.counters();
    assert_eq!(
        (counters.misses.load(Ordering::Relaxed), counters.warmed.load(Ordering::Relaxed)),
        (0, fetched)
    );

    // Whoever mounts now reads without it.
    let dir = port.lookup(&port.root().await, "photos").await.unwrap();
    let file = port.lookup(&dir, "large").await.unwrap();
    port.center.set_away(true);
    assert!(port.read(&file).await.unwrap() == large);
}

/// What the cache has no room for is refused with figures, and nothing of it is fetched.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_room_is_refused_with_figures() {
    let port = TestPort::start().await;
    let stored = port.center.store_elsewhere(b"small");
    let content = Content { size: 1 << 30, ..stored.content };
    put(&port.center, ROOT, "small", b"something");
    port.center.file_elsewhere(ROOT, "large", Upload { content, ..stored });
    let warmer = warmer(&port);
    let lines = told(&warmer, &["/export"], false).await;
    let [Line::Refused { bytes, room }] = lines[..] else { panic!("{lines:?}") };
    assert!(bytes > 1 << 30 && room == 64 << 20, "{bytes}, {room}");
    assert_eq!(port.center.fetches.load(Ordering::SeqCst), 0);
    assert_eq!(warmed(&warmer, &["/export/small"]).await.files_done, 1);
}

/// What fails is told, each with its name, and the rest is warmed.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_told_and_the_rest_is_warmed() {
    let port = TestPort::start().await;
    put(&port.center, ROOT, "good", b"good");
    let mut damaged = port.center.store_elsewhere(b"damaged");
    damaged.content.digest.0[0] ^= 1;
    port.center.file_elsewhere(ROOT, "damaged", damaged);
    let paths = ["/export", "/SRL", "/elsewhere", "/export/none", "/export/good/none"];
    let lines = told(&warmer(&port), &paths, false).await;
    let failed: Vec<&str> = lines
        .iter()
        .filter_map(|line| if let Line::Failed { path, .. } = line { Some(path.as_str()) } else { None })
        .collect();
    assert_eq!(failed, ["/SRL", "/elsewhere", "/export/none", "/export/good/none", "/export/damaged"]);
    let Some(Line::Done(progress)) = lines.last() else { panic!("{lines:?}") };
    assert_eq!((progress.files, progress.files_done, progress.failed), (2, 1, 5));
}

/// A center that is away for a moment is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_moment_without_the_center_is_no_failure() {
    let port = TestPort::start().await;
    put(&port.center, ROOT, "file", &bytes(3, 2 * MIB));
    let warmer = warmer(&port);
    // What there is to be fetched is known.
    assert_eq!(told(&warmer, &["/export"], true).await.len(), 1);
    port.center.set_away(true);
    let lines = warmer.begin(order(&["/export"], false)).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    port.center.set_away(false);
    let last = lines.collect::<Vec<_>>().await.pop().unwrap();
    assert_eq!((&last["event"], &last["files_done"]), (&"done".into(), &1.into()), "{last}");
}

/// One at a time, and who hangs up ends it.
#[tokio::test(flavor = "multi_thread")]
async fn one_warms_at_a_time_until_its_listener_goes() {
    let port = TestPort::start().await;
    put(&port.center, ROOT, "file", &bytes(3, 2 * MIB));
    let warmer = warmer(&port);
    assert!(warmer.begin(Value::Null).is_err());
    port.center.set_away(true);
    let first = warmer.begin(order(&["/export"], false)).unwrap();
    let refused = warmer.begin(order(&["/export"], false)).err().unwrap();
    assert!(refused.contains("under way"), "{refused}");
    drop(first);
    let deadline = Instant::now() + Duration::from_secs(10);
    while warmer.begin(order(&[], false)).is_err() {
        assert!(Instant::now() < deadline, "it was not ended");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
