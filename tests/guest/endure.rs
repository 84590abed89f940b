//! A program that goes on whatever happens to its server: through a hard mount it must notice nothing but time.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use crate::pattern;

/// Bytes of one record; a multiple of what O_DIRECT asks for.
const RECORD: usize = 64 << 10;
/// Records of the file; after the last the first is written again.
const RECORDS: u64 = 64;

/// Works in `folder` until `stop` exists, then checks all it has written.
pub fn until(folder: &Path, stop: &Path) {
    let path = folder.join("records");
    let file = File::create_new(&path).unwrap();
    // Reads that the client's page cache does not answer.
    let reader =
        File::options().read(true).custom_flags(OFlags::DIRECT.bits().cast_signed()).open(&path).unwrap();
    let mut round = 0;
    while !stop.exists() {
        file.write_all_at(&pattern::bytes(round, RECORD), round % RECORDS * RECORD as u64).unwrap();
        file.sync_all().unwrap();
        // Not the record just written, but the oldest there is.
        check(&reader, round.saturating_sub(RECORDS - 1));
        names(folder, round);
        round += 1;
        fs::write(folder.join("rounds"), round.to_string()).unwrap();
    }
    for written in round.saturating_sub(RECORDS)..round {
        check(&reader, written);
    }
    println!("{round} rounds");
}

fn check(file: &File, round: u64) {
    let mut buffer = vec![0; RECORD + 4096];
    // O_DIRECT wants aligned memory.
    let start = buffer.as_ptr().align_offset(4096);
    let bytes = &mut buffer[start..start + RECORD];
    file.read_exact_at(bytes, round % RECORDS * RECORD as u64).unwrap();
    pattern::check(round, bytes);
}

/// Each of these fails if it is done twice or its answer is lost: none may be, however often the call is repeated.
fn names(folder: &Path, round: u64) {
    let [made, moved] = ["made", "moved"].map(|name| folder.join(format!("{name}-{round}")));
    drop(File::create_new(&made).unwrap());
    fs::rename(&made, &moved).unwrap();
    let sub = folder.join(format!("folder-{round}"));
    fs::create_dir(&sub).unwrap();
    fs::remove_file(&moved).unwrap();
    fs::remove_dir(&sub).unwrap();
    assert!(!made.exists() && !moved.exists() && !sub.exists());
}
