//! A reply on its way out: encoded bytes, and behind them the data of a READ, which need not be in memory.

use crate::filesystem::Segment;
use crate::record::{MARK_BYTES, mark};
use crate::xdr::{Encoder, padding};

/// One reply, with its record mark.
#[derive(Debug)]
pub struct Reply {
    head: Vec<u8>,
    data: Vec<Segment>,
    data_bytes: usize,
}

impl Reply {
    /// An encoder, in memory that was used before, that has left room for the record mark.
    pub fn encoder(memory: Vec<u8>) -> Encoder {
        let mut encoder = Encoder::on(memory);
        encoder.array(&[0; MARK_BYTES]);
        encoder
    }

    /// Ends what [`Reply::encoder`] began. `data` follows the encoded bytes as the end of one opaque value; the bytes
    /// of that opaque which `encoder` holds already must be a multiple of four.
    pub fn new(encoder: Encoder, data: Vec<Segment>) -> Self {
        let mut head = encoder.into_bytes();
        let data_bytes = data.iter().map(segment_bytes).sum::<usize>();
        let record_bytes = head.len() - MARK_BYTES + data_bytes + padding(data_bytes);
        head[..MARK_BYTES].copy_from_slice(&mark(record_bytes));
        Self { head, data, data_bytes }
    }

    /// The reply as a datagram: without its mark. `None` if part of it is not in memory; no program served over UDP
    /// has such replies.
    pub fn datagram(&self) -> Option<&[u8]> {
        self.data.is_empty().then(|| &self.head[MARK_BYTES..])
    }

    /// The parts in order: encoded bytes with the mark, then data, then how many bytes of padding.
    pub fn into_parts(self) -> (Vec<u8>, Vec<Segment>, usize) {
        let padding = padding(self.data_bytes);
        (self.head, self.data, padding)
    }
}

/// Length of a segment in bytes.
pub fn segment_bytes(segment: &Segment) -> usize {
    match segment {
        Segment::Bytes(bytes) => bytes.len(),
        Segment::File { len, .. } => *len as usize,
    }
}
