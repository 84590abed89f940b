//! A share over a file system in memory, asked as the server asks it.

use std::sync::Arc;

use nfs::filesystem::{Caller, Filesystem, SetAttributes, Time};
use nfs::local::Keys;
use nfs::memory::MemoryFilesystem;
use proptest::prelude::*;
use smb_server::{
    FileTimes, Handle, OpenAction, OpenIntent, OpenOptions, ShareBackend, SmbError, SmbPath, SmbResult,
};
use tokio::sync::Semaphore;

use crate::backend::{Backend, SCANNED_MAX, Tree};
use crate::caller::Actor;
use crate::users::Identity;

/// Entries of listings that are open at once.
const LISTINGS: usize = SCANNED_MAX + 2_000;

const READ: OpenOptions = OpenOptions {
    read: true,
    write: false,
    write_attributes: false,
    intent: OpenIntent::Open,
    directory: false,
    non_directory: false,
    delete_on_close: false,
};
const WRITE: OpenOptions = OpenOptions { write: true, ..READ };
const FOLDER: OpenOptions = OpenOptions { directory: true, ..READ };

fn share_of(filesystem: MemoryFilesystem) -> Backend<MemoryFilesystem> {
    Backend(Arc::new(Tree {
        filesystem: Arc::new(filesystem),
        actor: Actor::new(Identity { uid: 1000, gid: 1000 }, Keys::new([0; 8])),
        path: "/export".into(),
        read_only: false,
        serial_number: 1,
        usage: Arc::default(),
        listings: Arc::new(Semaphore::new(LISTINGS)),
    }))
}

fn share() -> Backend<MemoryFilesystem> {
    share_of(MemoryFilesystem::new(&["/export"], Time::default()))
}

fn path(text: &str) -> SmbPath {
    text.parse().unwrap()
}

const fn to(intent: OpenIntent, options: OpenOptions) -> OpenOptions {
    OpenOptions { intent, ..options }
}

type Opened = SmbResult<(Box<dyn Handle>, OpenAction)>;

/// What was done, or the status.
fn done(opened: Opened) -> Result<OpenAction, u32> {
    opened.map(|(_, action)| action).map_err(|error| error.to_nt_status())
}

async fn put(share: &Backend<MemoryFilesystem>, name: &str, bytes: &[u8]) {
    let (file, _) = share.open(&path(name), to(OpenIntent::OverwriteOrCreate, WRITE)).await.unwrap();
    assert_eq!(file.write(0, bytes).await.unwrap() as usize, bytes.len());
    file.close().await.unwrap();
}

async fn get(share: &Backend<MemoryFilesystem>, name: &str) -> SmbResult<Vec<u8>> {
    let (file, _) = share.open(&path(name), READ).await?;
    Ok(file.read(0, 1 << 20).await?.to_vec())
}

async fn names(share: &Backend<MemoryFilesystem>, folder: &str, pattern: Option<&str>) -> Vec<String> {
    let (folder, _) = share.open(&path(folder), FOLDER).await.unwrap();
    let mut names: Vec<_> =
        folder.list_dir(pattern).await.unwrap().into_iter().map(|entry| entry.info.name).collect();
    names.sort();
    names
}

const NOT_FOUND: u32 = 0xC000_0034;
const PATH_NOT_FOUND: u32 = 0xC000_003A;
const COLLISION: u32 = 0xC000_0035;
const DENIED: u32 = 0xC000_0022;
const IS_FOLDER: u32 = 0xC000_00BA;
const NO_FOLDER: u32 = 0xC000_0103;
const FULL: u32 = 0xC000_007F;

/// MS-SMB2 2.2.13, CreateDisposition: each on what is there and on what is not.
#[tokio::test]
async fn each_disposition_does_what_it_says() {
    use OpenAction::{Created, Opened, Overwritten};
    use OpenIntent::{Create, Open, OpenOrCreate, OverwriteOrCreate, Truncate};
    let table = [
        (Open, Ok(Opened), Err(NOT_FOUND)),
        (Create, Err(COLLISION), Ok(Created)),
        (OpenOrCreate, Ok(Opened), Ok(Created)),
        (OverwriteOrCreate, Ok(Overwritten), Ok(Created)),
        (Truncate, Ok(Overwritten), Err(NOT_FOUND)),
    ];
    for (intent, there, absent) in table {
        let share = share();
        put(&share, "there", b"bytes").await;
        assert_eq!(done(share.open(&path("There"), to(intent, WRITE)).await), there, "{intent:?}");
        let left = get(&share, "there").await.unwrap();
        assert_eq!(left.is_empty(), there == Ok(Overwritten), "{intent:?}");
        assert_eq!(done(share.open(&path("absent"), to(intent, WRITE)).await), absent, "{intent:?}");
        let nowhere = share.open(&path("no\\where"), to(intent, WRITE)).await;
        assert_eq!(done(nowhere), Err(PATH_NOT_FOUND), "{intent:?}");
        let below_a_file = share.open(&path("there\\x"), to(intent, WRITE)).await;
        assert_eq!(done(below_a_file), Err(PATH_NOT_FOUND), "{intent:?}");
    }
    let share = share();
    assert_eq!(done(share.open(&path("f"), to(Create, FOLDER)).await), Ok(Created));
    assert_eq!(done(share.open(&path("F"), to(Create, FOLDER)).await), Err(COLLISION));
    assert_eq!(done(share.open(&path("F"), to(OpenOrCreate, FOLDER)).await), Ok(Opened));
    let file = OpenOptions { non_directory: true, ..READ };
    assert_eq!(done(share.open(&path("f"), file).await), Err(IS_FOLDER));
    assert_eq!(done(share.open(&path("f"), to(OverwriteOrCreate, WRITE)).await), Err(IS_FOLDER));
    put(&share, "plain", b"").await;
    assert_eq!(done(share.open(&path("plain"), FOLDER).await), Err(NO_FOLDER));
    assert_eq!(done(share.open(&SmbPath::root(), READ).await), Ok(Opened));
    assert_eq!(done(share.open(&SmbPath::root(), to(Create, FOLDER)).await), Err(COLLISION));
}

#[tokio::test]
async fn a_name_is_found_as_it_is_written_first() {
    let share = share();
    put(&share, "Name", b"1").await;
    assert_eq!(get(&share, "NAME").await.unwrap(), b"1");
    let Backend(tree) = &share;
    let root = tree.filesystem.mount(&tree.actor.asks(), "/export").await.unwrap();
    let how = nfs::filesystem::CreateHow::Guarded(SetAttributes::default());
    let caller = tree.actor.changes();
    tree.filesystem.create(&caller, &root, b"name", how).await.result.unwrap();
    assert_eq!(get(&share, "name").await.unwrap(), b"");
    assert_eq!(get(&share, "Name").await.unwrap(), b"1");
    assert_eq!(names(&share, "", Some("nAmE")).await, ["Name"], "the first of them");
    assert_eq!(names(&share, "", Some("n*")).await, ["Name", "name"]);
}

#[tokio::test]
async fn a_large_folder_is_listed_whole_and_searched_as_written() {
    let share = share();
    share.open(&path("large"), to(OpenIntent::Create, FOLDER)).await.unwrap();
    let Backend(tree) = &share;
    let caller = tree.actor.asks();
    let root = tree.filesystem.mount(&caller, "/export").await.unwrap();
    let (folder, _) = tree.filesystem.lookup(&caller, &root, b"large").await.unwrap();
    for number in 0..SCANNED_MAX + 2_000 {
        let how = nfs::filesystem::CreateHow::Guarded(SetAttributes::default());
        let name = format!("Entry {number:05}");
        tree.filesystem.create(&tree.actor.changes(), &folder, name.as_bytes(), how).await.result.unwrap();
    }
    let listed = names(&share, "large", None).await;
    assert_eq!(listed.len(), SCANNED_MAX + 2_000);
    assert_eq!(names(&share, "large", Some("*11999")).await, ["Entry 11999"]);
    assert!(share.open(&path("large\\ENTRY 00009"), READ).await.is_ok());
    assert!(share.open(&path("large\\Entry 11999"), READ).await.is_ok());
    assert_eq!(done(share.open(&path("large\\ENTRY 11999"), READ).await), Err(NOT_FOUND));
}

/// What clients list is in memory until they have closed the folder: all of it together has a bound.
#[tokio::test]
async fn listings_have_a_bound_together() {
    let share = share();
    for name in ["a", "b", "c"] {
        put(&share, name, b"").await;
    }
    let Backend(tree) = &share;
    tree.listings.forget_permits(LISTINGS - 6);
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(share.open(&SmbPath::root(), FOLDER).await.unwrap().0);
    }
    for folder in &open[..2] {
        assert_eq!(folder.list_dir(None).await.unwrap().len(), 3);
    }
    assert!(matches!(open[2].list_dir(None).await, Err(SmbError::NotSupported)));
    assert_eq!(open[2].list_dir(Some("b")).await.unwrap().len(), 1, "one by its name");
    open.remove(0).close().await.unwrap();
    assert_eq!(open[1].list_dir(None).await.unwrap().len(), 3);
    drop(open);
    assert_eq!(tree.listings.available_permits(), 6, "all room is given back");
}

#[tokio::test]
async fn a_name_that_is_taken_is_given_when_that_is_wanted() {
    let share = share();
    put(&share, "a", b"a").await;
    put(&share, "B", b"b").await;
    share.open(&path("folder"), to(OpenIntent::Create, FOLDER)).await.unwrap();
    let renamed = |from, to, replace| {
        let share = &share;
        async move { share.rename(&path(from), &path(to), replace).await.map_err(|error| error.to_nt_status()) }
    };
    assert_eq!(renamed("a", "b", false).await, Err(COLLISION));
    assert_eq!(renamed("a", "folder", true).await, Err(DENIED));
    assert_eq!(renamed("folder", "a", true).await, Err(DENIED));
    assert_eq!(renamed("none", "a", true).await, Err(NOT_FOUND));
    assert_eq!(renamed("a", "no\\a", true).await, Err(PATH_NOT_FOUND));
    assert_eq!(renamed("a", "b", true).await, Ok(()));
    assert_eq!(names(&share, "", None).await, ["B", "folder"]);
    assert_eq!(get(&share, "b").await.unwrap(), b"a");
    assert_eq!(renamed("B", "b", false).await, Ok(()), "another case of the same name");
    let Backend(tree) = &share;
    let root = tree.filesystem.mount(&tree.actor.asks(), "/export").await.unwrap();
    let set = SetAttributes::default();
    tree.filesystem.symlink(&tree.actor.changes(), &root, b"link", b"b", set).await.result.unwrap();
    assert_eq!(
        renamed("b", "link", false).await,
        Err(COLLISION),
        "clients do not see it, and keep it all the same"
    );
    tree.filesystem.remove(&tree.actor.changes(), &root, b"link").await.result.unwrap();
    assert_eq!(renamed("b", "folder\\B", false).await, Ok(()));
    assert_eq!(names(&share, "", None).await, ["folder"]);
    assert_eq!(share.unlink(&path("FOLDER")).await.unwrap_err().to_nt_status(), 0xC000_0101);
    share.unlink(&path("Folder\\b")).await.unwrap();
    share.unlink(&path("FOLDER")).await.unwrap();
    assert!(names(&share, "", None).await.is_empty());
}

/// PORT-1: nothing a client says makes a file that is larger than files may be, or memory of that size.
#[tokio::test]
async fn sizes_and_offsets_have_bounds() {
    let share = share_of(MemoryFilesystem::new(&["/export"], Time::default()).with_file_bytes_max(1_000));
    let (file, _) = share.open(&path("f"), to(OpenIntent::Create, WRITE)).await.unwrap();
    let refused = |result: SmbResult<u32>| result.unwrap_err().to_nt_status();
    assert_eq!(file.write(999, b"x").await.unwrap(), 1);
    for offset in [1_000, 1 << 40, u64::MAX - 1, u64::MAX] {
        assert_eq!(refused(file.write(offset, b"xy").await), FULL, "{offset}");
        assert!(file.read(offset, u32::MAX).await.unwrap().is_empty(), "{offset}");
    }
    for len in [1_001, u64::MAX] {
        assert_eq!(file.truncate(len).await.unwrap_err().to_nt_status(), FULL);
    }
    file.truncate(0).await.unwrap();
    assert_eq!(file.stat().await.unwrap().end_of_file, 0);
}

#[tokio::test]
async fn what_lies_in_files_is_read_as_what_lies_in_memory() {
    let filesystem = MemoryFilesystem::new(&["/export"], Time::default()).with_reads_from_files();
    let share = share_of(filesystem);
    put(&share, "f", b"0123456789").await;
    let (file, _) = share.open(&path("f"), READ).await.unwrap();
    assert_eq!(&file.read(3, 4).await.unwrap()[..], b"3456");
    assert_eq!(&file.read(8, 100).await.unwrap()[..], b"89");
}

/// PORT-1: who may not remove a file is told so, not that it was done.
#[tokio::test]
async fn what_may_not_be_removed_is_said_to_stay() {
    const REMOVE: OpenOptions = OpenOptions { delete_on_close: true, ..READ };
    let share = share();
    let Backend(tree) = &share;
    let fs = &tree.filesystem;
    let folder = |mode| SetAttributes { mode: Some(mode), ..SetAttributes::default() };
    let root = || Caller { uid: 0, gid: 0, ..tree.actor.changes() };
    let top = fs.mount(&root(), "/export").await.unwrap();
    let (locked, _) = fs.mkdir(&root(), &top, b"locked", folder(0o777)).await.result.unwrap();
    put(&share, "locked\\f", b"x").await;
    fs.setattr(&root(), &locked, folder(0o755), None).await.result.unwrap();
    assert_eq!(done(share.open(&path("locked\\f"), REMOVE).await), Err(DENIED));
    assert_eq!(done(share.open(&path(""), REMOVE).await), Err(DENIED));
    assert_eq!(get(&share, "locked\\f").await.unwrap(), b"x");
    fs.setattr(&root(), &locked, folder(0o777), None).await.result.unwrap();
    assert_eq!(done(share.open(&path("locked\\f"), REMOVE).await), Ok(OpenAction::Opened));
}

#[tokio::test]
async fn attributes_and_times_are_kept() {
    let share = share();
    put(&share, "f", b"x").await;
    let (file, _) = share.open(&path("f"), OpenOptions { write_attributes: true, ..READ }).await.unwrap();
    file.set_attributes(0x21).await.unwrap();
    assert!(file.stat().await.unwrap().read_only);
    assert_eq!(done(share.open(&path("f"), WRITE).await), Err(DENIED));
    assert!(matches!(file.set_attributes(0x02).await, Err(SmbError::NotSupported)), "hidden");
    file.set_attributes(0x20).await.unwrap();
    assert!(!file.stat().await.unwrap().read_only);
    let times = FileTimes { last_write_time: Some(130_000_000_000_000_000), ..FileTimes::default() };
    file.set_times(times).await.unwrap();
    assert_eq!(file.stat().await.unwrap().last_write_time, 130_000_000_000_000_000);
    let born = FileTimes { creation_time: Some(120_000_000_000_000_001), ..FileTimes::default() };
    file.set_times(born).await.unwrap();
    let info = file.stat().await.unwrap();
    assert_eq!(
        (info.creation_time, info.last_write_time),
        (120_000_000_000_000_001, 130_000_000_000_000_000)
    );
}

proptest! {
    /// What one client does is what a list of bytes does.
    #[test]
    fn a_file_is_its_bytes(writes in proptest::collection::vec((0..5_000_u64, 0..3_000_usize, any::<u8>()), 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let share = share();
            let (file, _) = share.open(&path("f"), to(OpenIntent::Create, WRITE)).await.unwrap();
            let mut model: Vec<u8> = Vec::new();
            for (offset, len, byte) in writes {
                let written = file.write(offset, &vec![byte; len]).await.unwrap();
                assert_eq!(written as usize, len);
                let offset = offset as usize;
                if len > 0 {
                    model.resize(model.len().max(offset + len), 0);
                    model[offset..offset + len].fill(byte);
                }
            }
            assert_eq!(file.stat().await.unwrap().end_of_file as usize, model.len());
            assert_eq!(file.read(0, 1 << 20).await.unwrap(), model);
        });
    }
}

#[tokio::test]
async fn what_clients_do_is_counted() {
    let share = share();
    let usage = Arc::clone(&share.0.usage);
    put(&share, "file", b"twelve bytes").await;
    assert_eq!((usage.open(), usage.written_bytes(), usage.read_bytes()), (0, 12, 0), "it is closed again");
    let (file, _) = share.open(&path("file"), READ).await.unwrap();
    let (folder, _) = share.open(&SmbPath::root(), FOLDER).await.unwrap();
    file.read(7, 100).await.unwrap();
    assert_eq!((usage.open(), usage.written_bytes(), usage.read_bytes()), (2, 12, 5));
    folder.close().await.unwrap();
    assert_eq!(usage.open(), 1);
    // A connection that breaks closes nothing.
    drop(file);
    assert_eq!(usage.open(), 0);
}
