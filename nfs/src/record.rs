//! Record marking (RFC 5531 §11): finds the calls in a byte stream.
//!
//! Pure: bytes in, records out. It never asks for memory because a mark says so; it only tells how many bytes are
//! wanted, within the limit, and whoever reads the socket decides when there is room for them.

use std::ops::Deref;

use bytes::{Buf, Bytes, BytesMut};

/// Bytes of a mark.
pub const MARK_BYTES: usize = 4;
/// The bit of a mark that says "last fragment of its record".
const LAST: u32 = 1 << 31;
/// Records up to this length are copied out of the receive buffer; longer ones are split off it without a copy.
/// A small one must not keep a large buffer alive while its call waits.
pub const COPY_BYTES_MAX: usize = 4096;

/// A whole record, without its marks.
#[derive(Debug, PartialEq, Eq)]
pub enum Record {
    /// A small one, copied out of the receive buffer.
    Copied(Vec<u8>),
    /// A large one: the part of the receive buffer it came in.
    Received(Bytes),
}

impl Record {
    /// `part`, which lies within the record, to be kept: of a large record without a copy.
    pub fn keep(&self, part: &[u8]) -> Bytes {
        match self {
            Self::Copied(_) => Bytes::copy_from_slice(part),
            Self::Received(bytes) => bytes.slice_ref(part),
        }
    }
}

impl Deref for Record {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Received(bytes) => bytes,
        }
    }
}

/// A stream that cannot be followed any further: the connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A record longer than this server takes.
    #[error("a record is longer than the limit")]
    TooLong,
    /// A record in more fragments than this server takes.
    #[error("a record has more fragments than the limit")]
    TooManyFragments,
}

/// The mark of a reply of `len` bytes in one fragment.
pub const fn mark(len: usize) -> [u8; MARK_BYTES] {
    (len as u32 | LAST).to_be_bytes()
}

/// Reads marks and joins fragments.
#[derive(Debug)]
pub struct RecordReader {
    bytes_max: usize,
    fragments_max: usize,
    /// Fragments of a record whose last has not come yet.
    joined: BytesMut,
    fragments: usize,
    /// Memory of a copied record that is done with, for the next one.
    spare: Vec<u8>,
}

/// What the bytes received so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A whole record, without its marks.
    Record(Record),
    /// More bytes are needed.
    Wanted {
        /// Bytes the receive buffer must hold in all before the next step.
        buffer: usize,
        /// Bytes the record may take up in memory in all, as far as is known.
        record: usize,
    },
}

impl RecordReader {
    /// Takes records of `bytes_max` bytes at most, in `fragments_max` fragments at most.
    pub fn new(bytes_max: usize, fragments_max: usize) -> Self {
        Self { bytes_max, fragments_max, joined: BytesMut::new(), fragments: 0, spare: Vec::new() }
    }

    /// Whether a record has begun and not ended.
    pub fn is_inside(&self, input: &BytesMut) -> bool {
        self.fragments > 0 || !input.is_empty()
    }

    /// Takes the next record off the front of `input`, or tells what is missing.
    ///
    /// # Errors
    /// The stream is beyond the limits; it cannot be followed any further.
    pub fn step(&mut self, input: &mut BytesMut) -> Result<Step, RecordError> {
        loop {
            let Some(mark) = input.first_chunk::<MARK_BYTES>() else {
                return Ok(Step::Wanted { buffer: MARK_BYTES, record: self.joined.len() });
            };
            let mark = u32::from_be_bytes(*mark);
            let (last, len) = (mark & LAST != 0, (mark & !LAST) as usize);
            if len > self.bytes_max - self.joined.len() {
                return Err(RecordError::TooLong);
            }
            if self.fragments >= self.fragments_max {
                return Err(RecordError::TooManyFragments);
            }
            let buffer = MARK_BYTES + len;
            if input.len() < buffer {
                let whole = last && self.fragments == 0;
                return Ok(Step::Wanted { buffer, record: if whole { buffer } else { 2 * self.bytes_max } });
            }
            input.advance(MARK_BYTES);
            if last && self.fragments == 0 {
                return Ok(Step::Record(self.take(input, len)));
            }
            self.joined.extend_from_slice(&input[..len]);
            input.advance(len);
            self.fragments += 1;
            if last {
                self.fragments = 0;
                return Ok(Step::Record(Record::Received(std::mem::take(&mut self.joined).freeze())));
            }
        }
    }

    fn take(&mut self, input: &mut BytesMut, len: usize) -> Record {
        if len > COPY_BYTES_MAX {
            return Record::Received(input.split_to(len).freeze());
        }
        let mut record = std::mem::take(&mut self.spare);
        record.clear();
        record.extend_from_slice(&input[..len]);
        input.advance(len);
        Record::Copied(record)
    }

    /// Takes back a record that is done with, so that the next one needs no memory of its own.
    pub fn give_back(&mut self, record: Record) {
        if let Record::Copied(bytes) = record {
            self.spare = bytes;
        }
    }

    /// Gives up what is only kept for speed.
    pub fn shrink(&mut self) {
        self.spare = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reader() -> RecordReader {
        RecordReader::new(1000, 4)
    }

    fn fragment(last: bool, payload: &[u8]) -> Vec<u8> {
        let mark = payload.len() as u32 | if last { LAST } else { 0 };
        [&mark.to_be_bytes(), payload].concat()
    }

    #[test]
    fn a_mark_of_two_gib_is_refused_before_any_of_it_is_stored() {
        let mut input = BytesMut::from(&[0x7f, 0xff, 0xff, 0xff][..]);
        assert_eq!(reader().step(&mut input), Err(RecordError::TooLong));
    }

    #[test]
    fn fragments_together_stay_below_the_limit() {
        let mut input = BytesMut::from(&fragment(false, &[0; 600])[..]);
        input.extend_from_slice(&fragment(true, &[0; 600]));
        assert_eq!(reader().step(&mut input), Err(RecordError::TooLong));
    }

    #[test]
    fn endless_empty_fragments_are_refused() {
        let mut input = BytesMut::from(&[0; 40][..]);
        assert_eq!(reader().step(&mut input), Err(RecordError::TooManyFragments));
    }

    #[test]
    fn what_is_missing_is_told() {
        let mut input = BytesMut::from(&[0x80, 0, 0][..]);
        let mut reader = reader();
        assert_eq!(reader.step(&mut input), Ok(Step::Wanted { buffer: 4, record: 0 }));
        input.extend_from_slice(&[10, 1, 2]);
        assert_eq!(reader.step(&mut input), Ok(Step::Wanted { buffer: 14, record: 14 }));
        assert!(reader.is_inside(&input));
        input.extend_from_slice(&[0; 8]);
        assert!(matches!(reader.step(&mut input), Ok(Step::Record(record)) if record.len() == 10));
        assert!(!reader.is_inside(&input));
    }

    proptest! {
        /// Whatever the fragments and wherever the stream is cut, the records come out as they went in.
        #[test]
        fn records_survive_fragments_and_cuts(
            records in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..4), 0..6),
            cuts in prop::collection::vec(1usize..50, 1..200),
        ) {
            let mut stream = Vec::new();
            for fragments in &records {
                for (index, payload) in fragments.iter().enumerate() {
                    stream.extend_from_slice(&fragment(index + 1 == fragments.len(), payload));
                }
            }
            let (mut input, mut reader, mut found) = (BytesMut::new(), reader(), Vec::new());
            let mut rest = &stream[..];
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                input.extend_from_slice(now);
                rest = later;
                while let Step::Record(record) = reader.step(&mut input).unwrap() {
                    found.push(record.to_vec());
                }
            }
            let sent: Vec<Vec<u8>> = records.iter().map(|fragments| fragments.concat()).collect();
            prop_assert_eq!(found, sent);
            prop_assert!(!reader.is_inside(&input));
        }
    }
}
