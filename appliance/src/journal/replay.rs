//! Replay: from the segments on disk to the state they describe.
//!
//! Only the last segment can have a torn end (see [`Log`](super::log::Log)): what follows its last right record was
//! never acknowledged and is cut off. In any other segment a wrong record is damage. The records behind it are
//! still found and replayed, the loss is reported, and the segment is kept aside once it is no longer needed.

use std::io;
use std::ops::Range;
use std::path::Path;

use super::record::{HEADER_BYTES, Record, decode};
use super::segment::{self, SEGMENT_HEADER_BYTES, Segment};
use super::state::{Place, State};
use super::{Lsn, Recovery};

/// What the segments said.
#[derive(Debug, Default)]
pub struct Replayed {
    /// The staged files.
    pub state: State,
    /// The segments, in order.
    pub segments: Vec<Segment>,
    /// Number of the last segment there was, whatever became of it.
    pub newest_segment: u64,
    /// Number of the last record.
    pub last: Lsn,
    /// For the operator.
    pub report: Recovery,
}

/// Replays the segments of a directory.
///
/// # Errors
/// The disk cannot be read, or the torn end cannot be cut off.
pub fn replay(dir: &Path, segment_bytes: u64) -> io::Result<Replayed> {
    let mut replayed = Replayed::default();
    let found = segment::list(dir)?;
    replayed.newest_segment = found.last().map_or(0, |&(number, _)| number);
    for (number, path) in found {
        let (segment, bytes) = Segment::open(path, number)?;
        replayed.segment(segment, &bytes, segment_bytes)?;
    }
    for file in replayed.state.settle() {
        let (customer, file) = (file.customer, file.file);
        replayed.report.damage.push(format!(
            "file {file} of customer {customer}: the beginning of its changes is lost, so its later changes were given up"
        ));
    }
    replayed.report.files = replayed.state.files();
    Ok(replayed)
}

impl Replayed {
    fn segment(&mut self, mut segment: Segment, bytes: &[u8], segment_bytes: u64) -> io::Result<()> {
        let newest = segment.number == self.newest_segment;
        let name = segment.path.display().to_string();
        let Some(previous) = segment::previous_lsn(bytes, segment.number) else {
            return if newest && bytes.iter().all(|&byte| byte == 0) {
                // Made, and not even its header written.
                std::fs::remove_file(&segment.path)
            } else {
                self.report.damage.push(format!("{name}: its header is wrong; set aside as .damaged"));
                segment::set_aside(&segment.path)
            };
        };
        if previous != self.last && !self.segments.is_empty() {
            let (from, to) = (self.last.0 + 1, previous.0);
            self.report.damage.push(format!("{name}: records {from} to {to} before it are missing"));
        }
        self.last = self.last.max(previous);

        let mut last = self.last;
        let (state, records) = (&mut self.state, &mut self.report.records);
        let scan = scan(bytes, previous, !newest, |record, position| {
            state.apply(record, Place { segment: segment.number, log: &segment.file, position });
            *records += 1;
            last = last.max(record.lsn);
        });
        self.last = last;
        for gap in &scan.gaps {
            segment.damaged = true;
            let Range { start, end } = gap;
            self.report.damage.push(format!(
                "{name}: bytes {start} to {end} are damaged; the records in them are lost, the file is kept as .damaged"
            ));
        }
        segment.end = scan.end as u64;
        if newest {
            // The last record's padding may be cut off: then the scan ended behind the file.
            let rest = bytes.get(scan.end..).unwrap_or_default();
            let torn = rest.iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1);
            self.report.torn_bytes = torn as u64;
            segment.cut(scan.end as u64, segment_bytes)?;
        }
        self.segments.push(segment);
        Ok(())
    }
}

/// Where a scan ended and what it left out.
#[derive(Debug, PartialEq, Eq)]
struct Scan {
    end: usize,
    gaps: Vec<Range<usize>>,
}

/// Hands every right record behind the segment's header to `take`, with the place of its payload. Ends at the first
/// wrong one, or, if it shall `salvage`, looks for the next right one behind it.
fn scan<'a>(bytes: &'a [u8], previous: Lsn, salvage: bool, mut take: impl FnMut(&Record<'a>, u64)) -> Scan {
    let mut last = previous;
    let mut scan = Scan { end: SEGMENT_HEADER_BYTES, gaps: Vec::new() };
    let mut at = SEGMENT_HEADER_BYTES;
    while at < bytes.len() {
        match decode(&bytes[at..]).filter(|(record, _)| record.lsn > last) {
            Some((record, length)) => {
                if scan.end < at {
                    scan.gaps.push(scan.end..at);
                }
                take(&record, (at + HEADER_BYTES) as u64);
                last = record.lsn;
                at += length;
                scan.end = at;
            }
            None if salvage => at += 8,
            None => break,
        }
    }
    scan
}
