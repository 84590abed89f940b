//! The index of a disk as a file, so that a restart need not look at every file: records of 32 bytes, one for each
//! file added or removed, in order. It is a hint: never synced, and a record that is lost or wrong costs at most a
//! miss, until the sweep finds the file.
//!
//! ```text
//! 0 kind u8 (1 added, 2 removed), zero x3   4 block u32   8 object        24 length u32   28 crc32c of 0..28
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::index::{Entry, Index};
use super::key::{BlockKey, ObjectKey};

/// Length of a record.
pub const RECORD_BYTES: usize = 32;
/// A log is written anew when it has so many records more than twice its entries.
const EXCESS_RECORDS: u64 = 64 << 10;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A file is there, of this length.
    Added(BlockKey, u32),
    /// A file is gone.
    Removed(BlockKey),
}

/// An open log.
#[derive(Debug)]
pub struct IndexLog {
    file: File,
    end: u64,
}

impl IndexLog {
    /// Opens or makes a log, and hands what it says to `take`, in order.
    pub fn open(path: &Path, mut take: impl FnMut(Change)) -> io::Result<Self> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (records, _torn) = bytes.as_chunks::<RECORD_BYTES>();
        records.iter().filter_map(decode).for_each(&mut take);
        Ok(Self { file, end: (records.len() * RECORD_BYTES) as u64 })
    }

    /// Adds a record.
    pub fn append(&mut self, change: Change) -> io::Result<()> {
        self.file.write_all_at(&encode(change), self.end)?;
        self.end += RECORD_BYTES as u64;
        Ok(())
    }

    /// Whether the log is much longer than what it says.
    pub fn is_long(&self, entries: usize) -> bool {
        self.end / RECORD_BYTES as u64 > 2 * entries as u64 + EXCESS_RECORDS
    }

    /// Begins a new log at `path` that says what `index` does. Returns the bytes of that: the caller writes them
    /// with [`Compaction::finish`], without a lock; records appended meanwhile go behind them.
    pub fn compact(&mut self, path: &Path, index: &Index) -> io::Result<Compaction> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let bytes: Vec<u8> =
            index.iter().flat_map(|(&key, &Entry { len, .. })| encode(Change::Added(key, len))).collect();
        let compaction = Compaction { file: file.try_clone()?, bytes };
        self.end = compaction.bytes.len() as u64;
        self.file = file;
        Ok(compaction)
    }
}

/// The beginning of a new log, yet to be written.
#[derive(Debug)]
pub struct Compaction {
    file: File,
    bytes: Vec<u8>,
}

impl Compaction {
    /// Writes it and puts the new log in the place of the old.
    pub fn finish(self, new: &Path, old: &Path) -> io::Result<()> {
        self.file.write_all_at(&self.bytes, 0)?;
        std::fs::rename(new, old)
    }
}

/// A change as a record.
pub fn encode(change: Change) -> [u8; RECORD_BYTES] {
    let (kind, key, len) = match change {
        Change::Added(key, len) => (1, key, len),
        Change::Removed(key) => (2, key, 0),
    };
    let mut record = [0; RECORD_BYTES];
    record[0] = kind;
    record[4..8].copy_from_slice(&key.block.to_le_bytes());
    record[8..24].copy_from_slice(&key.object.0);
    record[24..28].copy_from_slice(&len.to_le_bytes());
    let crc = crc32c::crc32c(&record[..28]);
    record[28..].copy_from_slice(&crc.to_le_bytes());
    record
}

/// The change a record says; `None` if it is damaged.
pub fn decode(record: &[u8; RECORD_BYTES]) -> Option<Change> {
    let number = |at: usize| u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]]);
    if crc32c::crc32c(&record[..28]) != number(28) {
        return None;
    }
    let mut object = ObjectKey([0; 16]);
    object.0.copy_from_slice(&record[8..24]);
    let key = BlockKey { object, block: number(4) };
    match record[0] {
        1 => Some(Change::Added(key, number(24))),
        2 => Some(Change::Removed(key)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_cache::index::Bounds;

    fn key(number: u32) -> BlockKey {
        BlockKey { object: ObjectKey([3; 16]), block: number }
    }

    fn read(path: &Path) -> Vec<Change> {
        let mut changes = Vec::new();
        IndexLog::open(path, |change| changes.push(change)).unwrap();
        changes
    }

    #[test]
    fn a_log_reads_back_without_its_wrong_and_torn_records() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("log");
        let mut log = IndexLog::open(&path, |_| ()).unwrap();
        let changes = [Change::Added(key(1), 5), Change::Added(key(2), 6), Change::Removed(key(1))];
        for change in changes {
            log.append(change).unwrap();
        }
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[RECORD_BYTES + 5] ^= 1;
        bytes.extend([1; 31]);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(read(&path), [changes[0], changes[2]]);
        // The next record goes over the torn one.
        IndexLog::open(&path, |_| ()).unwrap().append(changes[1]).unwrap();
        assert_eq!(read(&path), [changes[0], changes[2], changes[1]]);
    }

    #[test]
    fn a_compacted_log_says_the_same_and_what_came_meanwhile() {
        let dir = tempfile::TempDir::new().unwrap();
        let (old, new) = (dir.path().join("log"), dir.path().join("log.new"));
        let mut log = IndexLog::open(&old, |_| ()).unwrap();
        let mut index = Index::new(Bounds::new(1 << 20, 100, 0.0));
        for number in [1, 2] {
            index.adopt(key(number), number);
        }
        let compaction = log.compact(&new, &index).unwrap();
        log.append(Change::Removed(key(2))).unwrap();
        compaction.finish(&new, &old).unwrap();
        let added = [Change::Added(key(2), 2), Change::Added(key(1), 1)];
        assert_eq!(read(&old), [&added[..], &[Change::Removed(key(2))]].concat());
    }
}
