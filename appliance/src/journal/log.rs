//! The log: a row of segments of which the last takes records.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Lsn;
use super::record::{Encoded, HEADER_BYTES};
use super::replay::Replayed;
use super::segment::{SEGMENT_HEADER_BYTES, Segment};

/// Sizes of a log.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// Most segments. The last of them is kept for records that lead to space being freed.
    pub segments_max: usize,
}

/// What records may take of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// All but the last segment: these fill it.
    Staging,
    /// Half of the last one too: these free more than they take, but only once all of them are there.
    Carrying,
    /// All of it: these are short, and free space.
    Freeing,
}

/// Why nothing was appended.
#[derive(Debug)]
pub enum AppendError {
    /// All segments are in use.
    Full,
    /// The batch does not fit into a segment.
    TooLarge,
    /// The full segment could not be made durable.
    Sync(io::Error),
    /// Nothing was written, or nothing that counts.
    Write(io::Error),
}

/// Where a batch of records went: they follow each other from there.
#[derive(Clone, Debug)]
pub struct Appended {
    /// Number of the first.
    pub first: Lsn,
    /// Number of the segment.
    pub segment: u64,
    /// Its file.
    pub log: Arc<File>,
    /// Where the first begins.
    pub position: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    bounds: Bounds,
    /// Full ones, the oldest first: all durable.
    older: VecDeque<Segment>,
    active: Segment,
    /// Number of the last record.
    last: Lsn,
    /// Number of the next one, which need not be the one behind `last`: numbers of torn records are not used again.
    next: Lsn,
    /// Bytes appended since the last [`Self::sync_point`].
    unsynced: u64,
    /// Bytes on disk, for those who must not wait for the log.
    gauge: Arc<AtomicU64>,
}

impl Log {
    /// Goes on behind what was replayed: in its last segment, or in a new one if there is none.
    pub fn new(dir: PathBuf, bounds: Bounds, replayed: &mut Replayed) -> io::Result<Self> {
        let last = replayed.last;
        let mut older = VecDeque::from(std::mem::take(&mut replayed.segments));
        // A segment that was read as a full one, past its damage, must never be read as the last one, which ends there.
        let goes_on = older.back().is_some_and(|segment| segment.number == replayed.newest_segment);
        let last_segment = if goes_on { older.pop_back() } else { None };
        let active = match last_segment {
            Some(active) => active,
            None => Segment::create(&dir, replayed.newest_segment + 1, bounds.segment_bytes, last)?,
        };
        let records_max = bounds.segment_bytes / HEADER_BYTES as u64;
        let skipped = if replayed.report.torn_bytes > 0 { records_max } else { 0 };
        let next = Lsn(last.0 + 1 + skipped);
        let log = Self { dir, bounds, older, active, last, next, unsynced: 0, gauge: Arc::default() };
        log.show_bytes();
        Ok(log)
    }

    /// Follows the bytes on disk: full segments, and what is written of the active one.
    pub fn gauge(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.gauge)
    }

    fn show_bytes(&self) {
        let bytes = self.older.len() as u64 * self.bounds.segment_bytes + self.active.end;
        self.gauge.store(bytes, Ordering::Relaxed);
    }

    /// Number of the last record.
    pub fn last(&self) -> Lsn {
        self.last
    }

    /// Number of the segment that takes records.
    pub fn active_segment(&self) -> u64 {
        self.active.number
    }

    /// Where the next record goes in that segment.
    #[cfg(test)]
    pub fn active_end(&self) -> u64 {
        self.active.end
    }

    /// Number of the oldest segment.
    pub fn oldest_segment(&self) -> u64 {
        self.older.front().unwrap_or(&self.active).number
    }

    /// What to sync to make every record so far durable.
    pub fn sync_point(&mut self) -> (Lsn, Arc<File>) {
        self.unsynced = 0;
        (self.last, Arc::clone(&self.active.file))
    }

    /// Bytes appended since the last sync began.
    pub fn unsynced(&self) -> u64 {
        self.unsynced
    }

    /// Bound of what [`Self::gauge`] shows, for records that take space.
    pub fn bytes_max(&self) -> u64 {
        (self.bounds.segments_max as u64 - 1) * self.bounds.segment_bytes
    }

    /// Whether `bytes` more go into the active segment, so that appending them takes no sync.
    pub fn fits(&self, bytes: u64) -> bool {
        self.active.end + bytes <= self.bounds.segment_bytes
    }

    /// Writes records behind each other, where there is room for such.
    ///
    /// # Errors
    /// Nothing counts as written then: the next batch takes the same numbers and the same place.
    pub fn append(&mut self, records: &[Encoded<'_>], room: Room) -> Result<Appended, AppendError> {
        let bytes = records.iter().map(Encoded::len).sum();
        if bytes > self.bounds.segment_bytes.saturating_sub(SEGMENT_HEADER_BYTES as u64) {
            return Err(AppendError::TooLarge);
        }
        let segments = self.older.len() + 1 + usize::from(!self.fits(bytes));
        let from = if self.fits(bytes) { self.active.end } else { SEGMENT_HEADER_BYTES as u64 };
        let has_room = match room {
            _ if segments != self.bounds.segments_max => segments < self.bounds.segments_max,
            Room::Staging => false,
            Room::Carrying => from + bytes <= self.bounds.segment_bytes / 2,
            Room::Freeing => true,
        };
        if !has_room {
            return Err(AppendError::Full);
        }
        if !self.fits(bytes) {
            self.roll()?;
        }
        let appended = Appended {
            first: self.next,
            segment: self.active.number,
            log: Arc::clone(&self.active.file),
            position: self.active.end,
        };
        let (mut next, mut position) = (self.next, self.active.end);
        for record in records {
            self.write(record, next, position).map_err(AppendError::Write)?;
            next.0 += 1;
            position += record.len();
        }
        self.last = Lsn(next.0 - 1);
        (self.next, self.active.end) = (next, position);
        self.unsynced += bytes;
        self.show_bytes();
        Ok(appended)
    }

    fn write(&self, record: &Encoded<'_>, lsn: Lsn, position: u64) -> io::Result<()> {
        self.active.file.write_all_at(&record.header(lsn), position)?;
        self.active.file.write_all_at(record.payload(), position + HEADER_BYTES as u64)
    }

    /// Writes whole records with numbers of their own, the last of which is `last`, behind each other. The last segment is
    /// open to them.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn copy(&mut self, records: &[u8], last: Lsn) -> Result<Appended, AppendError> {
        let bytes = records.len() as u64;
        if bytes > self.bounds.segment_bytes.saturating_sub(SEGMENT_HEADER_BYTES as u64) {
            return Err(AppendError::TooLarge);
        }
        if !self.fits(bytes) {
            if self.older.len() + 2 > self.bounds.segments_max {
                return Err(AppendError::Full);
            }
            self.roll()?;
        }
        let (segment, position) = (self.active.number, self.active.end);
        self.active.file.write_all_at(records, position).map_err(AppendError::Write)?;
        let first = self.next;
        self.last = last;
        self.next = Lsn(last.0 + 1);
        self.active.end += bytes;
        self.unsynced += bytes;
        self.show_bytes();
        Ok(Appended { first, segment, log: Arc::clone(&self.active.file), position })
    }

    /// Where a segment is: its file, its end so far, and the number of the next one if it is full. `None` if it is not in
    /// the log.
    pub fn place(&self, number: u64) -> Option<(Arc<File>, u64, Option<u64>)> {
        let mut segments =
            self.older.iter().chain([&self.active]).skip_while(|segment| segment.number < number);
        let segment = segments.next().filter(|segment| segment.number == number)?;
        let next = segments.next().map(|next| next.number);
        Some((Arc::clone(&segment.file), segment.end, next))
    }

    /// Takes the place of another log, whose segments are gone, now that its own have been moved to `dir`.
    pub fn take_place_of(mut self, other: &mut Self, dir: &Path) {
        for segment in self.older.iter_mut().chain([&mut self.active]) {
            segment.path = dir.join(super::segment::file_name(segment.number));
        }
        self.dir = dir.to_owned();
        self.gauge = Arc::clone(&other.gauge);
        self.show_bytes();
        *other = self;
    }

    /// Opens the next segment. The full one is made durable first: so only the last segment can ever have a torn
    /// end, and damage anywhere else is damage.
    fn roll(&mut self) -> Result<(), AppendError> {
        self.active.file.sync_data().map_err(AppendError::Sync)?;
        let next = Segment::create(&self.dir, self.active.number + 1, self.bounds.segment_bytes, self.last)
            .map_err(AppendError::Write)?;
        self.older.push_back(std::mem::replace(&mut self.active, next));
        self.show_bytes();
        Ok(())
    }

    /// Takes the oldest segment out of the log, if it is a full one below `number`; the caller discards it.
    pub fn take_below(&mut self, number: u64) -> Option<Segment> {
        self.older.front().filter(|segment| segment.number < number)?;
        let taken = self.older.pop_front();
        self.show_bytes();
        taken
    }

    /// Puts back what [`Self::take_below`] gave last and could not be discarded.
    pub fn put_back(&mut self, segment: Segment) {
        self.older.push_front(segment);
        self.show_bytes();
    }
}
