//! Every operation that programs ask of a file system, tried in a mounted folder: what each leaves, and what it is
//! refused with.

mod attributes;
mod contents;
mod names;

use std::fs;
use std::io;
use std::panic;
use std::path::Path;
use std::process::exit;
use std::time::Instant;

use rustix::io::Errno;

type Operation = fn(&Path);

const OPERATIONS: [(&str, Operation); 24] = [
    ("trees are made, walked and removed", names::trees),
    ("names are found and not found", names::lookup),
    ("an exclusive creation happens once", names::exclusive),
    ("files and folders are renamed", names::rename),
    ("an open file outlives a rename onto it", names::rename_onto_open),
    ("symbolic links are kept and followed", names::symbolic_links),
    ("a listing has every name once", names::listing),
    ("a folder is emptied while it is listed", names::removal_while_listing),
    ("an open file outlives its removal", names::removed_but_open),
    ("hard links and FIFOs are refused", names::refused_kinds),
    ("contents read back", contents::read_back),
    ("overwritten bytes are the newest", contents::overwrites),
    ("holes read as zeros", contents::holes),
    ("appends go to the end", contents::appends),
    ("truncation cuts and extends", contents::truncation),
    ("a shared mapping reaches the file", contents::mapping),
    ("O_DIRECT and O_SYNC write through", contents::write_through),
    ("offsets beyond 4 GiB", contents::large_offsets),
    ("many files written at once", contents::at_once),
    ("modes and owners are kept", attributes::modes_and_owners),
    ("times are set and advance", attributes::times),
    ("permissions hold for another user", attributes::permissions),
    ("the size of the file system is told", attributes::file_system),
    ("a file's link count and blocks are told", attributes::links_and_blocks),
];

/// Tries all, each in a folder of its own, and ends with status 1 if any of them is wrong.
pub fn try_all(folder: &Path) {
    let mut failed = 0;
    for (number, (name, operation)) in OPERATIONS.iter().enumerate() {
        let place = folder.join(format!("operation-{number}"));
        fs::create_dir(&place).unwrap();
        let start = Instant::now();
        let result = panic::catch_unwind(|| operation(&place));
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        println!("{verdict}: {name} ({} ms)", start.elapsed().as_millis());
        match result {
            Ok(()) => fs::remove_dir_all(&place).unwrap(),
            Err(_) => failed += 1,
        }
    }
    if failed > 0 {
        println!("{failed} of {} failed", OPERATIONS.len());
        exit(1);
    }
}

/// Has the kernel forget what it knows of files that nobody has open, so that it asks the server.
fn forget() {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
}

/// Checks what an operation was refused with.
#[track_caller]
fn assert_refused<T>(result: io::Result<T>, with: Errno) {
    let error = result.err().and_then(|error| error.raw_os_error());
    assert_eq!(error.map(Errno::from_raw_os_error), Some(with));
}
