//! The end of the kernel's log, as far as this user may read it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;

/// Most bytes that are kept, the newest.
const BYTES_MAX: usize = 256 << 10;
/// Longest record (`PRINTKRB_RECORD_MAX` and its dictionary stay below).
const RECORD_BYTES: usize = 8 << 10;
/// Most records that are read: more than the kernel's ring holds.
const RECORDS_MAX: usize = 1 << 17;

/// `priority,sequence,microseconds,flags;text` in each line (Documentation/ABI/testing/dev-kmsg).
///
/// # Errors
/// There is no such device, or it may not be read.
pub fn tail() -> io::Result<Vec<u8>> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut device = File::options().read(true).custom_flags(flags).open("/dev/kmsg")?;
    let mut kept = VecDeque::new();
    let (mut bytes, mut record) = (0, [0; RECORD_BYTES]);
    for _ in 0..RECORDS_MAX {
        match device.read(&mut record) {
            Ok(0) => break,
            Ok(length) => {
                bytes += length;
                kept.push_back(record[..length].to_vec());
                while bytes > BYTES_MAX {
                    bytes -= kept.pop_front().map_or(bytes, |oldest: Vec<u8>| oldest.len());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            // It was overwritten before it was read; the next one is there.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => return Err(error),
        }
    }
    Ok(kept.into_iter().flatten().collect())
}
