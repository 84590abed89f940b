//! Reads of files that never wait for a disk: what is in memory is read, what is not is not.
//!
//! This keeps a thread that serves connections from waiting for a disk. It also tells whether bytes that were checked
//! are still those that were checked: they stay in memory from then on, or else they come from the disk anew and are
//! checked anew.

use std::fs::File;
use std::io::IoSliceMut;

use rustix::io::{Errno, ReadWriteFlags, preadv2};

/// How far apart the probes of [`is_in_memory`] are. The system reads files in pieces of this size or larger and
/// forgets them much in the same way.
const PROBE_BYTES: u64 = 64 << 10;

/// Fills `buffer` from the file; false if a byte of it is not in memory, or not there.
pub fn read_now(file: &File, buffer: &mut [u8], offset: u64) -> bool {
    match preadv2(file, &mut [IoSliceMut::new(buffer)], offset, ReadWriteFlags::NOWAIT) {
        Ok(read) => read == buffer.len(),
        Err(Errno::OPNOTSUPP) => {
            // A file system that cannot say. It may wait for its disk, as any web server's `sendfile` does.
            std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset).is_ok()
        }
        Err(_) => false,
    }
}

/// Whether a range of the file, not empty, seems to be in memory: its first byte, its last, and some between.
pub fn is_in_memory(file: &File, offset: u64, len: u64) -> bool {
    let last = offset.saturating_add(len.saturating_sub(1));
    let mut probes = (offset..last).step_by(PROBE_BYTES as usize).chain([last]);
    probes.all(|at| {
        let probed = preadv2(file, &mut [IoSliceMut::new(&mut [0])], at, ReadWriteFlags::NOWAIT);
        matches!(probed, Ok(1) | Err(Errno::OPNOTSUPP))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rustix::fs::{Advice, fadvise};

    use super::*;

    #[test]
    fn what_was_just_written_is_in_memory_and_what_is_past_the_end_is_not() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 200_000]).unwrap();
        assert!(is_in_memory(&file, 0, 200_000) && is_in_memory(&file, 199_999, 1));
        assert!(!is_in_memory(&file, 0, 200_001) && !is_in_memory(&file, u64::MAX, 5));
        let mut buffer = [0; 100];
        assert!(read_now(&file, &mut buffer, 199_900) && buffer == [7; 100]);
        assert!(!read_now(&file, &mut buffer, 199_901));
    }

    #[test]
    fn what_memory_has_let_go_is_not_waited_for() {
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.write_all(&vec![7; 1 << 20]).unwrap();
        file.sync_all().unwrap();
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        // A file system that keeps its files in memory, or cannot say, has nothing to show here.
        if preadv2(&file, &mut [IoSliceMut::new(&mut [0])], 0, ReadWriteFlags::NOWAIT) == Err(Errno::AGAIN) {
            assert!(!is_in_memory(&file, 0, 1 << 20) && !read_now(&file, &mut [0; 100], 0));
        }
    }
}
