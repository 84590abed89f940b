//! A reading and a writing loop that tell how long they were held up.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use crate::pattern;

/// Bytes of a read and of a write; a multiple of what O_DIRECT asks for.
const BYTES: usize = 16 << 10;
/// Blocks of each file.
const BLOCKS: u64 = 16;
/// From one to the next, so that an emulated processor has time for the network.
const PAUSE: Duration = Duration::from_millis(10);

/// Works in `folder` until `stop` exists. Appends a line `read MS` or `write MS` to `stalls` for each operation.
pub fn until(folder: &Path, stop: &Path, stalls: &Path) {
    let note = |what: &str, start: Instant| {
        let mut stalls = File::options().create(true).append(true).open(stalls).unwrap();
        stalls.write_all(format!("{what} {}\n", start.elapsed().as_millis()).as_bytes()).unwrap();
    };
    let (read_path, write_path) = (folder.join("read"), folder.join("written"));
    let file = File::create_new(&read_path).unwrap();
    for block in 0..BLOCKS {
        file.write_all_at(&pattern::bytes(block, BYTES), block * BYTES as u64).unwrap();
    }
    file.sync_all().unwrap();
    // Reads that the client's page cache does not answer.
    let reader = File::options()
        .read(true)
        .custom_flags(OFlags::DIRECT.bits().cast_signed())
        .open(&read_path)
        .unwrap();
    let writer = File::create_new(&write_path).unwrap();
    let rounds = thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = vec![0; BYTES + 4096];
            // O_DIRECT wants aligned memory.
            let offset = buffer.as_ptr().align_offset(4096);
            for round in 0.. {
                if stop.exists() {
                    break;
                }
                let (start, block) = (Instant::now(), round % BLOCKS);
                let bytes = &mut buffer[offset..offset + BYTES];
                reader.read_exact_at(bytes, block * BYTES as u64).unwrap();
                note("read", start);
                pattern::check(block, bytes);
                pause();
            }
        });
        let mut round = 0;
        while !stop.exists() {
            let start = Instant::now();
            writer.write_all_at(&pattern::bytes(round, BYTES), round % BLOCKS * BYTES as u64).unwrap();
            writer.sync_all().unwrap();
            note("write", start);
            round += 1;
            pause();
        }
        round
    });
    let written = File::open(&write_path).unwrap();
    let mut bytes = vec![0; BYTES];
    for round in rounds.saturating_sub(BLOCKS)..rounds {
        written.read_exact_at(&mut bytes, round % BLOCKS * BYTES as u64).unwrap();
        pattern::check(round, &bytes);
    }
    println!("{rounds} rounds");
}

#[allow(clippy::disallowed_methods, reason = "the load of this program is paced")]
fn pause() {
    thread::sleep(PAUSE);
}
