//! The log as a stream of whole records, from the oldest that is still needed: what a mirror is fed with.
//!
//! The log itself is the queue. What the mirror does not have yet lies in the segments, so however slow it is nothing
//! gathers in memory; and no segment is given up before it was read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::record::{HEADER_BYTES, decode};
use super::segment::SEGMENT_HEADER_BYTES;
use super::{Journal, Lsn, WRITE_BYTES_MAX, locked};

/// Read at once, unless a single record is longer.
const BATCH_BYTES: u64 = 1 << 20;
/// The longest record, with its padding.
const RECORD_BYTES_MAX: u64 = (HEADER_BYTES + WRITE_BYTES_MAX + 8) as u64;

/// Records that follow each other, byte for byte.
#[derive(Debug)]
pub struct Batch {
    /// Whole records.
    pub bytes: Vec<u8>,
    /// Number of the last of them.
    pub last: Lsn,
}

/// See the module.
#[derive(Debug)]
pub struct Tail {
    journal: Journal,
    /// The segment that is read: it and those behind it stay until then.
    segment: Arc<AtomicU64>,
    position: u64,
    last: Lsn,
    /// The newest record when this began.
    begun_at: Lsn,
    appended: watch::Receiver<Lsn>,
}

impl Journal {
    /// A stream of the log. Whoever has taken its records up to [`Tail::begun_at`] has all that is staged.
    pub fn tail(&self) -> Tail {
        let log = locked(&self.inner.log);
        let segment = Arc::new(AtomicU64::new(self.inner.first_needed(&log)));
        locked(&self.inner.tails).push(Arc::downgrade(&segment));
        Tail {
            journal: self.clone(),
            segment,
            position: SEGMENT_HEADER_BYTES as u64,
            last: Lsn(0),
            begun_at: log.last(),
            appended: self.inner.appended.subscribe(),
        }
    }
}

impl Tail {
    /// See [`Journal::tail`].
    pub fn begun_at(&self) -> Lsn {
        self.begun_at
    }

    /// Number of the last record given out.
    pub fn last(&self) -> Lsn {
        self.last
    }

    /// The next records; `None` if there are no more yet. Blocks on the disk, unless they were written just now.
    ///
    /// # Errors
    /// Of the disk.
    pub fn read(&mut self) -> io::Result<Option<Batch>> {
        loop {
            let number = self.segment.load(Ordering::Relaxed);
            let (file, end, next) = locked(&self.journal.inner.log)
                .place(number)
                .ok_or_else(|| io::Error::other("the journal was replaced while it was read"))?;
            while self.position < end {
                if let Some(batch) = self.read_some(&file, end)? {
                    return Ok(Some(batch));
                }
            }
            let Some(next) = next else { return Ok(None) };
            self.segment.store(next, Ordering::Relaxed);
            self.position = SEGMENT_HEADER_BYTES as u64;
        }
    }

    /// Waits until something was appended since the last [`read`](Self::read) that found nothing.
    pub async fn more(&mut self) {
        let last = self.last;
        if self.appended.wait_for(|appended| *appended > last).await.is_err() {
            // The journal itself is gone, and nothing more will come.
            std::future::pending::<()>().await;
        }
    }

    /// Reads on in a segment that ends at `end`. `None` if there was nothing but damage.
    fn read_some(&mut self, file: &File, end: u64) -> io::Result<Option<Batch>> {
        let left = end - self.position;
        let mut bytes = read_at(file, self.position, left.min(BATCH_BYTES))?;
        if decode(&bytes).is_none() && left > BATCH_BYTES {
            bytes = read_at(file, self.position, left.min(RECORD_BYTES_MAX))?;
        }
        let (mut at, mut last) = (0, self.last);
        while let Some((record, length)) =
            bytes.get(at..).and_then(decode).filter(|(record, _)| record.lsn > last)
        {
            last = record.lsn;
            at += length;
        }
        if at == 0 {
            // What a replay would not find either, and reported when the journal was opened.
            self.position += 8;
            return Ok(None);
        }
        bytes.resize(at, 0);
        self.position += at as u64;
        self.last = last;
        Ok(Some(Batch { bytes, last }))
    }
}

fn read_at(file: &File, position: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], position + filled as u64)? {
            // The padding of the last record may lie behind the end.
            0 => break,
            count => filled += count,
        }
    }
    Ok(bytes)
}
