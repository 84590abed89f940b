//! Rules of folders, as clients of the translator see them.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nfs::filesystem::{Filesystem, FsError, Handle, SetAttributes};
use protocol::digest::BLOCK_BYTES;
use protocol::srl::SignedSrl;

use super::tests::{eventually, sizes};
use crate::center::StorageCenter;
use crate::folder_rules::{FolderRules, Rule};
use crate::journal::{Base, FileKey};
use crate::object::Warmed;
use crate::testing::center::{FakeCenter, ROOT};
use crate::testing::port::{TestPort, gather, root};
use crate::uploader::content_of;
use crate::{directory_cache::Entry, host};

const UNCACHED: Rule = Rule { srl_seconds: None, cached: Some(false), quiet: None };

fn rules(of: &[(&str, Rule)]) -> FolderRules {
    let names = |path: &str| path.split('/').skip(1).map(|name| name.as_bytes().to_vec()).collect();
    FolderRules::new(of.iter().map(|(path, rule)| (names(path), *rule)))
}

fn srl(seconds: u64) -> Rule {
    Rule { srl_seconds: Some(seconds), ..Rule::default() }
}

fn waits(seconds: u64) -> Rule {
    Rule { quiet: Some(Duration::from_secs(seconds)), ..Rule::default() }
}

async fn mkdir(port: &TestPort, dir: &Handle, name: &str) -> Handle {
    let made = port.translator.mkdir(&root(), dir, name.as_bytes(), SetAttributes::default()).await;
    made.result.unwrap().0
}

async fn rename(port: &TestPort, from: (&Handle, &str), to: (&Handle, &str)) {
    let (from_name, to_name) = (from.1.as_bytes(), to.1.as_bytes());
    port.translator.rename(&root(), from.0, from_name, to.0, to_name, true).await.result.unwrap();
}

/// For how many seconds the SRL of the file at a path is good, `None` for ever. It is listed, looked up and told with
/// its size.
async fn expires(port: &TestPort, path: &str) -> Option<u64> {
    let (mut dir, mut file) = (port.translator.mount(&root(), "/SRL").await.unwrap(), None);
    for name in path.split('/') {
        dir = file.replace(port.lookup(file.as_ref().unwrap_or(&dir), name).await.unwrap()).unwrap_or(dir);
    }
    let file = file.unwrap();
    let name = path.rsplit('/').next().unwrap();
    let (_, found) = port.translator.lookup(&root(), &dir, name.as_bytes()).await.unwrap();
    let listed = sizes(port, &dir).await;
    let told = port.getattr(&file).await.unwrap();
    let text = port.read(&file).await.unwrap();
    let len = text.len() as u64;
    assert_eq!((found.size, told.size, listed.get(name)), (len, len, Some(&len)), "{path}");
    let text = String::from_utf8(text).unwrap();
    let signed = text.trim_end().strip_prefix("http://center.example").unwrap();
    let expires = SignedSrl::parse(signed).unwrap().0.request().unwrap().expires;
    (expires > 0).then(|| expires - u64::try_from(host::now().0 / 1_000_000_000).unwrap())
}

fn about(seconds: u64) -> RangeInclusive<u64> {
    seconds - 5..=seconds + 61
}

/// PORT-14: each SRL is good as long as the deepest rule above its file says, wherever the file was before.
#[tokio::test(flavor = "multi_thread")]
async fn an_srl_is_good_as_long_as_the_rule_of_its_folder_says() {
    let mut port = TestPort::start().await;
    port.upload();
    let top = port.root().await;
    let films = mkdir(&port, &top, "films").await;
    let new = mkdir(&port, &films, "new").await;
    for (dir, name) in [(&top, "a"), (&films, "b"), (&new, "c")] {
        let file = port.put(dir, name, b"bytes").await.unwrap();
        port.settle(&file).await;
    }
    for path in ["a", "films/b", "films/new/c"] {
        assert!(about(3_600).contains(&expires(&port, path).await.unwrap()), "{path}");
    }
    port.customer.set_rules(rules(&[("/films", srl(0)), ("/films/new", srl(86_400)), ("/old", srl(600))]));
    assert!(about(3_600).contains(&expires(&port, "a").await.unwrap()), "as the export says");
    assert_eq!(expires(&port, "films/b").await, None, "never");
    assert!(about(86_400).contains(&expires(&port, "films/new/c").await.unwrap()), "the deeper rule");

    rename(&port, (&films, "b"), (&new, "b")).await;
    assert!(about(86_400).contains(&expires(&port, "films/new/b").await.unwrap()), "a file moved");
    rename(&port, (&top, "films"), (&top, "old")).await;
    assert!(about(600).contains(&expires(&port, "old/new/c").await.unwrap()), "all below a folder renamed");
    assert!(about(600).contains(&expires(&port, "old/new/b").await.unwrap()));
}

/// PORT-14: a port that knows no more than a handle asks for the folders above the file, and says "not now" where it
/// cannot, rather than a wrong size.
#[tokio::test(flavor = "multi_thread")]
async fn the_size_of_an_srl_is_right_just_after_a_start() {
    let center = Arc::<FakeCenter>::default();
    let deep = center.folder_elsewhere(center.folder_elsewhere(ROOT, "films"), "new");
    center.file_elsewhere(deep, "c", center.store_elsewhere(b"bytes"));
    let port = TestPort::start_with(Arc::clone(&center), |export| export).await;
    port.customer.set_rules(rules(&[("/films", srl(0))]));
    let mut file = port.translator.mount(&root(), "/SRL").await.unwrap();
    for name in ["films", "new", "c"] {
        file = port.lookup(&file, name).await.unwrap();
    }
    let text = port.read(&file).await.unwrap();

    let later = TestPort::start_with(Arc::clone(&center), |export| export).await;
    later.customer.set_rules(rules(&[("/films", srl(0))]));
    assert_eq!(later.getattr(&file).await.unwrap().size, text.len() as u64);

    let away = TestPort::start_with(Arc::clone(&center), |export| export).await;
    away.customer.set_rules(rules(&[("/films", srl(0))]));
    away.customer.directory.row(away.id(&file)).await.unwrap();
    center.set_away(true);
    assert_eq!(away.getattr(&file).await, Err(FsError::TryLater), "its folders are not at hand");
    assert_eq!(later.getattr(&file).await.unwrap().size, text.len() as u64, "they are here");
}

/// PORT-3: of a file that is not to be cached nothing comes onto the cache's disks, by reading or by uploading; still
/// each block is fetched once, however small the READs. What is there is used, and what is warmed is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_cached_goes_through_memory() {
    let mut port = TestPort::start().await;
    port.customer.set_rules(rules(&[("/big", UNCACHED)]));
    port.upload();
    let top = port.root().await;
    let big = mkdir(&port, &top, "big").await;
    let bytes: Vec<u8> = (0..3 * BLOCK_BYTES + 5).map(|at| (at / 7) as u8).collect();
    let file = port.put(&big, "file", &bytes[..5]).await.unwrap();
    for at in (0..bytes.len()).step_by(BLOCK_BYTES as usize) {
        port.write(&file, at as u64, &bytes[at..bytes.len().min(at + BLOCK_BYTES as usize)]).await.unwrap();
    }
    port.settle(&file).await;
    let held = || port.blocks.usage().iter().map(|disk| disk.files).sum::<u64>();
    assert_eq!(held(), 0, "after the upload");

    const STEP: usize = 64 << 10;
    let mut read = Vec::new();
    while read.len() < bytes.len() {
        let part = port.translator.read(&root(), &file, read.len() as u64, STEP as u32).await.unwrap();
        read.extend(gather(&part));
    }
    assert!(read == bytes);
    assert_eq!(port.center.fetches.load(Ordering::SeqCst), 4, "each block once");
    let counters = port.blocks.counters();
    let counted = || (counters.hits.load(Ordering::Relaxed), counters.misses.load(Ordering::Relaxed));
    assert_eq!((held(), counted()), (0, (0, 0)), "after reading");

    let entry = port.customer.directory.row(port.id(&file)).await.unwrap();
    let content = content_of(&entry.row).unwrap();
    assert_eq!(port.customer.objects.warm(&content, 0).await.unwrap(), Warmed::Fetched);
    port.customer.objects.warm_digests(&content).await.unwrap();
    assert_eq!(held(), 2, "a block and the digests");

    rename(&port, (&big, "file"), (&top, "file")).await;
    assert!(port.read(&file).await.unwrap() == bytes);
    assert_eq!(held(), 5, "outside it is cached");
    assert_eq!(port.center.fetches.load(Ordering::SeqCst), 8, "one was warmed, three are kept");
    rename(&port, (&top, "file"), (&big, "file")).await;
    port.center.set_away(true);
    assert!(port.read(&file).await.unwrap() == bytes, "what is there is used");
}

/// A file of each kind: far longer than the port's own delay, and shorter.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_waits_for_its_upload_as_long_as_its_rule_says() {
    let mut port = TestPort::start().await;
    port.customer.set_rules(rules(&[("/logs", waits(3_600)), ("/logs/now", waits(0))]));
    port.upload();
    let top = port.root().await;
    let logs = mkdir(&port, &top, "logs").await;
    let now = mkdir(&port, &logs, "now").await;
    let late = port.put(&logs, "late", b"bytes").await.unwrap();
    for dir in [&top, &now] {
        let file = port.put(dir, "soon", b"bytes").await.unwrap();
        port.settle(&file).await;
    }
    let key = |file: &Handle| FileKey { customer: port.customer.id, file: port.id(file) };
    assert_eq!(port.uploader.quiet(key(&late)), Some(Duration::from_secs(3_600)));
    assert!(!port.uploader.settled(key(&late), Duration::from_millis(500)).await, "uploaded before its time");
    assert_eq!(port.center.contents(port.id(&late)).unwrap_or_default(), b""[..]);

    assert!(about(3_600).contains(&expires(&port, "logs/late").await.unwrap()));
    assert_eq!(port.center.contents(port.id(&late)).unwrap(), b"bytes"[..], "who reads its SRL can fetch it");

    let moved = port.put(&logs, "moved", b"bytes").await.unwrap();
    rename(&port, (&logs, "moved"), (&top, "moved")).await;
    port.settle(&moved).await;
}

/// After a restart the journal has files whose folders are not at hand: they wait until the port has learned them.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_folders_are_unknown_waits_until_they_are_known() {
    let center = Arc::<FakeCenter>::default();
    let folder = center.folder_elsewhere(ROOT, "logs");
    let id = center.file_elsewhere(folder, "late", center.store_elsewhere(b"old"));
    let mut port = TestPort::start_with(center, |export| export).await;
    port.customer.set_rules(rules(&[("/logs", waits(3_600))]));
    let operate = protocol::vfs::Operation::Open { target: protocol::vfs::Target::Id(id), srl_expires: None };
    let answer = port.center.operate(protocol::vfs::Request { key: None, operation: operate }).await.unwrap();
    let protocol::vfs::Answer::Row(row) = answer.answer else { panic!("no row") };
    let entry = Entry::new(row);
    let base = Base { content: content_of(&entry.row).unwrap(), version: entry.row.version };
    let file = FileKey { customer: port.customer.id, file: id };
    port.journal.write(file, base, 0, b"new"[..].into(), host::now()).await.unwrap();
    assert!(port.customer.directory.known(id).is_none());
    port.upload();
    eventually("the folder is known", async || port.customer.directory.known_way(folder).is_some()).await;
    assert!(!port.uploader.settled(file, Duration::from_millis(500)).await, "uploaded before its time");
    port.customer.set_rules(FolderRules::default());
    assert!(port.uploader.settled(file, Duration::from_secs(20)).await, "without the rule it goes");
}
