//! Pins, in front of a center in memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use protocol::id::ObjectId;
use protocol::vfs::Upload;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::testing::center::{FakeCenter, ROOT};
use crate::testing::port::TestPort;

const PATIENCE: Duration = Duration::from_secs(30);

fn pinner(port: &TestPort, dir: &TempDir) -> Arc<Pinner<FakeCenter>> {
    Arc::new(Pinner::open(Parts {
        list: dir.path().join("pins.json"),
        rows_max: 1_000,
        translator: Arc::clone(&port.translator),
        customers: HashMap::from([(port.customer.id, Arc::clone(&port.customer))]),
        blocks: port.blocks.clone(),
        fetcher: Fetcher::new(port.blocks.clone()),
    }))
}

async fn pin(pinner: &Arc<Pinner<FakeCenter>>, path: &str) -> PinLine {
    let lines: Vec<Value> = pinner.begin(&json!({ "path": path })).unwrap().collect().await;
    serde_json::from_value(lines.last().unwrap().clone()).unwrap()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn put(center: &FakeCenter, parent: ObjectId, name: &str, bytes: &[u8]) -> ObjectId {
    let upload = center.store_elsewhere(bytes);
    center.file_elsewhere(parent, name, upload)
}

/// PORT-3, PORT-4: what is in a pinned folder is fetched by itself, also what comes later, after a restart as well, until it
/// is unpinned.
#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_folder_is_fetched_and_so_is_what_comes_later() {
    let (port, dir) = (TestPort::start().await, TempDir::new().unwrap());
    let folder = port.center.folder_elsewhere(ROOT, "folder");
    put(&port.center, folder, "first", &[1; 70_000]);
    let first = pinner(&port, &dir);
    let cached = |pinner: &Pinner<FakeCenter>| pinner.report().pins[0].figures.bytes_cached;
    let run = tokio::spawn(Arc::clone(&first).run());
    let pinned = pin(&first, "/export/folder/").await;
    assert_eq!(pinned, PinLine::Pinned { path: "/export/folder".into(), files: 1, bytes: 70_000 });
    until("it is fetched", || cached(&first) == 70_000).await;
    put(&port.center, folder, "second", &[2; 30_000]);
    until("what is new is fetched", || cached(&first) == 100_000).await;
    assert!(first.report().pinned_bytes >= 100_000);
    run.abort();

    let second = pinner(&port, &dir);
    let run = tokio::spawn(Arc::clone(&second).run());
    until("pins outlast a restart", || cached(&second) == 100_000).await;
    second.unpin(&json!({ "path": "/export/folder" })).await.unwrap();
    until("nothing is pinned", || second.report().pins.is_empty()).await;
    assert!(second.unpin(&json!({ "path": "/export/folder" })).await.is_err());
    run.abort();
}

/// PORT-4: changes without an end do not keep a pinned folder from being fetched.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_folder_is_fetched() {
    let (port, dir) = (TestPort::start().await, TempDir::new().unwrap());
    let folder = port.center.folder_elsewhere(ROOT, "folder");
    for number in 0..150_u8 {
        put(&port.center, folder, &number.to_string(), &[number; 2_000]);
    }
    let pinner = pinner(&port, &dir);
    let busy = tokio::spawn({
        let pinner = Arc::clone(&pinner);
        async move {
            loop {
                pinner.look_again();
                tokio::task::yield_now().await;
            }
        }
    });
    let run = tokio::spawn(Arc::clone(&pinner).run());
    pin(&pinner, "/export/folder").await;
    until("it is fetched", || pinner.report().pins[0].figures.bytes_cached == 300_000).await;
    run.abort();
    busy.abort();
}

/// What has no room in the share is refused, with figures, and pins nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_room_is_not_pinned() {
    let (port, dir) = (TestPort::start().await, TempDir::new().unwrap());
    let stored = port.center.store_elsewhere(b"large");
    // The share is half of 64 MiB.
    let content = Content { size: 40 << 20, ..stored.content };
    port.center.file_elsewhere(ROOT, "large", Upload { content, ..stored });
    let pinner = pinner(&port, &dir);
    let refused = pin(&pinner, "/export").await;
    let PinLine::Refused { why } = refused else { panic!("{refused:?}") };
    assert!(why.contains("33554432") && why.contains("pinned_share"), "{why}");
    assert!(pinner.report().pins.is_empty() && !dir.path().join("pins.json").exists());
    assert!(matches!(pin(&pinner, "/export/none").await, PinLine::Refused { .. }));
    assert!(pinner.begin(&json!({})).is_err() && pinner.begin(&json!({ "path": "export" })).is_err());
}
