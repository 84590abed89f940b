//! What one connection has received: a buffer, and the records in it.

use std::io;
use std::task::Poll;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::record::{Record, RecordError, RecordReader, Step};

/// First size of the buffer.
const BUFFER_BYTES_MIN: usize = 4 << 10;
/// Size up to which the buffer grows when much comes at once. A record longer than this needs memory set aside.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// What the bytes received so far amount to.
pub(crate) enum Received {
    /// A whole record.
    Record(Record),
    /// Part of one, or nothing.
    Part {
        /// Bytes of memory to set aside before the rest is read; 0 if it needs none.
        memory: usize,
    },
}

/// Receives from the socket of one connection.
pub(crate) struct Input {
    buffer: BytesMut,
    /// Bytes the next read may bring.
    size: usize,
    /// Bytes the buffer must come to hold for the record at its front.
    wanted: usize,
    records: RecordReader,
    at_end: bool,
}

impl Input {
    /// Nothing received yet. Takes records within these limits.
    pub fn new(record_bytes_max: usize, fragments_max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            size: BUFFER_BYTES_MIN,
            wanted: 0,
            records: RecordReader::new(record_bytes_max, fragments_max),
            at_end: false,
        }
    }

    /// Whether the client has sent its last byte.
    pub const fn is_at_end(&self) -> bool {
        self.at_end
    }

    /// Whether a record has begun and not ended.
    pub fn is_inside(&self) -> bool {
        self.records.is_inside(&self.buffer)
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// The stream cannot be followed any further.
    pub fn next(&mut self) -> Result<Received, RecordError> {
        Ok(match self.records.step(&mut self.buffer)? {
            Step::Record(record) => Received::Record(record),
            Step::Wanted { buffer, record } => {
                self.wanted = buffer;
                Received::Part { memory: if record > BUFFER_BYTES_MAX { record } else { 0 } }
            }
        })
    }

    /// Takes back a record that is done with.
    pub fn give_back(&mut self, record: Record) {
        self.records.give_back(record);
    }

    /// Receives what is there; call it only when the memory that [`next`](Self::next) named is set aside. How many
    /// bytes came, 0 at the end; `None` if nothing is there.
    pub async fn read(&mut self, stream: &mut TcpStream) -> io::Result<Option<usize>> {
        let room = self.wanted.max(self.size).saturating_sub(self.buffer.len());
        self.buffer.reserve(room);
        // Polled, not tried: a poll that brings less than there was room for remembers that nothing more is there, which
        // saves the system call to learn so.
        let count = match futures::poll!(std::pin::pin!(stream.read_buf(&mut self.buffer))) {
            Poll::Ready(count) => count?,
            Poll::Pending => return Ok(None),
        };
        if count == 0 {
            self.at_end = true;
        } else if count >= room {
            self.size = (2 * self.size).min(BUFFER_BYTES_MAX);
        }
        Ok(Some(count))
    }

    /// Gives back the memory that a quiet connection does not need.
    pub fn shrink(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
            self.size = BUFFER_BYTES_MIN;
        }
        self.records.shrink();
    }
}
